"""Metrics of detectors.

Reference-checked: the values that the published implementation gave on its own maps
(``tests/data/metrics_reference.*``), scikit-learn's AUROC, average precision and precision-recall
curve, and two slow implementations below that share no code with the fast one.
Behavioural: matrices solvable by hand, invariances, undefined and broken inputs, memory.
"""

from __future__ import annotations

import json
import pickle
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import load_file
from scipy import integrate
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

from model.errors import DataError, DivergedError
from model.metric_names import IMAGE_METRICS, METRICS, PIXEL_METRICS
from model.metrics import (
    AUPRO_RECIPES,
    LIMITS,
    AuproRecipe,
    Metrics,
    evaluate,
)
from model.regions import label_regions

DATA = Path(__file__).parents[1] / "data"
Inputs = dict[str, Any]
"""Arguments of ``evaluate``."""


@pytest.fixture(scope="module")
def reference() -> Inputs:
    return load_file(DATA / "metrics_reference.safetensors")


@pytest.fixture(scope="module")
def published() -> dict[str, float]:
    return json.loads((DATA / "metrics_reference.json").read_text())


def draw(
    seed: int, *, decimals: int | None = None, dtype: Any = np.float32, n: int = 6, side: int = 24
) -> Inputs:
    """Noise with raised, partly touching defects; ``decimals`` makes ties."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((n, side, side), np.uint8)
    for index in range(n // 2):
        for _ in range(3):
            y, x = rng.integers(0, side - 6, 2)
            h, w = rng.integers(1, 6, 2)
            masks[index, y : y + h, x : x + w] = 1
    maps = rng.normal(size=masks.shape) + 1.0 * masks
    scores = maps.max(axis=(1, 2))
    if decimals is not None:
        maps, scores = maps.round(decimals), scores.round(decimals)
    return {
        "maps": maps.astype(dtype),
        "masks": masks,
        "labels": masks.any(axis=(1, 2)).astype(np.int64),
        "image_scores": scores.astype(dtype),
    }


# --- agreement with the published implementation -----------------------------------------------


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("image_auroc", "I_AUROC"),
        ("image_ap", "I_AP"),
        ("pixel_auroc", "P_AUROC"),
        ("pixel_ap", "P_AP"),
    ],
)
def test_published_values(reference: Inputs, published: dict[str, float], ours: str, theirs: str) -> None:
    assert evaluate(**reference)[ours] == pytest.approx(published[theirs], abs=1e-9, rel=0)


def test_published_aupro_with_its_200_thresholds(reference: Inputs, published: dict[str, float]) -> None:
    got = evaluate(**reference, aupro="reference200")["aupro"]
    assert got == pytest.approx(published["P_AUPRO_200_thresholds"], abs=1e-9, rel=0)


def test_exact_aupro_is_what_more_thresholds_converge_to(
    reference: Inputs, published: dict[str, float]
) -> None:
    coarse, fine = published["P_AUPRO_200_thresholds"], published["P_AUPRO_2000_thresholds"]
    exact = evaluate(**reference)["aupro"]
    assert coarse < fine < exact < fine + (fine - coarse)


def f1_max_with_eps(truth: np.ndarray, scores: np.ndarray) -> float:
    """The published F1-max: 1e-7 in the denominator keeps it below the true value."""
    precision, recall, _ = precision_recall_curve(truth, scores)
    return float((2 * precision * recall / (precision + recall + 1e-7)).max())


def test_f1_max_is_the_published_one_without_its_eps(
    reference: Inputs, published: dict[str, float]
) -> None:
    ours = evaluate(**reference)
    images = reference["labels"], reference["image_scores"]
    pixels = reference["masks"].reshape(-1), reference["maps"].reshape(-1)
    for name, key, (truth, scores) in (
        ("image_f1max", "I_F1max", images),
        ("pixel_f1max", "P_F1max", pixels),
    ):
        assert f1_max_with_eps(truth, scores) == pytest.approx(published[key], abs=1e-9, rel=0)
        assert 0 < ours[name] - published[key] < 1e-7
    assert ours["image_f1max"] == 0.8


# --- agreement with scikit-learn and with slow implementations ----------------------------------


def by_sklearn(truth: np.ndarray, scores: np.ndarray) -> tuple[float, float, float]:
    precision, recall, _ = precision_recall_curve(truth, scores)
    total = np.where(precision + recall > 0, precision + recall, 1)
    return (
        float(roc_auc_score(truth, scores)),
        float(average_precision_score(truth, scores)),
        float((2 * precision * recall / total).max()),
    )


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("decimals", [None, 1, 0], ids=["distinct", "ties", "many ties"])
@pytest.mark.parametrize("seed", range(3))
def test_sklearn_agrees(seed: int, decimals: int | None, dtype: Any) -> None:
    inputs = draw(seed, decimals=decimals, dtype=dtype)
    got = evaluate(**inputs)
    pixels = by_sklearn(inputs["masks"].reshape(-1), inputs["maps"].reshape(-1).astype(np.float64))
    images = by_sklearn(inputs["labels"], inputs["image_scores"].astype(np.float64))
    assert [got[name] for name in PIXEL_METRICS[:3]] == pytest.approx(pixels, abs=1e-12)
    assert [got[name] for name in IMAGE_METRICS] == pytest.approx(images, abs=1e-12)


def flood(mask: np.ndarray) -> list[list[tuple[int, int]]]:
    """8-connected regions of one mask, by flood fill."""
    left = {(int(y), int(x)) for y, x in zip(*np.nonzero(mask), strict=True)}
    found = []
    while left:
        edge, region = [left.pop()], []
        while edge:
            y, x = edge.pop()
            region.append((y, x))
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= near
            edge.extend(near)
        found.append(region)
    return found


def overlap_curve(inputs: Inputs, thresholds: np.ndarray, *, strict: bool) -> tuple[np.ndarray, np.ndarray]:
    """(FPR, mean region overlap) of each threshold, counted on binarised maps."""
    maps, masks = inputs["maps"], inputs["masks"]
    found = [(index, region) for index, mask in enumerate(masks) for region in flood(mask)]
    fpr, pro = [], []
    for threshold in thresholds:
        hit = maps > threshold if strict else maps >= threshold
        fpr.append(np.count_nonzero(hit & (masks == 0)) / np.count_nonzero(masks == 0))
        pro.append(np.mean([np.mean([hit[index][pixel] for pixel in region]) for index, region in found]))
    return np.array(fpr), np.array(pro)


def slow_aupro(inputs: Inputs, limit: float) -> float:
    """Every distinct score as a threshold, straight lines between, cut at ``limit``."""
    fpr, pro = overlap_curve(inputs, np.unique(inputs["maps"])[::-1], strict=False)
    fpr, pro = np.concatenate([[0], fpr]), np.concatenate([[0], pro])
    area = 0.0
    for x0, x1, y0, y1 in zip(fpr[:-1], fpr[1:], pro[:-1], pro[1:], strict=True):
        if x1 > x0 and x0 < limit:
            end = min(x1, limit)
            at_end = y0 + (y1 - y0) * (end - x0) / (x1 - x0)
            area += (end - x0) * (y0 + at_end) / 2
    return area / limit


def slow_reference200(inputs: Inputs, limit: float) -> float:
    low, high = inputs["maps"].min(), inputs["maps"].max()
    step = (high - low) / low.dtype.type(200)
    # Two thresholds in the scores' precision fix the spacing; the rest follow in float64.
    thresholds = [float(low) + k * (float(low + step) - float(low)) for k in range(200)]
    fpr, pro = overlap_curve(inputs, np.array(thresholds), strict=True)
    x, y = fpr[fpr < limit], pro[fpr < limit]
    order = np.argsort(x, kind="stable")
    return float(integrate.trapezoid(np.sort(y), x[order])) / float(x.max())


@pytest.mark.parametrize("decimals", [None, 1, 0], ids=["distinct", "ties", "many ties"])
@pytest.mark.parametrize("seed", range(3))
def test_exact_aupro_agrees_with_a_threshold_at_every_score(seed: int, decimals: int | None) -> None:
    inputs = draw(seed, decimals=decimals, side=16)
    got = evaluate(**inputs)
    for name, limit in LIMITS.items():
        assert got[name] == pytest.approx(slow_aupro(inputs, limit), abs=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("seed", range(3))
def test_reference200_agrees_with_binarised_maps(seed: int, dtype: Any) -> None:
    inputs = draw(seed, dtype=dtype)
    got = evaluate(**inputs, aupro="reference200")
    for name, limit in LIMITS.items():
        assert got[name] == pytest.approx(slow_reference200(inputs, limit), abs=1e-12)


# --- solvable by hand ---------------------------------------------------------------------------

# Two regions: pixels 0-1 and pixel 3. Normal pixels score 3, 2, 1, 0.
HAND: Inputs = {
    "maps": np.array([[[5.0, 1.5, 3.0, 2.5, 2.0, 1.0, 0.0]]]),
    "masks": np.array([[[1, 1, 0, 1, 0, 0, 0]]]),
    "labels": np.array([1]),
    "image_scores": np.array([5.0]),
}


def test_by_hand() -> None:
    got = evaluate(**HAND)
    # Above 5: no normal pixel; above 2.5: one of four; above 1.5: two of four.
    assert got["pixel_auroc"] == pytest.approx((1 + 3 / 4 + 2 / 4) / 3)
    assert got["pixel_ap"] == pytest.approx((1 / 1 + 2 / 3 + 3 / 5) / 3)
    assert got["pixel_f1max"] == pytest.approx(6 / 8)
    # Up to FPR 0.3: score 5 counts in full, 2.5 from FPR 0.25 on, 1.5 (from 0.5 on) not at all.
    assert got["aupro"] == pytest.approx((0.3 / 2 + 0.05) / 2 / 0.3)
    assert got["aupro_05"] == pytest.approx((0.05 / 2 + 0) / 2 / 0.05)


def test_a_tie_is_half_a_win() -> None:
    inputs = HAND | {"maps": np.where(HAND["maps"] == 2.5, 3.0, HAND["maps"])}
    got = evaluate(**inputs)
    assert got["pixel_auroc"] == pytest.approx((1 + 3.5 / 4 + 2 / 4) / 3)
    # Score 3 is found along a line from FPR 0 to 0.25: half of that stretch, all of 0.25 to 0.3.
    assert got["aupro"] == pytest.approx((0.3 / 2 + 0.25 / 2 + 0.05) / 2 / 0.3)
    # The limit 0.05 cuts the line at a fifth of its length and height.
    assert got["aupro_05"] == pytest.approx((0.05 / 2 + 0.05 * 0.2 / 2) / 2 / 0.05)


def test_all_scores_equal() -> None:
    inputs = draw(0) | {"maps": np.zeros((6, 24, 24), np.float32), "image_scores": np.ones(6)}
    got, share = evaluate(**inputs), inputs["masks"].mean()
    assert (got["image_auroc"], got["image_ap"], got["image_f1max"]) == (0.5, 0.5, pytest.approx(2 / 3))
    assert (got["pixel_auroc"], got["pixel_ap"]) == (0.5, pytest.approx(share))
    assert got["pixel_f1max"] == pytest.approx(2 * share / (1 + share))
    assert (got["aupro"], got["aupro_05"]) == (pytest.approx(0.15), pytest.approx(0.025))


def test_perfect_and_worst_detectors() -> None:
    inputs = draw(1)
    best = evaluate(
        **inputs | {"maps": inputs["masks"].astype(np.float32), "image_scores": inputs["labels"]}
    )
    assert list(best.values()) == pytest.approx([1] * 8)
    worst = evaluate(
        **inputs | {"maps": -inputs["masks"].astype(np.float32), "image_scores": -inputs["labels"]}
    )
    assert [worst[name] for name in ("image_auroc", "pixel_auroc", "aupro", "aupro_05")] == [0] * 4


def test_every_region_counts_the_same_in_aupro() -> None:
    masks = np.zeros((2, 8, 8), np.uint8)
    masks[0, 0:5, 0:5] = 1  # 25 pixels, all found
    masks[0, 7, 7] = 1  # one pixel, missed
    maps = np.zeros(masks.shape)
    maps[0, 0:5, 0:5] = 2
    maps[0, 7, 7] = -1
    got = evaluate(maps, masks, [1, 0], [1.0, 0.0])
    assert got["aupro"] == pytest.approx(0.5)
    assert got["pixel_auroc"] == pytest.approx(25 / 26)


# --- invariances --------------------------------------------------------------------------------

PROPERTY = settings(max_examples=60, deadline=None, derandomize=True)
SHAPE = (3, 4, 5)


@st.composite
def inputs_with_ties(draw: st.DrawFn) -> Inputs:
    maps = draw(hnp.arrays(np.float32, SHAPE, elements=st.integers(-4, 4).map(float)))
    masks = draw(hnp.arrays(np.uint8, SHAPE, elements=st.integers(0, 1)))
    masks[2] = 0
    assume(masks.any())
    labels = masks.any(axis=(1, 2)).astype(int)
    scores = draw(hnp.arrays(np.float64, 3, elements=st.integers(-2, 2).map(float)))
    return {"maps": maps, "masks": masks, "labels": labels, "image_scores": scores}


@PROPERTY
@given(inputs_with_ties())
def test_only_the_order_of_scores_matters(inputs: Inputs) -> None:
    stretched = inputs | {
        "maps": np.exp(inputs["maps"].astype(np.float64)),
        "image_scores": inputs["image_scores"] ** 3 - 7,
    }
    assert evaluate(**stretched) == evaluate(**inputs)


@PROPERTY
@given(inputs_with_ties(), st.permutations(range(3)))
def test_order_and_orientation_of_images_do_not_matter(inputs: Inputs, order: list[int]) -> None:
    shuffled = {name: array[order] for name, array in inputs.items()}
    for name in ("maps", "masks"):
        shuffled[name] = shuffled[name][:, ::-1].swapaxes(1, 2)
    got, expected = evaluate(**shuffled), evaluate(**inputs)
    assert list(got.values()) == pytest.approx(list(expected.values()), abs=1e-12)


@PROPERTY
@given(inputs_with_ties())
def test_slow_and_fast_agree_on_anything(inputs: Inputs) -> None:
    got = evaluate(**inputs)
    for name, limit in LIMITS.items():
        assert got[name] == pytest.approx(slow_aupro(inputs, limit), abs=1e-12)
    pixels = by_sklearn(inputs["masks"].reshape(-1), inputs["maps"].reshape(-1))
    assert [got[name] for name in PIXEL_METRICS[:3]] == pytest.approx(pixels, abs=1e-12)


def test_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = draw(2, decimals=1)
    expected = {recipe: evaluate(**inputs, aupro=recipe) for recipe in AUPRO_RECIPES}
    monkeypatch.setattr("model.metrics.BLOCK", 7)
    for recipe, values in expected.items():
        got = evaluate(**inputs, aupro=recipe)
        assert list(got.values()) == pytest.approx(list(values.values()), abs=1e-12)


def test_inputs_are_left_alone() -> None:
    inputs = draw(3)
    before = {name: array.copy() for name, array in inputs.items()}
    evaluate(**inputs)
    for name, array in inputs.items():
        np.testing.assert_array_equal(array, before[name])


# --- regions ------------------------------------------------------------------------------------


def test_regions_at_hand_change_nothing() -> None:
    inputs = draw(5)
    assert evaluate(**inputs, regions=label_regions(inputs["masks"])) == evaluate(**inputs)


def test_regions_of_other_masks_are_refused() -> None:
    inputs = draw(5)
    with pytest.raises(ValueError, match="other masks"):
        evaluate(**inputs, regions=label_regions(draw(6)["masks"]))


# --- undefined and broken inputs ----------------------------------------------------------------


def assert_undefined(got: Metrics, names: tuple[str, ...], reason: str) -> None:
    assert {name for name in METRICS if np.isnan(got[name])} == set(names) == set(got.reasons)
    assert all(reason in text for text in got.reasons.values())


def test_keys_and_their_order() -> None:
    got = evaluate(**draw(0))
    assert tuple(got) == METRICS
    assert got.reasons == {}
    assert got.notes == ()


def test_no_anomalous_image() -> None:
    inputs = draw(0)
    good = {name: array[3:] for name, array in inputs.items()}
    got = evaluate(**good)
    assert tuple(got) == METRICS
    assert {got.reasons[name] for name in IMAGE_METRICS} == {"none of the 3 images is anomalous"}
    assert {got.reasons[name] for name in PIXEL_METRICS} == {
        "none of the 1728 pixels is marked as a defect"
    }
    assert all(np.isnan(value) for value in got.values())


def test_no_normal_image_leaves_pixel_metrics_defined() -> None:
    bad = {name: array[:3] for name, array in draw(0).items()}
    assert_undefined(evaluate(**bad), IMAGE_METRICS, "none of the 3 images is normal")


def test_no_normal_pixel() -> None:
    inputs = draw(0)
    got = evaluate(inputs["maps"], np.ones_like(inputs["masks"]), np.ones(6), inputs["image_scores"])
    assert all(np.isnan(value) for value in got.values())
    assert "unmarked" in got.reasons["aupro"]


def test_no_images() -> None:
    got = evaluate(np.zeros((0, 4, 4)), np.zeros((0, 4, 4)), np.zeros(0), np.zeros(0))
    assert all(np.isnan(value) for value in got.values())
    assert got.reasons["image_ap"] == "there are no images"
    assert got.reasons["pixel_ap"] == "there are no pixels"


def test_empty_mask_of_an_anomalous_image_counts_as_normal_and_is_noted() -> None:
    inputs = draw(0)
    inputs["labels"][4] = 1
    got = evaluate(**inputs)
    inputs["labels"][4] = 0
    plain = evaluate(**inputs)
    assert [got[name] for name in PIXEL_METRICS] == [plain[name] for name in PIXEL_METRICS]
    assert got["image_auroc"] != plain["image_auroc"]
    assert "index 4" in got.notes[0]
    assert plain.notes == ()


def test_image_without_annotation_leaves_pixel_metrics_undefined() -> None:
    inputs = draw(0)
    inputs["labels"][4] = 1
    got = evaluate(**inputs, annotated=[True, True, True, True, False, True])
    assert_undefined(got, PIXEL_METRICS, "no pixel annotation, the first at index 4")
    # Normal images need no mask.
    inputs["labels"][4] = 0
    assert not evaluate(**inputs, annotated=inputs["labels"] == 1).reasons


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("labels", ["mixed", "all good"])
def test_maps_that_are_not_finite_are_refused_by_index(value: float, labels: str) -> None:
    inputs = draw(0)
    if labels == "all good":
        inputs["masks"][:], inputs["labels"][:] = 0, 0
    inputs["maps"][4, 3, 2] = value
    with pytest.raises(DivergedError, match=rf"map at index 4 holds {value}"):
        evaluate(**inputs)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_image_scores_that_are_not_finite_are_refused_by_index(value: float) -> None:
    inputs = draw(0)
    inputs["image_scores"][2] = value
    with pytest.raises(DivergedError, match=rf"score at index 2 is {value}"):
        evaluate(**inputs)


def test_contradictory_truth_is_refused() -> None:
    inputs = draw(0)
    with pytest.raises(DataError, match="index 0 is labelled normal, but its mask marks"):
        evaluate(**inputs | {"labels": np.zeros(6)})
    with pytest.raises(DataError, match="label at index 1 is 2"):
        evaluate(**inputs | {"labels": np.array([1, 2, 1, 0, 0, 0])})


def test_shapes_that_do_not_fit_are_refused() -> None:
    inputs = draw(0)
    with pytest.raises(ValueError, match="maps and masks"):
        evaluate(**inputs | {"maps": inputs["maps"][:, :-1]})
    with pytest.raises(ValueError, match="labels must have one entry"):
        evaluate(**inputs | {"labels": inputs["labels"][:-1]})
    with pytest.raises(ValueError, match="image_scores must have one entry"):
        evaluate(**inputs | {"image_scores": inputs["image_scores"][:-1]})
    with pytest.raises(ValueError, match="aupro must be one of"):
        evaluate(**inputs, aupro="reference100")  # type: ignore[arg-type]


def test_reference200_without_room_for_thresholds() -> None:
    inputs = draw(0)
    flat = inputs | {"maps": np.zeros((6, 24, 24))}
    assert_undefined(evaluate(**flat, aupro="reference200"), ("aupro", "aupro_05"), "leaves no room")
    # One pixel far above the rest: every threshold but the first lies between them.
    spiked = flat | {"maps": np.where(np.arange(576).reshape(24, 24) == 0, 1e6, inputs["masks"] * 0.0)}
    assert_undefined(evaluate(**spiked, aupro="reference200"), ("aupro", "aupro_05"), "fewer than two")


def test_reasons_survive_pickling() -> None:
    got = evaluate(**{name: array[3:] for name, array in draw(0).items()})
    copy = pickle.loads(pickle.dumps(got))
    assert copy.reasons == got.reasons
    assert tuple(copy) == METRICS


# --- memory -------------------------------------------------------------------------------------


@pytest.mark.parametrize("recipe", AUPRO_RECIPES)
@pytest.mark.parametrize(
    ("dtype", "share"),
    [
        (np.float16, 0.02),
        (np.float16, 0.5),
        (np.float32, 0.02),
        (np.float32, 0.5),
        (np.float32, 0.98),
        (np.float64, 0.98),
    ],
)
def test_peak_memory_is_below_four_times_the_maps(dtype: Any, share: float, recipe: AuproRecipe) -> None:
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(64, 128, 128)).astype(dtype)
    masks = np.zeros(maps.shape, np.uint8)
    masks[1:, : int(128 * share)] = 1
    labels = np.arange(64) > 0
    evaluate(maps[:2], masks[:2], labels[:2], labels[:2])  # imports and caches are not the metric's
    tracemalloc.start()
    try:
        evaluate(maps, masks, labels, labels.astype(float), aupro=recipe)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * maps.nbytes
