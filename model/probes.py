"""Completion probes: how well the decoder fills in tokens that are cut along rows or along columns.

The directional priors claim that a decoder which cannot fill in *rows* leaves faint horizontal
defects standing out. The probes measure just that, at inference and apart from every score. Segments
of patch tokens are replaced at the decoder's input, each by the mean of its image's patch tokens there,
and the cut tokens' distances to their targets are compared with two bounds at the same tokens:

    completion = 1 - (D_cut - D_full) / (D_blank - D_full),  clipped to [0, 1]

D_cut    mean distance (1 - cosine, mean over groups) at the cut tokens, the others given;
D_full   the same with nothing cut: the best that this decoder can do, so completion 1;
D_blank  the same with *every* patch token cut: what prefix tokens and average appearance alone
         yield, so completion 0. Without this bound, a decoder that answers with the mean token
         would seem to complete well, since all tokens of an image are much alike.

The mean token, because zeros are no token: a decoder that never met them in training was measured by how
it takes them, and seemed to complete less than it can (docs/priors.md has figures). The mean lies among
the tokens, names no place, is the same for every mask of an image, and serves variants that were trained
with other fills alike.

The means are taken over all cut tokens of all images before the ratio. It is undefined (NaN) where
D_blank - D_full is under 0.001: such a decoder does not use its input. ``completion_difference`` is
horizontal minus vertical, in [-1, 1]; negative = rows are filled in worse than columns.

On defects only cut tokens that lie on the defect count, against *their own* features: completion is
then the share of the defect's look that the decoder restores from its surroundings, the rest of the
streak included.

Masks depend on an image's position in the sequence alone: all variants, seeds and batch sizes see
the same. Vertical masks are the horizontal rule on the transposed grid, from the same draws.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from model.config import Direction, TokenDropoutConfig
from model.losses import distance
from model.priors.geometry import Grid
from model.priors.token_dropout import sample_mask
from model.streams import derive_seed

DIRECTIONS: tuple[Direction, Direction] = ("horizontal", "vertical")
SMALLEST_GAP = 1e-3
"""D_blank - D_full below which completion is undefined."""

Floats = npt.NDArray[np.float64]


class Restorer(Protocol):
    """What a student shows to the probes; it is in eval mode."""

    grid: Grid
    prefix: int

    def targets_and_input(self, groups: Tensor) -> tuple[Sequence[Tensor], Tensor]:
        """Group means [B, G, T, C] -> G target maps [B, C, H, W], decoder's input [B, P + N, C]."""
        ...

    def decode(self, x: Tensor) -> Sequence[Tensor]:
        """Decoder's input [B, P + N, C] -> G rebuilt maps [B, C, H, W]."""
        ...


@dataclass(frozen=True)
class ProbeConfig:
    """Which tokens are cut: the same for every variant of a fair study."""

    rate: float = 0.2
    """Expected share of the tokens cut at once."""
    length: tuple[int, int] = (2, 6)
    """Shortest and longest segment, in tokens."""
    repeats: int = 1
    """Masks per image and direction."""


@dataclass(frozen=True, eq=False)
class Completion:
    """Summed distances of n images at their counted tokens; what intervals over images need."""

    cut: Floats
    full: Floats
    blank: Floats
    """[n] each: sums over counted tokens."""
    tokens: npt.NDArray[np.int64]
    """[n] counted tokens of each image, all repeats together."""

    @property
    def value(self) -> float:
        """Completion in [0, 1], or NaN where it is undefined."""
        count = int(self.tokens.sum())
        if count == 0:
            return math.nan
        cut, full, blank = (float(sums.sum()) / count for sums in (self.cut, self.full, self.blank))
        gap = blank - full
        if not gap >= SMALLEST_GAP:
            return math.nan
        return min(max(1 - (cut - full) / gap, 0.0), 1.0)


def probe_masks(config: ProbeConfig, direction: Direction, image: int, grid: Grid) -> Tensor:
    """Cut tokens of the ``image``-th image of a sequence: bool [repeats, H, W]."""
    pattern = TokenDropoutConfig(pattern="segment", direction=direction, length=config.length)
    draw = torch.Generator().manual_seed(derive_seed(0, "completion probe", image))
    return sample_mask(pattern, config.rate, config.repeats, grid, draw)


def completion(
    restorer: Restorer,
    batches: Iterable[tuple[Tensor, Tensor | None]],
    config: ProbeConfig | None = None,
) -> dict[Direction, Completion]:
    """Cut along rows, then along columns.

    Parameters
    ----------
    batches: group means [B, G, T, C], with bool [B, H, W] of the tokens that count among the cut ones,
        or None for all; in a fixed order.

    Raises
    ------
    ValueError: no images.
    """
    sets = ((groups, None if counted is None else counted.unsqueeze(1)) for groups, counted in batches)
    return {direction: found[0] for direction, found in completions(restorer, sets, config).items()}


@torch.no_grad()
def completions(
    restorer: Restorer,
    batches: Iterable[tuple[Tensor, Tensor | None]],
    config: ProbeConfig | None = None,
) -> dict[Direction, list[Completion]]:
    """As :func:`completion`, for K sets of counted tokens at the cost of one.

    Parameters
    ----------
    batches: group means [B, G, T, C], with bool [B, K, H, W] of the tokens that count, or None for one
        set of all.

    Raises
    ------
    ValueError: no images.
    """
    config = config or ProbeConfig()
    parts: dict[Direction, list[Tensor]] = {direction: [] for direction in DIRECTIONS}
    done = 0
    for groups, counted in batches:
        targets, x = restorer.targets_and_input(groups)
        everything = torch.ones(len(groups), *restorer.grid, dtype=torch.bool)
        full = _distance(restorer, targets, x)
        blank = _distance(restorer, targets, _cut(x, everything, restorer.prefix))
        for direction in DIRECTIONS:
            images = range(done, done + len(groups))
            masks = torch.stack([probe_masks(config, direction, i, restorer.grid) for i in images])
            sets = 1 if counted is None else counted.shape[1]
            sums = groups.new_zeros((len(groups), sets, 4), dtype=torch.float64)
            for mask in masks.unbind(1):  # one repeat, [B, H, W]
                cut = _distance(restorer, targets, _cut(x, mask, restorer.prefix))
                where = mask.unsqueeze(1) if counted is None else mask.unsqueeze(1) & counted.cpu()
                where = where.to(cut.device)  # [B, K, H, W]
                for column, d in enumerate((cut, full, blank, torch.ones_like(cut))):
                    sums[..., column] += torch.where(where, d.unsqueeze(1), 0).double().sum((2, 3))
            parts[direction].append(sums.cpu())
        done += len(groups)
    if not done:
        raise ValueError("there are no images to probe")
    return {
        direction: [_completion(of_set) for of_set in torch.cat(sums).unbind(1)]
        for direction, sums in parts.items()
    }


def probe_values(found: dict[Direction, Completion], prefix: str = "completion") -> dict[str, float]:
    """The rows of a table: ``<prefix>_horizontal``, ``_vertical`` and ``_difference``."""
    values = {direction: found[direction].value for direction in DIRECTIONS}
    named = {f"{prefix}_{direction}": value for direction, value in values.items()}
    return named | {f"{prefix}_difference": values["horizontal"] - values["vertical"]}


def _cut(x: Tensor, mask: Tensor, prefix: int) -> Tensor:
    """The image's mean patch for those of [B, P + N, C] under [B, H, W]; prefix tokens stay."""
    cut = mask.flatten(1).unsqueeze(-1).to(x.device)  # [B, N, 1]
    patches = x[:, prefix:]
    filled = torch.where(cut, patches.mean(dim=1, keepdim=True), patches)
    return torch.cat([x[:, :prefix], filled], dim=1)


def _distance(restorer: Restorer, targets: Sequence[Tensor], x: Tensor) -> Tensor:
    """[B, H, W] mean over groups of 1 - cosine."""
    rebuilt = restorer.decode(x)
    return torch.stack([distance(t, r) for t, r in zip(targets, rebuilt, strict=True)]).mean(0)


def _completion(sums: Tensor) -> Completion:
    cut, full, blank, tokens = sums.numpy().T
    return Completion(cut, full, blank, tokens.astype(np.int64))
