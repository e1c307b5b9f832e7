"""The patch grid as the priors see it: its lines, and where its tokens lie in a sequence.

Every prior is written once, for the horizontal direction. ``vertical`` is the same rule on the
transposed grid, ``both`` a combination of the two that each prior chooses: a control that differed
from the proposal in more than its direction would prove nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from model.priors.config import Direction

Grid = tuple[int, int]
"""(H, W): rows and columns of the patch grid."""

TRANSPOSED: Mapping[Direction, tuple[bool, ...]] = MappingProxyType(
    {"horizontal": (False,), "vertical": (True,), "both": (False, True)}
)
"""Per direction: for each axis it stands for, whether the grid is transposed first."""


def oriented(grid: Grid, transposed: bool) -> Grid:
    """The grid as a rule for the horizontal direction gets to see it."""
    return (grid[1], grid[0]) if transposed else grid


def check_tokens(x: Tensor, grid: Grid, prefix: int) -> None:
    """Raise ``ValueError`` unless ``x`` [B, T, C] has ``prefix`` + H * W tokens."""
    height, width = grid
    if x.ndim != 3 or x.shape[1] != prefix + height * width:
        raise ValueError(
            f"tokens of shape {tuple(x.shape)} are not {prefix} prefix tokens + {height} x {width} patches"
        )


def in_single_precision(x: Tensor) -> Tensor:
    """``x`` in float32 if it is of half precision, else unchanged (float64 stays)."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
