"""A metric over the levels of a factor."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ablate.evidence.figure_data import FactorLine, FactorLines, factor_lines
from ablate.evidence.judgement import Judgement
from ablate.evidence.results import Results
from ablate.report.figures.lettering import level_name, names
from ablate.report.figures.paper import PLAIN, Paper, paper_of
from ablate.report.figures.style import (
    COLOURS,
    GREY,
    LINES,
    MARKERS,
    Drawing,
    legend_columns,
    n_text,
    new_figure,
    set_limits,
)
from ablate.report.words import metric_label, slug, variant_label

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def drawings(judgement: Judgement) -> Iterator[Drawing]:
    """One figure per factor with two or more levels."""
    results = judgement.results
    for data in factor_lines(judgement):
        yield Drawing(
            f"factor_{slug(data.factor)}",
            f"{metric_label(data.metric)} over {data.factor}",
            f"Paired difference to {variant_label(results, data.baseline)} (dashed). "
            f"{_band(data, results.coverage)}",
            draw_factor(data, paper_of(results.venue), results),
        )


def _band(data: FactorLines, coverage: str) -> str:
    counts = [p.estimate.n for line in data.lines for p in line.points if p.estimate.n]
    if max(counts, default=0) < 2:
        return "One seed: no intervals."
    return f"Bands and bars: {coverage} t-interval, {n_text(counts)}; dots: seeds."


def draw_factor(data: FactorLines, paper: Paper = PLAIN, results: Results | None = None) -> Figure:
    """Paired differences to the baseline over one factor's levels, with intervals and seeds.

    ``results``: for the labels of levels and variants.
    """
    named = names(results) if results else {}
    figure = new_figure(paper.column, 2.2)
    ax = figure.subplots()
    levels = list(dict.fromkeys(p.level for line in data.lines for p in line.points))
    place = _positions(levels)
    seeds = [v for line in data.lines for p in line.points for v in p.per_seed]
    set_limits(ax.set_ylim, [0.0, *seeds], [p.estimate for line in data.lines for p in line.points])
    ax.axhline(0, color=GREY, lw=1, ls=(0, (4, 2)), label=named.get(data.baseline, data.baseline))
    count = len(data.lines)
    for i, line in enumerate(data.lines):
        colour, marker, dash = COLOURS[i % 8], MARKERS[i % 8], LINES[i % 4]
        points = [p for p in line.points if p.estimate.n]
        x = np.array([place[p.level] for p in points])
        # Side by side, or the lines' seeds would hide each other.
        x = x + (i - (count - 1) / 2) * 0.04 * (max(place.values()) - min(place.values())) / max(count, 4)
        mean = [p.estimate.mean for p in points]
        if all(math.isfinite(p.estimate.low) for p in points):
            low, high = [p.estimate.low for p in points], [p.estimate.high for p in points]
            if count == 1:
                ax.fill_between(x, low, high, color=colour, alpha=0.18, lw=0)
            else:
                error = [np.subtract(mean, low), np.subtract(high, mean)]
                ax.errorbar(x, mean, error, fmt="none", ecolor=colour, elinewidth=0.8, alpha=0.7)
        for at, p in zip(x, points, strict=True):
            ax.plot([at] * len(p.per_seed), p.per_seed, ".", color=colour, ms=3, alpha=0.45, mew=0)
        ax.plot(
            x,
            mean,
            color=colour,
            marker=marker,
            ls=dash,
            label=_label(line, results, named) or "mean over seeds",
        )
    ax.set_xticks(
        [place[level] for level in levels], [level_name(results, data.factor, level) for level in levels]
    )
    ax.minorticks_off()
    ax.margins(x=0.07)
    ax.set_xlabel(data.factor)
    ax.set_ylabel(f"Δ {metric_label(data.metric)} (points)")
    ax.grid(axis="y")
    handles, labels = ax.get_legend_handles_labels()
    ncols = legend_columns(figure, labels, paper.column)
    figure.legend(
        handles, labels, loc="outside upper left", ncols=ncols, columnspacing=1.2, handlelength=2.4
    )
    return figure


def _label(line: FactorLine, results: Results | None, labels: Mapping[str, str]) -> str:
    """The named variant and the levels held; empty for a study of one factor."""
    held = [f"{factor} = {level_name(results, factor, level)}" for factor, level in line.held]
    return ", ".join(part for part in (labels.get(line.named, line.named), *held) if part)


def _positions(levels: Sequence[Any]) -> dict[Any, float]:
    """Where levels lie on the axis: to scale where that leaves room for their labels, else evenly."""
    even = {level: float(i) for i, level in enumerate(levels)}
    if not all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in levels) or len(levels) < 2:
        return even
    values = np.array([float(v) for v in levels])
    if (values > 0).all() and values.max() / values.min() >= 8:
        values = np.log(values)
    gaps = np.diff(np.sort(values))
    if gaps.min() < 0.12 * np.ptp(values):
        return even
    return {level: float(x) for level, x in zip(levels, values, strict=True)}
