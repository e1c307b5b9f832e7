"""Which region of a mask each defect pixel belongs to; labelled once per dataset.

Layout: n images of h x w pixels, C order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Ints = npt.NDArray[np.int64]

EIGHT_CONNECTED = np.ones((3, 3), dtype=bool)


@dataclass(frozen=True, eq=False)
class Regions:
    """Which region each defect pixel of a dataset belongs to.

    Kept per defect pixel rather than as a label map: defects cover a few per cent of the pixels.
    """

    of_pixel: npt.NDArray[np.int32]
    """[defect pixels] region index in 0..count-1; pixels in C order of the masks."""
    areas: Ints
    """[count] pixels of each region."""
    image: Ints
    """[count] index of the image each region lies in; ascending."""
    pixels: Ints
    """[n] defect pixels of each image."""

    @property
    def count(self) -> int:
        """Number of regions."""
        return len(self.areas)

    def select(self, images: npt.ArrayLike) -> Regions:
        """The regions of ``masks[images]``; ``images``: indices, in any order, or bool [n]."""
        chosen = np.arange(len(self.pixels))[np.asarray(images)]
        pixel_start = np.concatenate(([0], np.cumsum(self.pixels)))
        region_start = np.searchsorted(self.image, np.arange(len(self.pixels) + 1))
        of_pixel, areas, image = [np.empty(0, np.int32)], [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        count = 0
        for position, index in enumerate(chosen):
            low, high = region_start[index], region_start[index + 1]
            own = self.of_pixel[pixel_start[index] : pixel_start[index + 1]]
            of_pixel.append((own - low + count).astype(np.int32))
            areas.append(self.areas[low:high])
            image.append(np.full(high - low, position, dtype=np.int64))
            count += int(high - low)
        return Regions(
            np.concatenate(of_pixel), np.concatenate(areas), np.concatenate(image), self.pixels[chosen]
        )


def label_regions(
    masks: npt.NDArray[Any],
    label: Callable[[npt.NDArray[np.bool_]], tuple[npt.NDArray[Any], int]] | None = None,
) -> Regions:
    """Label the regions of all masks, once per dataset.

    Parameters
    ----------
    masks: [n, h, w]; nonzero = defect.
    label: mask [h, w] -> (label map with 0 = background, number of labels); 8-connected components
        if not given.
    """
    if masks.ndim != 3:
        raise ValueError(f"masks must be [n, h, w], got shape {masks.shape}")
    label = label or (lambda mask: ndimage.label(mask, structure=EIGHT_CONNECTED))
    pixels = marked_pixels(masks)
    of_pixel = np.empty(int(pixels.sum()), dtype=np.int32)
    areas: list[Ints] = [np.empty(0, np.int64)]
    image: list[Ints] = [np.empty(0, np.int64)]
    done = total = 0
    for index in np.flatnonzero(pixels):
        mask = masks[index] != 0
        labels, count = label(mask)
        own = of_pixel[done : done + pixels[index]]
        own[:] = labels[mask]
        own -= 1
        areas.append(np.bincount(own, minlength=count).astype(np.int64))
        image.append(np.full(count, index, dtype=np.int64))
        own += total
        done, total = done + len(own), total + count
    return Regions(of_pixel, np.concatenate(areas), np.concatenate(image), pixels)


def marked_pixels(masks: npt.NDArray[Any]) -> Ints:
    """[n] defect pixels of each mask."""
    return np.array([np.count_nonzero(mask) for mask in masks], dtype=np.int64)
