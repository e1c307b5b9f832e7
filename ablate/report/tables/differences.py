"""Every variant against the baseline: tested on the primary metric, shown on all."""

from __future__ import annotations

import pandas as pd

from ablate.evidence.judgement import Judgement
from ablate.evidence.results import Results
from ablate.report.rendering import Cell, Column, Row, Table
from ablate.report.tables.difference_columns import (
    COLUMNS,
    TEST_CAPTION,
    difference_cells,
    identical_note,
    raw_difference,
    sign_flip_note,
)
from ablate.report.tables.notes import common_notes
from ablate.report.words import (
    fixed,
    interval_text,
    metric_label,
    metric_level,
    plural,
    variant_label,
    verdict_text,
)
from model.metric_names import METRICS


def difference_table(judgement: Judgement) -> Table:
    """Every variant against the baseline on the primary metric, with everything a referee asks."""
    results = judgement.results
    found = list(judgement.primary.differences.values())
    baseline = variant_label(results, results.baseline)
    rows = [
        Row(variant_label(results, d.variant), (*difference_cells(d), Cell(verdict_text(d.verdict))))
        for d in found
    ]
    return Table(
        name="differences",
        title=f"{metric_label(results.primary)} against {baseline}",
        caption=f"{results.name}: difference to {baseline} in {metric_label(results.primary)}, "
        f"points. {TEST_CAPTION.format(coverage=results.coverage)} "
        f"Holm over {plural(judgement.primary.family, 'comparison')}.",
        corner="variant",
        columns=COLUMNS,
        rows=tuple(rows),
        notes=(
            *sign_flip_note(found),
            *identical_note(results, [d for d in found if d.variant not in results.same_as]),
            *_copy_note(results),
            *common_notes(results),
        ),
        raw=pd.DataFrame([raw_difference(d) for d in found]),
    )


def _copy_note(results: Results) -> tuple[str, ...]:
    """Rows that are one configuration."""
    pairs = [
        f"{variant_label(results, copy)} is {variant_label(results, original)}"
        for copy, original in results.same_as.items()
    ]
    return (f"Same configuration, hence the same runs: {'; '.join(pairs)}.",) if pairs else ()


def all_differences_table(judgement: Judgement) -> Table:
    """Every variant against the baseline on every metric: difference and interval, no tests.

    Exploratory: only the primary metric is tested; a filled-in grid of p-values would invite fishing.
    """
    results = judgement.results
    metrics = [m for m in METRICS if m in set(results.frame["metric"])]
    by_metric = {m: judgement.comparison(m).differences for m in metrics}
    baseline = variant_label(results, results.baseline)
    others = [v for v in results.variants if v != results.baseline]
    rows = [
        Row(
            variant_label(results, v),
            tuple(
                Cell(
                    fixed(by_metric[m][v].estimate.mean, signed=True),
                    interval_text(by_metric[m][v].estimate),
                    bold=by_metric[m][v].apart,
                )
                for m in metrics
            ),
        )
        for v in others
    ]
    return Table(
        name="differences_all_metrics",
        title=f"All metrics against {baseline}",
        caption=f"{results.name}: paired difference to {baseline}, points, with {results.coverage} "
        "t-interval over seeds. Bold: the interval excludes 0 (not adjusted for the number of comparisons; "
        f"tests are made on {metric_label(results.primary)} alone).",
        corner="variant",
        columns=tuple(Column(metric_label(m), metric_level(m)) for m in metrics),
        rows=tuple(rows),
        notes=common_notes(results),
        raw=pd.DataFrame([raw_difference(by_metric[m][v]) for v in others for m in metrics]),
    )
