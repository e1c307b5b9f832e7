"""Pixel metrics from stored score histograms.

Reference-checked: ``model.metrics.evaluate`` on the maps themselves, on subsets of their images too.
Behavioural: the errors and the size that the defaults promise, storage, undefined and broken inputs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from model.errors import DataError
from model.metrics import PIXEL_METRICS, evaluate, regions
from model.score_histograms import ScoreHistograms, count_scores, load_histograms, ranking_metrics

Arrays = dict[str, np.ndarray[Any, Any]]


def draw(
    seed: int, n: int = 8, side: int = 32, *, decimals: int | None = None, tail: float = 0.0
) -> Arrays:
    """Smoothed noise, raised on defects in half of the images; ``tail`` makes a few scores huge."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((n, side, side), np.uint8)
    for index in range(n // 2):
        for _ in range(2):
            y, x = rng.integers(0, side - 8, 2)
            h, w = rng.integers(2, 8, 2)
            masks[index, y : y + h, x : x + w] = 1
    maps = ndimage.gaussian_filter(rng.normal(size=masks.shape) + 0.6 * masks, (0, 2, 2))
    maps = np.exp(tail * maps) if tail else maps
    if decimals is not None:
        maps = maps.round(decimals)
    return {"maps": maps.astype(np.float32), "masks": masks}


def exact(data: Arrays, images: Any = slice(None)) -> dict[str, float]:
    masks = data["masks"][images]
    labels = masks.any(axis=(1, 2)).astype(int)
    values = evaluate(data["maps"][images], masks, labels, np.zeros(len(masks)))
    return {name: values[name] for name in PIXEL_METRICS}


def counted(data: Arrays, bins: int = 4096) -> ScoreHistograms:
    return count_scores(data["maps"], data["masks"], regions(data["masks"]), bins)


def test_exact_where_every_score_has_its_own_bin() -> None:
    data = draw(0, decimals=2)
    values = counted(data).metrics()
    for name, value in exact(data).items():
        assert values[name][0] == pytest.approx(value, abs=1e-12), name


@pytest.mark.parametrize("tail", [0.0, 12.0])
def test_errors_promised_by_the_bins(tail: float) -> None:
    data = draw(1, n=16, side=128, tail=tail)
    truth = exact(data)
    allowed = {4096: (1e-4, 0.02), 1024: (1e-3, 0.1)}
    for bins, (area, ranking) in allowed.items():
        values = counted(data, bins).metrics()
        off = {name: 100 * abs(values[name][0] - truth[name]) for name in PIXEL_METRICS}
        assert off["pixel_auroc"] < area
        assert off["aupro"] < 10 * area and off["aupro_05"] < 30 * area
        assert off["pixel_ap"] < ranking and off["pixel_f1max"] < ranking


def test_leave_one_out_is_what_the_other_images_give() -> None:
    data = draw(2, decimals=2)
    histograms = counted(data)
    fast = histograms.leave_one_out()
    weighted = histograms.metrics(1.0 - np.eye(8))
    for left_out in range(8):
        slow = exact(data, [i for i in range(8) if i != left_out])
        for name in PIXEL_METRICS:
            assert fast[name][left_out] == pytest.approx(slow[name], abs=1e-12)
            assert weighted[name][left_out] == pytest.approx(slow[name], abs=1e-12)


def test_a_weight_is_a_repeated_image() -> None:
    data = draw(3, decimals=2)
    counts = np.array([[2, 0, 1, 3, 1, 0, 2, 1]])
    repeated = np.repeat(np.arange(8), counts[0])
    values, truth = counted(data).metrics(counts), exact(data, repeated)
    for name in PIXEL_METRICS:
        assert values[name][0] == pytest.approx(truth[name], abs=1e-12)


def test_many_weightings_are_worked_on_in_blocks() -> None:
    histograms = counted(draw(4), bins=64)
    weights = np.random.default_rng(0).poisson(1.0, (70, 8))
    together = histograms.metrics(weights)
    for name in PIXEL_METRICS:
        alone = [histograms.metrics(row[None])[name][0] for row in weights[[0, 31, 32, 69]]]
        np.testing.assert_allclose(together[name][[0, 31, 32, 69]], alone)


def test_undefined_without_a_class() -> None:
    histograms = counted(draw(5))
    weights = np.array([[0, 0, 0, 0, 1, 1, 1, 1], [0] * 8], dtype=float)
    assert all(np.isnan(values).all() for values in histograms.metrics(weights).values())
    one_bad = count_scores(
        np.random.default_rng(0).random((3, 8, 8)).astype(np.float32),
        masks := np.eye(8, dtype=np.uint8)[None] * np.array([0, 1, 0], np.uint8)[:, None, None],
        regions(masks),
    ).leave_one_out()
    for values in one_bad.values():
        np.testing.assert_array_equal(np.isnan(values), [False, True, False])


def test_ranking_metrics_by_hand() -> None:
    # Ascending bins: a normal below, a tie of one each, an anomaly on top.
    auroc, ap, f1 = ranking_metrics(np.array([[1.0, 1, 0]]), np.array([[0.0, 1, 1]]))
    assert auroc[0] == pytest.approx((1 + 1 + 1 + 0.5) / 4)
    assert ap[0] == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert f1[0] == pytest.approx(2 * 2 / (3 + 2))


def test_storage_returns_the_counts_and_is_small(tmp_path: Path) -> None:
    data = draw(6, n=12, side=256)
    histograms = counted(data)
    histograms.save(tmp_path / "counts.npz")
    back = load_histograms(tmp_path / "counts.npz")
    np.testing.assert_array_equal(back.edges, histograms.edges)
    np.testing.assert_array_equal(back.normal, histograms.normal)
    np.testing.assert_array_equal(back.defect, histograms.defect)
    np.testing.assert_array_equal(back.image, histograms.image)
    assert back.normal.sum() + back.defect.sum() == data["maps"].size
    # 47 kB, of which 15 are the edges; the maps themselves take 3.1 MB.
    assert (tmp_path / "counts.npz").stat().st_size < 50_000


@pytest.mark.parametrize("masked", [False, True])
def test_one_class_and_constant_maps_are_counted(masked: bool, tmp_path: Path) -> None:
    masks = np.full((2, 4, 4), int(masked), np.uint8)
    histograms = count_scores(np.ones((2, 4, 4), np.float32), masks, regions(masks))
    assert histograms.normal.sum() + histograms.defect.sum() == 32
    assert np.isnan(histograms.metrics()["pixel_auroc"]).all()
    histograms.save(tmp_path / "x.npz")
    assert load_histograms(tmp_path / "x.npz").normal.shape == histograms.normal.shape


def test_inputs_that_do_not_fit() -> None:
    data = draw(7)
    with pytest.raises(ValueError, match="other masks"):
        count_scores(data["maps"], data["masks"], regions(data["masks"][::-1]))
    with pytest.raises(ValueError, match="do not fit"):
        count_scores(data["maps"][:4], data["masks"], regions(data["masks"]))
    with pytest.raises(ValueError, match="weights must be"):
        counted(data).metrics(np.ones((1, 3)))
    with pytest.raises(ValueError, match="negative"):
        counted(data).metrics(-np.ones((1, 8)))


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.npz").write_bytes(b"PK nothing")
    with pytest.raises(DataError, match=r"broken\.npz"):
        load_histograms(tmp_path / "broken.npz")
    with pytest.raises(DataError, match=r"missing\.npz"):
        load_histograms(tmp_path / "missing.npz")
