"""Reference-checked: preprocessing equals the published implementation's tensors, bit for bit.
Reference-checked: odd margins and nearest sampling against torchvision and torch themselves.
Behavioural: image modes, mask encodings, and the one-line errors of broken files.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file
from torchvision.transforms import v2

from model.config import ImageConfig, ModelConfig, ScoreConfig
from model.data.images import image_size, open_image, open_mask
from model.data.samples import Sample
from model.data.transforms import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    load_image,
    load_mask,
    to_map_size,
    view_at_map_size,
)
from model.errors import DataError
from model.ground_truth import grey_image
from model.thumbnails import thumbnail
from tests.model.data import layouts

REFERENCE = Path(__file__).parents[2] / "data/preprocessing.safetensors"


def sample(image: Path, mask: Path | None, label: int = 1) -> Sample:
    return Sample(image, mask, label, "c", "test", "crack" if label else "good")


@pytest.mark.parametrize("case", ["a", "b"])
def test_equals_the_reference(tmp_path: Path, case: str) -> None:
    stored = load_file(REFERENCE)
    image, mask = tmp_path / "image.png", tmp_path / "mask.png"
    Image.fromarray(stored[f"{case}.image_uint8"]).save(image)
    Image.fromarray(stored[f"{case}.mask_uint8"]).save(mask)
    config, score = ImageConfig(resize=(128, 128), crop=(112, 112)), ScoreConfig(map_size=64)
    np.testing.assert_array_equal(load_image(image, config).numpy(), stored[f"{case}.network_input"])
    np.testing.assert_array_equal(
        load_mask(sample(image, mask), config, score), stored[f"{case}.mask_binary"][0]
    )
    # At the crop's own size nothing is resampled: the cropped grey mask itself, thresholded.
    cropped = stored[f"{case}.mask_cropped"][0]
    full = ScoreConfig(map_size=112)
    np.testing.assert_array_equal(load_mask(sample(image, mask), config, full), cropped > 0)
    half = ScoreConfig(map_size=112, mask_threshold="half")
    np.testing.assert_array_equal(load_mask(sample(image, mask), config, half), cropped > 0.5)
    assert ((cropped > 0) != (cropped > 0.5)).any(), "the two thresholds must differ to be told apart"


@pytest.mark.parametrize(
    ("resize", "crop"),
    [((37, 52), (30, 41)), ((33, 33), (28, 28)), ((35, 40), (32, 33)), ((20, 20), (20, 20))],
)
def test_equals_torchvision(tmp_path: Path, resize: tuple[int, int], crop: tuple[int, int]) -> None:
    path = layouts.picture(tmp_path / "image.png", (61, 47))
    ours = load_image(path, ImageConfig(resize=resize, crop=crop))
    theirs = v2.Compose(
        [
            v2.Resize(resize),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.CenterCrop(crop),
            v2.Normalize(IMAGENET_MEAN, IMAGENET_STD),
        ]
    )(Image.open(path))
    assert ours.shape == (3, *crop)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


@pytest.mark.parametrize("side", [28, 17, 40])
def test_what_is_shown_and_measured_is_what_the_network_sees(tmp_path: Path, side: int) -> None:
    """Gallery, grey image of the strata and network input agree pixel for pixel, odd margins included."""
    path = layouts.picture(tmp_path / "image.png", (61, 47))
    config = ImageConfig(resize=(33, 35), crop=(28, 28))  # margins 2.5 and 3.5: to even, 2 and 4
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    seen = (load_image(path, config) * std + mean)[None]
    seen = torch.nn.functional.interpolate(seen, size=(side, side), mode="bilinear")[0].permute(1, 2, 0)
    view = view_at_map_size(open_image(path), config, side)
    np.testing.assert_allclose(view, seen.numpy(), atol=1e-6)
    shown = thumbnail(sample(path, None, 0), ModelConfig(image=config, score=ScoreConfig(map_size=side)))
    np.testing.assert_array_equal(shown, np.round(view * 255).astype(np.uint8))
    np.testing.assert_array_equal(grey_image(sample(path, None, 0), config, side), view.mean(axis=2))
    if side == 28:  # nothing is resampled: the pixels themselves
        resized = np.asarray(Image.open(path).convert("RGB").resize((35, 33), Image.Resampling.BILINEAR))
        np.testing.assert_array_equal(shown, resized[2:30, 4:32])


@pytest.mark.parametrize(("crop", "size"), [(28, 16), (30, 64), (392, 256), (33, 33), (100, 7)])
def test_nearest_equals_torch(crop: int, size: int) -> None:
    values = np.random.default_rng(0).integers(0, 2, (crop, crop), dtype=np.uint8) * 255
    ours = to_map_size(
        values, ImageConfig(resize=(crop, crop), crop=(crop, crop)), ScoreConfig(map_size=size)
    )
    theirs = torch.nn.functional.interpolate(torch.from_numpy(values)[None, None].float(), size=size)
    np.testing.assert_array_equal(ours, theirs[0, 0].numpy() > 0)


def test_thin_streaks_survive_the_reference_threshold_only(tmp_path: Path) -> None:
    image = layouts.picture(tmp_path / "i.png", (64, 64))
    mask = layouts.mask(tmp_path / "m.png", (64, 64), (8, 30, 56, 31))
    config = ImageConfig(resize=(16, 16), crop=(16, 16))
    assert load_mask(sample(image, mask), config, ScoreConfig(map_size=16)).any()
    assert not load_mask(sample(image, mask), config, ScoreConfig(map_size=16, mask_threshold="half")).any()


@pytest.mark.parametrize(
    ("mode", "convert"),
    [
        ("L", lambda grey: grey),
        ("RGBA", lambda grey: np.dstack([grey] * 3 + [np.full_like(grey, 9)])),
        ("I;16", lambda grey: grey.astype(np.uint16) * 257),
    ],
)
def test_grey_transparent_and_16_bit_images_read_alike(
    tmp_path: Path, mode: str, convert: Callable[[np.ndarray], np.ndarray]
) -> None:
    grey = np.random.default_rng(1).integers(0, 256, (9, 7), dtype=np.uint8)
    image = Image.fromarray(convert(grey))
    assert image.mode == mode
    image.save(tmp_path / "image.png")
    read = open_image(tmp_path / "image.png")
    assert read.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(read), np.dstack([grey] * 3))


def encoded(binary: np.ndarray, kind: str) -> Image.Image:
    if kind == "palette":
        image = Image.fromarray(binary.astype(np.uint8))
        image.putpalette([0, 0, 0, 0, 0, 128])  # the defect's colour is a dark blue
        return image
    if kind == "bits":
        return Image.fromarray(binary)
    if kind == "index":
        return Image.fromarray(binary.astype(np.uint8) * 3)
    if kind == "16 bits":
        return Image.fromarray(binary.astype(np.uint16) * 200)
    return Image.fromarray(np.dstack([binary.astype(np.uint8) * 255] * 3))


@pytest.mark.parametrize("kind", ["palette", "bits", "index", "16 bits", "colour"])
def test_masks_of_every_encoding_read_alike(tmp_path: Path, kind: str) -> None:
    image = layouts.picture(tmp_path / "i.png")
    binary = np.zeros((10, 12), bool)
    binary[3:6, 2:9] = True
    encoded(binary, kind).save(tmp_path / "m.png")
    np.testing.assert_array_equal(open_mask(sample(image, tmp_path / "m.png")), binary * 255)


def test_a_folder_of_masks_is_their_union(tmp_path: Path) -> None:
    root = layouts.loco(tmp_path)
    image = root / "juice_bottle/test/logical_anomalies/000.png"
    values = open_mask(sample(image, root / "juice_bottle/ground_truth/logical_anomalies/000"))
    expected = np.zeros((10, 12), np.uint8)
    expected[0:3, 0:3] = 255
    expected[6:10, 8:12] = 255
    np.testing.assert_array_equal(values, expected)


def test_normal_images_have_an_empty_mask(tmp_path: Path) -> None:
    image = layouts.picture(tmp_path / "i.png")
    assert not open_mask(sample(image, None, 0)).any()
    mask = load_mask(sample(image, None, 0), ImageConfig(), ScoreConfig(map_size=32))
    assert mask.shape == (32, 32)
    assert mask.dtype == np.uint8
    assert not mask.any()


def test_broken_files_are_named(tmp_path: Path) -> None:
    whole = layouts.picture(tmp_path / "whole.png", (64, 64))
    (tmp_path / "cut.png").write_bytes(whole.read_bytes()[:2000])
    (tmp_path / "text.jpg").write_text("not an image")
    layouts.mask(tmp_path / "small.png", (6, 6), (1, 1, 3, 3))
    for name in ("cut.png", "text.jpg", "absent.png"):
        with pytest.raises(DataError, match=name) as caught:
            open_image(tmp_path / name)
        assert "\n" not in str(caught.value)
    for name in ("text.jpg", "absent.png"):
        with pytest.raises(DataError, match=name):
            image_size(tmp_path / name)
    with pytest.raises(DataError, match=r"small\.png is 6x6 pixels, its image .*whole\.png is 64x64"):
        open_mask(sample(whole, tmp_path / "small.png"))
    with pytest.raises(DataError, match=r"mask .*cut\.png"):
        open_mask(sample(whole, tmp_path / "cut.png"))
    with pytest.raises(DataError, match=r"whole\.png has no mask"):
        open_mask(sample(whole, None))
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match=r"mask folder .*none is empty"):
        open_mask(sample(whole, tmp_path / "none"))


def test_floating_point_images_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((4, 4), np.float32)).save(tmp_path / "f.tif")
    with pytest.raises(DataError, match=r"f\.tif has floating-point pixels"):
        open_image(tmp_path / "f.tif")
