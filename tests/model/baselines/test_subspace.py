"""The principal subspace against scikit-learn, and on data with a subspace of its own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from model.baselines import fit
from model.baselines.config import SubspaceConfig
from model.errors import DataError
from tests.model.baselines.toy import LAYOUT, features


def test_residuals_are_those_of_scikit_learn():
    train, test = features(9), features(2, seed=1)
    maps = fit(SubspaceConfig(variance=0.8), train.split(4), LAYOUT, seed=0).score(test).maps
    expected = []
    for group in range(2):
        normal, tested = (
            x[:, group, LAYOUT.prefix :].flatten(0, 1).double().numpy() for x in (train, test)
        )
        pca = PCA(n_components=0.8, svd_solver="full").fit(normal)
        assert 0 < pca.n_components_ < 6
        rebuilt = pca.inverse_transform(pca.transform(tested))
        expected.append(((tested - rebuilt) ** 2).sum(1) / normal.var(axis=0).sum())
    assert np.allclose(maps.flatten().numpy(), np.mean(expected, axis=0), rtol=1e-5, atol=1e-7)


def test_what_leaves_the_normal_plane_scores_and_what_stays_in_it_does_not():
    draw = torch.Generator().manual_seed(0)
    plane = torch.randn(2, 6, generator=draw)
    train = torch.randn(5, 2, 22, 2, generator=draw) @ plane
    scorer = fit(SubspaceConfig(variance=0.999), [train], LAYOUT, seed=0)
    inside = 3 * torch.randn(1, 2, 22, 2, generator=draw) @ plane
    outside = inside.clone()
    outside[:, :, LAYOUT.prefix + 7] += torch.linalg.svd(plane).Vh[-1]
    assert float(scorer.score(inside).maps.max()) < 1e-6
    maps = scorer.score(outside).maps[0]
    assert int(maps.argmax()) == 7
    assert int((maps > 1e-6).sum()) == 1


def test_the_pool_follows_the_seed_and_not_the_batches():
    train, test = features(8), features(2, seed=1)

    def maps(seed: int, batch: int) -> torch.Tensor:
        config = SubspaceConfig(variance=0.8, pool=40)
        return fit(config, train.split(batch), LAYOUT, seed).score(test).maps

    assert torch.equal(maps(0, 8), maps(0, 3))
    assert not torch.equal(maps(0, 8), maps(1, 8))


def test_equal_patches_have_no_subspace():
    with pytest.raises(DataError, match="all normal patches are equal"):
        fit(SubspaceConfig(), [torch.ones(3, 2, 22, 6)], LAYOUT, seed=0)
