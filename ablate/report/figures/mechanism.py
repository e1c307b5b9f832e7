"""Token distances and completion: whether a prior does what it is meant to do."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from ablate.evidence.figure_data import completion, mechanism
from ablate.evidence.judgement import Judgement
from ablate.evidence.stats import Estimate
from ablate.report.figures.lettering import names
from ablate.report.figures.paper import PLAIN, Paper, paper_of
from ablate.report.figures.style import Drawing, Look, left_out, looks, new_figure, shown, wrapped
from ablate.report.words import fixed, interval_text, stratum_group, stratum_label

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def drawings(judgement: Judgement) -> Iterator[Drawing]:
    """Distances with a panel per stratum, and completion on normal images and at defects, as measured."""
    results = judgement.results
    variants = shown(judgement)
    data = [m for m in mechanism(judgement) if m.variant in variants]
    if data:
        yield Drawing(
            "mechanism",
            "Token distance on normal and defect tokens",
            f"Mean over seeds, with {results.coverage} t-interval where there are two. A prior that works "
            f"widens the gap in its own stratum.{left_out(judgement)}",
            draw_pairs(
                [Pair(m.variant, _panel(m.stratum), m.normal, m.defect, m.gap) for m in data],
                looks(variants, results.baseline),
                paper_of(results.venue),
                names(results),
                word="the gap between them",
                axis="token distance (1 − cosine): hollow = normal tokens, filled = defect tokens",
            ),
        )
    filled = [c for c in completion(judgement) if c.variant in variants]
    if filled:
        yield Drawing(
            "completion",
            "Cut rows and columns of tokens that the decoder fills in",
            f"Mean over seeds, with {results.coverage} t-interval where there are two. 0: no better than "
            "with every token cut, 1: as if none were. A prior against horizontal continuation lowers rows "
            f"and leaves columns.{left_out(judgement)}",
            draw_pairs(
                [Pair(c.variant, c.place, c.columns, c.rows, c.difference) for c in filled],
                looks(variants, results.baseline),
                paper_of(results.venue),
                names(results),
                word="rows − columns",
                axis="share filled in: hollow = cut columns, filled = cut rows",
            ),
        )


def _panel(stratum: str) -> str:
    label, group = stratum_label(stratum), stratum_group(stratum)
    return label if not group or group in label else f"{group}: {label}"


@dataclass(frozen=True)
class Pair:
    """Two estimates of one variant, and their difference."""

    variant: str
    panel: str
    hollow: Estimate
    filled: Estimate
    difference: Estimate


def draw_pairs(
    data: Sequence[Pair],
    look: Mapping[str, Look],
    paper: Paper = PLAIN,
    labels: Mapping[str, str] = MappingProxyType({}),
    *,
    word: str,
    axis: str,
) -> Figure:
    """Two points per variant and panel; the bar between them is the difference, which ``word`` names."""
    strata = list(dict.fromkeys(m.panel for m in data))
    variants = [v for v in look if any(m.variant == v for m in data)]
    usual = Counter(m.difference.n for m in data).most_common(1)[0][0]
    n_columns = min(3, len(strata))
    n_rows = math.ceil(len(strata) / n_columns)
    width = paper.width({1: 4.2, 2: 5.6}.get(n_columns, paper.page))
    rows = [wrapped(labels.get(v, v), 26) for v in variants]
    row = max(0.25, 0.03 + 0.122 * max(name.count("\n") + 1 for name in rows))
    longest = max(len(line) for name in rows for line in name.split("\n"))
    room = int((width - 0.062 * longest) / n_columns / 0.066)
    titles = [wrapped(stratum, room) for stratum in strata]
    head = 0.23 + 0.12 * max(title.count("\n") + 1 for title in titles)
    figure = new_figure(width, 0.55 + n_rows * (head + row * len(variants)))
    grid = figure.subplots(n_rows, n_columns, sharex=True, sharey=True, squeeze=False)
    for ax in grid.flat[len(strata) :]:
        ax.remove()
    for k, (ax, stratum) in enumerate(zip(grid.flat, strata, strict=False)):
        for m in data:
            if m.panel != stratum or m.variant not in look:
                continue
            y, at = variants.index(m.variant), look[m.variant]
            ax.plot([m.hollow.mean, m.filled.mean], [y, y], color=at.colour, lw=2.2, alpha=0.45, zorder=1)
            for e, fill in ((m.hollow, "white"), (m.filled, at.colour)):
                if math.isfinite(e.low):
                    error = [[e.mean - e.low], [e.high - e.mean]]
                    ax.errorbar(
                        [e.mean], [y], xerr=error, fmt="none", ecolor="black", elinewidth=0.7, zorder=2
                    )
                ax.plot([e.mean], [y], at.marker, mfc=fill, mec=at.colour, mew=0.9, zorder=3)
            d = m.difference
            interval = f" {interval_text(d, 3)}" if d.n > 1 else ""
            fewer = f", n {d.n}" if d.n != usual else ""
            ax.annotate(
                f"{fixed(d.mean, 3)}{interval}{fewer}", (1, y), (-1, 3.2),
                xycoords=("axes fraction", "data"), textcoords="offset points",
                ha="right", va="bottom", size=5.2, color="#333333",
            )  # fmt: skip
        ax.set_title(titles[k], loc="left")
        ax.set_yticks(range(len(variants)), rows)
        ax.set_ylim(len(variants) - 0.5, -0.85)
        ax.tick_params(axis="y", length=0)
        ax.tick_params(axis="x", labelbottom=k + n_columns >= len(strata))
        ax.grid(axis="x")
    ends = [x for m in data for x in (m.hollow.mean, m.filled.mean)]
    # Two seeds' intervals can be wider than everything else; they may leave the panel.
    ends += [x for m in data for e in (m.hollow, m.filled) if e.n > 2 for x in (e.low, e.high)]
    pad = 0.12 * (max(ends) - min(ends) or 1)
    grid.flat[0].set_xlim(min(ends) - pad, max(ends) + pad)
    figure.supxlabel(wrapped(f"{axis}; number: {word}, n = {usual}", int(width / 0.06)), size=8)
    return figure
