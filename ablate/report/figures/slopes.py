"""Every seed in every category, baseline beside variant."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from ablate.evidence.figure_data import Slopes, slopes
from ablate.evidence.judgement import Judgement
from ablate.report.figures.lettering import names, place_names
from ablate.report.figures.paper import PLAIN, Paper, paper_of
from ablate.report.figures.style import (
    BLUE,
    GREY,
    VERMILION,
    Drawing,
    left_out,
    legend_columns,
    n_text,
    new_figure,
    shown,
    wrapped,
)
from ablate.report.words import metric_label, variant_label

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def drawings(judgement: Judgement) -> Iterator[Drawing]:
    """One figure with a panel per variant."""
    results = judgement.results
    variants = shown(judgement)
    panels = [p for p in slopes(judgement) if p.variant in variants]
    if panels:
        yield Drawing(
            "slopes",
            "By category, every seed",
            f"{variant_label(results, results.baseline)} (left) and variant (right) with the same seed, "
            f"{n_text([len(x) for p in panels for x in p.pairs.values()], 'pair')} a category."
            f"{left_out(judgement)}",
            draw_slopes(panels, paper_of(results.venue), {**place_names(results), **names(results)}),
        )


def draw_slopes(
    panels: Sequence[Slopes],
    paper: Paper = PLAIN,
    labels: Mapping[str, str] = MappingProxyType({}),
) -> Figure:
    """Baseline beside variant in every category and seed; worse pairs are dashed.

    ``labels``: variant or category -> its name in figures.
    """
    from matplotlib.lines import Line2D

    categories = list(dict.fromkeys(c for p in panels for c in p.pairs))
    places = [labels.get(c, c) for c in categories]
    longest = max(map(len, places))
    step = 0.40 if len(categories) > 8 else 0.55
    slant = longest * 0.065 > step
    n_columns = max(1, min(len(panels), int(paper.page // (0.55 + step * len(categories)))))
    n_rows = math.ceil(len(panels) / n_columns)
    width = paper.width(max(paper.column, n_columns * (0.55 + step * len(categories)) + 0.4))
    tall = 0.065 * longest * 0.75 if slant else 0.12
    figure = new_figure(width, 0.3 + tall + 1.35 * n_rows)
    grid = figure.subplots(n_rows, n_columns, sharex=True, sharey=True, squeeze=False)
    for ax in grid.flat[len(panels) :]:
        ax.remove()
    for ax, panel in zip(grid.flat, panels, strict=False):
        for j, category in enumerate(categories):
            pairs = panel.pairs.get(category, ())
            for base, ours in pairs:
                colour, dash = (BLUE, "-") if ours >= base else (VERMILION, (0, (3, 1.2)))
                ax.plot([j - 0.22, j + 0.22], [base, ours], color=colour, ls=dash, lw=0.9, alpha=0.85)
                ax.plot([j - 0.22], [base], "o", mfc="white", mec=GREY, ms=2.8, mew=0.7)
                ax.plot([j + 0.22], [ours], "o", color=colour, ms=2.8, mew=0)
            if len(pairs) > 1:
                means = np.mean(pairs, axis=0)
                ax.plot([j - 0.22, j + 0.22], means, color="black", lw=1.6, zorder=3)
        ax.set_title(
            wrapped(labels.get(panel.variant, panel.variant), int(step * len(categories) / 0.065) + 6),
            loc="left",
        )
        ax.set_xticks(range(len(categories)), places)
        if slant:
            ax.tick_params(axis="x", rotation=40)
            for label in ax.get_xticklabels():
                label.set_ha("right")
                label.set_rotation_mode("anchor")
        ax.set_xlim(-0.55, len(categories) - 0.45)
        ax.grid(axis="y")
    for i in range(len(panels)):
        below = i + n_columns >= len(panels)
        grid.flat[i].tick_params(axis="x", labelbottom=below, length=0)
    figure.supylabel(f"{metric_label(panels[0].metric)} (%)", size=8)
    baseline = labels.get(panels[0].baseline, panels[0].baseline)
    handles = [
        Line2D([], [], marker="o", mfc="white", mec=GREY, ls="", ms=3.5, label=baseline),
        Line2D([], [], marker="o", color=BLUE, ms=3.5, lw=1, label="variant, better"),
        Line2D([], [], marker="o", color=VERMILION, ms=3.5, lw=1, ls=(0, (3, 1.2)), label="variant, worse"),
        Line2D([], [], color="black", lw=1.6, label="mean"),
    ]
    ncols = legend_columns(figure, [str(h.get_label()) for h in handles], width)
    figure.legend(
        handles=handles, loc="outside upper left", ncols=ncols, columnspacing=1.2, handlelength=1.8
    )
    return figure
