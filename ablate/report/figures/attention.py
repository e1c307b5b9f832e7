"""Attention rows of one token, variants side by side on one scale."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from ablate.report.figures.paper import PLAIN
from ablate.report.figures.style import VERMILION, style, wrapped
from ablate.report.words import percent_text
from ablate.running.attended import Attended

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_attention(data: Attended) -> Figure:
    """The image with the token marked, then one map of weights per variant; one logarithmic scale."""
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    variants = list(data.rows)
    positive = np.concatenate([weights[weights > 0] for weights in data.rows.values()])
    norm = LogNorm(float(np.quantile(positive, 0.01)), float(positive.max()))
    width = min(PLAIN.page, 1.9 * (len(variants) + 1) + 0.5)
    figure = Figure(figsize=(width, width / (len(variants) + 1) + 0.55), layout="constrained")
    axes: Any = figure.subplots(1, len(variants) + 1)
    height, columns = next(iter(data.rows.values())).shape
    extent = (0.0, float(columns), float(height), 0.0)
    axes[0].imshow(data.image, extent=extent, aspect="equal", interpolation="nearest")
    axes[0].set_title(data.name, fontsize=7)
    axes[0].set_xlabel(f"token {data.token[0]},{data.token[1]}", fontsize=7)
    shown: Any = None
    for ax, variant in zip(axes[1:], variants, strict=True):
        shown = ax.imshow(
            np.where(data.rows[variant] > 0, data.rows[variant], np.nan),
            extent=extent, aspect="equal", norm=norm, cmap="viridis", interpolation="nearest",
        )  # fmt: skip
        row, column = data.along(variant)
        ax.set_title(wrapped(variant, 24))
        ax.set_xlabel(f"row {percent_text(row)}, column {percent_text(column)}", fontsize=7)
    for ax in axes:
        place = (data.token[1], data.token[0])
        ax.add_patch(Rectangle(place, 1, 1, fill=False, edgecolor=VERMILION, linewidth=1.2))
        ax.set_xticks([])
        ax.set_yticks([])
    figure.colorbar(shown, ax=axes[1:], label="weight (mean over blocks and heads)", shrink=0.9)
    return figure


def attention_png(data: Attended) -> bytes:
    """The figure as a file."""
    content = io.BytesIO()
    with style():
        draw_attention(data).savefig(content, format="png", dpi=220)
    return content.getvalue()
