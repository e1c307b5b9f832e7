"""Greedy k-centres: the coreset that PatchCore keeps of its memory bank."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from sklearn.random_projection import johnson_lindenstrauss_min_dim
from torch import Tensor

PROJECTION_EPS = 0.9
"""Allowed distortion of distances in the random projection in which centres are looked for."""


def greedy_centres(rows: Tensor, count: int, draw: np.random.Generator) -> npt.NDArray[np.int64]:
    """Indices of ``count`` rows of [n, C], each the farthest from those chosen before it.

    Roth et al., CVPR 2022, algorithm 1. The first is random. Distances are taken in a random
    Gaussian projection (the Johnson-Lindenstrauss bound at a distortion of 0.9) where that is
    narrower than C. O(n * count) distances.
    """
    if not 1 <= count <= len(rows):
        raise ValueError(f"cannot choose {count} of {len(rows)} rows")
    points = _project(rows, draw)
    norms = points.square().sum(1)
    chosen = np.empty(count, dtype=np.int64)
    chosen[0] = draw.integers(len(rows))
    nearest = torch.full_like(norms, math.inf)
    for i in range(1, count):
        centre = int(chosen[i - 1])
        # |p - c|^2 up to rounding; a centre must never be chosen twice, whatever that rounds to.
        distance = torch.addmv(norms + norms[centre], points, points[centre], alpha=-2)
        torch.minimum(nearest, distance, out=nearest)
        nearest[centre] = -math.inf
        chosen[i] = int(nearest.argmax())
    return chosen


def _project(rows: Tensor, draw: np.random.Generator) -> Tensor:
    """[n, C] -> [n, D], D = min(C, what the distortion allows)."""
    width = int(johnson_lindenstrauss_min_dim(len(rows), eps=PROJECTION_EPS))
    if width >= rows.shape[1]:
        return rows.contiguous()
    matrix = draw.standard_normal((rows.shape[1], width), dtype=np.float32) / math.sqrt(width)
    return rows @ torch.from_numpy(matrix)
