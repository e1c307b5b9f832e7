"""Estimates and tests: against hand-computed numbers and the published table of detectable effects."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats
from statsmodels.stats.multitest import multipletests

from ablate.evidence import stats


def test_interval_by_hand() -> None:
    # mean 2, sd 1, t(0.975, 2) = 4.30265, half width 4.30265 / sqrt(3) = 2.48414
    e = stats.interval([1.0, 2.0, 3.0])
    assert (e.mean, e.sd, e.n) == (2.0, 1.0, 3)
    assert e.low == pytest.approx(2 - 2.484138, abs=1e-6)
    assert e.high == pytest.approx(2 + 2.484138, abs=1e-6)
    assert not e.excludes_zero
    assert stats.interval([1.0, 2.0, 3.0], alpha=0.5).excludes_zero


def test_one_value_has_no_interval() -> None:
    e = stats.interval([0.5])
    assert e.mean == 0.5 and e.n == 1
    assert math.isnan(e.sd) and math.isnan(e.low) and not e.excludes_zero
    assert stats.interval([]).n == 0


@pytest.mark.parametrize(("n", "effect"), [(3, 3.26), (5, 1.68), (8, 1.16), (10, 1.00), (15, 0.78)])
def test_minimum_detectable_effect_is_the_published_table(n: int, effect: float) -> None:
    assert stats.minimum_detectable_effect(n) == pytest.approx(effect, abs=0.005)


@pytest.mark.parametrize("n", [3, 5, 8, 15])
def test_seeds_needed_inverts_the_detectable_effect(n: int) -> None:
    effect = stats.minimum_detectable_effect(n)
    assert stats.seeds_needed(effect * 1.001) == n
    assert stats.seeds_needed(-effect * 0.999) == n + 1


def test_seeds_needed_at_the_extremes() -> None:
    assert stats.seeds_needed(1e6) == 2
    assert stats.seeds_needed(0.0) is None
    assert stats.seeds_needed(1e-6) is None
    assert stats.seeds_needed(float("nan")) is None


@pytest.mark.parametrize("alpha", [0.05, 0.05 / 3, 0.05 / 12])
def test_more_effect_never_needs_more_seeds(alpha: float) -> None:
    """Small n with a large effect is where scipy's noncentral t gives NaN."""
    needed = [stats.seeds_needed(e, alpha) for e in (0.3, 0.5, 1, 2, 3, 5, 7.2, 12, 20, 40, 1000)]
    assert None not in needed and needed == sorted(needed, key=lambda n: -(n or 0))
    # By simulation at alpha / 3: power 0.21 at n = 2 and 0.92 at n = 3 for an effect of 7.2 sd.
    assert stats.seeds_needed(7.2, 0.05 / 3) == 3


def test_sign_flip_by_enumeration() -> None:
    x = np.array([0.3, -0.1, 0.4, 0.2, 0.5, 0.1])
    signs = np.array(np.meshgrid(*[[-1, 1]] * 6)).reshape(6, -1).T
    means = (signs * x).mean(axis=1)
    one_sided = min((means >= x.mean() - 1e-12).mean(), (means <= x.mean() + 1e-12).mean())
    assert stats.sign_flip_test(x) == pytest.approx(min(1.0, 2 * one_sided))


def test_sign_flip_smallest_p() -> None:
    assert stats.smallest_sign_flip_p(3) == 0.25
    assert stats.smallest_sign_flip_p(5) == 0.0625
    assert stats.sign_flip_test([0.1] * 5) != stats.sign_flip_test([0.1] * 5)  # NaN below 6
    assert stats.sign_flip_test([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]) == pytest.approx(2 / 64)
    assert math.isnan(stats.sign_flip_test(np.ones(17)))


def test_the_paired_p_is_scipys() -> None:
    rng = np.random.default_rng(0)
    for n in (2, 3, 5, 20):
        x = rng.normal(0.01, 0.02, n)
        assert stats.paired_p(x) == pytest.approx(float(scipy_stats.ttest_1samp(x, 0.0).pvalue), rel=1e-12)


def test_holm_is_statsmodels_and_keeps_what_has_no_p() -> None:
    rng = np.random.default_rng(1)
    for n in (2, 40):
        p = rng.uniform(size=n).round(2)  # with ties
        assert stats.holm_adjusted(p) == pytest.approx(list(multipletests(p, method="holm")[1]))
    first, second = stats.holm_adjusted([0.02, float("nan")])
    assert first == pytest.approx(0.04) and math.isnan(second)
    assert stats.holm_adjusted([]) == []


def test_seeds_needed_is_the_first_count_that_suffices() -> None:
    """Looked for in blocks: the same as trying one count after the other."""
    for effect in (0.12, 0.135, 0.28, 0.5, 0.51):
        one_by_one = next(n for n in range(2, 1001) if stats._power(effect, n, 0.01) >= stats.POWER)
        assert stats.seeds_needed(effect, 0.01) == one_by_one


def test_the_interval_of_a_level_covers_near_its_maximum() -> None:
    rng = np.random.default_rng(3)
    errors = rng.lognormal(np.log(6e-4) - 0.25, 0.7, (4000, 3))
    truth = float(np.exp(np.log(6e-4) - 0.25 + 0.7**2 / 2))
    plain = [stats.interval(1 - row) for row in errors]
    ends = [e.of_level() for e in plain]
    covered = np.mean([e.low <= 1 - truth <= e.high for e in ends])
    assert covered > np.mean([e.low <= 1 - truth <= e.high for e in plain]) + 0.02
    assert covered > 0.92 and all(e.high < 1 for e in ends)


def test_a_level_without_spread_or_at_its_maximum() -> None:
    assert stats.interval([1.0, 1.0, 1.0]).of_level().high == 1.0
    assert math.isnan(stats.interval([0.9]).of_level().low)
    middle, plain = stats.interval([0.50, 0.51, 0.52]).of_level(), stats.interval([0.50, 0.51, 0.52])
    assert middle.low == pytest.approx(plain.low, abs=1e-3) and middle.high == pytest.approx(
        plain.high, abs=1e-3
    )
