"""Behavioural: copies are told from images that are only alike, at every scale of likeness."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from model.data.likeness import near_copies, thumbnail


def pictures(n: int, spread: float, seed: int = 0) -> list[Image.Image]:
    """One part, photographed n times: the photographs differ by about ``spread`` grey levels. They are
    smooth, as photographs are at the scale of their pixels."""
    rng = np.random.default_rng(seed)
    part = rng.uniform(60, 190, (8, 8))
    values = (part + rng.normal(0, spread, (n, 8, 8))).clip(0, 255).astype(np.uint8)
    return [Image.fromarray(v).resize((128, 128), Image.Resampling.BICUBIC).convert("RGB") for v in values]


def thumbnails(images: list[Image.Image]) -> np.ndarray:
    return np.stack([thumbnail(image) for image in images])


def as_jpeg(image: Image.Image) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=80)
    return Image.open(file)


COPIES = {
    "the same": lambda image: image,
    "as jpeg": as_jpeg,
    "half the size": lambda image: image.resize((64, 64), Image.Resampling.BILINEAR),
    "brighter": lambda image: image.point(lambda value: min(value + 12, 255)),
}


@pytest.mark.parametrize("spread", [4.0, 15.0])
@pytest.mark.parametrize("copy", COPIES.values(), ids=COPIES)
def test_copies_are_found_among_images_that_are_alike(
    copy: Callable[[Image.Image], Image.Image], spread: float
) -> None:
    train, others = pictures(12, spread)[:8], pictures(12, spread)[8:]
    test = thumbnails([*others, copy(train[5])])
    assert [(i, j) for i, j, _ in near_copies(test, thumbnails(train))] == [(4, 5)]


def test_nothing_is_a_copy_of_images_that_are_all_the_same() -> None:
    blank = [Image.new("RGB", (40, 40), (value, value, value)) for value in (0, 100, 200, 255)]
    assert list(near_copies(thumbnails(blank), thumbnails(blank))) == []


def test_without_training_images_there_is_nothing_to_find() -> None:
    some = thumbnails(pictures(2, 5.0))
    assert list(near_copies(some, some[:0])) == []
    assert list(near_copies(some[:0], some)) == []
    assert [(i, j) for i, j, _ in near_copies(some, some[:1])] == [(0, 0)]
