"""The memory bank: against scikit-learn's brute force, PatchCore's score by hand, the coreset."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import pairwise_distances

from model.baselines import fit
from model.baselines.config import KnnConfig
from model.baselines.coreset import greedy_centres
from model.baselines.knn import KnnScorer
from model.baselines.patches import Layout
from tests.model.baselines.toy import LAYOUT, features

EVERYTHING = KnnConfig(subsample="none")


def flat(groups: torch.Tensor) -> np.ndarray:
    """[B, G, T, C] -> [G, B * N, C], the patches of each group."""
    return groups[:, :, LAYOUT.prefix :].transpose(0, 1).flatten(1, 2).numpy()


def test_euclidean_distances_are_those_of_brute_force():
    train, test = features(7), features(3, seed=1)
    scorer = fit(KnnConfig(subsample="none", metric="euclidean"), train.split(2), LAYOUT, seed=0)
    bank, queries = (np.concatenate(flat(x), axis=1) for x in (train, test))
    expected = pairwise_distances(queries, bank).min(1).reshape(3, 4, 5)
    assert np.allclose(scorer.score(test).maps.numpy(), expected, atol=1e-5)


def test_cosine_distances_average_over_groups():
    train, test = features(7), features(3, seed=1)
    scorer = fit(EVERYTHING, train.split(3), LAYOUT, seed=0)
    both = [pairwise_distances(q, b, metric="cosine") for q, b in zip(flat(test), flat(train), strict=True)]
    expected = np.mean(both, axis=0).min(1).reshape(3, 4, 5)
    assert np.allclose(scorer.score(test).maps.numpy(), expected, atol=1e-6)


def test_a_normal_image_of_the_bank_scores_zero():
    train = features(4)
    assert float(fit(EVERYTHING, [train], LAYOUT, seed=0).score(train).maps.max()) < 1e-6


def line_scorer(support: int) -> KnnScorer:
    """A bank of four points on a line, 0, 1, 3 and 10; images are 1 x 2 patches."""
    bank = np.array([[0.0], [1.0], [3.0], [10.0]], dtype=np.float32)
    config = KnnConfig(metric="euclidean", image_score="patchcore", support=support)
    return KnnScorer(config, bank, Layout(grid=(1, 2)))


def test_patchcores_weighted_score_by_hand():
    # Patches at 0.5 and 5: the second is the farther one, 2 from its nearest row m* = 3. The three
    # rows nearest to m* are 3, 1 and 0, at 2, 4 and 5 from the patch.
    said = line_scorer(3).score(torch.tensor([[[[0.5], [5.0]]]]))
    weight = 1 - math.exp(2) / (math.exp(2) + math.exp(4) + math.exp(5))
    assert said.images is not None
    assert said.images.tolist() == pytest.approx([2 * weight], abs=1e-6)
    assert said.maps.tolist() == [[[0.5, 2.0]]]


def test_patchcores_score_without_weighting_is_the_highest_patch():
    said = line_scorer(1).score(torch.tensor([[[[0.5], [5.0]]], [[[3.0], [10.5]]]]))
    assert said.images is not None
    assert said.images.tolist() == [2.0, 0.5]


def test_weights_survive_distances_that_overflow_an_exponential():
    said = line_scorer(3).score(torch.tensor([[[[0.5], [5000.0]]]]))
    assert said.images is not None
    assert bool(said.images.isfinite().all())


def test_anomalydinos_score_is_the_mean_of_the_top_patches():
    train, test = features(5), features(3, seed=1)
    scorer = fit(KnnConfig(subsample="none", image_score="top_patches"), [train], LAYOUT, seed=0)
    said = scorer.score(test)
    assert said.images is not None
    # 1 % of 20 patches is less than one: the highest.
    assert torch.equal(said.images, said.maps.flatten(1).max(1).values)


@pytest.mark.parametrize("subsample", ["random", "coreset"])
def test_the_bank_holds_its_share_and_depends_on_the_seed_alone(subsample):
    train = features(10)
    config = KnnConfig(subsample=subsample, share=0.25)

    def bank(seed: int, batch: int) -> np.ndarray:
        scorer = fit(config, train.split(batch), LAYOUT, seed)
        assert isinstance(scorer, KnnScorer)
        return scorer.bank

    assert bank(0, 10).shape == (50, 12)
    assert np.array_equal(bank(0, 10), bank(0, 3))
    assert not np.array_equal(bank(0, 10), bank(1, 10))


def test_centres_cover_better_than_a_random_sample():
    draw = np.random.default_rng(0)
    rows = torch.from_numpy(draw.standard_normal((600, 3), dtype=np.float32) ** 3)
    centres = greedy_centres(rows, 30, draw)
    assert len(set(centres.tolist())) == 30

    def radius(chosen: np.ndarray) -> float:
        return float(torch.cdist(rows, rows[torch.from_numpy(chosen)]).min(1).values.max())

    assert radius(centres) < 0.5 * min(radius(draw.choice(600, 30, replace=False)) for _ in range(20))


def test_every_centre_is_the_farthest_from_those_before_it():
    draw = np.random.default_rng(1)
    rows = torch.from_numpy(draw.standard_normal((80, 4), dtype=np.float32))
    centres = greedy_centres(rows, 12, draw)
    distances = torch.cdist(rows.double(), rows[centres].double())
    for i in range(1, 12):
        nearest = distances[:, :i].min(1).values
        assert float(nearest[centres[i]]) == pytest.approx(float(nearest.max()), rel=1e-5)


def test_repeated_patches_do_not_make_a_centre_twice():
    centres = greedy_centres(torch.ones(9, 4), 9, np.random.default_rng(0))
    assert sorted(centres.tolist()) == list(range(9))
