"""What each prior does, as pictures: the documentation's figures and a check by eye.

Everything drawn comes from the functions that training uses, at the configuration's own defaults; every
choice that a prior offers is in some panel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
from model.priors.token_dropout import TokenDropout, sample_mask

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PICTURED = "5"
"""Which draw of the pseudo-defects is shown: a name as an image's contents give it."""
GRID = (28, 28)
"""Of the paper's 392 px inputs."""
RATE = 0.2
SEED = 3
Options = Mapping[str, Mapping[str, Any]]
"""A panel's title -> the settings that it draws, all others being the defaults."""
MASKS: Options = {
    "token (i.i.d.)": {"pattern": "token"},
    "segment, horizontal": {"pattern": "segment"},
    "segment, vertical": {"pattern": "segment", "direction": "vertical"},
    "segment, both": {"pattern": "segment", "direction": "both"},
    "stripe, horizontal": {"pattern": "stripe"},
    "block": {"pattern": "block", "length": (2, 4)},
}
FILLS: Options = {
    "zero": {"fill": "zero"},
    "mean": {"fill": "mean"},
    "neighbour": {"fill": "neighbour"},
    "learned, at the start": {"fill": "learned"},
    "noise": {"fill": "noise"},
    "noise, strength 0.5": {"fill": "noise", "strength": 0.5},
    "donor": {"fill": "donor"},
    "donor, strength 0.5": {"fill": "donor", "strength": 0.5},
    "swap": {"fill": "swap"},
}
TAILS: Options = {
    "alpha = 0: pixel by pixel": {"alpha": 0.0},
    "alpha = 0.5, horizontal": {"alpha": 0.5},
    "alpha = 1, horizontal": {"alpha": 1.0},
    "alpha = 1, vertical (control)": {"alpha": 1.0, "direction": "vertical"},
}
STRUCTURES: Options = {
    "box": {"structure": "box"},
    "line": {"structure": "line"},
    "coherence": {"structure": "coherence"},
    "box, vertical": {"direction": "vertical"},
    "box, both": {"direction": "both"},
}
COMBINATIONS: Options = {
    "blend": {"combine": "blend", "alpha": 0.5},
    "product": {"combine": "product", "alpha": 0.5},
    "intersect": {"combine": "intersect", "alpha": 0.5},
    "union": {"combine": "union", "alpha": 0.5},
    "line alone": {"structure": "line", "alpha": 1.0},
}
DRAWN: Options = {
    "horizontal": {"kind": "horizontal"},
    "half as strong": {"kind": "horizontal", "strength": 0.5},
    "vertical (control)": {"kind": "vertical"},
    "blob (control)": {"kind": "blob"},
}
TAIL_SHARE = 0.06
LAMBDA = 0.8
BIASES: Options = {
    "box, w = 4": {"half_width": 4},
    "triangle, w = 8": {"kernel": "triangle", "half_width": 8},
    "gaussian, w = 4": {"kernel": "gaussian", "half_width": 4},
    "box, row": {"half_width": "row"},
    "box, w = 4, rows = 1": {"half_width": 4, "rows": 1},
    "box, both (control)": {"direction": "both", "half_width": 4},
}
FORMS: Options = {
    "weights": {"form": "weights", "half_width": 4},
    "values": {"form": "values", "half_width": 4},
}
ATTENTION_SPREAD = 2.5
"""Standard deviation, in tokens, of the plain attention behind :data:`FORMS`."""


def token_masks(seed: int = SEED) -> dict[str, np.ndarray]:
    """One sampled mask [H, W] per pattern at equal expected rate; True = dropped."""
    return {
        name: sample_mask(TokenDropoutConfig(**values), RATE, 1, GRID, torch.Generator().manual_seed(seed))[
            0
        ].numpy()
        for name, values in MASKS.items()
    }


def woven_tokens(seed: int = 0) -> torch.Tensor:
    """Two images of tokens with three channels [2, H * W, 3] in [0, 1]: cloth and rings."""
    rows, columns = GRID
    y, x = torch.meshgrid(torch.arange(rows).float(), torch.arange(columns).float(), indexing="ij")
    cloth = torch.stack([0.55 + 0.3 * (y / 1.7).sin(), 0.6 + 0.15 * (x / 2.3).sin(), 0.45 + 0.01 * y], -1)
    radius = ((y - 13.5) ** 2 + (x - 13.5) ** 2).sqrt()
    rings = torch.stack(
        [0.3 + 0.02 * x, 0.5 + 0.3 * (radius / 1.6).sin(), 0.75 + 0.1 * (radius / 1.6).cos()], -1
    )
    grain = 0.04 * torch.randn(2, rows, columns, 3, generator=torch.Generator().manual_seed(seed))
    return (torch.stack([cloth, rings]) + grain).clamp(0, 1).reshape(2, rows * columns, 3)


def filled_tokens(tokens: torch.Tensor, seed: int = SEED) -> dict[str, np.ndarray]:
    """The first image [H, W, 3] as training sees it by fill; all share their masks."""
    found = {}
    for name, values in FILLS.items():
        module = TokenDropout(TokenDropoutConfig(pattern="segment", rate=RATE, **values), tokens.shape[-1])
        module.generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            found[name] = module.train()(tokens, GRID, 0)[0].reshape(*GRID, -1).clamp(0, 1).numpy()
    return found


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


def structures(d: torch.Tensor) -> dict[str, np.ndarray]:
    """The structure [H, W] of a distance map [1, H, W] by rule, at the end of training."""
    found = {}
    for name, values in STRUCTURES.items():
        config = TailConfig(**values)
        found[name] = structure(d, config, value_at(config.beta, 1.0))[0].numpy()
    return found


def tail_masks(d: torch.Tensor, options: Options = TAILS) -> dict[str, np.ndarray]:
    """The tail [H, W] of a distance map [1, H, W] by criterion, at the end of training."""
    masks = {}
    for name, values in options.items():
        config = TailConfig(q=TAIL_SHARE, **values)
        q, alpha, beta = (value_at(knob, 1.0) for knob in (config.q, config.alpha, config.beta))
        masks[name] = tail_mask(d, q, alpha, beta, config)[0].numpy()
    return masks


def _middle() -> int:
    return (GRID[0] // 2) * GRID[1] + GRID[1] // 2


def attention_weights(lam: float = LAMBDA) -> dict[str, np.ndarray]:
    """Weight factor m [H, W] of all tokens as seen from the central one, by kernel."""
    return {
        name: bias_mask(lam, BiasConfig(**values), GRID)[_middle()].reshape(GRID).numpy()
        for name, values in BIASES.items()
    }


def attention_shares(lam: float = LAMBDA) -> dict[str, np.ndarray]:
    """What each token's value [H, W] counts for in the central token, plain and by form.

    The plain attention is a bell around the token, so that a neighbour's loss is another's gain.
    """
    y, x = np.meshgrid(*(np.arange(n) - n // 2 for n in GRID), indexing="ij")
    plain = np.exp(-(y**2 + x**2) / (2 * ATTENTION_SPREAD**2))
    plain /= plain.sum()
    found = {"plain": plain}
    for name, values in FORMS.items():
        config = BiasConfig(**values)
        weakened = plain * bias_mask(lam, config, GRID)[_middle()].reshape(GRID).numpy()
        found[name] = weakened / weakened.sum() if config.form == "weights" else weakened
    return found


def pseudo_defects(size: int = 224) -> dict[str, np.ndarray]:
    """A training image of domain C [size, size] in [0, 1], and its copy by kind of pseudo-defect."""
    surface = draw(DOMAINS["domain_c"], StripesConfig(size=size), 0, 0, None).pixels / 255
    copies = {"none": surface}
    for name, values in DRAWN.items():
        change = drawn(PseudoConfig(**values), (size, size), PICTURED, 0)
        copies[name] = np.clip(surface + change, 0, 1)
    return copies


def _panels(count: int, height: float, rows: int = 1) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(PLAIN.page, height), layout="constrained")
    return figure, list(figure.subplots(rows, -(-count // rows), squeeze=False).flat)


def _grid(axes: Axes, title: str) -> None:
    axes.set_title(title.replace(": ", ":\n").replace(", ", ",\n"))
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(True)


def _draw_masks(axes: Sequence[Axes], masks: Mapping[str, np.ndarray]) -> None:
    for panel, (name, mask) in zip(axes, masks.items(), strict=True):
        panel.imshow(mask, cmap="Greys", vmin=0, vmax=1, interpolation="nearest")
        _grid(panel, name)


def draw_token_masks() -> Figure:
    """Prior A: a sample per pattern."""
    masks = token_masks()
    figure, axes = _panels(len(masks), 1.75)
    _draw_masks(axes, masks)
    for panel, mask in zip(axes, masks.values(), strict=True):
        panel.set_xlabel(f"{mask.mean():.0%} here")
    return figure


def draw_fills() -> Figure:
    """Prior A: the same cut segments by what replaces them."""
    tokens = woven_tokens()
    pictures = {"tokens": tokens[0].reshape(*GRID, -1).numpy(), **filled_tokens(tokens)}
    figure, axes = _panels(len(pictures), 3.5, rows=2)
    for panel, (name, picture) in zip(axes, pictures.items(), strict=True):
        panel.imshow(picture, interpolation="nearest")
        _grid(panel, name)
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
    axes[1].imshow(structures(d)["box"], cmap="viridis", interpolation="nearest")
    _grid(axes[1], "structure s")
    _draw_masks(axes[2:], masks)
    return figure


def draw_structures() -> Figure:
    """Prior B: the structure by rule and direction; below, the tail by how it is combined with d."""
    d = streaky_distances()
    maps, masks = structures(d), tail_masks(d, COMBINATIONS)
    figure, axes = _panels(len(maps) + len(masks), 3.4, rows=2)
    for panel, (name, values) in zip(axes, maps.items(), strict=False):
        panel.imshow(values, cmap="viridis", interpolation="nearest")
        _grid(panel, f"s by {name}")
    _draw_masks(axes[len(maps) :], {f"tail by {name}": mask for name, mask in masks.items()})
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


def draw_forms() -> Figure:
    """Prior C: renormalised weights or weakened values, beside plain attention."""
    shares = attention_shares()
    top = max(float(share.max()) for share in shares.values())
    figure, axes = _panels(len(shares), 2.2)
    for panel, (name, share) in zip(axes, shares.items(), strict=True):
        image = panel.imshow(share, cmap="cividis", vmin=0, vmax=top, interpolation="nearest")
        _grid(panel, name if name == "plain" else f"form: {name}")
        panel.set_xlabel(f"sum {share.sum():.2f}")
    figure.colorbar(image, ax=axes, shrink=0.8, label="share of the output")
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
    "prior_a_fills": draw_fills,
    "pseudo_defects": draw_pseudo_defects,
    "prior_a2_schedules": draw_schedules,
    "prior_b_tails": draw_tails,
    "prior_b_structures": draw_structures,
    "prior_c_attention": draw_attention,
    "prior_c_forms": draw_forms,
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
