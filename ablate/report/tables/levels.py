"""Where each variant stands by itself, and which uncertainty a ± is."""

from __future__ import annotations

import math

import pandas as pd

from ablate.evidence.judgement import Judgement
from ablate.evidence.stats import POINTS
from ablate.report.numbers import USUAL, Style, dash
from ablate.report.table import Cell, Column, Row, Table
from ablate.report.tables.difference_columns import images_note
from ablate.report.tables.marks import missing_note, raw_estimate
from ablate.report.tables.notes import Notes, common_notes
from ablate.report.words import DASH, metric_label, percent_text, variant_label


def levels_table(judgement: Judgement, style: Style = USUAL) -> Table:
    """The primary metric with both of its uncertainties: of new seeds, and of new seeds and new images."""
    results, metric = judgement.results, judgement.results.primary
    comparison = judgement.primary
    notes = Notes()
    rows, raw = [], []
    estimates = {v: m.estimate.scaled(POINTS) for v, m in comparison.means.items()}
    both = {v: judgement.level_images(v, metric) for v in estimates}
    digits = style.column(e.sd for e in estimates.values())
    for v, e in estimates.items():
        images = both[v]
        rows.append(
            Row(
                variant_label(results, v),
                (
                    Cell(
                        digits.text(e.mean),
                        mark=notes.mark(missing_note(comparison, v)),
                        keys=comparison.keys(v),
                    ),
                    Cell(dash(digits.spread(e.sd))),
                    Cell(dash(digits.interval(e))),
                    Cell(dash(digits.interval(images))),
                    Cell(percent_text(images.image_share) if images is not None else DASH),
                    Cell(str(e.n)),
                    Cell(str(images.images) if images is not None else DASH),
                ),
                v == results.baseline,
            )
        )
        raw.append(
            {
                "variant": v,
                "metric": metric,
                **raw_estimate(e),
                "low_new_images": math.nan if images is None else images.low,
                "high_new_images": math.nan if images is None else images.high,
                "image_share": math.nan if images is None else images.image_share,
                "test_images": None if images is None else images.images,
            }
        )
    return Table(
        name="levels",
        title=f"{metric_label(metric)}: which uncertainty",
        caption=f"{results.name}: {metric_label(metric)}, {style.unit}. ±: sample standard deviation over "
        f"seeds, of a single run on these images. [seeds]: {results.coverage} interval of the mean for new "
        "seeds on these test images; [seeds, images]: for new seeds and new images of the same kind; "
        "images’ share: of its variance. Intervals are taken of log(100 − value), so none passes 100.",
        corner="variant",
        columns=(
            Column("mean"),
            Column("±"),
            Column("[seeds]"),
            Column("[seeds, images]"),
            Column("images’ share"),
            Column("seeds"),
            Column("images"),
        ),
        rows=tuple(rows),
        notes=(*notes.lines(), *images_note(list(both.values())), *common_notes(results)),
        raw=pd.DataFrame(raw),
    )
