"""The main table: one row per variant, the metrics of the literature."""

from __future__ import annotations

from typing import Any

import pandas as pd

from ablate.evidence.judgement import Judgement
from ablate.evidence.results import Results
from ablate.evidence.stats import POINTS
from ablate.report.numbers import USUAL, Digits, Style
from ablate.report.table import Cell, Column, Row, Table
from ablate.report.tables.components import component_cells, components
from ablate.report.tables.marks import mark_best, missing_note, quoted_cell, raw_estimate, raw_quoted
from ablate.report.tables.notes import Notes, bold_note, common_notes, quoted_note
from ablate.report.words import count_text, metric_label, metric_level, table_metrics, variant_label


def main_table(judgement: Judgement, style: Style = USUAL) -> Table:
    """One row per variant, the seven metrics in the papers' order, percent, mean ± sd over seeds."""
    results = judgement.results
    metrics = [m for m in style.chosen(table_metrics()) if m in results.measured]
    found = components(results)
    notes = Notes()
    rows: dict[str, list[Cell]] = {v: component_cells(found, v) for v in results.variants}
    columns = [Column(name, "components", "c") for name, _ in found]
    raw: list[dict[str, Any]] = []
    seeds: list[int] = []
    own: dict[str, Digits] = {}
    for metric in metrics:
        columns.append(Column(metric_label(metric), metric_level(metric)))
        comparison = judgement.comparison(metric)
        estimates = {v: m.estimate.scaled(POINTS) for v, m in comparison.means.items()}
        digits = style.column(e.sd for e in estimates.values())
        own[metric] = digits
        texts = {v: digits.text(e.mean) for v, e in estimates.items()}
        marks = mark_best(comparison, texts)
        for v, e in estimates.items():
            note = notes.mark(missing_note(comparison, v))
            rows[v].append(
                Cell(
                    texts[v],
                    digits.spread(e.sd),
                    bold=marks[v].bold,
                    underline=marks[v].underline,
                    mark=note,
                    keys=comparison.keys(v),
                )
            )
            seeds.extend([e.n] if e.n else [])
            raw.append({"variant": v, "metric": metric, **raw_estimate(e)})
    delta = judgement.primary.differences
    digits = style.column()
    columns.append(Column(f"Δ {metric_label(results.primary)}", "", "r", small=True))
    for v in results.variants:
        rows[v].append(
            Cell(digits.text(delta[v].estimate.mean, signed=True), keys=delta[v].keys(results.keys))
            if v in delta
            else Cell()
        )
    rows_quoted = [
        Row(
            quoted.variant,
            (
                *(Cell() for _ in found),
                *(
                    quoted_cell(quoted, metric, None, own[metric], notes.mark(quoted_note(quoted)))
                    for metric in metrics
                ),
                Cell(),
            ),
            rule=not number,
        )
        for number, quoted in enumerate(results.quoted)
    ]
    raw += [raw_quoted(quoted, metric, None) for quoted in results.quoted for metric in metrics]
    spread = (
        "one seed, so no spread and nothing marked"
        if max(seeds, default=0) < 2
        else f"mean ± sample standard deviation over {count_text(seeds)} seeds (these test images)"
    )
    return Table(
        name="main",
        title="Results",
        caption=f"{results.name}: {style.unit}, {spread}; {_averaged(results)}"
        + (f" {bold_note(results)}" if max(seeds, default=0) >= 2 else "")
        + " Δ: paired difference to the baseline (grey), "
        f"{style.points}.",
        corner="variant",
        columns=tuple(columns),
        rows=(
            *(
                Row(variant_label(results, v), tuple(rows[v]), v == results.baseline)
                for v in results.variants
            ),
            *rows_quoted,
        ),
        notes=(*notes.lines(), *common_notes(results)),
        raw=pd.DataFrame(raw),
    )


def _averaged(results: Results) -> str:
    if len(results.categories) < 2:
        return f"category {results.categories[0]}." if results.categories else ""
    return f"categories ({len(results.categories)}) averaged within the seed first."
