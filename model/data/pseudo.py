"""Pseudo-defects: what ``data.pseudo`` draws on a training image, for the decoder to undo.

The streaks are those of ``stripes``' domain C, by its own code, in the network's view of an image, so that
they are as thick and as long on every dataset. Each copy is drawn from (the image file's contents, the
copy's number) alone: kinds and strengths share their draws, and no other random stream moves.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor

from model.config import ImageConfig
from model.data.config import PseudoConfig, StripesConfig
from model.data.images import open_image
from model.data.samples import Sample
from model.data.stripes.defects import Defect, blob, merged
from model.data.stripes.domains import broken_rows
from model.data.stripes.surfaces import Field
from model.data.transforms import network_view, normalised

_STRETCH = 1.35
"""Mean ratio of a blob's axes: its area is about pi * radius^2 times that."""


@dataclass(frozen=True)
class Copy:
    """One copy of a training image."""

    sample: Sample
    content: str
    """Hash of the image file, hex."""
    number: int
    """0 .. ``config.copies`` - 1."""
    config: PseudoConfig

    def load(self, image: ImageConfig) -> Tensor:
        """The copy as network input, float32 [3, crop_h, crop_w].

        Raises :class:`DataError` if the image is unreadable.
        """
        return normalised(self.view(image))

    def view(self, image: ImageConfig) -> Tensor:
        """The copy as the network sees it before normalisation, float32 [3, crop_h, crop_w] in [0, 1]."""
        change = drawn(self.config, image.crop, self.content, self.number)
        clean = network_view(open_image(self.sample.image_path), image)
        return (clean + torch.from_numpy(change)).clamp_(0, 1)


def drawn(config: PseudoConfig, size: tuple[int, int], content: str, number: int) -> Field:
    """What is added to an image of ``size`` = (h, w): signed grey levels [h, w], never 0 throughout.

    Parameters
    ----------
    content: hex digits that name the image. number: which of its copies.

    Streaks lie in a square around the image; one that misses the image is drawn again.
    """
    height, width = size
    side = max(size)
    top, left = (side - height) // 2, (side - width) // 2
    rng = np.random.default_rng([int(content[:16], 16), number])
    while True:
        change = _defect(config, side, rng).change[top : top + height, left : left + width]
        if change.any():
            return np.ascontiguousarray(config.strength * change, dtype=np.float32)


def _defect(config: PseudoConfig, side: int, rng: Generator) -> Defect:
    streaks = broken_rows(rng, StripesConfig(size=side))
    if config.kind == "blob":
        return merged([_blob_like(streak, side, rng) for streak in streaks])
    both = merged(streaks)
    return both if config.kind == "horizontal" else Defect(both.change.T, both.mask.T)


def _blob_like(streak: Defect, side: int, rng: Generator) -> Defect:
    """A blob of the streak's mean contrast and, about, its area."""
    radius = math.sqrt(float(streak.mask.sum()) / (_STRETCH * math.pi))
    return blob(rng, side, max(radius, 1.0), float(streak.change[streak.mask].mean()))
