"""What each prior does, as pictures: the documentation's figures and a check by eye.

Everything drawn comes from the functions that training uses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import torch

from ablate.report.figures.paper import PLAIN
from ablate.report.figures.style import BLUE, COLOURS, GREY, LINES, VERMILION, style
from model.config import BiasConfig, Schedule, Shape, TailConfig, TokenDropoutConfig
from model.data.config import PseudoConfig, StripesConfig
from model.data.pseudo import drawn
from model.data.stripes.domains import DOMAINS, draw
from model.priors.bias import bias_mask
from model.priors.schedule import value_at
from model.priors.tail import structure, tail_mask
from model.priors.token_dropout import sample_mask

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PICTURED = "5"
"""Which draw of the pseudo-defects is shown: a name as an image's contents give it."""
GRID = (28, 28)
"""Of the paper's 392 px inputs."""
RATE = 0.2
MASKS: Mapping[str, Mapping[str, Any]] = {
    "token (i.i.d.)": {"pattern": "token"},
    "segment, horizontal": {"pattern": "segment"},
    "segment, vertical": {"pattern": "segment", "direction": "vertical"},
    "stripe, horizontal": {"pattern": "stripe"},
    "block": {"pattern": "block", "length": (2, 4)},
}
TAILS: Mapping[str, Mapping[str, Any]] = {
    "alpha = 0: pixel by pixel": {"alpha": 0.0},
    "alpha = 0.5, horizontal": {"alpha": 0.5},
    "alpha = 1, horizontal": {"alpha": 1.0},
    "alpha = 1, vertical (control)": {"alpha": 1.0, "direction": "vertical"},
}
DRAWN: Mapping[str, Mapping[str, Any]] = {
    "horizontal": {"kind": "horizontal"},
    "half as strong": {"kind": "horizontal", "strength": 0.5},
    "vertical (control)": {"kind": "vertical"},
    "blob (control)": {"kind": "blob"},
}
TAIL_SHARE = 0.06
BIASES: Mapping[str, Mapping[str, Any]] = {
    "box, w = 4": {"half_width": 4},
    "triangle, w = 8": {"kernel": "triangle", "half_width": 8},
    "gaussian, w = 4": {"kernel": "gaussian", "half_width": 4},
    "box, row": {"half_width": "row"},
    "box, both (control)": {"direction": "both", "half_width": 4},
}


def token_masks(seed: int = 3) -> dict[str, np.ndarray]:
    """One sampled mask [H, W] per pattern at equal expected rate; True = dropped."""
    return {
        name: sample_mask(TokenDropoutConfig(**values), RATE, 1, GRID, torch.Generator().manual_seed(seed))[
            0
        ].numpy()
        for name, values in MASKS.items()
    }


def streaky_distances(seed: int = 0) -> torch.Tensor:
    """A distance map [1, H, W]: noise, two broken horizontal streaks, a vertical one, a blob."""
    rows, columns = GRID
    d = 0.2 + 0.06 * torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))
    d[6, 3:8] += 0.16
    d[6, 10:16] += 0.16
    d[6, 18:24] += 0.16
    d[20, 2:9] += 0.13
    d[20, 12:15] += 0.13
    d[10:24, 22] += 0.18
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    d += 0.26 * torch.exp(-((y - 14) ** 2 + (x - 10) ** 2) / 6.0)
    return d[None].clamp(0, 1)


def tail_masks(d: torch.Tensor) -> dict[str, np.ndarray]:
    """The tail [H, W] of a distance map [1, H, W] by criterion."""
    masks = {}
    for name, values in TAILS.items():
        config = TailConfig(q=TAIL_SHARE, **values)
        alpha = value_at(config.alpha, 1.0)
        masks[name] = tail_mask(d, TAIL_SHARE, alpha, 1.0, config)[0].numpy()
    return masks


def attention_weights(lam: float = 0.8) -> dict[str, np.ndarray]:
    """Weight factor m [H, W] of all tokens as seen from the central one, by kernel."""
    middle = (GRID[0] // 2) * GRID[1] + GRID[1] // 2
    return {
        name: bias_mask(lam, BiasConfig(**values), GRID)[middle].reshape(GRID).numpy()
        for name, values in BIASES.items()
    }


def pseudo_defects(size: int = 224) -> dict[str, np.ndarray]:
    """A training image of domain C [size, size] in [0, 1], and its copy by kind of pseudo-defect."""
    surface = draw(DOMAINS["domain_c"], StripesConfig(size=size), 0, 0, None).pixels / 255
    copies = {"none": surface}
    for name, values in DRAWN.items():
        change = drawn(PseudoConfig(**values), (size, size), PICTURED, 0)
        copies[name] = np.clip(surface + change, 0, 1)
    return copies


def _panels(count: int, height: float) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(PLAIN.page, height), layout="constrained")
    return figure, list(figure.subplots(1, count, squeeze=False)[0])


def _grid(axes: Axes, title: str) -> None:
    axes.set_title(title)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(True)


def draw_token_masks() -> Figure:
    """Prior A: a sample per pattern."""
    masks = token_masks()
    figure, axes = _panels(len(masks), 1.75)
    for panel, (name, mask) in zip(axes, masks.items(), strict=True):
        panel.imshow(mask, cmap="Greys", vmin=0, vmax=1, interpolation="nearest")
        _grid(panel, name)
        panel.set_xlabel(f"{mask.mean():.0%} dropped here")
    return figure


def draw_pseudo_defects() -> Figure:
    """``data.pseudo``: a training image and its copies."""
    copies = pseudo_defects()
    figure, axes = _panels(len(copies), 1.75)
    for panel, (name, pixels) in zip(axes, copies.items(), strict=True):
        panel.imshow(pixels, cmap="gray", vmin=0.3, vmax=0.8, interpolation="bilinear")
        _grid(panel, name)
    return figure


def draw_tails() -> Figure:
    """Prior B: the structure of a distance map, and the tail by criterion."""
    d = streaky_distances()
    masks = tail_masks(d)
    figure, axes = _panels(2 + len(masks), 1.55)
    axes[0].imshow(d[0].numpy(), cmap="viridis", interpolation="nearest")
    _grid(axes[0], "distance d")
    axes[1].imshow(structure(d, TailConfig(), 1.0)[0].numpy(), cmap="viridis", interpolation="nearest")
    _grid(axes[1], "structure s")
    for panel, (name, mask) in zip(axes[2:], masks.items(), strict=True):
        panel.imshow(mask, cmap="Greys", vmin=0, vmax=1, interpolation="nearest")
        _grid(panel, name.replace(": ", ":\n").replace(", ", ",\n"))
    return figure


def draw_attention() -> Figure:
    """Prior C: what the central token makes of the others."""
    weights = attention_weights()
    figure, axes = _panels(len(weights), 1.75)
    for panel, (name, weight) in zip(axes, weights.items(), strict=True):
        image = panel.imshow(weight, cmap="cividis", vmin=0, vmax=1, interpolation="nearest")
        _grid(panel, name)
    figure.colorbar(image, ax=axes, shrink=0.8, label="weight factor m")
    return figure


def draw_schedules() -> Figure:
    """Prior A2: every shape from 0.05 to 0.4 between 20 % and 80 % of training."""
    figure, (axes,) = _panels(1, 2.0)
    t = np.linspace(0, 1, 401)
    for shape, colour, line in zip(
        get_args(Shape), (GREY, BLUE, VERMILION, *COLOURS[2:]), LINES * 2, strict=False
    ):
        schedule = Schedule(from_=0.05, to=0.4, shape=shape, begin=0.2, end=0.8)
        axes.plot(t, [value_at(schedule, x) for x in t], color=colour, linestyle=line, label=shape)
    axes.set_xlabel("training progress")
    axes.set_ylabel("value of the knob")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


DRAWINGS: Mapping[str, Callable[[], Figure]] = {
    "prior_a_masks": draw_token_masks,
    "pseudo_defects": draw_pseudo_defects,
    "prior_a2_schedules": draw_schedules,
    "prior_b_tails": draw_tails,
    "prior_c_attention": draw_attention,
}


def draw_priors(folder: Path) -> list[Path]:
    """Write every figure as PNG; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, drawing in DRAWINGS.items():
        path = folder / f"{name}.png"
        with style():
            drawing().savefig(path)
        paths.append(path)
    return paths
