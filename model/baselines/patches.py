"""Patches as the reference rows see them: which of them are kept, and how they compare.

Drawn per patch from one generator, so a sample depends on the seed and on the order of the images,
never on how they were batched.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from model.errors import DataError, DivergedError
from model.priors.geometry import Grid, check_tokens
from model.streams import derive_seed

Rows = npt.NDArray[np.float32]
"""[patches, channels]."""


@dataclass(frozen=True)
class Layout:
    """How tokens lie in group means [B, G, T, C]: P prefix tokens, then a grid of (H, W) patches."""

    grid: Grid
    prefix: int = 0
    class_token: bool = False
    """Whether the first prefix token is a class token (and not a register)."""

    def patches(self, groups: Tensor) -> Tensor:
        """[B, G, T, C] -> [B, G, N, C].

        Raises ``ValueError`` for another number of tokens, DivergedError for NaN and infinity.
        """
        check_tokens(groups.flatten(0, 1), self.grid, self.prefix)
        if not groups.isfinite().all():
            raise DivergedError("the encoder's features hold NaN or infinity")
        return groups[:, :, self.prefix :].float()


@dataclass(frozen=True)
class Scores:
    """What a detector says of a batch of images."""

    maps: Tensor
    """[B, H, W] distances on the patch grid; higher = more anomalous."""
    images: Tensor | None = None
    """[B] image scores where the method has its own; else the map is pooled as for every variant."""


class Scorer(Protocol):
    """A fitted reference row."""

    def score(self, groups: Tensor) -> Scores:
        """Group means [B, G, T, C] -> scores."""
        ...


def sampler(seed: int, method: str) -> np.random.Generator:
    """The random stream of a method's subsampling."""
    return np.random.default_rng(derive_seed(seed, "baseline sampling", method))


def reservoir(batches: Iterable[Tensor], limit: int, draw: np.random.Generator) -> Tensor:
    """A uniform sample of at most ``limit`` rows of all batches [n, ...], in their order.

    Every row draws a key, and the ``limit`` smallest stay: one pass, memory bounded by twice the limit
    and a batch. Raises DataError if there are no rows.
    """
    kept: list[Tensor] = []
    keys = np.empty(0)
    for batch in batches:
        kept.append(batch)
        keys = np.concatenate([keys, draw.random(len(batch))])
        if len(keys) > 2 * limit:
            kept, keys = _smallest(kept, keys, limit)
    if not len(keys):
        raise DataError("there are no normal images to learn from")
    return torch.cat(_smallest(kept, keys, limit)[0])


def _smallest(
    rows: list[Tensor], keys: npt.NDArray[np.float64], limit: int
) -> tuple[list[Tensor], npt.NDArray[np.float64]]:
    """The rows with the ``limit`` smallest keys, in their order, and those keys."""
    if len(keys) <= limit:
        return rows, keys
    chosen = np.sort(np.argpartition(keys, limit - 1)[:limit])
    return [torch.cat(rows)[torch.from_numpy(chosen)]], keys[chosen]


def rows_of_groups(patches: Tensor, *, unit: bool) -> Tensor:
    """[B, G, N, C] -> [B * N, G * C], one row per position with the groups side by side.

    ``unit``: each group's part has norm 1 / sqrt(G), so that half the squared Euclidean distance of
    two rows is the mean over groups of 1 - cosine.
    """
    if unit:
        patches = functional.normalize(patches, dim=-1) / patches.shape[1] ** 0.5
    return patches.permute(0, 2, 1, 3).flatten(2).flatten(0, 1)
