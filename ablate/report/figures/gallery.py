"""Images, ground truth and every variant's map."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ablate.evidence.gallery import Gallery, galleries
from ablate.evidence.judgement import Judgement
from ablate.report.figures.lettering import names, place_names
from ablate.report.figures.paper import PLAIN, Paper, paper_of
from ablate.report.figures.style import Drawing, wrapped
from ablate.report.words import plural, variant_label

if TYPE_CHECKING:
    from matplotlib.figure import Figure


_RULE = (
    "Per category, by the score that {variant} (seed {seed}) gives: the defect with the median score, the "
    "defect with the lowest score (the worst miss) and the normal image with the highest score (the worst "
    "false alarm), among the images whose maps were kept."
)


def drawings(judgement: Judgement) -> Iterator[Drawing]:
    """Figures of a dozen images each, where maps were kept."""
    results = judgement.results
    made = galleries(results)
    for i, data in enumerate(made, start=1):
        rule = _RULE.format(variant=variant_label(results, data.chosen_by), seed=data.seed)
        left = len(results.variants) - len(results.same_as) - len(data.variants)
        more = f" {plural(left, 'further variant')} not shown." if left else ""
        yield Drawing(
            "gallery" if len(made) == 1 else f"gallery_{i}",
            "Gallery" if len(made) == 1 else f"Gallery {i} of {len(made)}",
            f"{rule} One colour scale for all maps; number: image score; outline: ground truth.{more}",
            draw_gallery(data, paper_of(results.venue), {**place_names(results), **names(results)}),
            dpi=150,
        )


def draw_gallery(
    data: Gallery, paper: Paper = PLAIN, labels: Mapping[str, str] = MappingProxyType({})
) -> Figure:
    """Image, mask and one map per variant, all maps on one colour scale; the mask's outline on top."""
    from matplotlib import patheffects
    from matplotlib.figure import Figure

    n_columns, n_rows = 2 + len(data.variants), len(data.rows)
    label = 1.05
    cell = min(1.0, (paper.page - label - 0.5) / n_columns)
    heads = ("image", "ground truth", *(labels.get(v, v) for v in data.variants))
    titles = [wrapped(t, max(7, int(cell / 0.062))) for t in heads]
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
        names = [
            *wrapped(labels.get(row.category, row.category), 18).split("\n")[:2],
            *wrapped(kind, 18).split("\n")[:2],
            row.rule,
        ]
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
