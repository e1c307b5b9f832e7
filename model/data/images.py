"""Decoding images and masks, and saying which file it was when that fails. No torch here.

Every image is brought upright, as its EXIF orientation says: what is horizontal in the scene is
horizontal here, however the camera was held. This is the only place that decodes image files.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from PIL.ExifTags import Base

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


_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip
"""What brings an image of an EXIF orientation upright (EXIF 2.32, tag 0x0112)."""


def _orientation(image: Image.Image) -> int:
    """EXIF orientation of an opened image, 1 (upright) where there is none; no pixel is decoded.

    Of a PNG only what stands before its pixels counts: Pillow decodes them all to look behind.
    """
    said = {"exif", "XML:com.adobe.xmp", "Raw profile type exif"} & set(image.info)
    if image.format == "PNG" and not said:
        return 1
    found = image.getexif().get(Base.Orientation, 1)
    return found if found in _UPRIGHT else 1


def _decode(path: Path, what: str) -> Image.Image:
    """The file's pixels, upright."""
    try:
        with Image.open(path) as image:
            turned, size = _orientation(image) != 1, image.size
            image.load()
            if turned and image.format == "TIFF" and image.size != size:
                # Pillow turns TIFFs itself, and mixes up the sides of some without compression.
                raise DataError(
                    f"{what} {path} is a turned TIFF that cannot be read", hint="save it upright"
                )
            return ImageOps.exif_transpose(image) if turned else image
    except FileNotFoundError:
        raise DataError(f"{what} {path} does not exist") from None
    except _DECODING_ERRORS as error:
        raise DataError(f"cannot read {what} {path}: {error}") from None


def orientation_of(path: Path) -> int:
    """EXIF orientation of an image file, 1 to 8; 1 is upright, and what a file without one has.

    Raises :class:`DataError` naming the file where it is missing or not an image.
    """
    try:
        with Image.open(path) as image:
            return _orientation(image)
    except FileNotFoundError:
        raise DataError(f"image {path} does not exist") from None
    except _DECODING_ERRORS as error:
        raise DataError(f"cannot read image {path}: {error}") from None


def image_size(path: Path) -> tuple[int, int]:
    """(width, height) in pixels of the upright image, from the file's header.

    Raises :class:`DataError` naming the file where it is missing or not an image.
    """
    try:
        with Image.open(path) as image:
            if _orientation(image) == 1:
                return image.size
    except FileNotFoundError:
        raise DataError(f"image {path} does not exist") from None
    except _DECODING_ERRORS as error:
        raise DataError(f"cannot read image {path}: {error}") from None
    return _decode(path, "image").size  # formats differ in whose size the header has


def open_image(path: Path) -> Image.Image:
    """An image file as RGB, upright, see :func:`as_rgb`.

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
    """A mask that fits its upright image of (width, height) ``size``."""
    orientation = orientation_of(sample.image_path)
    if orientation != 1 and orientation_of(path) == 1:
        values = _as_its_image(values, path, sample, size, orientation)
    if values.shape != (size[1], size[0]):
        raise DataError(
            f"mask {path} is {values.shape[1]}x{values.shape[0]} pixels, "
            f"its image {sample.image_path} is {size[0]}x{size[1]}"
        )
    return values


def _as_its_image(
    values: NDArray[np.uint8], path: Path, sample: Sample, size: tuple[int, int], orientation: int
) -> NDArray[np.uint8]:
    """A mask without an orientation, of an image that has one: drawn upright, or on stored pixels?

    Where the image is turned by a quarter and not square, the mask's size tells.
    """
    width, height = size
    quarter = orientation >= 5 and width != height
    if quarter and values.shape == (width, height):
        return np.asarray(Image.fromarray(values).transpose(_UPRIGHT[orientation]))
    if not quarter and values.shape == (height, width):
        raise DataError(
            f"image {sample.image_path} is stored turned (EXIF orientation {orientation}), its mask {path} "
            "says nothing of that",
            hint="whether it was drawn on the turned image cannot be known: save the image upright, "
            "or give the mask the same orientation",
        )
    return values
