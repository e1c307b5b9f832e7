"""What a search has tried: its course, its objective over each setting, and the front of two objectives.

All of it is on the images that selected, hence optimistic; no figure here compares variants.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ablate.evidence.judgement import Judgement
from ablate.evidence.searched import Searched
from ablate.evidence.stats import POINTS
from ablate.evidence.tried import Effect, Surface, Trial, enough, index_of, winner_of
from ablate.report.figures.paper import PLAIN, Paper, paper_of
from ablate.report.figures.style import (
    BLUE,
    GREY,
    VERMILION,
    Drawing,
    new_figure,
    wrapped,
)
from ablate.report.words import metric_label, plural, selecting_images, setting_text, slug
from ablate.study.dimensions import Choices, Dimension, Space

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LEAST, _MOST_PANELS = 3, 9
_ABLE: Mapping[str, Any] = {"marker": "o", "s": 13, "color": BLUE, "lw": 0, "zorder": 3}
_BROKEN: Mapping[str, Any] = {"marker": "o", "s": 13, "fc": "none", "ec": GREY, "lw": 0.8, "zorder": 2}
_WINNER: Mapping[str, Any] = {"marker": "*", "s": 70, "color": VERMILION, "lw": 0, "zorder": 4}


def drawings(judgement: Judgement) -> Iterator[Drawing]:
    """History, slices, importances and contour of each search, and the front of two objectives."""
    results = judgement.results
    paper = paper_of(results.venue)
    where = selecting_images(results.selects_on_report)
    for one in results.searched:
        judged = [trial for trial in one.trials if trial.values]
        if len(judged) < _LEAST:
            continue
        arm = f"_{slug(one.winner)}" if len(results.searched) > 1 else ""
        of = f" ({one.winner})" if arm else ""
        said = f"On {where}, {plural(one.seeds, 'seed')} each, hence optimistic. "
        marks = "Star: the winner." + (" Hollow: breaks a constraint." if one.broken else "")
        surface = Surface(one.space, one.trials) if enough(one.trials) else None
        yield Drawing(
            f"search_history{arm}", f"Course of the search{of}",
            f"{said}{metric_label(one.objective)} of {plural(len(judged), 'judged configuration')}; line: "
            f"the best so far; ticks at the bottom: without an outcome. {marks}",
            draw_history(one, paper),
        )  # fmt: skip
        if one.objectives:
            yield Drawing(
                f"search_front{arm}", f"Front of the two objectives{of}",
                f"{said}Line: the front, which no other configuration beats in both. {marks}",
                draw_front(one, paper),
            )  # fmt: skip
        ranked = surface.importances() if surface else dict.fromkeys(one.space, 0.0)
        drawn = list(ranked)[:_MOST_PANELS]
        effects = {path: surface.effect(path) for path in drawn} if surface else {}
        yield Drawing(
            f"search_slices{arm}", f"Objective over each setting{of}",
            f"{said}{marks}{_forest_text(surface)}{_left_out(one.space, drawn)}",
            draw_slices(one, drawn, effects, paper),
        )  # fmt: skip
        if surface is None or not any(ranked.values()):
            continue
        if len(ranked) > 1:
            yield Drawing(
                f"search_importances{arm}", f"Importance of each setting{of}",
                f"{said}Share of the variance over the space that a setting explains by itself (functional "
                f"ANOVA of a forest fitted to {plural(len(judged), 'configuration')}).",
                draw_importances(ranked, paper),
            )  # fmt: skip
        across = next(iter(ranked))
        up = next((path for path in ranked if path != across and _together(judged, across, path)), None)
        if up is not None:
            yield Drawing(
                f"search_contour{arm}", f"{across} and {up}{of}",
                f"{said}The two most important settings that were tried together. Colour: mean over the "
                f"rest of the space by the same forest; dots: what was tried. {marks}",
                draw_contour(one, surface, across, up, paper),
            )  # fmt: skip


def _together(trials: Sequence[Trial], *paths: str) -> bool:
    return any(set(paths) <= set(trial.params) for trial in trials)


def _forest_text(surface: Surface | None) -> str:
    return " Line: mean over the rest of the space, by a forest of randomised trees." if surface else ""


def _left_out(space: Space, drawn: Sequence[str]) -> str:
    rest = len(space) - len(drawn)
    return f" Not drawn: {plural(rest, 'further setting')}, less important." if rest else ""


def draw_history(one: Searched, paper: Paper = PLAIN) -> Figure:
    """The first objective of every trial in order, and the best so far that could have won."""
    from matplotlib.ticker import MaxNLocator

    figure = new_figure(paper.width(5.0), 2.0)
    ax = figure.subplots()
    _scatter(ax, one, lambda trial: (trial.number, POINTS * trial.values[0]))
    able = [trial for trial in one.trials if trial.values and not trial.broken]
    best = np.maximum.accumulate([POINTS * trial.values[0] for trial in able])
    ends = [*(trial.number for trial in able), one.trials[-1].number]
    if len(able):
        ax.step(ends, [*best, best[-1]], where="post", color=BLUE, lw=1.1)
    lost = [trial.number for trial in one.trials if trial.state in ("fail", "pruned")]
    ax.plot(lost, np.full(len(lost), 0.02), "|", color=VERMILION, ms=6, transform=ax.get_xaxis_transform())
    ax.set_xlabel("trial")
    ax.set_ylabel(f"{metric_label(one.objective)} (%)")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.grid(axis="y")
    return figure


def draw_front(one: Searched, paper: Paper = PLAIN) -> Figure:
    """Two objectives against each other, and the staircase of what no other beats."""
    figure = new_figure(paper.width(paper.column), 2.6)
    ax = figure.subplots()
    _scatter(ax, one, lambda trial: (POINTS * trial.values[0], POINTS * trial.values[1]))
    front = sorted(tuple(POINTS * v for v in trial.values) for trial in one.trials if trial.front)
    # What is worse than a point of the front in both lies below the staircase.
    ax.step([x for x, _ in front], [y for _, y in front], where="pre", color=BLUE, lw=1.1)
    ax.set_xlabel(f"{metric_label(one.objectives[0])} (%)")
    ax.set_ylabel(f"{metric_label(one.objectives[1])} (%)")
    ax.grid()
    return figure


def draw_slices(
    one: Searched, paths: Sequence[str], effects: Mapping[str, Effect], paper: Paper = PLAIN
) -> Figure:
    """The first objective over every setting, one panel each; ``effects``: the line of each, if any."""
    columns = min(len(paths), 3)
    rows = math.ceil(len(paths) / columns)
    width = paper.width(max(paper.column, 2.25 * columns))
    figure = new_figure(width, 0.2 + 1.75 * rows)
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for ax in grid.flat[len(paths) :]:
        ax.remove()
    for ax, path in zip(grid.flat, paths, strict=False):
        dimension = one.space[path]
        there = [trial for trial in one.trials if path in trial.params]
        _scatter(ax, one, lambda t, p=path, d=dimension: (_of_trial(d, t, p), POINTS * t.values[0]), there)
        if path in effects:
            places = [_place(dimension, level) for level in effects[path].levels]
            dash = {"ls": "", "marker": "_", "ms": 9, "mew": 1.4} if isinstance(dimension, Choices) else {}
            ax.plot(places, [POINTS * mean for mean in effects[path].means], color="black", lw=1.0, **dash)
        _axis(ax, "x", dimension, path, width / columns)
        ax.grid(axis="y")
    figure.supylabel(f"{metric_label(one.objective)} (%)", size=8)
    return figure


def draw_importances(ranked: Mapping[str, float], paper: Paper = PLAIN) -> Figure:
    """One bar per setting: the share of the variance that it explains by itself."""
    figure = new_figure(paper.width(paper.column), 0.5 + 0.22 * len(ranked))
    ax = figure.subplots()
    labels = [wrapped(path, 24) for path in ranked]
    shares = [POINTS * share for share in ranked.values()]
    ax.barh(range(len(ranked)), shares, height=0.6, color=BLUE)
    for at, share in enumerate(shares):
        ax.text(share + 1, at, f"{share:.0f}", va="center", size=7)
    ax.set_yticks(range(len(ranked)), labels)
    ax.invert_yaxis()
    ax.set_xlim(0, max(*shares, 1) * 1.15)
    ax.set_xlabel("variance explained (%)")
    ax.tick_params(axis="y", length=0)
    return figure


def draw_contour(one: Searched, surface: Surface, across: str, up: str, paper: Paper = PLAIN) -> Figure:
    """The forest's mean over two settings, and the trials that have both."""
    from matplotlib import colormaps
    from matplotlib.colors import LinearSegmentedColormap

    figure = new_figure(paper.width(4.2), 2.9)
    ax = figure.subplots()
    x, y = one.space[across], one.space[up]
    places = [[_place(d, v) for v in surface.levels(p)] for d, p in ((x, across), (y, up))]
    means = POINTS * surface.surface(across, up)
    # One hue and only its pale half: dots and stars are seen on it, and it reads in grey.
    pale = LinearSegmentedColormap.from_list("pale", colormaps["Blues"](np.linspace(0.0, 0.55, 64)))
    image = ax.pcolormesh(*places, means, cmap=pale, shading="nearest", rasterized=True)
    there = [trial for trial in one.trials if across in trial.params and up in trial.params]
    _scatter(ax, one, lambda t: (_of_trial(x, t, across), _of_trial(y, t, up)), there, dark=True)
    _axis(ax, "x", x, across, 3.2)
    _axis(ax, "y", y, up, 2.4)
    bar = figure.colorbar(image, ax=ax, pad=0.02, aspect=22)
    bar.set_label(f"{metric_label(one.objective)} (%)")
    bar.outline.set_visible(False)
    return figure


def _scatter(
    ax: Axes,
    one: Searched,
    place: Any,
    trials: Sequence[Trial] | None = None,
    *,
    dark: bool = False,
) -> None:
    """The judged trials as dots: hollow if they break a constraint, a star for the winner.

    ``place``: trial -> its coordinates; ``dark``: black dots, for a coloured ground.
    """
    judged = [trial for trial in (one.trials if trials is None else trials) if trial.values]
    winner, colour = winner_of(one.trials), "black" if dark else BLUE
    kinds = (
        ([t for t in judged if t.broken], {**_BROKEN, "ec": "black" if dark else GREY}),
        ([t for t in judged if not t.broken and t != winner], {**_ABLE, "color": colour}),
        ([t for t in judged if t == winner], _WINNER),
    )
    for members, look in kinds:
        if members:
            ax.scatter(*zip(*map(place, members), strict=True), **look)


def _place(dimension: Dimension, value: Any) -> float:
    """Where a value stands on its axis: a choice by its number."""
    if isinstance(dimension, Choices):
        return float(index_of(dimension, value))
    return float(value)


def _of_trial(dimension: Dimension, trial: Trial, path: str) -> float:
    """Where a trial stands on its axis: trials of one choice beside each other."""
    # Multiples of the golden ratio spread evenly, in any number.
    aside = 0.4 * (0.618 * trial.number % 1 - 0.5) if isinstance(dimension, Choices) else 0.0
    return _place(dimension, trial.params[path]) + aside


def _axis(ax: Axes, which: str, dimension: Dimension, path: str, inches: float) -> None:
    """Scale, ticks and name of an axis on which a setting stands, ``inches`` long."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis = ax.xaxis if which == "x" else ax.yaxis
    axis.set_label_text(path)
    if isinstance(dimension, Choices):
        room = int(inches / len(dimension.values) / 0.065) if which == "x" else 14
        names = [wrapped(setting_text(value), max(room, 4)) for value in dimension.values]
        axis.set_ticks(range(len(names)), names)
        (ax.set_xlim if which == "x" else ax.set_ylim)(-0.5, len(names) - 0.5)
    elif dimension.log:
        (ax.set_xscale if which == "x" else ax.set_yscale)("log")
        within = (1.0, 2.0, 5.0) if dimension.high < 100 * dimension.low else (1.0,)
        axis.set_major_locator(LogLocator(subs=within))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
