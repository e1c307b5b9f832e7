"""Mechanism rows and detection by stratum.

Behavioural, on drawn defects whose answers are known; the detection rows must equal
``model.metrics.evaluate`` on the images they claim to be about.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from model.errors import DivergedError
from model.metric_names import STRATUM_METRICS
from model.metrics import evaluate
from model.strata import ALL, STRATA, stratify
from model.stratum_scores import Row, detection, mechanism
from tests.model.test_strata import SIDE, bar, dataset, disc, empty, textured


def values(rows: list[Row]) -> dict[tuple[str, str], float]:
    found = {(row.stratum, row.metric): row.value for row in rows}
    assert len(found) == len(rows)
    assert all(math.isnan(row.value) == bool(row.reason) for row in rows)
    return found


def test_mechanism_by_hand() -> None:
    # 2 x 2 tokens of 4 x 4 pixels. Image 0: a bar of 4 pixels in token (0, 0), 2 in token (0, 1).
    masks = np.zeros((2, 8, 8), np.uint8)
    masks[0, 1, 0:6] = 1
    distance = np.array([[[0.5, 0.2], [0.04, 0.06]], [[0.01, 0.02], [0.03, 0.04]]])
    rng = np.random.default_rng(0)
    strata = stratify(rng.normal(size=masks.shape) + 9.0 * masks, masks)
    got = values(mechanism(distance, masks, strata))
    defect = (4 * 0.5 + 2 * 0.2) / 6
    assert got[ALL, "token_distance_defect"] == pytest.approx(defect)
    assert got[ALL, "token_distance_normal"] == pytest.approx((0.04 + 0.06 + 0.1) / 6)
    assert got[ALL, "token_distance_gap"] == pytest.approx(defect - 0.2 / 6)
    # A stratum sees the normal tokens of its own images only.
    assert got["orientation=horizontal", "token_distance_normal"] == pytest.approx(0.05)
    assert got["orientation=horizontal", "token_distance_gap"] == pytest.approx(defect - 0.05)
    assert got["orientation=horizontal", "defects"] == 1
    assert math.isnan(got["orientation=vertical", "token_distance_gap"])
    assert got["orientation=vertical", "defects"] == 0


def test_mechanism_separates_strata_of_one_image() -> None:
    mask = bar(20, 10, 4, 100) + bar(50, 60, 60, 4)
    distance = np.full((1, 8, 8), 0.1)
    distance[0, 1] = 0.4  # the row of tokens that holds the horizontal bar
    strata = stratify([textured(mask, 6)], mask[None])
    got = values(mechanism(distance, mask[None], strata))
    assert got["orientation=horizontal", "token_distance_defect"] == pytest.approx(0.4)
    assert got["orientation=vertical", "token_distance_defect"] == pytest.approx(0.1)
    assert got[ALL, "defects"] == 2


def test_mechanism_where_tokens_do_not_divide_the_map() -> None:
    # 28 tokens on 128 pixels: the distance of a token is found again by every pixel inside it.
    rng = np.random.default_rng(0)
    distance = rng.random((1, 28, 28))
    mask = (rng.random((SIDE, SIDE)) < 0.01).astype(np.uint8)
    strata = stratify([textured(mask, 6)], mask[None])
    got = values(mechanism(distance, mask[None], strata))
    nearest = distance[0][np.ix_(np.arange(SIDE) * 28 // SIDE, np.arange(SIDE) * 28 // SIDE)]
    assert got[ALL, "token_distance_defect"] == pytest.approx(nearest[mask == 1].mean())
    clean = [
        distance[0, y, x]
        for y in range(28)
        for x in range(28)
        if not mask[math.ceil(y * SIDE / 28) : math.ceil((y + 1) * SIDE / 28)][
            :, math.ceil(x * SIDE / 28) : math.ceil((x + 1) * SIDE / 28)
        ].any()
    ]
    assert got[ALL, "token_distance_normal"] == pytest.approx(np.mean(clean))


def test_mechanism_of_good_images_only() -> None:
    masks = np.zeros((2, 8, 8))
    got = mechanism(np.full((2, 4, 4), 0.25), masks, stratify(np.zeros((2, 8, 8)), masks))
    by_name = values(got)
    assert by_name[ALL, "token_distance_normal"] == 0.25
    assert math.isnan(by_name[ALL, "token_distance_defect"])
    assert {row.reason for row in got if math.isnan(row.value)} == {"no defect of this kind"}


def test_mechanism_without_a_normal_token() -> None:
    masks = np.ones((1, 4, 4))
    got = mechanism(np.full((1, 2, 2), 0.25), masks, stratify(np.zeros((1, 4, 4)), masks))
    assert values(got)[ALL, "token_distance_defect"] == 0.25
    assert "no token is free of defects" in {row.reason for row in got if row.stratum == ALL}


def test_mechanism_leaves_out_images_without_annotation() -> None:
    masks = np.zeros((2, 8, 8))
    distance = np.stack([np.full((2, 2), 0.1), np.full((2, 2), 9.0)])
    strata = stratify(np.zeros((2, 8, 8)), masks)
    got = values(mechanism(distance, masks, strata, annotated=[True, False]))
    assert got[ALL, "token_distance_normal"] == pytest.approx(0.1)


def test_mechanism_refuses_what_does_not_fit() -> None:
    data = dataset()
    strata = stratify(data["images"], data["masks"])
    distance = np.zeros((5, 8, 8), np.float32)
    with pytest.raises(ValueError, match="other masks"):
        mechanism(distance, data["masks"][::-1], strata)
    with pytest.raises(ValueError, match="does not fit"):
        mechanism(distance[:4], data["masks"], strata)
    with pytest.raises(ValueError, match="does not fit"):
        mechanism(np.zeros((5, 200, 8)), data["masks"], strata)
    distance[3, 0, 0] = np.nan
    with pytest.raises(DivergedError, match="index 3"):
        mechanism(distance, data["masks"], strata)


# --- detection ----------------------------------------------------------------------------------


def test_detection_is_evaluation_on_the_stratum_and_all_good_images() -> None:
    data = dataset()
    strata = stratify(data["images"], data["masks"])
    rng = np.random.default_rng(1)
    maps = rng.normal(size=data["masks"].shape) + 1.0 * data["masks"]
    scores = rng.normal(size=5) + data["labels"]
    rows = detection(maps, data["masks"], data["labels"], scores, strata)
    got = values(rows)
    for stratum, bad in {
        "orientation=horizontal": [0],
        "orientation=vertical": [1],
        "orientation=none": [4],
        "faintness=faint": [0, 4],
        "brokenness=solid": [1, 4],
        "faint+broken+horizontal": [0],
    }.items():
        index = sorted([*bad, 2, 3])
        expected = evaluate(maps[index], data["masks"][index], data["labels"][index], scores[index])
        assert [got[stratum, name] for name in STRATUM_METRICS] == [
            expected[name] for name in STRATUM_METRICS
        ]
        assert got[stratum, "images"] == len(bad)
    assert {row.stratum for row in rows} == set(STRATA)


def test_detection_names_why_a_stratum_has_no_value() -> None:
    masks = np.stack([disc(64, 64, 10), empty()])
    images = np.stack([textured(mask, 6) for mask in masks])
    strata = stratify(images, masks)
    rows = detection(masks * 1.0, masks, np.array([1, 0]), np.array([1.0, 0.0]), strata)
    got = values(rows)
    assert got["orientation=none", "image_auroc"] == 1.0
    assert {row.reason for row in rows if row.stratum == "brokenness=broken" and math.isnan(row.value)} == {
        "no image of this kind"
    }
    bad = detection(masks[:1] * 1.0, masks[:1], np.array([1]), np.array([1.0]), strata.select([0]))
    assert any(row.reason == "none of the 1 images is normal" for row in bad)
