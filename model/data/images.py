"""Decoding images and masks, and saying which file it was when that fails. No torch here."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model.data.files import images_in
from model.data.samples import Sample
from model.errors import DataError

_DECODING_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
"""What Pillow's decoders raise on broken files."""


def _decode(path: Path, what: str) -> Image.Image:
    try:
        with Image.open(path) as image:
            image.load()
            return image
    except FileNotFoundError:
        raise DataError(f"{what} {path} does not exist") from None
    except _DECODING_ERRORS as error:
        raise DataError(f"cannot read {what} {path}: {error}") from None


def image_size(path: Path) -> tuple[int, int]:
    """(width, height) in pixels from the file's header; the pixels are not decoded."""
    try:
        with Image.open(path) as image:
            return image.size
    except FileNotFoundError:
        raise DataError(f"image {path} does not exist") from None
    except _DECODING_ERRORS as error:
        raise DataError(f"cannot read image {path}: {error}") from None


def open_image(path: Path) -> Image.Image:
    """An image file as RGB, see :func:`as_rgb`.

    The EXIF orientation is ignored, because masks are drawn on the stored pixels.
    Raises :class:`DataError` naming the file where it is missing, truncated or not an image.
    """
    return as_rgb(_decode(path, "image"), f"image {path}")


def as_rgb(image: Image.Image, name: str) -> Image.Image:
    """An image as RGB, 8 bits; grey images are repeated, transparency is dropped.

    16-bit images are scaled by 1/257 (Pillow's own conversion clips them to white).
    Raises :class:`DataError` calling it ``name`` where its pixels are neither.
    """
    if image.mode.startswith("I"):
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise DataError(f"{name} has values outside 0..65535", hint="convert it to 8 or 16 bits")
        image = Image.fromarray((values // 257).astype(np.uint8))
    elif image.mode == "F":
        raise DataError(f"{name} has floating-point pixels", hint="convert it to 8 or 16 bits")
    return image.convert("RGB")


def _mask_values(path: Path) -> NDArray[np.uint8]:
    """Grey values [h, w] of one mask file, 0 = normal.

    Kept as they are where they look like grey levels, so that resampling equals the reference.
    Where they are class indices (palettes, 16 bits, nothing above 127) any non-zero value becomes 255.
    """
    image = _decode(path, "mask")
    grey = image.mode in ("L", "1", "RGB", "RGBA", "LA")
    values = np.asarray(image.convert("L") if grey else image)
    if values.ndim != 2:
        raise DataError(f"mask {path} is not a grey image (mode {image.mode})")
    if not grey or values.max(initial=0) < 128:
        return np.where(values > 0, np.uint8(255), np.uint8(0))
    return values.astype(np.uint8)


def open_mask(sample: Sample, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """Grey values [h, w] of a sample's mask, 0 = normal; all 0 for a normal image.

    ``size`` is the image's (width, height), read from its header if not given.
    Raises :class:`DataError` where the mask is missing, unreadable or of another size than its image.
    """
    width, height = image_size(sample.image_path) if size is None else size
    if sample.label == 0:
        return np.zeros((height, width), np.uint8)
    if sample.mask_path is None:
        raise DataError(
            f"anomalous image {sample.image_path} has no mask",
            hint="pixel metrics need one; image metrics do not",
        )
    if not sample.mask_path.is_dir():
        return _checked(_mask_values(sample.mask_path), sample.mask_path, sample, (width, height))
    parts = images_in(sample.mask_path)
    if not parts:
        raise DataError(f"mask folder {sample.mask_path} is empty")
    union = np.zeros((height, width), np.uint8)
    for part in parts:
        union[_checked(_mask_values(part), part, sample, (width, height)) > 0] = 255
    return union


def _checked(
    values: NDArray[np.uint8], path: Path, sample: Sample, size: tuple[int, int]
) -> NDArray[np.uint8]:
    if values.shape != (size[1], size[0]):
        raise DataError(
            f"mask {path} is {values.shape[1]}x{values.shape[0]} pixels, "
            f"its image {sample.image_path} is {size[0]}x{size[1]}"
        )
    return values
