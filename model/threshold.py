"""A decision threshold from normal images alone, and what it decides.

The threshold is the k-th smallest score of m held-out normal images, k = ceil(q (m + 1)): if these
and the images to come are exchangeable, a normal image scores above it with probability at most
1 - q, whatever the scores' distribution (split conformal prediction, Vovk et al., 2005). A plain
quantile promises that for large m only. Where k > m, the images are too few for the promise; the
largest score then serves, and the result says so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model.errors import DataError, DivergedError


@dataclass(frozen=True)
class Threshold:
    """A threshold and what it rests on; an image is NG if its score is above ``value``."""

    value: float
    quantile: float
    images: int
    """Held-out normal images it was set on."""
    note: str | None = None
    """Why it does not keep its promise, if it does not."""


@dataclass(frozen=True)
class Decisions:
    """Counts of images by what they are and what they were called."""

    true_ng: int
    false_ng: int
    true_ok: int
    false_ok: int

    @property
    def ng(self) -> int:
        """Images called NG."""
        return self.true_ng + self.false_ng

    @property
    def ok(self) -> int:
        """Images called OK."""
        return self.true_ok + self.false_ok

    @property
    def f1(self) -> float:
        """F1 of NG in [0, 1]; NaN if no image is anomalous."""
        anomalous = self.true_ng + self.false_ok
        return 2 * self.true_ng / (self.ng + anomalous) if anomalous else math.nan

    @property
    def false_alarm_rate(self) -> float:
        """Share of the normal images called NG; NaN if none is normal."""
        normal = self.false_ng + self.true_ok
        return self.false_ng / normal if normal else math.nan

    @property
    def miss_rate(self) -> float:
        """Share of the anomalous images called OK; NaN if none is anomalous."""
        anomalous = self.true_ng + self.false_ok
        return self.false_ok / anomalous if anomalous else math.nan


def find_threshold(scores: npt.ArrayLike, quantile: float) -> Threshold:
    """The threshold for the image scores [m] of normal images that took no part in training.

    Raises
    ------
    DataError: there are none.
    DivergedError: one is not finite.
    ValueError: a quantile outside (0, 1).
    """
    values = np.sort(np.asarray(scores, dtype=np.float64))
    if not 0 < quantile < 1:
        raise ValueError(f"a quantile lies in (0, 1), got {quantile}")
    if not len(values):
        raise DataError(
            "there are no held-out normal images to set score.threshold on",
            hint="hold some back, or leave score.threshold out",
        )
    if not np.isfinite(values).all():
        raise DivergedError("an image score of a held-out normal image is not finite")
    m = len(values)
    # Rounded first: 0.95 * 20 is 19.000000000000004 in some orders of evaluation.
    rank = math.ceil(round(quantile * (m + 1), 9))
    if rank <= m:
        return Threshold(float(values[rank - 1]), quantile, m)
    needed = math.ceil(round(quantile / (1 - quantile), 9))
    note = (
        f"{m} held-out normal images cannot show the {quantile:g} quantile: the largest score serves, "
        f"at least {needed} are needed"
    )
    return Threshold(float(values[-1]), quantile, m, note)


def decide(threshold: Threshold, scores: npt.ArrayLike, labels: npt.ArrayLike) -> Decisions:
    """Count the decisions on image scores [n] with labels [n], 1 = anomalous and 0 = normal.

    Raises
    ------
    DivergedError: a score is not finite.
    ValueError: shapes that differ.
    """
    values, bad = np.asarray(scores, dtype=np.float64), np.asarray(labels) == 1
    if values.shape != bad.shape or values.ndim != 1:
        raise ValueError(f"scores and labels must both be [n], got {values.shape} and {bad.shape}")
    if not np.isfinite(values).all():
        raise DivergedError("an image score is not finite")
    called = values > threshold.value
    return Decisions(
        true_ng=int((called & bad).sum()),
        false_ng=int((called & ~bad).sum()),
        true_ok=int((~called & ~bad).sum()),
        false_ok=int((~called & bad).sum()),
    )
