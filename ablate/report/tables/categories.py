"""One metric by category."""

from __future__ import annotations

from typing import Any

import pandas as pd

from ablate.evidence.judgement import Judgement
from ablate.evidence.stats import POINTS
from ablate.report.numbers import USUAL, Style
from ablate.report.table import Cell, Column, Row, Table
from ablate.report.tables.marks import mark_best, missing_note, quoted_cell, raw_estimate, raw_quoted
from ablate.report.tables.notes import Notes, bold_note, common_notes, quoted_note
from ablate.report.words import count_text, metric_label, variant_label

TRANSPOSE_FROM = 7
"""From this many categories on, the table has one row per category: a page is taller than wide."""


def category_table(judgement: Judgement, style: Style = USUAL) -> Table:
    """The primary metric by category, mean last, small delta to the baseline.

    Variants are rows; from :data:`TRANSPOSE_FROM` categories on they are columns.
    """
    results, metric = judgement.results, judgement.results.primary
    places: list[str | None] = [*results.categories, None]
    notes = Notes()
    grid: dict[tuple[str, str | None], Cell] = {}
    raw: list[dict[str, Any]] = []
    seeds: list[int] = []
    # One for the whole table: categories may be rows or columns of it.
    digits = style.column(
        POINTS * mean.estimate.sd
        for place in places
        for mean in judgement.comparison(metric, place).means.values()
    )
    for place in places:
        comparison = judgement.comparison(metric, place)
        estimates = {v: m.estimate.scaled(POINTS) for v, m in comparison.means.items()}
        texts = {v: digits.text(e.mean) for v, e in estimates.items()}
        marks = mark_best(comparison, texts)
        for v, e in estimates.items():
            d = comparison.differences.get(v)
            delta = digits.text(d.estimate.mean, signed=True) if d and d.n else ""
            note = notes.mark(missing_note(comparison, v))
            grid[v, place] = Cell(
                texts[v],
                digits.spread(e.sd),
                delta,
                marks[v].bold,
                marks[v].underline,
                note,
                comparison.keys(v),
            )
            seeds.extend([e.n] if e.n else [])
            raw.append({"variant": v, "category": place or "mean", "metric": metric, **raw_estimate(e)})
    given = [q for q in results.quoted if any(m == metric for m, _ in q.values)]
    quoted: dict[tuple[str, str | None], Cell] = {
        (q.variant, place): quoted_cell(q, metric, place, digits, notes.mark(quoted_note(q)))
        for q in given
        for place in places
    }
    raw += [raw_quoted(q, metric, place) for q in given for place in places]
    multi = max(seeds, default=0) >= 2
    caption = (
        f"{results.name}: {metric_label(metric)} by category, {style.unit}"
        + (f", mean ± sd over {count_text(seeds)} seeds (these test images). " if multi else ", one seed. ")
        + "Small: difference to the baseline (grey), "
        + f"{style.points}."
        + (f" {bold_note(results)}" if multi else "")
    )
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    if len(results.categories) < TRANSPOSE_FROM:
        columns = tuple(Column(p or "mean") for p in places)
        rows = (
            *(
                Row(variant_label(results, v), tuple(grid[v, p] for p in places), v == results.baseline)
                for v in results.variants
            ),
            *(
                Row(q.variant, tuple(quoted[q.variant, p] for p in places), rule=not number)
                for number, q in enumerate(given)
            ),
        )
    else:
        columns = (
            *(Column(variant_label(results, v), baseline=v == results.baseline) for v in results.variants),
            *(Column(q.variant, "quoted") for q in given),
        )
        rows = tuple(
            Row(
                p or "mean",
                (*(grid[v, p] for v in results.variants), *(quoted[q.variant, p] for q in given)),
                rule=p is None,
            )
            for p in places
        )
    return Table(
        name="per_category",
        title=f"{metric_label(metric)} by category",
        caption=caption,
        corner="variant" if len(results.categories) < TRANSPOSE_FROM else "category",
        columns=columns,
        rows=rows,
        notes=(*notes.lines(), *common_notes(results)),
        raw=pd.DataFrame(raw),
    )
