"""What each variant does to tokens: distances, and how well it fills in rows and columns."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from ablate.evidence.judgement import Judgement
from ablate.evidence.stats import POINTS
from ablate.report.numbers import USUAL
from ablate.report.table import Cell, Column, Row, Table
from ablate.report.tables.marks import raw_estimate
from ablate.report.tables.notes import Notes, common_notes
from ablate.report.words import count_text, metric_label, variant_label
from model.metric_names import AUPIMO, COMPLETIONS, DEFECT_COMPLETIONS, MECHANISM_METRICS

DECIMALS = 3


def mechanism_table(judgement: Judgement) -> Table | None:
    """Mechanism metrics over all defects; None where no completion was measured.

    Nothing is bold: to fill in less is what a prior is meant to do, not what makes a detector better.
    """
    results = judgement.results
    overall = results.frame[results.frame["stratum"] == "all"]
    measured = set(overall.dropna(subset=["value"])["metric"])
    metrics = [name for name in (*MECHANISM_METRICS, AUPIMO) if name in measured]
    if not measured & {*COMPLETIONS, *DEFECT_COMPLETIONS}:
        return None
    rows: dict[str, list[Cell]] = {v: [] for v in results.variants}
    raw: list[dict[str, Any]] = []
    seeds: list[int] = []
    notes = Notes()
    for metric in metrics:
        comparison = judgement.comparison(metric)
        digits = USUAL.column((m.estimate.sd for m in comparison.means.values()), decimals=DECIMALS)
        for v, mean in comparison.means.items():
            e = mean.estimate
            d = comparison.differences.get(v)
            change = d.estimate.scaled(1 / POINTS).mean if d and d.n else math.nan
            rows[v].append(
                Cell(
                    digits.text(e.mean),
                    digits.spread(e.sd),
                    digits.text(change, signed=True) if math.isfinite(change) else "",
                    keys=comparison.keys(v),
                    mark="" if e.n else notes.mark("this method has no decoder, or not run yet"),
                )
            )
            seeds.extend([e.n] if e.n else [])
            raw.append({"variant": v, "metric": metric, **raw_estimate(e)})
    spread = f"mean ± sd over {count_text(seeds)} seeds" if max(seeds, default=0) >= 2 else "one seed"
    return Table(
        name="mechanism",
        title="Mechanism: token distances and completion",
        caption=f"{results.name}: token distances (1 − cosine), and the share of cut rows and columns of "
        f"tokens that the decoder fills in (0 = no better than without them, 1 = as if nothing were cut), "
        f"on held-out normal images and at defects, {spread}. AUPIMO: mean recall of the anomalous images "
        "at false-positive rates of 1e-5 to 1e-4. Small: difference to the baseline (grey).",
        corner="variant",
        columns=tuple(Column(metric_label(name), _group(name)) for name in metrics),
        rows=tuple(
            Row(variant_label(results, v), tuple(rows[v]), v == results.baseline) for v in results.variants
        ),
        notes=(*notes.lines(), *common_notes(results)),
        raw=pd.DataFrame(raw),
    )


def _group(metric: str) -> str:
    if metric == AUPIMO:
        return "detection"
    if metric in COMPLETIONS:
        return "normal images"
    return "defects" if metric in DEFECT_COMPLETIONS else "token distance"
