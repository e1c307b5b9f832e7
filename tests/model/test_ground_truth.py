"""Behavioural: masks, regions and strata are worked out once, stored whole, and come back equal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import model.ground_truth
from model.config import ModelConfig
from model.data.samples import Sample
from model.errors import DataError
from model.ground_truth import GroundTruth, load_truth
from tests.model.tiny_model import dataset_of, tiny_config

CONFIG = tiny_config({"image.resize": [64, 64], "image.crop": [64, 64], "score.map_size": 64})


@pytest.fixture
def samples(tmp_path: Path) -> tuple[Sample, ...]:
    """A normal image, one with a broken dark streak, and one defect without a mask."""
    rng = np.random.default_rng(0)
    image = (140 + 6 * rng.standard_normal((64, 64))).astype(np.uint8)
    Image.fromarray(image).save(tmp_path / "good.png")
    mask = np.zeros((64, 64), np.uint8)
    mask[30:33, 6:20] = mask[30:33, 28:40] = mask[30:33, 46:58] = 255
    Image.fromarray(np.where(mask > 0, 40, image).astype(np.uint8)).save(tmp_path / "bad.png")
    Image.fromarray(mask).save(tmp_path / "mask.png")
    return (
        Sample(tmp_path / "good.png", None, 0, "c", "test", "good"),
        Sample(tmp_path / "bad.png", tmp_path / "mask.png", 1, "c", "test", "streak"),
        Sample(tmp_path / "bad.png", None, 1, "c", "test", "unmarked"),
    )


def truth_of(
    samples: tuple[Sample, ...], config: ModelConfig, folder: Path, fingerprint: str
) -> GroundTruth:
    dataset = dataset_of(samples, folder, fingerprint)
    return load_truth(dataset, "c", config, cache_dir=folder / "cache")


def test_truth_of_a_broken_streak(samples, tmp_path: Path):
    truth = truth_of(samples, CONFIG, tmp_path, "d")
    assert truth.labels.tolist() == [0, 1, 1]
    assert truth.annotated.tolist() == [True, True, False]
    assert truth.masks.sum(axis=(1, 2)).tolist() == [0, 3 * 38, 0]
    assert truth.regions.count == 3
    (streak,) = truth.strata.traits
    assert (streak.orientation, streak.brokenness, streak.faintness) == ("horizontal", "broken", "clear")
    assert streak.pieces == 3


def test_a_second_look_reads_the_cache(samples, tmp_path: Path, monkeypatch):
    first = truth_of(samples, CONFIG, tmp_path, "d")
    monkeypatch.setattr(model.ground_truth, "load_mask", None)
    again = truth_of(samples, CONFIG, tmp_path, "d")
    assert np.array_equal(first.masks, again.masks)
    assert first.strata.traits == again.strata.traits
    part = again.select(np.array([1]))
    assert part.masks.shape == (1, 64, 64)
    assert part.regions.count == 3


def test_a_damaged_cache_is_worked_out_again(samples, tmp_path: Path):
    first = truth_of(samples, CONFIG, tmp_path, "d")
    (stored,) = (tmp_path / "cache").rglob("*.npz")
    stored.write_bytes(stored.read_bytes()[:100])
    again = truth_of(samples, CONFIG, tmp_path, "d")
    assert np.array_equal(first.masks, again.masks)


def test_other_contents_or_sizes_are_another_truth(samples, tmp_path: Path):
    truth_of(samples, CONFIG, tmp_path, "d")
    truth_of(samples, CONFIG, tmp_path, "e")
    small = tiny_config({"image.resize": [64, 64], "image.crop": [64, 64], "score.map_size": 32})
    assert truth_of(samples, small, tmp_path, "d").masks.shape[1] == 32
    assert len(list((tmp_path / "cache").rglob("*.npz"))) == 3


def test_a_mask_of_another_size_is_named(samples, tmp_path: Path):
    Image.fromarray(np.zeros((10, 10), np.uint8)).save(tmp_path / "mask.png")
    with pytest.raises(DataError, match=r"mask\.png"):
        truth_of(samples, CONFIG, tmp_path, "d")
