"""The bottleneck's noise: dropout or Gaussian, from one draw per step for all its layers.

Unusual here: dropout reads 16-bit integers, four to each 64-bit number of the stream, instead of a uniform
number for each value (an eighth of the time on a CPU). Variants that differ in the rate have aligned
draws: what is dropped at a lower rate is dropped at a higher one too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import torch
from torch import Tensor

LEVELS = 1 << 16
"""Rates are rounded to multiples of 1 / LEVELS; what is kept is scaled by the rounded rate."""

Noise = Callable[[Tensor], Tensor]
"""Noise for the tensors of one step, called with one after the other."""


def random_integers(count: int, generator: torch.Generator | None, device: torch.device) -> Tensor:
    """int16 [count], uniform over all 65,536 values."""
    words = torch.empty(-(-count // 4), dtype=torch.int64, device=device)
    # The full range has to be asked for: by default the top bit, hence one integer in four's sign, is 0.
    words.random_(-(2**63), None, generator=generator)
    return words.view(torch.int16)[:count]


def dropout(
    shapes: Sequence[torch.Size], rate: float, generator: torch.Generator | None, device: torch.device
) -> Noise:
    """Inverted dropout of tensors of ``shapes``, in order: each value is 0 with probability ``rate``."""
    parts = iter(random_integers(sum(map(math.prod, shapes)), generator, device).split(_sizes(shapes)))
    dropped = round(rate * LEVELS)

    def noise(x: Tensor) -> Tensor:
        # In float32 whatever x is: 1 / (1 - rate) rounded to half precision would shift the mean.
        keep = (next(parts) >= dropped - LEVELS // 2).float().mul_(LEVELS / (LEVELS - dropped))
        return (x * keep.view(x.shape)).to(x.dtype)

    return noise


def gaussian(
    shapes: Sequence[torch.Size], rate: float, generator: torch.Generator | None, device: torch.device
) -> Noise:
    """Additive noise of sd ``rate`` times the activations' own sd, per batch, on tensors of ``shapes``."""
    drawn = torch.empty(sum(map(math.prod, shapes)), device=device).normal_(generator=generator)
    parts = iter(drawn.split(_sizes(shapes)))

    def noise(x: Tensor) -> Tensor:
        return (x + rate * x.detach().float().std() * next(parts).view(x.shape)).to(x.dtype)

    return noise


def _sizes(shapes: Sequence[torch.Size]) -> list[int]:
    return [math.prod(shape) for shape in shapes]


NOISES: Mapping[
    str, Callable[[Sequence[torch.Size], float, torch.Generator | None, torch.device], Noise]
] = MappingProxyType({"dropout": dropout, "gaussian": gaussian})
