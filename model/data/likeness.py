"""Images that are nearly the same: copies that were saved again, scaled, or made brighter.

Two images are compared as thumbnails of 32 x 32 grey levels without their mean. What counts as near is
measured on the training images themselves, as photographs of one part on one stand are alike anyway.
Measured on ``stripes`` and Magnetic Tile, root mean squares in grey levels: a copy as JPEG (quality 80),
of half the size or 12 levels brighter is 0 to 1.5 from its original; the nearest two training images are
5 to 9 apart (medians), the nearest test and training images 4.4 at least.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_SIDE = 32
_FARTHEST = 2.0
"""Grey levels, beyond which nothing is called a copy."""
_SHARE = 0.25
"""Of the usual distance of a training image to the nearest other one."""
_CHUNK = 256
_ENOUGH = 500
"""Training images whose nearest neighbours say what is usual."""

Thumbnails = NDArray[np.float64]
"""[n, 1024]: n images of 32 x 32 grey levels, each without its mean."""


def thumbnail(image: Image.Image) -> Thumbnails:
    """An RGB image as one row of :data:`Thumbnails`, [1024]."""
    small = image.convert("L").resize((_SIDE, _SIDE), Image.Resampling.BOX)
    values = np.asarray(small, np.float64).reshape(-1)
    return values - values.mean()


def near_copies(test: Thumbnails, train: Thumbnails) -> Iterator[tuple[int, int, float]]:
    """(test image, training image, root mean square in grey levels) of each test image that is nearly
    the same as a training image."""
    if not len(test) or not len(train):
        return
    limit = _limit(train)
    for start in range(0, len(test), _CHUNK):
        distances = _distances(test[start : start + _CHUNK], train)
        for i, nearest in enumerate(distances.argmin(axis=1)):
            if distances[i, nearest] < limit:
                yield start + i, int(nearest), float(distances[i, nearest])


def _limit(train: Thumbnails) -> float:
    """Below which two images are nearly the same."""
    some = train[np.linspace(0, len(train) - 1, min(len(train), _ENOUGH)).astype(int)]
    if len(some) < 3:
        return _FARTHEST * _SHARE
    distances = _distances(some, some)
    np.fill_diagonal(distances, np.inf)
    return float(min(_FARTHEST, _SHARE * np.median(distances.min(axis=1))))


def _distances(a: Thumbnails, b: Thumbnails) -> NDArray[np.float64]:
    """Root mean squares of the differences of all pairs, [len(a), len(b)]."""
    squares = (a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1)[None] - 2 * a @ b.T
    return np.sqrt(np.maximum(squares, 0) / a.shape[1])
