"""Residual outside the principal subspace of normal patches (SubspaceAD, CVPR 2026, arXiv 2602.23013)."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from sklearn.decomposition import PCA
from torch import Tensor

from model.baselines.config import SubspaceConfig
from model.baselines.patches import Layout, Scores, reservoir, sampler
from model.errors import DataError


def fit_subspace(
    config: SubspaceConfig, batches: Iterable[Tensor], layout: Layout, seed: int
) -> SubspaceScorer:
    """One principal component analysis per group. batches: group means [B, G, T, C] each.

    Raises DataError if there are no images, or all patches of a group are equal.
    """
    pooled = (layout.patches(b).transpose(1, 2).flatten(0, 1) for b in batches)  # [B * N, G, C]
    rows = reservoir(pooled, config.pool, sampler(seed, "subspace"))
    return SubspaceScorer([_Subspace(rows[:, g], config.variance) for g in range(rows.shape[1])], layout)


class _Subspace:
    """Mean, kept components and total variance of rows [n, C]."""

    def __init__(self, rows: Tensor, variance: float) -> None:
        values = rows.double().numpy()
        total = float(values.var(axis=0).sum()) if len(values) > 1 else 0.0
        if not total > 0:
            raise DataError("all normal patches are equal: there is no subspace to find")
        # float64: a covariance of float32 rows loses the small variances that decide the residual.
        pca = PCA(n_components=variance, svd_solver="covariance_eigh").fit(values)
        self.mean = torch.from_numpy(pca.mean_)
        self.components = torch.from_numpy(pca.components_)  # [kept, C]
        self.total = total

    def residual(self, patches: Tensor) -> Tensor:
        """[..., C] -> [...]: squared norm outside the subspace over the normal patches' variance."""
        centred = patches.double() - self.mean
        outside = centred - (centred @ self.components.T) @ self.components
        return (outside.square().sum(-1) / self.total).float()


class SubspaceScorer:
    """Scores patches by their residuals, averaged over groups.

    Dividing by each group's total variance makes groups of unlike scale count alike; with one group
    it is the paper's score up to a constant.
    """

    def __init__(self, subspaces: list[_Subspace], layout: Layout) -> None:
        self.subspaces = subspaces
        self.layout = layout

    def score(self, groups: Tensor) -> Scores:
        """Group means [B, G, T, C] -> maps [B, H, W]."""
        patches = self.layout.patches(groups).unbind(1)
        residuals = [s.residual(p) for s, p in zip(self.subspaces, patches, strict=True)]
        return Scores(torch.stack(residuals).mean(0).view(-1, *self.layout.grid))
