"""AUPIMO: recall per anomalous image at very low false-positive rates on normal images.

Bertoldo et al., "AUPIMO: Redefining Visual Anomaly Detection Benchmarks with High Speed and Low
Tolerance", BMVC 2024, arXiv 2401.01984. With F(t) the mean over normal images of their share of
pixels scoring at least t, and T_i(t) the share of the defect pixels of image i that do,

    AUPIMO_i = 1 / ln(U / L) * integral over F from L to U of T_i dF / F,      L = 1e-5, U = 1e-4.

Unusual here: no thresholds are sampled. As in ``model.metrics`` a defect pixel of score s has a share
``g`` of normal pixels above it and a share ``e`` at or above it; it is missed while F < g, found once
F > e, and in between (ties) T_i is a straight line in F. So it adds, with a and b the ends of
[g, e] clipped to [L, U],

    ln(U / b) + ((b - a) - g ln(b / a)) / (e - g)          (second term 0 where e = g),

and only the 1e-4 highest normal pixels take part. All images are of one size, so that the mean over
images of shares is the share of all normal pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from model.errors import DataError, DivergedError

Floats = npt.NDArray[np.float64]

BOUNDS = (1e-5, 1e-4)
"""The paper's range of false-positive rates."""


@dataclass(frozen=True, eq=False)
class Aupimo:
    """Scores per image, made for paired tests between detectors."""

    scores: Floats
    """[n] in [0, 1]; NaN for normal images and for anomalous ones without a marked pixel."""
    reason: str | None = None
    """Why no image has a score, if none has."""

    @property
    def mean(self) -> float:
        """Mean over the images that have a score; NaN if none has."""
        known = self.scores[~np.isnan(self.scores)]
        return float(known.mean()) if len(known) else math.nan


def aupimo(
    maps: npt.NDArray[np.floating[Any]],
    masks: npt.NDArray[Any],
    labels: npt.ArrayLike,
    *,
    bounds: tuple[float, float] = BOUNDS,
) -> Aupimo:
    """AUPIMO of every image of a set.

    Parameters
    ----------
    maps: [n, h, w] anomaly maps; higher = more anomalous.
    masks: [n, h, w]; nonzero = defect. labels: [n]; 1 = anomalous image, 0 = normal.
    bounds: L and U, with 0 < L < U <= 1.

    Raises
    ------
    DivergedError: a map that counts is not finite.
    DataError: a normal image whose mask marks a defect.
    ValueError: shapes that do not fit, or bounds out of order.
    """
    low, high = bounds
    if not 0 < low < high <= 1:
        raise ValueError(f"bounds must satisfy 0 < L < U <= 1, got {bounds}")
    bad = np.asarray(labels) == 1
    if maps.ndim != 3 or maps.shape != masks.shape or bad.shape != maps.shape[:1]:
        raise ValueError(f"maps, masks and labels do not fit: {maps.shape}, {masks.shape}, {bad.shape}")
    defect = masks != 0
    marked = defect.any(axis=(1, 2))
    if (marked & ~bad).any():
        raise DataError(f"the image at index {np.flatnonzero(marked & ~bad)[0]} is normal, but has a mask")
    scores = np.full(len(maps), np.nan)
    for index in np.flatnonzero(~bad | marked):
        if not np.isfinite(maps[index]).all():
            raise DivergedError(f"the anomaly map at index {index} is not finite")
    normal = int((~bad).sum()) * maps.shape[1] * maps.shape[2]
    if reason := _undefined(normal, int(marked.sum()), low):
        return Aupimo(scores, reason)
    top = _highest(maps[~bad], normal, high)
    for index in np.flatnonzero(marked):
        scores[index] = _recall(top, normal, maps[index][defect[index]], low, high)
    return Aupimo(scores)


def _undefined(normal: int, anomalous: int, low: float) -> str | None:
    if anomalous == 0:
        return "no image has a marked defect"
    if normal * low < 1:
        return (
            f"{normal} normal pixels cannot show a false-positive rate of {low:g}: "
            f"at least {math.ceil(1 / low)} are needed"
        )
    return None


def _highest(
    maps: npt.NDArray[np.floating[Any]], normal: int, high: float
) -> npt.NDArray[np.floating[Any]]:
    """The highest normal scores, ascending: those among the share ``high``, one more, and its ties.

    Any other score has at least ``high`` of the normal pixels above it, which is all that counts.
    """
    flat = maps.reshape(-1)
    count = min(math.floor(normal * high) + 1, normal)
    least = np.partition(flat, normal - count)[normal - count]
    return np.sort(flat[flat >= least])


def _recall(
    top: npt.NDArray[np.floating[Any]],
    normal: int,
    scores: npt.NDArray[np.floating[Any]],
    low: float,
    high: float,
) -> float:
    """AUPIMO of one image from its defect pixels' ``scores`` and the ``top`` of the normal ones."""
    g = (len(top) - np.searchsorted(top, scores, side="right")) / normal
    e = (len(top) - np.searchsorted(top, scores, side="left")) / normal
    a, b = np.clip(g, low, high), np.clip(e, low, high)
    area = np.log(high / b)
    tied = e > g
    a, b, g, e = a[tied], b[tied], g[tied], e[tied]
    area[tied] += ((b - a) - g * np.log(b / a)) / (e - g)
    return float(np.clip(area.mean() / math.log(high / low), 0, 1))
