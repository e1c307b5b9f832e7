"""k nearest neighbours in a memory bank of normal patches: PatchCore's and AnomalyDINO's scoring.

Roth et al., "Towards Total Recall in Industrial Anomaly Detection", CVPR 2022; Damm et al.,
"AnomalyDINO", WACV 2025. The neighbours themselves come from scikit-learn (brute force, exact).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from model.baselines.config import KnnConfig
from model.baselines.coreset import greedy_centres
from model.baselines.patches import Layout, Rows, Scores, reservoir, rows_of_groups, sampler

TOP_PATCHES = 0.01
"""Share of the patches that AnomalyDINO averages for the image score."""


def fit_knn(config: KnnConfig, batches: Iterable[Tensor], layout: Layout, seed: int) -> KnnScorer:
    """Fill the memory bank with the patches of normal images.

    batches: group means [B, G, T, C] each. seed: of the subsampling.
    Raises DataError if there are no images.
    """
    draw = sampler(seed, "knn")
    unit = config.metric == "cosine"
    rows = reservoir((rows_of_groups(layout.patches(b), unit=unit) for b in batches), config.pool, draw)
    return KnnScorer(config, _subsample(config, rows, draw), layout)


def _subsample(config: KnnConfig, rows: Tensor, draw: np.random.Generator) -> Rows:
    count = max(1, round(len(rows) * config.share))
    if config.subsample == "none" or count == len(rows):
        return rows.numpy()
    if config.subsample == "coreset":
        chosen = greedy_centres(rows, count, draw)
    else:
        chosen = np.sort(draw.choice(len(rows), count, replace=False))
    return rows.numpy()[chosen]


class KnnScorer:
    """Scores patches by their distance to the nearest row of ``bank`` [n, G * C]."""

    def __init__(self, config: KnnConfig, bank: Rows, layout: Layout) -> None:
        self.config = config
        self.bank = bank
        self.layout = layout
        self._index = NearestNeighbors(algorithm="brute").fit(bank)

    def score(self, groups: Tensor) -> Scores:
        """Group means [B, G, T, C] -> maps [B, H, W], and image scores unless ``image_score: map``.

        Distances are Euclidean, or the mean over groups of 1 - cosine.
        """
        unit = self.config.metric == "cosine"
        rows = rows_of_groups(self.layout.patches(groups), unit=unit).numpy()
        found, nearest = self._index.kneighbors(rows, n_neighbors=1)
        distances = torch.from_numpy(found[:, 0].astype(np.float32)).view(len(groups), -1)  # [B, N]
        images = None
        if self.config.image_score == "patchcore":
            images = self._weighted_maximum(rows, distances, nearest.reshape(len(groups), -1))
        if unit:
            distances = distances.square() / 2
        if self.config.image_score == "top_patches":
            count = max(1, int(distances.shape[1] * TOP_PATCHES))
            images = distances.topk(count, dim=1).values.mean(1)
        return Scores(distances.view(-1, *self.layout.grid), images)

    def _weighted_maximum(self, rows: Rows, distances: Tensor, nearest: np.ndarray) -> Tensor:
        """PatchCore's image score, equations 6 and 7: [B].

        With x the patch farthest from the bank, m* its nearest row at distance s* and N_b(m*) the
        ``support`` rows nearest to m* (itself among them),

            s = (1 - exp(s*) / sum over m in N_b(m*) of exp(|x - m|)) s*.
        """
        worst = distances.argmax(1)  # [B]
        highest = distances.max(1).values
        support = min(self.config.support, len(self.bank))
        if support == 1:
            return highest
        image = np.arange(len(worst))
        own = self.bank[nearest[image, worst.numpy()]]  # m* [B, G * C]
        around = self._index.kneighbors(own, n_neighbors=support, return_distance=False)
        x = rows.reshape(*distances.shape, -1)[image, worst.numpy()]
        reach = np.linalg.norm(x[:, None] - self.bank[around], axis=2)  # [B, support]
        # exp(s*) / sum of exp = exp(s* - logsumexp): distances of raw features overflow exp.
        total = torch.from_numpy(reach).logsumexp(1)
        return (1 - torch.exp(highest - total)) * highest
