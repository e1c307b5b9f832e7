"""How horizontal, how faint and how broken each defect is.

A broken streak is one defect but many pieces of mask. So pieces are first *joined* into defects,
then each defect is measured, then labelled by the thresholds below, so that "helps on faint, broken,
horizontal defects" becomes a row of numbers (``model.stratum_scores``).

Joining. Pieces are 8-connected. Two parts join along the row if

1. across the row they overlap, or miss each other by at most ``SLACK`` pixels,
2. one follows the other: they overlap along the row by at most half the shorter one,
3. the gap between them is at most as long as both parts together, and
4. the joined part is more than ``THIN`` times as long as it is high;

likewise along the column. Nearest pairs join first, until none is left; a part that has grown may
bridge a longer gap. With THIN = 4, rules 3 and 4 exclude each other for two round or square spots of
one size (at most 4 diameters long, one high), so spots side by side stay separate defects.
Oblique pieces are not joined: only rows and columns are named strata.

Lengths are pixels of the mask. Layout as in ``model.metrics``: n images of h x w pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from model.regions import EIGHT_CONNECTED, Regions, label_regions

SLACK = 2
"""Pixels by which parts of one streak may miss each other sideways."""
THIN = 4.0
"""A joined part is more than this many times longer than high."""
SECTOR = 22.5
"""Degrees around the row (column) that count as horizontal (vertical): the four sectors of a compass
rose are equal."""
ELONGATED = 2.0
"""Below this elongation a defect has no orientation."""
FAINT = 2.0
"""Below this contrast, in standard deviations of the surroundings, a defect is faint: its mean grey
value would pass for an ordinary pixel of the texture around it."""
BROKEN = 0.05
"""Above this share of gaps a defect of several pieces is broken."""
MOST_PIECES = 512
"""Of a mask in more pieces than this only the largest so many are joined; the rest stand alone."""
GUARD, RING = 1, 6
"""The surrounding ring: pixels at a (chessboard) distance in (GUARD, RING] from the defect. The guard
keeps blurred edges out."""

Orientation = Literal["horizontal", "vertical", "none"]
Faintness = Literal["faint", "clear", "unknown"]
Brokenness = Literal["broken", "solid"]
Grey = npt.NDArray[np.floating[Any]] | npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class RegionStrata:
    """One defect, its pieces joined: what was measured, and the labels that follow."""

    area: int
    """Pixels."""
    box: tuple[int, int, int, int]
    """Top, left, bottom, right; the last two exclusive."""
    angle: float
    """Degrees of the major axis against the row, in (-90, 90]; positive rises to the right."""
    elongation: float
    """Length over thickness of the bar with the same second moments; 1 = isotropic."""
    contrast: float
    """abs(mean inside - mean of the ring) / standard deviation of the ring; infinite on a constant
    ring, NaN where the ring holds fewer than two pixels."""
    pieces: int
    """8-connected pieces."""
    gap_share: float
    """Share of the defect's extent that no pixel covers; along the row if the defect is at least as
    wide as high, else along the column."""

    @property
    def orientation(self) -> Orientation:
        """Within ``SECTOR`` of the row or the column, if elongated at all."""
        if self.elongation < ELONGATED:
            return "none"
        if abs(self.angle) <= SECTOR:
            return "horizontal"
        return "vertical" if abs(self.angle) >= 90 - SECTOR else "none"

    @property
    def faintness(self) -> Faintness:
        """Contrast against ``FAINT``; ``unknown`` without surroundings to compare with."""
        if math.isnan(self.contrast):
            return "unknown"
        return "faint" if self.contrast < FAINT else "clear"

    @property
    def brokenness(self) -> Brokenness:
        """Several pieces, with more than ``BROKEN`` of the extent missing."""
        return "broken" if self.pieces > 1 and self.gap_share > BROKEN else "solid"


STRATA: Mapping[str, Callable[[RegionStrata], bool]] = {
    "orientation=horizontal": lambda r: r.orientation == "horizontal",
    "orientation=vertical": lambda r: r.orientation == "vertical",
    "orientation=none": lambda r: r.orientation == "none",
    "faintness=faint": lambda r: r.faintness == "faint",
    "faintness=clear": lambda r: r.faintness == "clear",
    "brokenness=broken": lambda r: r.brokenness == "broken",
    "brokenness=solid": lambda r: r.brokenness == "solid",
    "broken+horizontal": lambda r: (r.brokenness, r.orientation) == ("broken", "horizontal"),
    "faint+broken+horizontal": lambda r: (
        (r.faintness, r.brokenness, r.orientation) == ("faint", "broken", "horizontal")
    ),
}
"""Name, as it stands in result files -> whether a defect belongs. New strata are added here."""
ALL = "all"
"""Stratum name of rows about every defect."""


def defects(mask: npt.NDArray[Any]) -> tuple[npt.NDArray[np.int32], int]:
    """Label the defects of one mask [h, w]: pieces, joined as the module's header says.

    Returns a map [h, w] of 0 = background, 1..count = defects in scan order, and ``count``.
    """
    pieces, count = ndimage.label(mask != 0, structure=EIGHT_CONNECTED)
    if count < 2:
        return pieces.astype(np.int32), int(count)
    large = np.arange(count)
    if count > MOST_PIECES:
        areas = np.bincount(pieces.reshape(-1))[1:]
        large = np.sort(np.argsort(-areas, kind="stable")[:MOST_PIECES])
    leader = np.arange(count)
    leader[large] = large[_join(_boxes(pieces)[large])]
    _, group = np.unique(leader, return_inverse=True)
    lookup = np.concatenate(([0], group + 1)).astype(np.int32)
    return lookup[pieces], int(group.max()) + 1


def _boxes(labels: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """[count, 4]: top, left, bottom, right (exclusive) of each label."""
    spans = [span for span in ndimage.find_objects(labels) if span is not None]
    return np.array([(y.start, x.start, y.stop, x.stop) for y, x in spans], dtype=np.int64)


def _join(boxes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """[pieces] -> index of the first piece of the defect each piece belongs to."""
    boxes = boxes.copy()
    leader = np.arange(len(boxes))
    alive = np.arange(len(boxes))
    while True:
        parts = boxes[alive]
        gap = np.minimum(_gaps(parts, along=1), _gaps(parts, along=0))
        # Pairs that are each other's nearest are disjoint, so a round joins them all, in any order.
        # The closest pair of all is always among them: the loop ends only when no pair may join.
        nearest = gap.argmin(axis=1)
        index = np.arange(len(alive))
        first = np.flatnonzero(
            (nearest[nearest] == index) & (index < nearest) & np.isfinite(gap[index, nearest])
        )
        if not len(first):
            return leader
        keep, lose = alive[first], alive[nearest[first]]
        boxes[keep, :2] = np.minimum(boxes[keep, :2], boxes[lose, :2])
        boxes[keep, 2:] = np.maximum(boxes[keep, 2:], boxes[lose, 2:])
        into = np.arange(len(boxes))
        into[lose] = keep
        leader = into[leader]
        alive = np.setdiff1d(alive, lose)


def _gaps(boxes: npt.NDArray[np.int64], along: int) -> npt.NDArray[np.float64]:
    """[parts, parts] gap between two parts along the row (1) or column (0); inf where they do not join."""
    across = 1 - along
    start, stop = boxes[:, along], boxes[:, along + 2]
    side, far_side = boxes[:, across], boxes[:, across + 2]
    between = np.maximum(start[:, None], start) - np.minimum(stop[:, None], stop)
    aside = np.maximum(side[:, None], side) - np.minimum(far_side[:, None], far_side)
    extent = stop - start
    length = np.maximum(stop[:, None], stop) - np.minimum(start[:, None], start)
    height = np.maximum(far_side[:, None], far_side) - np.minimum(side[:, None], side)
    joins = (
        (aside <= SLACK)
        & (-2 * between <= np.minimum(extent[:, None], extent))
        & (between <= extent[:, None] + extent)
        & (length > THIN * height)
    )
    np.fill_diagonal(joins, False)
    return np.where(joins, np.maximum(between, 0), np.inf)


def _measure_all(image: Grey, labels: npt.NDArray[np.int32]) -> list[RegionStrata]:
    if not labels.any():
        return []
    return [_measure(image, labels, index + 1, box) for index, box in enumerate(_boxes(labels))]


def _measure(
    image: Grey, labels: npt.NDArray[np.int32], label: int, box: npt.NDArray[np.int64]
) -> RegionStrata:
    top, left, bottom, right = (int(edge) for edge in box)
    inside = labels[top:bottom, left:right] == label
    angle, elongation = _axis(inside)
    covered = inside.any(axis=0 if right - left >= bottom - top else 1)
    _, pieces = ndimage.label(inside, structure=EIGHT_CONNECTED)
    return RegionStrata(
        area=int(np.count_nonzero(inside)),
        box=(top, left, bottom, right),
        angle=angle,
        elongation=elongation,
        contrast=_contrast(image, labels, label, (top, left, bottom, right)),
        pieces=int(pieces),
        gap_share=float(1 - covered.mean()),
    )


def _axis(inside: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """Angle of the major axis (degrees, (-90, 90]) and elongation, from second moments."""
    y, x = np.nonzero(inside)
    # A pixel is a unit square with variance 1/12, so that one pixel is isotropic, not degenerate.
    xx, yy = x.var() + 1 / 12, y.var() + 1 / 12
    xy = float(((x - x.mean()) * (y - y.mean())).mean())
    spread = math.hypot((xx - yy) / 2, xy)
    major, minor = (xx + yy) / 2 + spread, (xx + yy) / 2 - spread
    # Rows count downwards, angles upwards. Adding 0.0 turns -0.0, hence -90, into the other end.
    angle = math.degrees(0.5 * math.atan2(-2 * xy + 0.0, xx - yy))
    return angle, math.sqrt(major / minor)


def _contrast(
    image: Grey, labels: npt.NDArray[np.int32], label: int, box: tuple[int, int, int, int]
) -> float:
    top, left, bottom, right = box
    margin = RING + GUARD  # what lies beyond cannot be in the ring, nor keep a pixel out of it
    window = np.s_[max(top - margin, 0) : bottom + margin, max(left - margin, 0) : right + margin]
    own = labels[window] == label
    # Box dilations, separable: a chessboard distance of at most RING from this defect ...
    near = ndimage.maximum_filter(own, size=2 * RING + 1, mode="constant")
    # ... and of more than GUARD from any defect, or a neighbour would count as surroundings.
    close = ndimage.maximum_filter(labels[window] > 0, size=2 * GUARD + 1, mode="constant")
    values = image[window].astype(np.float64)
    around = near & ~close
    if np.count_nonzero(around) < 2:
        return math.nan
    # Relative to one pixel of the ring, flat surroundings are exactly 0 and do not round to 1e-17.
    values -= values[around][0]
    difference = abs(float(values[own].mean() - values[around].mean()))
    deviation = float(values[around].std())
    if deviation == 0:
        return math.inf if difference > 0 else 0.0
    return difference / deviation


@dataclass(frozen=True, eq=False)
class Strata:
    """The defects of n images and their measurements: computed once per dataset."""

    regions: Regions
    """Defects (pieces joined), indexed over the whole dataset."""
    traits: tuple[RegionStrata, ...]
    """[regions.count]"""

    def members(self, stratum: str) -> npt.NDArray[np.bool_]:
        """[regions.count] whether each defect belongs to ``stratum`` (a key of STRATA, or ``all``)."""
        if stratum == ALL:
            return np.ones(len(self.traits), dtype=bool)
        return np.array([STRATA[stratum](trait) for trait in self.traits], dtype=bool)

    def images(self, stratum: str) -> npt.NDArray[np.bool_]:
        """[n] whether more than half of an image's defect area belongs to ``stratum``.

        By area, so that a conspicuous blob does not count as a faint streak found because one lies
        in the same image.
        """
        inside = self._area_by_image(self.members(stratum))
        return 2 * inside > self.regions.pixels

    def labels(self, image: int) -> tuple[str, ...]:
        """Strata of the image at index ``image``."""
        return tuple(name for name in STRATA if self.images(name)[image])

    def _area_by_image(self, members: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
        owner, area = self.regions.image[members], self.regions.areas[members]
        return np.bincount(owner, weights=area, minlength=len(self.regions.pixels)).astype(np.int64)

    def select(self, images: npt.ArrayLike) -> Strata:
        """The strata of ``masks[images]``; ``images``: indices, in any order, or bool [n]."""
        chosen = np.arange(len(self.regions.pixels))[np.asarray(images)]
        traits = tuple(
            self.traits[k] for index in chosen for k in np.flatnonzero(self.regions.image == index)
        )
        return Strata(self.regions.select(chosen), traits)


def stratify(images: Iterable[Grey], masks: npt.NDArray[Any]) -> Strata:
    """Strata of a dataset.

    Parameters
    ----------
    images: n grey images [h, w], which may be read lazily, one at a time.
    masks: [n, h, w]; nonzero = defect.

    Raises ValueError if a shape or the number of images differs.
    """
    regions = label_regions(masks, defects)
    stop = np.cumsum(regions.pixels)
    traits: list[RegionStrata] = []
    for index, (image, mask) in enumerate(zip(images, masks, strict=True)):
        _check_pair(image, mask)
        labels = np.zeros(mask.shape, dtype=np.int32)
        # Indices run through the dataset; within an image they start at 1.
        own = regions.of_pixel[stop[index] - regions.pixels[index] : stop[index]]
        labels[mask != 0] = own - len(traits) + 1
        traits += _measure_all(image, labels)
    return Strata(regions, tuple(traits))


def _check_pair(image: Grey, mask: npt.NDArray[Any]) -> None:
    if image.ndim != 2 or image.shape != mask.shape:
        raise ValueError(f"image and mask must both be [h, w], got {image.shape} and {mask.shape}")
