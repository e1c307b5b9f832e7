"""Behavioural: images and masks come upright, whatever way they are stored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.ExifTags import Base

from model.data.config import DataConfig
from model.data.dataset import Dataset, load_dataset
from model.data.hashing import content_hash, hash_file
from model.data.images import image_size, open_image, open_mask, orientation_of
from model.data.problems import find_problems
from model.data.samples import Sample
from model.errors import DataError
from tests.model.data import layouts

WIDTH, HEIGHT = 24, 16
BACK = {
    1: None, 2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_270,
}  # fmt: skip
"""From the upright picture to what a camera of that orientation stores (EXIF 2.32)."""


def scene() -> np.ndarray:
    """A horizontal streak in the upper left part [height, width]: no turning of it equals another."""
    values = np.zeros((HEIGHT, WIDTH), np.uint8)
    values[3:5, 2:18] = 255
    return values


def stored(path: Path, orientation: int, *, tagged: bool = True) -> Path:
    image = Image.fromarray(scene())
    turn = BACK[orientation]
    exif = Image.Exif()
    if tagged:
        exif[Base.Orientation] = orientation
    (image if turn is None else image.transpose(turn)).save(
        path, exif=exif, **({"compression": "tiff_lzw"} if path.suffix == ".tif" else {})
    )
    return path


def pair(image: Path, mask: Path) -> Sample:
    return Sample(image, mask, 1, "category", "test", "streak")


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_pair_is_read_upright(orientation: int, suffix: str, tmp_path: Path) -> None:
    image = stored(tmp_path / f"image{suffix}", orientation)
    mask = stored(tmp_path / f"mask{suffix}", orientation)
    assert image_size(image) == (WIDTH, HEIGHT)
    assert np.array_equal(np.asarray(open_image(image))[..., 0], scene())
    assert np.array_equal(open_mask(pair(image, mask)), scene())


@pytest.mark.parametrize("upright", [True, False])
@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_the_size_of_a_mask_tells_what_it_was_drawn_on(
    orientation: int, upright: bool, tmp_path: Path
) -> None:
    image = stored(tmp_path / "image.jpg", orientation)
    mask = stored(tmp_path / "mask.png", 1 if upright else orientation, tagged=False)
    assert orientation_of(image) == orientation
    assert np.array_equal(open_mask(pair(image, mask)), scene())


def test_a_mask_that_may_be_either_way_up_is_refused(tmp_path: Path) -> None:
    sample = pair(stored(tmp_path / "image.jpg", 3), stored(tmp_path / "mask.png", 1))
    with pytest.raises(DataError, match=r"EXIF orientation 3.*save the image upright"):
        open_mask(sample)


def load(root: Path) -> Dataset:
    config = DataConfig(dataset="mvtec", root=str(root))
    return load_dataset(config, cache_dir=root.parent / "cache")


def test_orientation_is_part_of_the_fingerprint_and_said_by_the_check(tmp_path: Path) -> None:
    root = layouts.mvtec(tmp_path / "data")
    path = root / "bottle/train/good/000.png"
    exif = Image.Exif()
    exif[Base.Orientation] = 1
    with Image.open(path) as image:
        pixels = image.copy()
    pixels.save(path, exif=exif)
    before = load(root)
    assert find_problems(before) == []
    assert hash_file(path) == content_hash(path)
    exif[Base.Orientation] = 6
    pixels.save(path, exif=exif)
    after = load(root)
    assert before.fingerprint != after.fingerprint
    assert hash_file(path) != content_hash(path)  # not what was computed of it as it is stored
    (problem,) = find_problems(after)
    assert (problem.path, problem.fatal) == (str(path), False)
    assert problem.message == "stored turned (EXIF orientation 6), read upright"
