"""What the header of an image file says of its pixels; none is decoded."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from model.errors import DataError

_GREY = frozenset({"1", "L", "LA", "La", "I", "F"})


def pixels_of(path: Path) -> str:
    """Bits and colours of a file's pixels, such as ``16-bit grey`` and ``8-bit colour``.

    Raises :class:`DataError` naming the file where it is missing or not an image.
    """
    try:
        with Image.open(path) as image:
            mode = image.mode
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"cannot read image {path}: {error}") from None
    wide = mode.startswith(("I", "F"))
    return f"{'16' if wide else '8'}-bit {'grey' if mode.split(';')[0] in _GREY else 'colour'}"
