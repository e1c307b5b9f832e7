"""The specification curve: a claim over every metric, category and stratum, favourable or not."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ablate.evidence.judgement import Judgement
from ablate.evidence.specification import (
    Specification,
    SpecificationCurve,
    specification_curves,
)
from ablate.report.figures.paper import PLAIN, Paper, paper_of
from ablate.report.figures.style import BLUE, GREY, VERMILION, Drawing, new_figure, set_limits
from ablate.report.tables.difference_columns import interval_name
from ablate.report.words import fixed, metric_label, p_text, plural, slug, stratum_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST = 12
"""Curves of a report."""
ROW = 0.125
"""Height of a choice's row, inches."""


def drawings(judgement: Judgement) -> Iterator[Drawing]:
    """One figure per two variants that claims compare."""
    for curve in specification_curves(judgement)[:MOST]:
        claim = curve.claims[0]
        pair = f"{claim.left} {claim.direction} {claim.right}"
        yield Drawing(
            f"specifications_{slug(claim.left)}_{slug(claim.right)}",
            f"{pair}: every analysis",
            _caption(curve, judgement.results.coverage, interval_name(judgement.results)),
            draw_specifications(curve, paper_of(judgement.results.venue)),
        )


def _caption(curve: SpecificationCurve, coverage: str, interval: str) -> str:
    count = len(curve.specifications)
    lacking = f" {plural(curve.left_out, 'further analysis')} without a value." if curve.left_out else ""
    return (
        f"Each of {count} analyses is a metric, a category or their mean, and a stratum of the defects: "
        f"paired difference over {plural(len(curve.seeds), 'seed')} with {coverage} {interval} (long ones "
        "are cut), sorted; above 0 speaks for the claim. Filled: the interval excludes 0, not adjusted. "
        f"Diamond: as declared. {_jointly(curve)}{lacking}"
    )


def _jointly(curve: SpecificationCurve) -> str:
    joint = curve.joint
    if joint is None:
        return "They are not tested jointly: seeds came until the claims were decided."
    smallest = ""
    if joint.smallest_p >= 0.05:
        smallest = f" (no p below {fixed(joint.smallest_p, 3)} is possible with {len(curve.seeds)} seeds)"
    return (
        f"Joint sign-flip test of all: median {fixed(joint.median, 1, signed=True)} points, "
        f"p {_equals(joint.p_median)}; {joint.apart} apart from 0 on one side, "
        f"p {_equals(joint.p_apart)}{smallest}."
    )


def _equals(p: float) -> str:
    text = p_text(p)
    return text if text.startswith("<") else f"= {text}"


def draw_specifications(curve: SpecificationCurve, paper: Paper = PLAIN) -> Figure:
    """Estimates with intervals above, what was chosen in each below."""
    rows = _rows(curve)
    figure = new_figure(paper.page, 2.05 + ROW * (len(rows) + 1))
    top, below = figure.subplots(2, 1, sharex=True, height_ratios=[1.7, ROW * (len(rows) + 1)])
    _draw_estimates(top, curve)
    _draw_choices(below, curve, rows)
    for i, one in enumerate(curve.specifications):
        if one.declared:
            for ax in (top, below):
                ax.axvline(i, color="black", lw=0.6, alpha=0.5, zorder=0)
    top.set_xlim(-1, len(curve.specifications))
    below.set_xlabel(f"{len(curve.specifications)} analyses, sorted by the difference")
    return figure


def _draw_estimates(ax: Axes, curve: SpecificationCurve) -> None:
    found = list(enumerate(curve.specifications))
    set_limits(ax.set_ylim, [0.0, *(one.estimate.mean for _, one in found)], [o.estimate for _, o in found])
    ax.axhline(0, color=GREY, lw=0.8)
    margin = curve.claims[0].margin
    if margin:
        for line in (margin, -margin) if curve.claims[0].direction == "~" else (margin,):
            ax.axhline(line, color=GREY, lw=0.8, ls=(0, (4, 2)))
    size = 3.2 if len(found) <= 150 else 2.2
    for colour, marker, members in (
        (GREY, "o", [(i, o) for i, o in found if not o.apart]),
        (BLUE, "^", [(i, o) for i, o in found if o.apart and o.estimate.mean > 0]),
        (VERMILION, "v", [(i, o) for i, o in found if o.apart and o.estimate.mean < 0]),
    ):
        known = [(i, o.estimate) for i, o in members if math.isfinite(o.estimate.low)]
        x = [i for i, _ in known]
        ax.vlines(
            x, [e.low for _, e in known], [e.high for _, e in known], colors=colour, lw=0.6, alpha=0.5
        )
        ax.plot(
            [i for i, _ in members], [o.estimate.mean for _, o in members], marker, color=colour,
            mfc="white" if marker == "o" else colour, ms=size, mew=0.6,
        )  # fmt: skip
    declared = [(i, o) for i, o in found if o.declared]
    ax.plot(
        [i for i, _ in declared], [o.estimate.mean for _, o in declared], "D", color="black", ms=4.5,
        mfc="black", zorder=4,
    )  # fmt: skip
    ax.set_ylabel(f"Δ (points), n = {len(curve.seeds)}")
    ax.tick_params(axis="x", length=0)
    ax.grid(axis="y")


def _rows(curve: SpecificationCurve) -> list[tuple[str, str]]:
    """(kind of choice, choice) from top to bottom, choices that every analysis shares left out."""
    found = []
    for kind in ("metric", "category", "stratum"):
        made = dict.fromkeys(_choice(one, kind) for one in curve.specifications)
        if len(made) > 1:
            found += [(kind, choice) for choice in _ordered(kind, list(made), curve)]
    return found


def _choice(one: Specification, kind: str) -> str:
    if kind == "metric":
        return one.metric
    return (one.category or "") if kind == "category" else one.stratum


def _ordered(kind: str, choices: list[str], curve: SpecificationCurve) -> list[str]:
    """The whole first, then the best of the rest: what speaks for the claim stands above."""
    mean = {
        choice: sum(o.estimate.mean for o in members) / len(members)
        for choice in choices
        if (members := [o for o in curve.specifications if _choice(o, kind) == choice])
    }
    return sorted(choices, key=lambda choice: (choice not in ("", "all"), -mean[choice]))


def _label(kind: str, choice: str) -> str:
    if kind == "metric":
        return metric_label(choice)
    return (choice or "mean of categories") if kind == "category" else stratum_label(choice)


def _draw_choices(ax: Axes, curve: SpecificationCurve, rows: list[tuple[str, str]]) -> None:
    marks: dict[bool, list[tuple[int, int]]] = {False: [], True: []}
    for y, (kind, choice) in enumerate(rows):
        for i, one in enumerate(curve.specifications):
            if _choice(one, kind) == choice:
                marks[one.apart].append((i, y))
    for apart, colour in ((False, "#9A9A9A"), (True, "black")):
        ax.plot(
            [i for i, _ in marks[apart]], [y for _, y in marks[apart]], "|", color=colour, ms=5, mew=0.7
        )
    for y in range(1, len(rows)):
        if rows[y][0] != rows[y - 1][0]:
            ax.axhline(y - 0.5, color="#C8C8C8", lw=0.6)
    ax.set_yticks(range(len(rows)), [_label(*row) for row in rows], size=6.2)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.set_xticks([])
    for spine in ax.spines.values():
        spine.set_visible(False)
