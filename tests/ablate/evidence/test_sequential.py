"""Verdicts under repeated looks.

Reference-checked: scipy's t-test, the prior's Bayes factor by numerical integration.
Behavioural, by seeded simulation: error under every look, coverage at the stop, power; and by hand:
skipped looks, stopped claims, margins, futility, degenerate and broken input.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, stats

from ablate.evidence.boundaries import (
    Plan,
    calibration,
    critical_t,
    nominal_p,
    running_e,
    running_p,
    running_t,
    running_z,
)
from ablate.evidence.sequential import Hypothesis, judge, live, repeated_interval

CLEAR = [1.0, 1.2, 0.8, 1.1, 0.9, 1.0, 1.1]


def draws(effect: float, paths: int = 8000, n: int = 20, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(effect, 1.0, (paths, n))


def test_running_statistics_are_those_of_each_prefix() -> None:
    d = 1e3 + draws(0.4, 3)
    t, z = running_t(d, 1e3), running_z(running_t(d, 1e3))
    for row, k in ((0, 3), (1, 8), (2, 20)):
        expected = stats.ttest_1samp(d[row, :k], 1e3)
        assert t[row, k - 1] == pytest.approx(expected.statistic)
        assert 2 * stats.norm.sf(abs(z[row, k - 1])) == pytest.approx(expected.pvalue)


def test_e_is_the_bayes_factor_of_the_prior() -> None:
    t, n = 2.3, 7
    prior = stats.norm(0, 1)

    def weighted(delta: float) -> float:
        return float(stats.nct.pdf(t, n - 1, delta * n**0.5) * prior.pdf(delta))

    factor = integrate.quad(weighted, -8, 8)[0] / stats.t.pdf(t, n - 1)
    assert running_e(np.full(n, t))[-1] == pytest.approx(factor, rel=1e-6)


def test_nominal_p_of_the_boundary() -> None:
    one, six = (Plan(20, 5, family=m, spare=0.0) for m in (1, 6))
    seeds = (5, 8, 10, 15, 20)
    np.testing.assert_allclose(
        [nominal_p(n, one) for n in seeds], (0.0012, 0.0039, 0.0063, 0.014, 0.022), rtol=0.04
    )
    np.testing.assert_allclose(
        [nominal_p(n, six) for n in seeds], (0.00004, 0.00026, 0.00056, 0.0018, 0.0037), rtol=0.12
    )


@pytest.mark.parametrize("declared", [20, 10, None])
def test_error_under_a_look_after_every_seed(declared: int | None) -> None:
    # Declared 10: raised to 20 on the way.
    plain = (np.abs(running_z(running_t(draws(0.0))))[:, 2:] > 1.96).any(axis=1).mean()
    assert plain > 0.2
    p = running_p(running_t(draws(0.0)), Plan(declared))
    assert (np.diff(p, axis=1) <= 0).all()
    assert (p[:, -1] <= 0.05).mean() < 0.055
    assert (p[:, -1] <= 0.2).mean() < 0.215


def test_one_sided_error() -> None:
    for side in ("above", "below"):
        p = running_p(running_t(draws(0.0, seed=3)), Plan(10), side)
        assert (p[:, -1] <= 0.05).mean() < 0.055


def test_power_and_seeds_saved() -> None:
    p = running_p(running_t(draws(1.0)), Plan(20, 5, spare=0.0)) <= 0.05
    stop = np.where(p.any(axis=1), p.argmax(axis=1) + 1, 20)
    assert p.any(axis=1).mean() > 0.97 and stop.mean() == pytest.approx(11.3, abs=0.3)


def test_interval_covers_at_the_stop_also_beyond_the_declared_seeds() -> None:
    plan, covered = Plan(8), 0
    data = draws(0.7, 1500, 14, seed=4)
    p = running_p(running_t(data), plan)
    for d, path in zip(data, p, strict=True):
        stop = int((path <= 0.05).argmax()) + 1 if (path <= 0.05).any() else 14
        low, high = repeated_interval(d[:stop], plan)
        covered += low <= 0.7 <= high
    assert covered / 1500 > 0.94


def test_interval_and_p_agree_when_the_peak_is_now() -> None:
    for declared in (20, None):
        plan = Plan(declared)
        for d in draws(1.0, 40, 9, seed=5):
            t = running_t(d)
            low, high = repeated_interval(d, plan)
            assert (abs(t[-1]) >= critical_t(9, plan)) == (low > 0 or high < 0)


def test_calibration_repeats_itself_and_its_boundary_has_the_level() -> None:
    first = calibration(3, 12)
    calibration.cache_clear()
    again = calibration(3, 12)
    np.testing.assert_array_equal(first.both, again.both)
    assert first is not again
    for side in ("both", "above"):
        x = first.boundary(0.01, side)
        assert first.exceeds(x, side) <= 0.01 < first.exceeds(np.nextafter(x, 0) - 1e-3, side)


def test_verdict_of_a_clear_difference() -> None:
    verdict = judge(CLEAR, Plan(20), looks=[3, 5, 99])
    assert verdict.p < 0.01 and verdict.sign == 1 and verdict.low > 0
    assert [look.n for look in verdict.looks] == [3, 5, 7]
    assert verdict.more_seeds == 0 and not verdict.futile
    assert judge([-d for d in CLEAR], Plan(20)).sign == -1


def test_a_verdict_is_never_withdrawn_and_a_stopped_claim_keeps_its_p() -> None:
    turned = [*CLEAR, -9.0, -9.0, -9.0]
    before, after = judge(CLEAR, Plan(20)), judge(turned, Plan(20))
    assert after.mean < 0 and after.sign == 1 and after.p == before.p and after.peaked <= 7
    assert judge(turned, Plan(20), stopped=7) == before


def test_skipped_looks_change_nothing() -> None:
    assert judge(CLEAR, Plan(20), looks=[3, 4, 5, 6]).p == judge(CLEAR, Plan(20)).p


def test_raising_the_seeds_later_goes_on_with_the_declared_calibration() -> None:
    plan = Plan(5)
    d = [0.1, 1.0, -0.5, 0.9, 0.2]
    at = judge(d, plan)
    assert at.p > 0.2
    later = judge([*d, *[0.6, 0.7, 0.65] * 8], plan)
    assert later.p < 0.05 and later.peaked > 5 and later.low > 0


def test_before_the_first_look_and_without_spread() -> None:
    assert judge([], Plan(20)).p == 1.0
    early = judge([5.0, 5.1], Plan(20))
    assert early.p == 1.0 and early.sign == 0 and early.high == np.inf and early.more_seeds is not None
    same = judge([2.0] * 6, Plan(20))
    assert same.identical and same.p == 1.0 and np.isnan(same.low) and same.more_seeds is None
    assert judge([2.0] * 6, Plan()).p == 1.0


def test_a_seed_without_a_value_is_refused() -> None:
    with pytest.raises(ValueError, match="position 2"):
        judge([1.0, 2.0, float("nan")], Plan(20))


@pytest.mark.parametrize(
    "kwargs", [{"declared": 2}, {"first": 1}, {"alpha": 0.0}, {"spare": 1.0}, {"family": 0}]
)
def test_plans_that_cannot_be(kwargs: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"seeds|need"):
        Plan(**kwargs)  # type: ignore[arg-type]


def test_margins_and_equivalence() -> None:
    d = draws(0.3, 1, 18, seed=6)[0] * 0.1 + 0.3
    assert judge(d, Plan(20), Hypothesis("differs", 1.0)).sign == -1  # A > B + 1 is refuted
    assert judge(d, Plan(20), Hypothesis("differs", -1.0)).sign == 1  # A > B - 1 holds
    inside = judge(d, Plan(20), Hypothesis("equivalent", 0.6))
    assert inside.p < 0.05 and inside.sign == 1
    assert judge(d, Plan(20), Hypothesis("equivalent", 0.2)).p > 0.5
    with pytest.raises(ValueError, match="above 0"):
        Hypothesis("equivalent", 0.0)


def test_equivalence_error_at_the_margin() -> None:
    found = [
        judge(d, Plan(10), Hypothesis("equivalent", 1.0)).p <= 0.05 for d in draws(1.0, 600, 10, seed=7)
    ]
    assert np.mean(found) < 0.08


def test_futility_and_image_bound() -> None:
    noise = [0.3, -0.4, 0.2, -0.3, 0.1, 0.1, -0.2, 0.3]
    assert not judge(noise[:4], Plan(20)).futile
    assert judge(noise, Plan(20)).futile
    assert not judge(noise, Plan()).futile  # nothing declared, nothing to fall short of
    assert not judge([0.5, 1.0, 0.1, 0.9, 0.4], Plan(20)).futile
    variance = float(np.var(noise, ddof=1)) / 8
    assert judge(noise, Plan(20), image_variance=4.1 * variance).image_bound
    assert not judge(noise, Plan(20), image_variance=3.9 * variance).image_bound


def test_more_seeds_is_where_the_boundary_is_met() -> None:
    verdict = judge([0.5, 1.5, -0.2, 1.1, 0.8], Plan(20))
    t = running_t([0.5, 1.5, -0.2, 1.1, 0.8])[-1]
    more = verdict.more_seeds
    assert more is not None and more > 0
    assert t * np.sqrt((5 + more) / 5) >= critical_t(5 + more, Plan(20))
    assert t * np.sqrt((4 + more) / 5) < critical_t(4 + more, Plan(20))


def test_only_live_claims_get_the_next_seed() -> None:
    noise = [0.3, -0.4, 0.2, -0.3, 0.1, 0.1, -0.2, 0.3]
    verdicts = [judge(CLEAR, Plan(20)), judge(noise, Plan(20)), judge([0.5, 1.5, -0.2, 1.1, 0.8], Plan(20))]
    assert live(verdicts) == [False, False, True]
    assert live(verdicts, futility=False) == [False, True, True]
