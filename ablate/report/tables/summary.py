"""The few columns that fit a terminal."""

from __future__ import annotations

from ablate.evidence.judgement import Judgement
from ablate.evidence.stats import POINTS
from ablate.report.table import Cell, Column, Row, Table
from ablate.report.words import (
    fixed,
    interval_text,
    metric_label,
    plural,
    spread_text,
    variant_label,
    verdict_text,
)


def summary_table(judgement: Judgement) -> Table:
    """Primary metric, difference and verdict, and up to three other metrics."""
    results = judgement.results
    others = [m for m in ("image_auroc", "pixel_ap", "aupro") if m != results.primary]
    shown = [results.primary, *(m for m in others if m in results.measured)]
    rows = []
    for v in results.variants:
        first, *rest = (judgement.comparison(m).means[v].estimate.scaled(POINTS) for m in shown)
        d = judgement.primary.differences.get(v)
        cells = (
            Cell(fixed(first.mean), spread_text(first.sd)),
            Cell(fixed(d.estimate.mean, signed=True), interval_text(d.estimate)) if d else Cell(),
            Cell(verdict_text(d.verdict) if d else "baseline"),
            *(Cell(fixed(e.mean)) for e in rest),
        )
        rows.append(Row(variant_label(results, v), cells, d is None))
    return Table(
        name="summary",
        title=f"{results.name}: {plural(len(results.seeds), 'seed')}",
        caption="",
        corner="variant",
        columns=(
            Column(metric_label(shown[0])),
            Column("Δ [interval]"),
            Column("verdict", align="l"),
            *(Column(metric_label(m)) for m in shown[1:]),
        ),
        rows=tuple(rows),
    )
