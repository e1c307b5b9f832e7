"""The forest plot: every variant against the baseline."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from ablate.evidence.differences import Difference
from ablate.evidence.judgement import Judgement
from ablate.report.figures.lettering import names
from ablate.report.figures.paper import PLAIN, Paper, paper_of
from ablate.report.figures.style import (
    BLUE,
    GREY,
    VERMILION,
    Drawing,
    left_out,
    new_figure,
    set_limits,
    shown,
    wrapped,
)
from ablate.report.words import fixed, interval_text, metric_label, plural, variant_label, verdict_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST = 40
"""Rows of a forest plot; more do not fit a page."""


def drawings(judgement: Judgement) -> Iterator[Drawing]:
    """One figure, once a variant forms a pair with the baseline."""
    results, primary = judgement.results, judgement.primary
    variants = shown(judgement, MOST)
    data = [d for v, d in primary.differences.items() if v in variants or len(results.variants) <= MOST]
    if any(d.n for d in data):
        missing = left_out(judgement, MOST) if len(results.variants) > MOST else ""
        yield Drawing(
            "forest",
            f"Differences to {variant_label(results, results.baseline)}",
            f"Paired by seed, averaged over categories; {results.coverage} t-interval; ticks: seeds. "
            f"Filled: differs after Holm over {plural(primary.family, 'comparison')}. "
            f"An arrow: the interval goes on.{missing}",
            draw_forest(data, paper_of(results.venue), names(results)),
        )


def draw_forest(
    data: Sequence[Difference],
    paper: Paper = PLAIN,
    labels: Mapping[str, str] = MappingProxyType({}),
) -> Figure:
    """Paired differences to the baseline with intervals and every seed; filled: differs after Holm.

    ``labels``: variant -> its name in figures.
    """
    longest = max(len(labels.get(d.variant, d.variant)) for d in data)
    width = paper.width(paper.page if longest > 14 or len(data) > 4 else 5.4)
    figure = new_figure(width, 0.95 + 0.30 * len(data))
    ax = figure.subplots()
    every = [v for d in data for v in d.per_seed]
    set_limits(ax.set_xlim, [0.0, *every], [d.estimate for d in data])
    low, high = ax.get_xlim()
    ax.axvline(0, color=GREY, lw=0.8)
    for i, d in enumerate(data):
        if not d.n:
            ax.text(0, i, f"  {verdict_text(d.verdict)}", color=GREY, va="center")
            continue
        e = d.estimate
        real = d.verdict in ("better", "worse")
        colour = {"better": BLUE, "worse": VERMILION}.get(d.verdict, GREY)
        if math.isfinite(e.low):
            ax.plot(
                [max(e.low, low), min(e.high, high)], [i, i], color=colour, lw=1.6, solid_capstyle="butt"
            )
            for end, outside, mark in ((low, e.low < low, "<"), (high, e.high > high, ">")):
                if outside:
                    ax.plot([end], [i], mark, color=colour, ms=4, clip_on=False)
        ax.plot(d.per_seed, [i + 0.27] * d.n, "|", color=colour, ms=4, mew=0.8, alpha=0.8)
        ax.plot([e.mean], [i], "D" if real else "o", color=colour, mfc=colour if real else "white", ms=5)
        _beside(ax, i, (fixed(e.mean, signed=True), interval_text(e), str(d.n), verdict_text(d.verdict)))
    _beside(ax, -0.85, ("Δ", "interval" if any(d.n > 1 for d in data) else "", "n", ""), color=GREY)
    ax.set_yticks(
        range(len(data)), [wrapped(labels.get(d.variant, d.variant), round(5 * width)) for d in data]
    )
    ax.set_ylim(len(data) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.grid(axis="x")
    baseline = labels.get(data[0].baseline, data[0].baseline)
    ax.set_xlabel(f"Δ {metric_label(data[0].metric)} to {baseline} (points)      better →")
    return figure


def _beside(ax: Axes, y: float, texts: Sequence[str], color: str = "black") -> None:
    """Four columns of text right of the axes, in line with row ``y``."""
    for text, x, side in zip(texts, (30, 36, 104, 112), ("right", "left", "right", "left"), strict=True):
        ax.annotate(
            text, (1, y), (x, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
            ha=side, va="center", size=7, color=color,
        )  # fmt: skip
