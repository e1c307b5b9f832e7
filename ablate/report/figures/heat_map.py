"""Differences to the baseline over two crossed factors."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from ablate.evidence.figure_data import HeatMap, heat_maps
from ablate.evidence.judgement import Judgement
from ablate.evidence.results import Results
from ablate.evidence.stats import Estimate
from ablate.report.figures.lettering import level_name
from ablate.report.figures.paper import PLAIN, Paper, paper_of
from ablate.report.figures.style import GREY, Drawing, n_text, new_figure
from ablate.report.words import DASH, fixed, interval_text, metric_label, slug, variant_label

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def drawings(judgement: Judgement) -> Iterator[Drawing]:
    """One map per named variant where exactly two factors are crossed."""
    results = judgement.results
    for data in heat_maps(judgement):
        title = variant_label(results, data.title)
        yield Drawing(
            "_".join(["heatmap", *([slug(data.title)] if data.title else [])]),
            f"{data.row_factor} × {data.column_factor}" + (f" ({title})" if title else ""),
            f"Paired difference to {variant_label(results, data.baseline)} in {metric_label(data.metric)}, "
            f"points, with {results.coverage} t-interval, "
            f"{n_text([d.n for d in data.differences.values() if d.n])}. "
            "Pale: the interval is wide for the difference. Framed: differs after Holm over all variants.",
            draw_heat_map(data, paper_of(results.venue), results),
        )


def _certainty(estimate: Estimate) -> float:
    """From 0.25 (the interval is far longer than the difference, or there is none) to 1 (it excludes 0)."""
    half = (estimate.high - estimate.low) / 2
    if not math.isfinite(half) or half <= 0:
        return 0.25 if not math.isfinite(half) else 1.0
    return float(np.clip(abs(estimate.mean) / half, 0.25, 1.0))


def draw_heat_map(data: HeatMap, paper: Paper = PLAIN, results: Results | None = None) -> Figure:
    """Differences over two crossed factors, diverging and centred at zero."""
    from matplotlib.patches import Rectangle

    n_rows, n_columns = len(data.rows), len(data.columns)
    width = paper.width(max(paper.column, 1.3 + 0.78 * n_columns))
    figure = new_figure(width, 0.75 + 0.42 * n_rows)
    ax = figure.subplots()
    values = np.full((n_rows, n_columns), np.nan)
    for (row, column), found in data.differences.items():
        values[data.rows.index(row), data.columns.index(column)] = found.estimate.mean
    known = np.abs(values[np.isfinite(values)])
    top = max(float(known.max()) if len(known) else 0.0, 0.1)
    certainty = np.ones_like(values)
    for (row, column), found in data.differences.items():
        certainty[data.rows.index(row), data.columns.index(column)] = _certainty(found.estimate)
    image = ax.imshow(values, cmap="RdBu", vmin=-top, vmax=top, aspect="auto", alpha=certainty)
    ax.set_facecolor("#EEEEEE")
    for i, row in enumerate(data.rows):
        for j, column in enumerate(data.columns):
            d = data.differences.get((row, column))
            if d is None or not d.n:
                ax.text(j, i, DASH, ha="center", va="center", color=GREY)
                continue
            pale = abs(d.estimate.mean) * _certainty(d.estimate) < 0.6 * top
            colour = "black" if pale else "white"
            real = d.verdict in ("better", "worse")
            weight = "bold" if real else "normal"
            lift = 0.13 if interval_text(d.estimate) else 0
            ax.text(
                j, i - lift, fixed(d.estimate.mean, signed=True),
                ha="center", va="center", color=colour, weight=weight, size=8,
            )  # fmt: skip
            ax.text(
                j, i + 0.24, interval_text(d.estimate), ha="center", va="center", color=colour, size=5.5
            )
            if real:
                ax.add_patch(Rectangle((j - 0.47, i - 0.47), 0.94, 0.94, fill=False, ec="black", lw=0.9))
    ax.set_xticks(range(n_columns), [level_name(results, data.column_factor, x) for x in data.columns])
    ax.set_yticks(range(n_rows), [level_name(results, data.row_factor, x) for x in data.rows])
    ax.set_xlabel(data.column_factor)
    ax.set_ylabel(data.row_factor)
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
    bar = figure.colorbar(image, ax=ax, shrink=0.9, pad=0.02, aspect=18)
    bar.set_label(f"Δ {metric_label(data.metric)} (points)")
    bar.outline.set_visible(False)
    return figure
