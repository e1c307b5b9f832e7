"""A/A comparisons, planted effects, and what a printed "detectable" promises.

Behavioural, on seeded draws; the factors are checked against a simulation that shares no code with them.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from ablate.evidence.calibration import (
    calibrate,
    detectable,
    detectable_factor,
    detectable_size,
    real_power,
    split_differences,
)


def t_test(differences: np.ndarray) -> int:
    result = stats.ttest_1samp(differences, 0.0)
    return int(np.sign(result.statistic)) if result.pvalue < 0.05 else 0


def test_every_seed_is_used_once_and_labels_are_swapped() -> None:
    values = 2.0 ** np.arange(7)
    rows = split_differences(values, splits=20)
    assert rows.shape == (40, 3)
    np.testing.assert_array_equal(rows[20:], -rows[:20])
    bits = {int(v) for v in values}
    for row in rows[:20]:
        pairs = [(a, b) for d in row for a in bits for b in bits if a - b == d and a != b]
        used = [seed for pair in pairs for seed in pair]
        assert len(used) == len(set(used)) == 6


def test_columns_are_split_alike() -> None:
    values = np.random.default_rng(0).normal(size=(6, 1)) * [[1.0, 3.0]]
    rows = split_differences(values, splits=5).reshape(2, 5, 2, 3)
    np.testing.assert_allclose(rows[:, :, 1], 3 * rows[:, :, 0])


def test_a_sound_procedure_keeps_its_level_and_a_broken_one_shows() -> None:
    values = np.random.default_rng(1).normal(80, 0.5, (12, 30))
    sound = calibrate(values, t_test, (), splits=10)
    assert sound.comparisons == 600 and sound.false_rate < 0.08
    naive = calibrate(values, lambda d: int(np.sign(d.mean())), (), splits=10)
    assert naive.false_rate == 1.0 and naive.smallest_found is None


def test_smallest_planted_effect_is_near_the_theory() -> None:
    values = np.random.default_rng(2).normal(80, 1.0, (20, 40))
    result = calibrate(values, t_test, np.arange(0.2, 4.0, 0.2).tolist(), splits=4)
    assert result.smallest_found == pytest.approx(detectable_size(10) * 2**0.5, abs=0.25)


def test_refuses_what_it_cannot_split() -> None:
    with pytest.raises(ValueError, match="at least 4 seeds"):
        split_differences([1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="NaN"):
        split_differences([1.0, 2.0, float("nan"), 3.0])
    with pytest.raises(ValueError, match="above 0"):
        calibrate([1.0, 2.0, 3.0, 4.0], t_test, [0.0])


@pytest.mark.parametrize(("n", "size"), [(3, 3.26), (5, 1.68), (8, 1.16), (10, 1.00), (15, 0.78)])
def test_detectable_sizes(n: int, size: float) -> None:
    assert detectable_size(n) == pytest.approx(size, abs=0.006)


@pytest.mark.parametrize(
    ("n", "power", "factor"), [(2, 0.58, 2.40), (3, 0.63, 1.55), (5, 0.68, 1.24), (10, 0.74, 1.10)]
)
def test_a_printed_detectable_promises_too_much_without_its_factor(
    n: int, power: float, factor: float
) -> None:
    assert real_power(n) == pytest.approx(power, abs=0.011)
    assert detectable_factor(n) == pytest.approx(factor, abs=0.02)
    rng = np.random.default_rng(n)
    past = rng.normal(size=(4000, n)).std(axis=1, ddof=1) * detectable_size(n) * detectable_factor(n)
    future = rng.normal(size=(4000, n)) + past[:, None]
    result = stats.ttest_1samp(future, 0.0, axis=1)
    assert np.mean((result.pvalue < 0.05) & (result.statistic > 0)) == pytest.approx(0.8, abs=0.02)


def test_detectable_stays_within_the_metric() -> None:
    assert detectable([10.0, 60.0]) == 100.0
    assert np.isnan(detectable([1.0])) and np.isnan(detectable([1.0, 1.0]))
