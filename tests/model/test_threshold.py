"""The decision threshold: its promise on normal images, counts and F1 by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from model.errors import DataError, DivergedError
from model.threshold import Threshold, decide, find_threshold


def test_the_threshold_is_the_conformal_rank():
    # 0.95 of 20 + 1 images is 19.95: the 20th score; of 19 + 1 it is the 19th, their largest.
    assert find_threshold(np.arange(1, 21)[::-1], 0.95).value == 20
    assert find_threshold(np.arange(1, 20), 0.95) == Threshold(19, 0.95, 19)
    assert find_threshold(np.arange(1, 100), 0.9).value == 90


def test_too_few_images_say_how_many_are_needed():
    found = find_threshold([1.0, 5.0, 3.0], 0.95)
    assert found.value == 5
    assert found.note is not None
    assert "at least 19 are needed" in found.note


@pytest.mark.parametrize("quantile", [0.8, 0.9, 0.95])
def test_normal_images_pass_at_the_promised_rate(quantile):
    draw = np.random.default_rng(0)
    alarms = []
    for _ in range(4000):
        scores = draw.exponential(size=26)  # any distribution will do
        alarms.append(scores[-1] > find_threshold(scores[:-1], quantile).value)
    # At most 1 - q, and above 1 - q - 1 / 26; three standard errors of 4,000 draws.
    assert 1 - quantile - 1 / 26 - 0.019 < np.mean(alarms) < 1 - quantile + 0.019


def test_decisions_by_hand():
    found = decide(Threshold(2.0, 0.9, 10), [1, 2, 3, 1, 4, 5], [0, 0, 0, 1, 1, 1])
    assert (found.true_ng, found.false_ng, found.true_ok, found.false_ok) == (2, 1, 2, 1)
    assert (found.ng, found.ok) == (3, 3)
    assert found.f1 == pytest.approx(2 * 2 / (2 * 2 + 1 + 1))
    assert found.false_alarm_rate == pytest.approx(1 / 3)
    assert found.miss_rate == pytest.approx(1 / 3)


def test_rates_without_a_class_are_undefined():
    threshold = Threshold(2.0, 0.9, 10)
    normal, bad = decide(threshold, [1, 3], [0, 0]), decide(threshold, [1], [1])
    assert math.isnan(normal.f1) and math.isnan(normal.miss_rate)
    assert math.isnan(bad.false_alarm_rate)
    assert bad.f1 == 0


def test_what_cannot_be_decided_is_refused():
    with pytest.raises(DataError, match="no held-out normal images"):
        find_threshold([], 0.95)
    with pytest.raises(DivergedError, match="held-out"):
        find_threshold([1, math.nan], 0.95)
    with pytest.raises(ValueError, match="got 1"):
        find_threshold([1.0], 1.0)
    with pytest.raises(DivergedError, match="not finite"):
        decide(Threshold(2.0, 0.9, 10), [math.inf], [1])
    with pytest.raises(ValueError, match="must both be"):
        decide(Threshold(2.0, 0.9, 10), [1.0, 2.0], [1])
