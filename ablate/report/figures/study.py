"""Drawing: the only module that knows matplotlib, and that only when something is drawn.

What is drawn is computed in :mod:`ablate.evidence.figure_data`. Figures are made without pyplot, so
there is no global state and no display. Widths fit a two-column venue (3.4 and 6.9 inches), text is 7 to 8
points at that width, and heights grow with the content, so that labels never meet. Colours are Okabe and
Ito's; markers and line styles say the same once more.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ablate.evidence.figure_data import (
    GALLERY_RULE,
    CurvePanel,
    FactorLines,
    Gallery,
    HeatMap,
    Mechanism,
    Slopes,
    factor_lines,
    forest,
    galleries,
    heat_maps,
    level_text,
    mechanism,
    slopes,
    training_curves,
)
from ablate.evidence.results import Results, metric_label, stratum_group, stratum_label
from ablate.evidence.stats import Difference
from ablate.report.rendering import DASH
from ablate.report.tables import VERDICT_TEXT, fixed, interval_text, plural

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMN, PAGE = 3.4, 6.9
"""Widths of a column and of a page, inches."""
MAX_VARIANTS = 8
"""Variants drawn beside the baseline where each has a colour; beyond, colours stop being a code."""
GREY = "#595959"
BLUE, VERMILION = "#0072B2", "#D55E00"
COLOURS = (BLUE, VERMILION, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D1F", "#000000")
MARKERS = ("s", "^", "D", "v", "P", "X", "*", "p")
LINES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1)), (0, (5, 1, 1, 1)))
STYLE: Any = {
    "font.size": 7.5,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "grid.color": "#E3E3E3",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.3,
    "lines.markersize": 4.5,
    "pdf.fonttype": 42,
    "figure.dpi": 100,
    "font.family": "DejaVu Sans",
}


@dataclass(frozen=True)
class Look:
    """How a variant is drawn, in every figure of a report."""

    colour: str
    marker: str
    line: Any


@dataclass(frozen=True)
class Drawing:
    """A finished figure."""

    name: str
    """File name without suffix."""
    title: str
    caption: str
    figure: Figure
    dpi: float = 220
    """Of the PNG; the PDF keeps lines as lines and maps as they are."""


def style() -> AbstractContextManager[None]:
    """The style, while drawing and saving."""
    import matplotlib

    return matplotlib.rc_context(STYLE)


def looks(variants: Sequence[str], baseline: str) -> dict[str, Look]:
    """One look per variant; the baseline is grey circles on a solid line."""
    found = {baseline: Look(GREY, "o", "-")}
    for i, variant in enumerate(v for v in variants if v != baseline):
        found[variant] = Look(COLOURS[i % 8], MARKERS[(i + i // 8) % 8], LINES[(i // 2 + i) % 4])
    return found


def wrapped(name: str, characters: int) -> str:
    """A long name on several lines, broken behind punctuation."""
    lines = [""]
    for part in re.findall(r"[^-_,=. ]+[-_,=. ]*|[-_,=. ]+", name):
        if lines[-1] and len(lines[-1]) + len(part.rstrip()) > characters:
            lines.append("")
        lines[-1] += part
    return "\n".join(line.strip() for line in lines)


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _shown(results: Results) -> tuple[str, ...]:
    """The variants that figures with a colour per variant draw: each configuration once."""
    others = [v for v in results.variants if v != results.baseline and v not in results.same_as]
    return tuple(v for v in results.variants if v in others[:MAX_VARIANTS] or v == results.baseline)


def _left_out(results: Results) -> str:
    rest = len(results.variants) - len(_shown(results)) - len(results.same_as)
    return f" Not drawn: {plural(rest, 'further variant')}." if rest else ""


# ---------------------------------------------------------------------------------- factors


def draw_factor(data: FactorLines) -> Figure:
    """A metric over one factor's levels, with intervals, seeds and the baseline's band."""
    figure = _figure(COLUMN, 2.2)
    ax = figure.subplots()
    levels = list(dict.fromkeys(p.level for line in data.lines for p in line.points))
    place = _positions(levels)
    seeds = [v for line in data.lines for p in line.points for v in p.per_seed]
    _set_limits(ax.set_ylim, seeds, [p.estimate for line in data.lines for p in line.points])
    if data.reference.n:
        if math.isfinite(data.reference.low):
            ax.axhspan(data.reference.low, data.reference.high, color=GREY, alpha=0.14, lw=0)
        ax.axhline(data.reference.mean, color=GREY, lw=1, ls=(0, (4, 2)), label=data.baseline)
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
        ax.plot(x, mean, color=colour, marker=marker, ls=dash, label=line.label or "mean over seeds")
    ax.set_xticks([place[level] for level in levels], [level_text(level) for level in levels])
    ax.minorticks_off()
    ax.margins(x=0.07)
    ax.set_xlabel(data.factor)
    ax.set_ylabel(f"{metric_label(data.metric)} (%)")
    ax.grid(axis="y")
    handles, labels = ax.get_legend_handles_labels()
    ncols = _legend(figure, labels, COLUMN)
    figure.legend(
        handles, labels, loc="outside upper left", ncols=ncols, columnspacing=1.2, handlelength=2.4
    )
    return figure


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


def _set_limits(setter: Callable[..., Any], points: Sequence[float], estimates: Sequence[Any]) -> None:
    """Limits that show all seeds, and of the intervals as much as does not dwarf them.

    At two seeds an interval is some twenty times as long as the seeds are apart.
    """
    known = [p for p in points if math.isfinite(p)]
    if not known:
        return
    low, high = min(known), max(known)
    span = max(high - low, 0.2)
    ends = [x for e in estimates for x in (e.low, e.high) if math.isfinite(x)]
    low = max(min([low, *ends]), low - 1.5 * span)
    high = min(max([high, *ends]), high + 1.5 * span)
    pad = 0.06 * (high - low or 1)
    setter(low - pad, high + pad)


def draw_heat_map(data: HeatMap) -> Figure:
    """Differences over two crossed factors, diverging and centred at zero."""
    from matplotlib.patches import Rectangle

    n_rows, n_columns = len(data.rows), len(data.columns)
    width = min(PAGE, max(COLUMN, 1.3 + 0.78 * n_columns))
    figure = _figure(width, 0.75 + 0.42 * n_rows)
    ax = figure.subplots()
    values = np.full((n_rows, n_columns), np.nan)
    for (row, column), found in data.cells.items():
        values[data.rows.index(row), data.columns.index(column)] = found.estimate.mean
    known = np.abs(values[np.isfinite(values)])
    top = max(float(known.max()) if len(known) else 0.0, 0.1)
    image = ax.imshow(values, cmap="RdBu", vmin=-top, vmax=top, aspect="auto")
    ax.set_facecolor("#EEEEEE")
    for i, row in enumerate(data.rows):
        for j, column in enumerate(data.columns):
            d = data.cells.get((row, column))
            if d is None or not d.n:
                ax.text(j, i, DASH, ha="center", va="center", color=GREY)
                continue
            pale = abs(d.estimate.mean) < 0.6 * top
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
    ax.set_xticks(range(n_columns), [level_text(x) for x in data.columns])
    ax.set_yticks(range(n_rows), [level_text(x) for x in data.rows])
    ax.set_xlabel(data.column_factor)
    ax.set_ylabel(data.row_factor)
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
    bar = figure.colorbar(image, ax=ax, shrink=0.9, pad=0.02, aspect=18)
    bar.set_label(f"Δ {metric_label(data.metric)} (points)")
    bar.outline.set_visible(False)
    return figure


# ---------------------------------------------------------------------------------- differences


def draw_forest(data: Sequence[Difference]) -> Figure:
    """Paired differences to the baseline with intervals and every seed; filled: differs after Holm."""
    longest = max(len(d.variant) for d in data)
    width = PAGE if longest > 14 or len(data) > 4 else 5.4
    figure = _figure(width, 0.95 + 0.30 * len(data))
    ax = figure.subplots()
    every = [v for d in data for v in d.per_seed]
    _set_limits(ax.set_xlim, [0.0, *every], [d.estimate for d in data])
    low, high = ax.get_xlim()
    ax.axvline(0, color=GREY, lw=0.8)
    for i, d in enumerate(data):
        if not d.n:
            ax.text(0, i, "  no pair yet", color=GREY, va="center")
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
        _beside(ax, i, (fixed(e.mean, signed=True), interval_text(e), str(d.n), VERDICT_TEXT[d.verdict]))
    _beside(ax, -0.85, ("Δ", "interval" if any(d.n > 1 for d in data) else "", "n", ""), color=GREY)
    ax.set_yticks(range(len(data)), [wrapped(d.variant, 34) for d in data])
    ax.set_ylim(len(data) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.grid(axis="x")
    ax.set_xlabel(f"Δ {metric_label(data[0].metric)} to {data[0].baseline} (points)      better →")
    return figure


def _beside(ax: Axes, y: float, texts: Sequence[str], color: str = "black") -> None:
    """Four columns of text right of the axes, in line with row ``y``."""
    for text, x, side in zip(texts, (30, 36, 104, 112), ("right", "left", "right", "left"), strict=True):
        ax.annotate(
            text, (1, y), (x, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
            ha=side, va="center", size=7, color=color,
        )  # fmt: skip


def draw_slopes(panels: Sequence[Slopes]) -> Figure:
    """Baseline beside variant in every category and seed; worse pairs are dashed."""
    from matplotlib.lines import Line2D

    categories = list(dict.fromkeys(c for p in panels for c in p.pairs))
    longest = max(map(len, categories))
    step = 0.40 if len(categories) > 8 else 0.55
    slant = longest * 0.065 > step
    n_columns = max(1, min(len(panels), int(PAGE // (0.55 + step * len(categories)))))
    n_rows = math.ceil(len(panels) / n_columns)
    width = max(COLUMN, min(PAGE, n_columns * (0.55 + step * len(categories)) + 0.4))
    tall = 0.065 * longest * 0.75 if slant else 0.12
    figure = _figure(width, 0.3 + tall + 1.35 * n_rows)
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
        ax.set_title(wrapped(panel.variant, int(step * len(categories) / 0.065) + 6), loc="left")
        ax.set_xticks(range(len(categories)), categories)
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
    handles = [
        Line2D([], [], marker="o", mfc="white", mec=GREY, ls="", ms=3.5, label=panels[0].baseline),
        Line2D([], [], marker="o", color=BLUE, ms=3.5, lw=1, label="variant, better"),
        Line2D([], [], marker="o", color=VERMILION, ms=3.5, lw=1, ls=(0, (3, 1.2)), label="variant, worse"),
        Line2D([], [], color="black", lw=1.6, label="mean"),
    ]
    ncols = _legend(figure, [str(h.get_label()) for h in handles], width)
    figure.legend(
        handles=handles, loc="outside upper left", ncols=ncols, columnspacing=1.2, handlelength=1.8
    )
    return figure


# ---------------------------------------------------------------------------------- strata


def draw_mechanism(data: Sequence[Mechanism], look: Mapping[str, Look]) -> Figure:
    """Distance on normal (hollow) and defect (filled) tokens per stratum; the bar between is the gap."""
    strata = list(dict.fromkeys(m.stratum for m in data))
    variants = [v for v in look if any(m.variant == v for m in data)]
    n_columns = min(3, len(strata))
    n_rows = math.ceil(len(strata) / n_columns)
    width = {1: 4.2, 2: 5.6}.get(n_columns, PAGE)
    figure = _figure(width, 0.55 + n_rows * (0.35 + 0.23 * len(variants)))
    grid = figure.subplots(n_rows, n_columns, sharex=True, sharey=True, squeeze=False)
    for ax in grid.flat[len(strata) :]:
        ax.remove()
    for k, (ax, stratum) in enumerate(zip(grid.flat, strata, strict=False)):
        for m in data:
            if m.stratum != stratum or m.variant not in look:
                continue
            y, at = variants.index(m.variant), look[m.variant]
            ax.plot([m.normal.mean, m.defect.mean], [y, y], color=at.colour, lw=2.2, alpha=0.45, zorder=1)
            for e, fill in ((m.normal, "white"), (m.defect, at.colour)):
                if math.isfinite(e.low):
                    error = [[e.mean - e.low], [e.high - e.mean]]
                    ax.errorbar(
                        [e.mean], [y], xerr=error, fmt="none", ecolor="black", elinewidth=0.7, zorder=2
                    )
                ax.plot([e.mean], [y], at.marker, mfc=fill, mec=at.colour, mew=0.9, zorder=3)
            ax.annotate(
                f"gap {m.gap.mean:.3f}", ((m.normal.mean + m.defect.mean) / 2, y), (0, 2.5),
                textcoords="offset points", ha="center", va="bottom", size=5.5, color="#333333",
            )  # fmt: skip
        label, group = stratum_label(stratum), stratum_group(stratum)
        plain = not group or group in label
        ax.set_title(label if plain else f"{group}: {label}", loc="left")
        ax.set_yticks(range(len(variants)), [wrapped(v, 26) for v in variants])
        ax.set_ylim(len(variants) - 0.5, -0.75)
        ax.tick_params(axis="y", length=0)
        ax.tick_params(axis="x", labelbottom=k + n_columns >= len(strata))
        ax.grid(axis="x")
    ends = [x for m in data for x in (m.normal.mean, m.defect.mean)]
    pad = 0.12 * (max(ends) - min(ends) or 1)
    grid.flat[0].set_xlim(min(ends) - pad, max(ends) + pad)
    figure.supxlabel(
        "token distance (1 − cosine):  hollow = normal tokens,  filled = defect tokens", size=8
    )
    return figure


# ---------------------------------------------------------------------------------- training


def draw_curves(panels: Sequence[CurvePanel], look: Mapping[str, Look]) -> Figure:
    """The loss and every knob that moves, over training; bands reach over all runs of a variant."""
    heights = [1.9, *([0.85] * (len(panels) - 1))]
    figure = _figure(5.4, 0.5 + sum(heights))
    grid = figure.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=heights)
    drawn: dict[str, Any] = {}
    for ax, panel in zip(grid.flat, panels, strict=True):
        curves = [c for c in panel.curves if c.variant in look]
        for i, curve in enumerate(curves):
            at = look[curve.variant]
            every = max(1, len(curve.mean) // 7)
            start = (i * every // max(len(curves), 1)) % every
            # Thinner towards the top, so that lines which coincide all stay visible.
            width = 1 + min(0.25, 1.2 / len(curves)) * (len(curves) - 1 - i)
            (line,) = ax.plot(
                curve.iteration, curve.mean, color=at.colour, ls=at.line, marker=at.marker, ms=3.2,
                markevery=(start, every), lw=width, label=curve.variant,
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
    ncols = _legend(figure, list(drawn), 5.4)
    handles = list(drawn.values())
    figure.legend(
        handles=handles, loc="outside upper left", ncols=ncols, columnspacing=1.2, handlelength=2.6
    )
    return figure


def _legend(figure: Figure, labels: Sequence[str], width: float) -> int:
    """Columns of a legend above the axes; the figure grows by the height of its rows."""
    widest = 0.62 + 0.062 * max(map(len, labels), default=0)
    columns = max(1, min(len(labels), int((width - 0.1) / widest)))
    figure.set_figheight(figure.get_figheight() + 0.155 * math.ceil(len(labels) / columns))
    return columns


def _log_axis(ax: Axes, low: float, high: float) -> None:
    """A logarithmic y axis with plain numbers at 1, 2, 5."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    ax.set_yscale("log")
    ax.set_ylim(low * 0.8, high * 1.25)
    ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
    ax.yaxis.set_minor_formatter(NullFormatter())


# ---------------------------------------------------------------------------------- gallery


def draw_gallery(data: Gallery) -> Figure:
    """Image, mask and one map per variant, all maps on one colour scale; the mask's outline on top."""
    from matplotlib import patheffects
    from matplotlib.figure import Figure

    n_columns, n_rows = 2 + len(data.variants), len(data.rows)
    label = 1.05
    cell = min(1.0, (PAGE - label - 0.5) / n_columns)
    titles = [wrapped(t, max(7, int(cell / 0.062))) for t in ("image", "ground truth", *data.variants)]
    head = 0.13 * max(t.count("\n") + 1 for t in titles) + 0.08
    width, height = label + n_columns * cell + 0.5, head + n_rows * cell + 0.05
    figure = Figure(figsize=(width, height))
    # Placed by hand: cells of one size, whatever the labels are.
    grid = figure.subplots(
        n_rows, n_columns, squeeze=False,
        gridspec_kw={
            "left": label / width, "right": (label + n_columns * cell) / width,
            "top": 1 - head / height, "bottom": 0.05 / height, "wspace": 0.03, "hspace": 0.03,
        },
    )  # fmt: skip
    outline = [patheffects.withStroke(linewidth=1.4, foreground="black")]
    shown: Any = None
    for i, row in enumerate(data.rows):
        grid[i, 0].imshow(row.image)
        grid[i, 1].imshow(row.mask, cmap="gray", vmin=0, vmax=1)
        for j, variant in enumerate(data.variants, start=2):
            shown = grid[i, j].imshow(row.maps[variant], cmap="inferno", vmin=data.low, vmax=data.high)
            if row.mask.any() and not row.mask.all():
                grid[i, j].contour(row.mask, levels=[0.5], colors="#56D0FF", linewidths=0.7)
            grid[i, j].text(
                0.04, 0.95, f"{row.scores[variant]:.3f}", transform=grid[i, j].transAxes,
                ha="left", va="top", size=5.5, color="white", path_effects=outline,
            )  # fmt: skip
        kind = row.defect_type if row.label else "normal"
        names = [*wrapped(row.category, 18).split("\n")[:2], *wrapped(kind, 18).split("\n")[:2], row.rule]
        grid[i, 0].set_ylabel(
            "\n".join(names), rotation=0, ha="right", va="center", size=6.3, labelpad=5, linespacing=1.25
        )
    for ax in grid.flat:
        ax.set_xticks([])
        ax.set_yticks([])
        for spine in ax.spines.values():
            spine.set_visible(False)
    for ax, title in zip(grid[0], titles, strict=True):
        ax.set_title(title, size=7, pad=3)
    bar_height = min(n_rows * cell, 2.4) / height
    middle = (0.05 + n_rows * cell / 2) / height
    bar_ax = figure.add_axes((1 - 0.42 / width, middle - bar_height / 2, 0.08 / width, bar_height))
    bar = figure.colorbar(shown, cax=bar_ax, extend="both")
    bar.ax.tick_params(labelsize=5.5, length=2, pad=1)
    return figure


# ---------------------------------------------------------------------------------- all of them


def _band(results: Results) -> str:
    if len(results.seeds) < 2:
        return "One seed: no intervals."
    return f"Bands and bars: {results.coverage} t-interval over seeds; dots: seeds."


def _draw_factors(results: Results) -> Iterator[Drawing]:
    for data in factor_lines(results):
        yield Drawing(
            f"factor_{_slug(data.factor)}",
            f"{metric_label(data.metric)} over {data.factor}",
            f"{_band(results)} Dashed: {data.baseline}.",
            draw_factor(data),
        )
    for map_ in heat_maps(results):
        yield Drawing(
            "_".join(["heatmap", *([_slug(map_.title)] if map_.title else [])]),
            f"{map_.row_factor} × {map_.column_factor}" + (f" ({map_.title})" if map_.title else ""),
            f"Paired difference to {map_.baseline} in {metric_label(map_.metric)}, points, with "
            f"{results.coverage} t-interval. Framed: differs after Holm over all variants.",
            draw_heat_map(map_),
        )


def _draw_forest(results: Results) -> Iterator[Drawing]:
    data = forest(results)
    if any(d.n for d in data):
        yield Drawing(
            "forest",
            f"Differences to {results.baseline}",
            f"Paired by seed, averaged over categories; {results.coverage} t-interval; ticks: seeds. "
            f"Filled: differs after Holm over {plural(max(d.family for d in data), 'comparison')}. "
            "An arrow: the interval goes on.",
            draw_forest(data),
        )


def _draw_slopes(results: Results) -> Iterator[Drawing]:
    panels = [p for p in slopes(results) if p.variant in _shown(results)]
    if panels:
        yield Drawing(
            "slopes",
            "By category, every seed",
            f"{results.baseline} (left) and variant (right) with the same seed.{_left_out(results)}",
            draw_slopes(panels),
        )


def _draw_mechanism(results: Results) -> Iterator[Drawing]:
    shown = _shown(results)
    data = [m for m in mechanism(results) if m.variant in shown]
    if data:
        yield Drawing(
            "mechanism",
            "Token distance on normal and defect tokens",
            f"Mean over seeds, with {results.coverage} t-interval where there are two. A prior that works "
            f"widens the gap in its own stratum.{_left_out(results)}",
            draw_mechanism(data, looks(shown, results.baseline)),
        )


def _draw_curves(results: Results) -> Iterator[Drawing]:
    shown = _shown(results)
    panels = [
        CurvePanel(p.column, tuple(c for c in p.curves if c.variant in shown))
        for p in training_curves(results)
    ]
    panels = [p for p in panels if p.curves]
    if panels:
        yield Drawing(
            "training",
            "Training",
            "Loss, and the knobs that move. Line: mean over runs; band: from the lowest to the highest run."
            f"{_left_out(results)}",
            draw_curves(panels, looks(shown, results.baseline)),
        )


def _draw_galleries(results: Results) -> Iterator[Drawing]:
    made = galleries(results)
    for i, data in enumerate(made, start=1):
        rule = GALLERY_RULE.format(variant=data.chosen_by, seed=data.seed)
        left = len(results.variants) - len(results.same_as) - len(data.variants)
        more = f" {plural(left, 'further variant')} not shown." if left else ""
        yield Drawing(
            "gallery" if len(made) == 1 else f"gallery_{i}",
            "Gallery" if len(made) == 1 else f"Gallery {i} of {len(made)}",
            f"{rule} One colour scale for all maps; number: image score; outline: ground truth.{more}",
            draw_gallery(data),
            dpi=150,
        )


SECTIONS: Mapping[str, Callable[[Results], Iterator[Drawing]]] = {
    "differences": _draw_forest,
    "categories": _draw_slopes,
    "strata": _draw_mechanism,
    "factors": _draw_factors,
    "training": _draw_curves,
    "gallery": _draw_galleries,
}
"""The report's sections and what is drawn for each."""


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_")
