"""A sweep as a table: the primary metric over the levels of a factor, or of two that are crossed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from ablate.evidence.figure_data import HeatMap, factor_sweeps, heat_maps
from ablate.evidence.judgement import Judgement
from ablate.evidence.stats import POINTS
from ablate.report.numbers import USUAL, Style, ends
from ablate.report.table import Cell, Column, Row, Table
from ablate.report.tables.difference_columns import interval_name, raw_difference
from ablate.report.tables.notes import common_notes
from ablate.report.words import level_label, level_text, metric_label, variant_label, verdict_text


def factor_tables(judgement: Judgement, style: Style = USUAL) -> Iterator[Table]:
    """One table of all swept factors, and one per pair of crossed factors."""
    swept = _swept(judgement, style)
    if swept is not None:
        yield swept
    maps = heat_maps(judgement)
    for number, data in enumerate(maps, 1):
        yield _crossed(judgement, data, "crossed" if len(maps) == 1 else f"crossed_{number}", style)


def _swept(judgement: Judgement, style: Style) -> Table | None:
    """One row per level, the factors one below the other; None where nothing is swept alone."""
    results, primary = judgement.results, judgement.primary
    sweeps = [sweep for sweep in factor_sweeps(judgement) if not sweep.held]
    variants = [variant for sweep in sweeps for variant in sweep.variants.values()]
    if not variants:
        return None
    means = {v: primary.means[v].estimate.scaled(POINTS) for v in variants}
    found = {v: primary.differences.get(v) for v in variants}
    digits = style.column(e.sd for e in means.values())
    deltas = style.column(ends(d.estimate for d in found.values() if d))
    rows: list[Row] = []
    for sweep in sweeps:
        named = variant_label(results, sweep.named) if sweep.named else ""
        name = f"{sweep.factor} ({named})" if named else sweep.factor
        for i, (level, variant) in enumerate(sweep.variants.items()):
            e, d = means[variant], found[variant]
            cells = (
                Cell(level_label(results, sweep.factor, level)),
                Cell(digits.text(e.mean), digits.spread(e.sd), keys=primary.keys(variant)),
                Cell(deltas.text(d.estimate.mean, signed=True), deltas.interval(d.estimate))
                if d
                else Cell("baseline"),
                Cell(verdict_text(d.verdict) if d else ""),
            )
            rows.append(Row("" if i else name, cells, d is None, rule=bool(rows) and not i))
    return Table(
        name="factors",
        title=f"{metric_label(primary.metric)} over the levels of each factor",
        caption=f"{results.name}: {metric_label(primary.metric)} over the levels of each factor, "
        f"{style.unit}, mean ± sd over seeds (these test images). Δ: paired difference to "
        f"{variant_label(results, results.baseline)}, {style.points}, with {results.coverage} "
        f"{interval_name(results)}; verdicts after Holm over all variants.",
        corner="factor",
        columns=(
            Column("level"),
            Column(metric_label(primary.metric)),
            Column("Δ [interval]"),
            Column("verdict", align="l"),
        ),
        rows=tuple(rows),
        notes=common_notes(results),
        raw=pd.DataFrame(
            [
                {"factor": sweep.factor, "level": level_text(level), **raw_difference(d, None)}
                for sweep in sweeps
                for level, variant in sweep.variants.items()
                if (d := found[variant]) is not None
            ]
        ),
    )


def _crossed(judgement: Judgement, data: HeatMap, name: str, style: Style) -> Table:
    """Rows: levels of one factor; columns: of the other; entries: the metric and its change."""
    results, primary = judgement.results, judgement.primary
    shown = {at: primary.means[d.variant].estimate.scaled(POINTS) for at, d in data.differences.items()}
    digits = style.column(e.sd for e in shown.values())

    def cell(at: tuple[Any, Any]) -> Cell:
        if at == data.baseline_at:
            e = primary.means[results.baseline].estimate.scaled(POINTS)
            return Cell(
                digits.text(e.mean), digits.spread(e.sd), "baseline", keys=primary.keys(results.baseline)
            )
        if at not in shown:
            return Cell()
        d = data.differences[at]
        change = digits.text(d.estimate.mean, signed=True) if d.n else ""
        return Cell(
            digits.text(shown[at].mean), digits.spread(shown[at].sd), change, keys=primary.keys(d.variant)
        )

    named = f" ({variant_label(results, data.title)})" if data.title else ""
    return Table(
        name=name,
        title=f"{metric_label(data.metric)} over {data.row_factor} and {data.column_factor}{named}",
        caption=f"{results.name}{named}: {metric_label(data.metric)}, {style.unit}, mean ± sd over seeds "
        f"(these test images). Small: paired difference to {variant_label(results, data.baseline)}, "
        f"{style.points}. Nothing is marked.",
        corner=data.row_factor,
        columns=tuple(
            Column(level_label(results, data.column_factor, level), data.column_factor)
            for level in data.columns
        ),
        rows=tuple(
            Row(level_label(results, data.row_factor, a), tuple(cell((a, b)) for b in data.columns))
            for a in data.rows
        ),
        notes=common_notes(results),
        raw=pd.DataFrame(
            [
                {
                    data.row_factor: level_text(a),
                    data.column_factor: level_text(b),
                    **raw_difference(d, None),
                }
                for (a, b), d in data.differences.items()
            ]
        ),
    )
