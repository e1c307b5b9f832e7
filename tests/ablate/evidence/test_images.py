"""Intervals for new seeds and new images.

Reference-checked: scikit-learn's AUROC, a bootstrap over images, leave-one-out by hand.
Behavioural: coverage in a simulated AUROC model, limits, degenerate and broken input.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special, stats
from sklearn.metrics import roc_auc_score

from ablate.evidence.images import jackknife_covariance, over_categories, placements, seeds_and_images

LABELS = np.repeat([0, 1], [15, 20])


def scores(seed: int, shape: tuple[int, ...] = (4, 35)) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=shape[-1]) + 0.5 * rng.normal(size=shape) + LABELS).round(1)


def test_placements_average_to_the_auroc() -> None:
    x = scores(0)
    np.testing.assert_allclose(placements(x, LABELS).values, [roc_auc_score(LABELS, row) for row in x])


def test_delong_jackknife_and_bootstrap_agree() -> None:
    a, b = scores(1), scores(2)
    delong = (placements(a, LABELS) - placements(b, LABELS)).covariance
    leave_one_out = np.array(
        [
            [
                roc_auc_score(np.delete(LABELS, i), np.delete(x, i))
                - roc_auc_score(np.delete(LABELS, i), np.delete(y, i))
                for i in range(35)
            ]
            for x, y in zip(a, b, strict=True)
        ]
    )
    np.testing.assert_allclose(jackknife_covariance(leave_one_out, LABELS), delong, rtol=1e-9, atol=1e-12)
    rng = np.random.default_rng(0)
    drawn = [
        np.concatenate([rng.choice(np.flatnonzero(k == LABELS), (k == LABELS).sum()) for k in (0, 1)])
        for _ in range(2000)
    ]
    values = [placements(a[:, i], LABELS).values - placements(b[:, i], LABELS).values for i in drawn]
    np.testing.assert_allclose(np.cov(np.array(values).T), delong, rtol=0.25, atol=3e-4)


def test_units_and_categories() -> None:
    parts = placements(scores(3), LABELS)
    np.testing.assert_allclose(parts.scaled(100).covariance, 1e4 * parts.covariance)
    one, two = parts.covariance, placements(scores(4), LABELS).covariance
    np.testing.assert_allclose(over_categories([one, two]), (one + two) / 4)
    with pytest.raises(ValueError, match="no category"):
        over_categories([])


def test_by_hand() -> None:
    cov = np.full((3, 3), 0.5)
    result = seeds_and_images([1.0, 2.0, 3.0], cov, 40)
    assert result.seed_variance == pytest.approx(1 / 3) and result.image_variance == pytest.approx(0.5)
    assert result.df == pytest.approx(2 * ((1 / 3 + 0.5) * 3) ** 2)
    assert result.standard_error == pytest.approx((1 / 3 + 0.5) ** 0.5)
    assert result.image_share == pytest.approx(0.6)
    assert result.image_floor == pytest.approx(2.8 * 0.5**0.5)
    assert result.high - 2 >= result.seed_high - 2 > 0


def test_never_narrower_than_for_seeds_alone() -> None:
    # df grows with image variance faster than SE does: by itself the formula could shrink.
    result = seeds_and_images([1.0, 2.0], np.full((2, 2), 0.4), 10)
    assert result.low == result.seed_low and result.high == result.seed_high
    negative = seeds_and_images([1.0, 2.0, 4.0], -np.ones((3, 3)), 10)
    assert negative.image_variance == 0.0
    assert negative.high == pytest.approx(negative.seed_high)


def test_what_would_help() -> None:
    images = seeds_and_images([1.0, 1.1, 0.9, 1.0, 1.05], np.full((5, 5), 0.3), 50)
    assert images.image_share > 0.95
    assert -0.02 < images.width_change(seeds=20) <= 0
    assert images.width_change(images=150) == pytest.approx(-0.5, abs=0.03)
    needed = images.images_needed()
    assert needed is not None
    assert 2.8 * (0.3 * 50 / (50 + needed)) ** 0.5 <= 1.01
    assert images.images_needed(100.0) == 0 and images.images_needed(0.0) is None


def test_degenerate() -> None:
    assert np.isnan(seeds_and_images([1.0], np.ones((1, 1)), 9).low)
    still = seeds_and_images([1.0, 1.0, 1.0], np.full((3, 3), 0.25), 9)
    assert still.df == np.inf and still.high == pytest.approx(1 + 1.959964 * 0.5)
    lone = np.array([0, 1, 1, 1])
    assert np.isnan(jackknife_covariance(np.random.default_rng(0).random((2, 4)), lone)).all()
    unknown = seeds_and_images([1.0, 2.0], np.full((2, 2), np.nan), 9)
    assert np.isnan(unknown.low) and not np.isnan(unknown.seed_low) and unknown.images_needed() is None
    with pytest.raises(ValueError, match="NaN"):
        seeds_and_images([1.0, np.nan], np.ones((2, 2)), 9)
    with pytest.raises(ValueError, match="both labels"):
        placements(np.ones((1, 3)), [1, 1, 1])


@pytest.mark.parametrize("S", [3, 5, 10])
def test_coverage_for_new_seeds_and_new_images(S: int) -> None:
    # A score is image + variant x image + seed x image, and a seed shifts the defects of its variant.
    rng, trials, hit, seed_hit = np.random.default_rng(S), 500, 0, 0
    labels = np.repeat([0, 1], [30, 30])
    sd = (2 * (1.0 + 0.5**2 + 0.2**2) + 0.1**2) ** 0.5  # of an anomalous minus a normal image
    truth = 100 * float(special.ndtr(1.2 / sd) - special.ndtr(1.0 / sd))
    for _ in range(trials):
        image = rng.normal(size=60)
        a, b = (
            image
            + rng.normal(0, 0.5, 60)
            + rng.normal(0, 0.2, (S, 60))
            + (shift + rng.normal(0, 0.1, (S, 1))) * labels
            for shift in (1.2, 1.0)
        )
        d = (placements(a, labels) - placements(b, labels)).scaled(100)
        result = seeds_and_images(d.values, d.covariance, 60)
        hit += result.low <= truth <= result.high
        seed_hit += result.seed_low <= truth <= result.seed_high
    assert 0.925 < hit / trials < 0.985
    assert seed_hit / trials < 0.91


def test_equivalence_is_two_one_sided_tests() -> None:
    """The interval at twice alpha decides, as it does over seeds alone (without spread over images)."""
    rng = np.random.default_rng(3)
    for _ in range(50):
        seeds = rng.normal(0.1, 0.3, 6)
        made = seeds_and_images(seeds, np.zeros((6, 6)), 40)
        below = stats.ttest_1samp(seeds, -0.5, alternative="greater").pvalue
        above = stats.ttest_1samp(seeds, 0.5, alternative="less").pvalue
        assert made.within(0.5) == (max(below, above) < 0.05)
