"""AUPIMO by hand, against a direct integration of its definition, and at its edges."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import trapezoid

from model.aupimo import aupimo
from model.errors import DataError, DivergedError

# One normal image of 10 x 10 pixels, scores 1 .. 100: each is 1 % of the normal pixels.
NORMAL = np.arange(1.0, 101.0).reshape(10, 10)
BOUNDS = (0.02, 0.32)
SPAN = math.log(16)


def one(pixels: list[float]) -> float:
    """AUPIMO of an image whose defect pixels have these scores."""
    bad, mask = np.zeros((10, 10)), np.zeros((10, 10), dtype=np.uint8)
    bad.flat[: len(pixels)], mask.flat[: len(pixels)] = pixels, 1
    masks = np.stack([np.zeros_like(mask), mask])
    return aupimo(np.stack([NORMAL, bad]), masks, [0, 1], bounds=BOUNDS).scores[1]


def test_pixels_above_all_normal_ones_have_recall_one():
    assert one([101, 500]) == pytest.approx(1)


def test_pixels_below_the_upper_bound_have_recall_zero():
    assert one([0.5, 68.5]) == 0  # 32 normal pixels score above 68.5


def test_a_pixel_counts_from_its_own_false_positive_rate_on():
    # Eight normal pixels are above 92.5: found for rates from .08 on, ln(.32 / .08) of ln 16.
    assert one([92.5]) == pytest.approx(0.5)
    assert one([92.5, 200]) == pytest.approx(0.75)


def test_a_tie_is_a_straight_line_in_the_rate():
    # 96 has 4 above and 5 at or above: found by halves on average between .04 and .05.
    inside = (0.01 - 0.04 * math.log(0.05 / 0.04)) / 0.01
    assert one([96]) == pytest.approx((inside + math.log(0.32 / 0.05)) / SPAN)


def test_a_tie_across_a_bound_counts_where_it_lies_inside():
    # All defect pixels tie with normal ones: 99 has 1 above and 2 at or above, all below L = .02.
    assert one([99]) == pytest.approx(1)
    assert one([100]) == pytest.approx(1)
    # 69 has 31 above and 32 at or above: half of the last hundredth, at rates of about U.
    assert one([69]) == pytest.approx(0.5 * 0.01 / 0.3167 / SPAN, rel=1e-2)


def test_constant_maps_are_the_chance_line():
    maps = np.ones((2, 10, 10))
    masks = np.zeros((2, 10, 10))
    masks[1, 3] = 1
    # T = F: the integral of dF is U - L.
    assert aupimo(maps, masks, [0, 1], bounds=BOUNDS).scores[1] == pytest.approx(0.30 / SPAN)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scores_match_a_numeric_integration_of_the_definition(dtype):
    draw = np.random.default_rng(0)
    maps = draw.standard_normal((9, 40, 40)).astype(dtype)
    labels = np.array([0, 1, 0, 0, 1, 0, 1, 0, 0])
    masks = np.zeros(maps.shape, dtype=bool)
    for i in np.flatnonzero(labels):
        masks[i, 5:20, 7:30] = True
        maps[i][masks[i]] += 2
    found = aupimo(maps, masks, labels, bounds=(1e-3, 1e-2))
    normal = np.sort(maps[labels == 0].ravel())
    rates = np.exp(np.linspace(math.log(1e-3), math.log(1e-2), 20001))
    # At rate F the threshold is the floor(F n)-th highest normal score: strictly above it is found.
    thresholds = normal[len(normal) - 1 - np.floor(rates * len(normal)).astype(int)]
    for i in np.flatnonzero(labels):
        recall = (maps[i][masks[i]][:, None] > thresholds).mean(0)
        expected = trapezoid(recall, np.log(rates)) / math.log(10)
        assert found.scores[i] == pytest.approx(expected, abs=2e-3)
    assert np.isnan(found.scores[labels == 0]).all()
    assert found.mean == pytest.approx(float(np.nanmean(found.scores)))


def test_an_anomalous_image_without_a_mask_has_no_score():
    maps = np.stack([NORMAL, NORMAL + 200, NORMAL + 200])
    masks = np.zeros((3, 10, 10))
    masks[1, 0] = 1
    found = aupimo(maps, masks, [0, 1, 1], bounds=BOUNDS)
    assert found.scores[1] == pytest.approx(1)
    assert math.isnan(found.scores[2])
    assert found.mean == pytest.approx(1)


def test_too_few_normal_pixels_have_a_reason():
    maps, masks = np.zeros((2, 10, 10)), np.zeros((2, 10, 10))
    masks[1, 0] = 1
    found = aupimo(maps, masks, [0, 1])
    assert found.reason is not None
    assert "at least 100000 are needed" in found.reason
    assert math.isnan(found.mean)


def test_no_defects_have_a_reason():
    assert aupimo(np.zeros((1, 400, 400)), np.zeros((1, 400, 400)), [0]).reason == (
        "no image has a marked defect"
    )


def test_what_cannot_be_scored_is_refused():
    maps, masks = np.stack([NORMAL, NORMAL]), np.zeros((2, 10, 10))
    masks[1, 0] = 1
    with pytest.raises(DataError, match="index 1 is normal"):
        aupimo(maps, masks, [0, 0], bounds=BOUNDS)
    with pytest.raises(ValueError, match="bounds"):
        aupimo(maps, masks, [0, 1], bounds=(0.1, 0.1))
    with pytest.raises(ValueError, match="do not fit"):
        aupimo(maps, masks, [0], bounds=BOUNDS)
    maps[0, 0, 0] = np.nan
    with pytest.raises(DivergedError, match="index 0"):
        aupimo(maps, masks, [0, 1], bounds=BOUNDS)
