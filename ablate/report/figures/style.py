"""How every figure of a study looks, and what they share.

Figures are made without pyplot, so there is no global state and no display; matplotlib is imported only
when something is drawn. Widths and fonts are those of :mod:`~ablate.report.figures.paper`, text is 7 to 8
points at that width, and heights grow with the content, so that labels never meet. Colours are Okabe and
Ito's; markers and line styles say the same once more.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ablate.evidence.judgement import Judgement
from ablate.report.figures.paper import PLAIN
from ablate.report.words import count_text, plural

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_VARIANTS = 8
"""Variants drawn beside the baseline where each has a colour; beyond, colours stop being a code."""
GREY = "#595959"
BLUE, VERMILION = "#0072B2", "#D55E00"
COLOURS = (BLUE, VERMILION, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D1F", "#000000")
MARKERS = ("s", "^", "D", "v", "P", "X", "*", "p")
LINES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1)), (0, (5, 1, 1, 1)))
_MATH = r"\\\$|\$[^$]+\$|\$(?![^$]+\$)"
"""An escaped dollar sign, mathematics, or a lone dollar sign."""
_BREAKS = (
    re.compile(rf"(?:{_MATH}|[^,; $])*[,; ]+|(?:{_MATH}|[^,; $])+"),
    re.compile(rf"(?:{_MATH}|[^=$])*=|(?:{_MATH}|[^=$])+"),
    re.compile(rf"(?:{_MATH}|[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?|[^-_./:$])+[-_./:]*|[-_./:]+"),
)
"""Where names may be broken, the best place first."""
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


def style(families: Sequence[str] = PLAIN.families) -> AbstractContextManager[None]:
    """The style, while drawing and saving; a glyph is taken from the first of ``families`` that has it."""
    import matplotlib

    return matplotlib.rc_context({**STYLE, "font.family": list(families)})


def looks(variants: Sequence[str], baseline: str) -> dict[str, Look]:
    """One look per variant; the baseline is grey circles on a solid line."""
    found = {baseline: Look(GREY, "o", "-")}
    for i, variant in enumerate(v for v in variants if v != baseline):
        found[variant] = Look(COLOURS[i % 8], MARKERS[(i + i // 8) % 8], LINES[(i // 2 + i) % 4])
    return found


def wrapped(name: str, characters: int) -> str:
    """A long name on several lines: broken behind commas and spaces where that suffices, else behind other
    punctuation; never inside a number or mathematics."""
    lines = [""]
    for part in _parts(name, characters, _BREAKS):
        if lines[-1] and len(lines[-1]) + len(part.rstrip()) > characters:
            lines.append("")
        lines[-1] += part
    return "\n".join(line.strip() for line in lines)


def _parts(text: str, characters: int, breaks: Sequence[re.Pattern[str]]) -> list[str]:
    """Pieces of ``text``, each as short as ``characters`` where the patterns allow that."""
    if len(text.rstrip()) <= characters or not breaks:
        return [text]
    found = breaks[0].findall(text)
    return [piece for part in found for piece in _parts(part, characters, breaks[1:])]


def new_figure(width: float, height: float) -> Figure:
    """An empty figure (inches) whose parts make room for each other."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def shown(judgement: Judgement, most: int = MAX_VARIANTS) -> tuple[str, ...]:
    """The variants that a figure draws, each configuration once: the baseline and the most informative.

    Those first that a claim names, then by p (Holm), then by the size of the difference; drawn in the
    study's order.
    """
    results, found = judgement.results, judgement.primary.differences
    named = {name for claim in results.claims for name in (claim.left, claim.right)}
    others = [v for v in results.variants if v != results.baseline and v not in results.same_as]

    def rank(variant: str) -> tuple[bool, float, float]:
        d = found[variant]
        size = abs(d.estimate.mean) if math.isfinite(d.estimate.mean) else 0.0
        return variant not in named, d.p_holm if math.isfinite(d.p_holm) else 1.0, -size

    chosen = {*sorted(others, key=rank)[:most], results.baseline}
    return tuple(v for v in results.variants if v in chosen)


def left_out(judgement: Judgement, most: int = MAX_VARIANTS) -> str:
    """How many variants :func:`shown` leaves out, as a sentence of a caption."""
    results = judgement.results
    rest = len(results.variants) - len(shown(judgement, most)) - len(results.same_as)
    if not rest:
        return ""
    return f" Not drawn: {plural(rest, 'further variant')}, less informative by claims, p and size."


def n_text(counts: Sequence[int], word: str = "seed") -> str:
    """``n = 5 seeds``, ``n = 3–5 seeds``: what every figure says of its estimates."""
    return f"n = {count_text(counts)} {word}{'' if max(counts, default=0) == 1 else 's'}"


def set_limits(setter: Callable[..., Any], points: Sequence[float], estimates: Sequence[Any]) -> None:
    """Limits that show all seeds, and all of the intervals unless they dwarf them.

    At two seeds an interval is some twenty times as long as the seeds are apart: it is then cut at one and
    a half times the seeds' range. Not where that would save less than half of the axis.
    """
    known = [p for p in points if math.isfinite(p)]
    if not known:
        return
    low, high = min(known), max(known)
    span = max(high - low, 0.2)
    ends = [x for e in estimates for x in (e.low, e.high) if math.isfinite(x)]
    whole = min([low, *ends]), max([high, *ends])
    cut = max(whole[0], low - 1.5 * span), min(whole[1], high + 1.5 * span)
    low, high = whole if whole[1] - whole[0] <= 2 * (cut[1] - cut[0]) else cut
    pad = 0.06 * (high - low or 1)
    setter(low - pad, high + pad)


def legend_columns(figure: Figure, labels: Sequence[str], width: float) -> int:
    """Columns of a legend above the axes; the figure grows by the height of its rows."""
    widest = 0.62 + 0.062 * max(map(len, labels), default=0)
    columns = max(1, min(len(labels), int((width - 0.1) / widest)))
    figure.set_figheight(figure.get_figheight() + 0.155 * math.ceil(len(labels) / columns))
    return columns
