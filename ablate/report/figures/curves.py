"""Training: the loss and the knobs that move."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ablate.evidence.judgement import Judgement
from ablate.evidence.training_curves import CurvePanel, training_curves
from ablate.report.figures.lettering import names
from ablate.report.figures.paper import PLAIN, Paper, paper_of
from ablate.report.figures.style import (
    Drawing,
    Look,
    left_out,
    legend_columns,
    looks,
    n_text,
    new_figure,
    shown,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def drawings(judgement: Judgement) -> Iterator[Drawing]:
    """One figure with a panel per quantity, where histories were kept."""
    results = judgement.results
    variants = shown(judgement)
    panels = [
        CurvePanel(p.column, tuple(c for c in p.curves if c.variant in variants))
        for p in training_curves(results)
    ]
    panels = [p for p in panels if p.curves]
    if panels:
        yield Drawing(
            "training",
            "Training",
            "Loss, and the knobs that move. Line: mean over runs; band: from the lowest to the highest "
            f"run; {n_text([c.runs for p in panels for c in p.curves], 'run')} of a variant."
            f"{left_out(judgement)}",
            draw_curves(panels, looks(variants, results.baseline), paper_of(results.venue), names(results)),
        )


def draw_curves(
    panels: Sequence[CurvePanel],
    look: Mapping[str, Look],
    paper: Paper = PLAIN,
    labels: Mapping[str, str] = MappingProxyType({}),
) -> Figure:
    """The loss and every knob that moves, over training; bands reach over all runs of a variant."""
    heights = [1.9, *([0.85] * (len(panels) - 1))]
    width = paper.width(5.4)
    figure = new_figure(width, 0.5 + sum(heights))
    grid = figure.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=heights)
    drawn: dict[str, Any] = {}
    for ax, panel in zip(grid.flat, panels, strict=True):
        curves = [c for c in panel.curves if c.variant in look]
        for i, curve in enumerate(curves):
            at = look[curve.variant]
            every = max(1, len(curve.mean) // 7)
            start = (i * every // max(len(curves), 1)) % every
            # Thinner towards the top, so that lines which coincide all stay visible.
            thickness = 1 + min(0.25, 1.2 / len(curves)) * (len(curves) - 1 - i)
            (line,) = ax.plot(
                curve.iteration, curve.mean, color=at.colour, ls=at.line, marker=at.marker, ms=3.2,
                markevery=(start, every), lw=thickness, label=labels.get(curve.variant, curve.variant),
            )  # fmt: skip
            drawn.setdefault(curve.variant, line)
            if curve.runs > 1:
                ax.fill_between(curve.iteration, curve.low, curve.high, color=at.colour, alpha=0.15, lw=0)
        positive = [c.mean[c.mean > 0] for c in curves]
        ends = [x for values in positive if len(values) for x in (values.min(), values.max())]
        if panel.column == "loss" and ends and max(ends) > 8 * min(ends):
            _log_axis(ax, min(ends), max(ends))
        ax.set_ylabel(panel.column)
        ax.grid(axis="y")
    grid.flat[-1].set_xlabel("iteration")
    grid.flat[-1].margins(x=0.01)
    figure.align_ylabels()
    ncols = legend_columns(figure, [labels.get(v, v) for v in drawn], width)
    handles = list(drawn.values())
    figure.legend(
        handles=handles, loc="outside upper left", ncols=ncols, columnspacing=1.2, handlelength=2.6
    )
    return figure


def _log_axis(ax: Axes, low: float, high: float) -> None:
    """A logarithmic y axis with plain numbers at 1, 2, 5."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    ax.set_yscale("log")
    ax.set_ylim(low * 0.8, high * 1.25)
    ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
    ax.yaxis.set_minor_formatter(NullFormatter())
