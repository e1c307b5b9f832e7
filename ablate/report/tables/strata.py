"""One metric by stratum of the defects."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from ablate.evidence.judgement import Judgement
from ablate.evidence.results import Results
from ablate.evidence.stats import POINTS
from ablate.report.numbers import USUAL, Style
from ablate.report.table import Cell, Column, Row, Table
from ablate.report.tables.marks import mark_best, raw_estimate
from ablate.report.tables.notes import Notes, bold_note, common_notes
from ablate.report.words import count_text, metric_label, stratum_group, stratum_label, variant_label


def strata_table(
    judgement: Judgement, metric: str, style: Style = USUAL, *, scale: float = POINTS, decimals: int = 1
) -> Table | None:
    """One metric by stratum of the defects; None if it was not measured by stratum.

    ``scale`` and ``decimals``: how the values print (token distances are not percent).
    """
    results = judgement.results
    frame = results.frame[results.frame["metric"] == metric]
    strata = [s for s in frame["stratum"].unique() if s != "all"]
    if not strata:
        return None
    rows: dict[str, list[Cell]] = {v: [] for v in results.variants}
    raw: list[dict[str, Any]] = []
    seeds: list[int] = []
    notes = Notes()
    for stratum in ["all", *strata]:
        comparison = judgement.comparison(metric, stratum=stratum)
        estimates = {v: m.estimate.scaled(scale) for v, m in comparison.means.items()}
        own = style if scale == POINTS else USUAL
        digits = own.column((e.sd for e in estimates.values()), decimals=decimals)
        texts = {v: digits.text(e.mean) for v, e in estimates.items()}
        marks = mark_best(comparison, texts)
        for v, e in estimates.items():
            d = comparison.differences.get(v)
            change = d.estimate.scaled(scale / POINTS).mean if d and d.n else math.nan
            delta = digits.text(change, signed=True) if math.isfinite(change) else ""
            note = "" if e.n else notes.mark("no defect of this stratum, or not run yet")
            rows[v].append(
                Cell(
                    texts[v],
                    digits.spread(e.sd),
                    delta,
                    marks[v].bold,
                    marks[v].underline,
                    note,
                    comparison.keys(v),
                )
            )
            seeds.extend([e.n] if e.n else [])
            raw.append(
                {"variant": v, "stratum": stratum, "metric": metric, **raw_estimate(e), "scale": scale}
            )
    unit = style.unit if scale == POINTS else "1 − cosine"
    multi = max(seeds, default=0) >= 2
    return Table(
        name=f"strata_{metric}",
        title=f"{metric_label(metric)} by stratum",
        caption=f"{results.name}: {metric_label(metric)} by stratum of the defects, {unit}"
        + (f", mean ± sd over {count_text(seeds)} seeds (these test images). " if multi else ", one seed. ")
        + "Small: difference to the baseline (grey)."
        + (f" {bold_note(results)}" if multi else ""),
        corner="variant",
        columns=tuple(Column(stratum_label(s), stratum_group(s)) for s in ["all", *strata]),
        rows=tuple(
            Row(variant_label(results, v), tuple(rows[v]), v == results.baseline) for v in results.variants
        ),
        notes=(*notes.lines(), *_stratum_sizes(results, strata), *common_notes(results)),
        raw=pd.DataFrame(raw),
    )


def _stratum_sizes(results: Results, strata: Sequence[str]) -> tuple[str, ...]:
    """How many defects each stratum holds: what its row rests on."""
    rows = results.frame[results.frame["metric"] == "defects"]
    if rows.empty:
        return ()
    counts = rows.groupby(["stratum", "category"])["value"].max().groupby("stratum").sum()
    sizes = [f"{stratum_label(s)} {counts[s]:.0f}" for s in strata if s in counts]
    return (f"Defects: {', '.join(sizes)}.",)
