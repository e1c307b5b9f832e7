"""Every variant against the baseline: tested on the primary metric, shown on all."""

from __future__ import annotations

import pandas as pd

from ablate.evidence.differences import Difference
from ablate.evidence.images import SeedsAndImages
from ablate.evidence.judgement import Judgement
from ablate.evidence.results import Results
from ablate.report.numbers import USUAL, Style, ends
from ablate.report.table import Cell, Column, Row, Table
from ablate.report.tables.difference_columns import (
    COLUMNS,
    COLUMNS_NOTE,
    Shown,
    columns_caption,
    difference_rows,
    identical_note,
    images_note,
    interval_name,
    raw_difference,
    sign_flip_note,
    untested,
)
from ablate.report.tables.notes import calibration_note, common_notes
from ablate.report.words import (
    looks_text,
    metric_label,
    metric_level,
    plural,
    variant_label,
    verdict_text,
)
from model.metric_names import AUPIMO, all_metrics

IMAGES_UP_TO = 500
"""Most runs of which the scores of every pixel metric's images are read for the table of all
differences."""


def difference_table(judgement: Judgement, style: Style = USUAL) -> Table:
    """Every variant against the baseline on the primary metric, with everything a referee asks."""
    results = judgement.results
    found = list(judgement.primary.differences.values())
    baseline = variant_label(results, results.baseline)
    images = [judgement.images(d) for d in found]
    shown = [
        Shown(
            d,
            made,
            verdict_text(d.verdict),
            looks_text(d.looks, results.max_seeds),
            d.seeds_needed if d.verdict == "undecided" else None,
        )
        for d, made in zip(found, images, strict=True)
    ]
    rows = [
        Row(variant_label(results, d.variant), cells)
        for d, cells in zip(found, difference_rows(shown, results.keys, style), strict=True)
    ]
    return Table(
        name="differences",
        title=f"{metric_label(results.primary)} against {baseline}",
        caption=f"{results.name}: difference to {baseline} in {metric_label(results.primary)}, "
        f"{style.points}. {columns_caption(results, found)} "
        f"Holm over {plural(judgement.primary.family, 'comparison')}.",
        corner="variant",
        columns=COLUMNS,
        rows=tuple(rows),
        notes=(
            COLUMNS_NOTE,
            *sign_flip_note(found),
            *images_note(images),
            *identical_note(results, [d for d in found if d.variant not in results.same_as]),
            *_copy_note(results),
            *filter(None, [calibration_note(judgement)]),
            *common_notes(results),
        ),
        raw=pd.DataFrame([raw_difference(d, made) for d, made in zip(found, images, strict=True)]),
    )


def _copy_note(results: Results) -> tuple[str, ...]:
    """Rows that are one configuration."""
    pairs = [
        f"{variant_label(results, copy)} is {variant_label(results, original)}"
        for copy, original in results.same_as.items()
    ]
    return (f"Same configuration, hence the same runs: {'; '.join(pairs)}.",) if pairs else ()


def all_differences_table(judgement: Judgement, style: Style = USUAL) -> Table:
    """Every variant against the baseline on every metric: difference and interval, no tests.

    Exploratory: only the primary metric is tested; a filled-in grid of p-values would invite fishing.
    """
    results = judgement.results
    metrics = [m for m in style.chosen((*all_metrics(), AUPIMO)) if m in results.measured]
    by_metric = {m: judgement.comparison(m).differences for m in metrics}
    baseline = variant_label(results, results.baseline)
    others = [v for v in results.variants if v != results.baseline]
    few = len(results.runs) <= IMAGES_UP_TO

    def second(d: Difference) -> SeedsAndImages | None:
        return judgement.images(d) if few else None

    digits = {m: style.column(ends(d.estimate for d in by_metric[m].values())) for m in metrics}
    rows = [
        Row(
            variant_label(results, v),
            tuple(
                Cell(
                    digits[m].text(by_metric[m][v].estimate.mean, signed=True),
                    digits[m].interval(by_metric[m][v].estimate),
                    keys=by_metric[m][v].keys(results.keys),
                )
                for m in metrics
            ),
        )
        for v in others
    ]
    return Table(
        name="differences_all_metrics",
        title=f"All metrics against {baseline}",
        caption=f"{results.name}: paired difference to {baseline}, {style.points}, with "
        f"{results.coverage} {interval_name(results)} for new seeds on these images. Nothing is marked: "
        "with this many entries some intervals exclude 0 by chance; tests are made on "
        f"{metric_label(results.primary)} alone. Intervals for new images too stand in the CSV.",
        corner="variant",
        columns=tuple(Column(metric_label(m), metric_level(m)) for m in metrics),
        rows=tuple(rows),
        notes=common_notes(results),
        raw=pd.DataFrame(
            [untested(d, second(d)) for v in others for m in metrics for d in [by_metric[m][v]]]
        ),
    )
