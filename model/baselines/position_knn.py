"""Nearest patches around the same position of retrieved normal images (RAD, arXiv 2601.22763).

Normal images like the tested one are retrieved first; a patch is then compared only with patches
of these at most ``radius`` tokens from its own position, in each group on its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from sklearn.neighbors import NearestNeighbors
from torch import Tensor
from torch.nn import functional

from model.baselines.config import PositionKnnConfig
from model.baselines.patches import Layout, Scores, reservoir, sampler


def fit_position_knn(
    config: PositionKnnConfig, batches: Iterable[Tensor], layout: Layout, seed: int
) -> PositionKnnScorer:
    """Keep the normal images' tokens. batches: group means [B, G, T, C] each.

    Raises DataError if there are no images.
    """
    images = reservoir((b.float() for b in batches), config.pool, sampler(seed, "position-knn"))
    return PositionKnnScorer(config, images, layout)


class PositionKnnScorer:
    """Scores patches against ``images`` [n, G, T, C], the group means of normal images."""

    def __init__(self, config: PositionKnnConfig, images: Tensor, layout: Layout) -> None:
        self.config = config
        self.layout = layout
        # Position first: what a query's neighbours are read as. [G, N, n, C]
        self._bank = functional.normalize(layout.patches(images), dim=-1).permute(1, 2, 0, 3).contiguous()
        self._retrieval = NearestNeighbors(
            n_neighbors=min(config.images, len(images)), metric="cosine", algorithm="brute"
        ).fit(self._descriptors(images))

    def _descriptors(self, images: Tensor) -> Tensor:
        """[B, C] what images are retrieved by: the last group's class token, or its mean patch."""
        last = images[:, -1].float()
        return last[:, 0] if self.layout.class_token else last[:, self.layout.prefix :].mean(1)

    def score(self, groups: Tensor) -> Scores:
        """Group means [B, G, T, C] -> maps [B, H, W]: mean over groups of 1 - the highest cosine."""
        queries = functional.normalize(self.layout.patches(groups), dim=-1)
        retrieved = self._retrieval.kneighbors(self._descriptors(groups), return_distance=False)
        maps = [
            torch.stack([self._distances(q, b[:, rows]) for q, b in zip(image, self._bank, strict=True)])
            for image, rows in zip(queries, torch.from_numpy(retrieved), strict=True)
        ]
        return Scores(torch.stack([m.mean(0) for m in maps]))

    def _distances(self, query: Tensor, bank: Tensor) -> Tensor:
        """Unit patches [N, C] of an image against those [N, k, C] of its k retrieved ones: [H, W]."""
        height, width = self.layout.grid
        r = self.config.radius
        side = 2 * r + 1
        # The bank is read once: each of its positions p meets the queries at p + offset, for all
        # offsets in one product. Positions outside the grid are zeros here and masked below.
        padded = functional.pad(query.view(height, width, -1), (0, 0, r, r, r, r))
        around = padded.unfold(0, side, 1).unfold(1, side, 1)  # [H, W, C, side, side]
        similarity = torch.bmm(bank, around.flatten(3).flatten(0, 1)).amax(1)  # [N, offsets]
        by_offset = similarity.view(height, width, side, side)
        # Back to the queries: the one at q meets bank position q - offset.
        best = query.new_full((height, width), -math.inf)
        for i in range(side):
            for j in range(side):
                shift = functional.pad(by_offset[:, :, i, j], (r, r, r, r), value=-math.inf)
                own = shift[side - 1 - i : side - 1 - i + height, side - 1 - j : side - 1 - j + width]
                best = torch.maximum(best, own)
        return 1 - best
