"""What the runs' folders say of the test images: covariances over images of levels and differences.

Read lazily and kept: image scores from ``scores.csv``, pixel scores from ``score_histograms/``; of a
published study, whose ``runs/`` stayed behind, what its report noted. Anything that cannot be had (a metric
of a stratum, a mechanism metric) gives None: an interval for new images is then absent, and the report says
so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ablate.evidence.images import (
    ImageVariance,
    Place,
    Placements,
    SeedsAndImages,
    both_intervals,
    image_variance,
    jackknife_covariance,
    over_categories,
    placements,
)
from ablate.evidence.stats import POINTS
from ablate.running.folder import HISTOGRAMS
from model.errors import DataError
from model.metric_names import IMAGE_METRICS, METRICS
from model.score_histograms import load_histograms, ranking_metrics

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Scored:
    """One run's test images of one category."""

    names: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    scores: Floats
    rows: npt.NDArray[np.int64]
    """Where these images stand among the category's."""


@dataclass(frozen=True, eq=False)
class ImageEvidence:
    """Of one study; see the module's header."""

    folder_of: Callable[[str], Path] = field(repr=False)
    """Run key -> the run's folder."""
    keys: Mapping[tuple[str, Any, str], str] = field(repr=False)
    """By (variant, seed, category)."""
    split: str
    found: dict[Place, ImageVariance | None] = field(default_factory=dict, repr=False)
    """What was asked for so far, or is known from an earlier report."""
    _scored: dict[tuple[str, str], _Scored | None] = field(default_factory=dict, init=False, repr=False)
    _left_out: dict[tuple[str, str], Mapping[str, Floats] | None] = field(
        default_factory=dict, init=False, repr=False
    )

    def of(
        self,
        values: Sequence[float],
        variant: str,
        baseline: str | None,
        seeds: Sequence[Any],
        categories: Sequence[str],
        metric: str,
        *,
        alpha: float,
    ) -> SeedsAndImages | None:
        """Both intervals of ``values`` [seeds] (points): of a variant, or of it minus ``baseline``.

        ``categories``: those averaged over. None where a run's scores are not there.
        """
        if metric not in METRICS or not values or not categories:
            return None
        at = (variant, baseline, metric, tuple(categories), tuple(seeds))
        if at not in self.found:
            self.found[at] = self._carried(*at)
        carried = self.found[at]
        return None if carried is None else both_intervals(values, carried, alpha=alpha)

    def _carried(
        self,
        variant: str,
        baseline: str | None,
        metric: str,
        categories: Sequence[str],
        seeds: Sequence[Any],
    ) -> ImageVariance | None:
        covariances, images = [], 0
        for category in categories:
            found = self._covariance(variant, baseline, seeds, category, metric)
            if found is None:
                return None
            covariances.append(found[0])
            images += found[1]
        return image_variance(over_categories(covariances), images)

    def _covariance(
        self, variant: str, baseline: str | None, seeds: Sequence[Any], category: str, metric: str
    ) -> tuple[Floats, int] | None:
        """[S, S] in points squared, and how many images are behind it."""
        sides = [variant] if baseline is None else [variant, baseline]
        keys = [[self.keys.get((side, seed, category)) for seed in seeds] for side in sides]
        if any(key is None for side in keys for key in side):
            return None
        scored = [[self._scores(str(key), category) for key in side] for side in keys]
        first = scored[0][0]
        if first is None or any(s is None or s.names != first.names for side in scored for s in side):
            return None
        if metric == "image_auroc":
            parts = [
                placements(np.stack([s.scores for s in side if s is not None]), first.labels)
                for side in scored
            ]
            made: Placements = parts[0] if baseline is None else parts[0] - parts[1]
            return made.scaled(POINTS).covariance, len(first.names)
        arrays = []
        for side in keys:
            theirs = [self._leave_one_out(str(key), category, metric) for key in side]
            if any(one is None for one in theirs):
                return None
            arrays.append(np.stack([one for one in theirs if one is not None]))
        values = arrays[0] if baseline is None else arrays[0] - arrays[1]
        return jackknife_covariance(POINTS * values, first.labels), len(first.names)

    def _scores(self, key: str, category: str) -> _Scored | None:
        if (key, category) not in self._scored:
            self._read_scores(key)
        return self._scored.setdefault((key, category), None)

    def _read_scores(self, key: str) -> None:
        try:
            table = pd.read_csv(
                self.folder_of(key) / "scores.csv",
                dtype={"image": str, "category": str, "split": str},
                keep_default_na=False,
            )
            for category, whole in table.groupby("category", sort=False):
                rows = np.flatnonzero((whole["split"] == self.split).to_numpy())
                own, labels = whole.iloc[rows], whole["label"].to_numpy(dtype=np.int64)[rows]
                scores = own["score"].to_numpy(dtype=np.float64)
                usable = np.isfinite(scores).all() and set(labels.tolist()) == {0, 1}
                names = tuple(map(str, own["image"]))
                found = _Scored(names, labels, scores, rows) if usable else None
                self._scored[key, str(category)] = found
        except (OSError, ValueError, KeyError):
            return

    def _leave_one_out(self, key: str, category: str, metric: str) -> Floats | None:
        """[images] the metric without each image."""
        scored = self._scores(key, category)
        if scored is None:
            return None
        if metric in IMAGE_METRICS:
            return image_leave_one_out(scored.scores, scored.labels)[metric]
        if (key, category) not in self._left_out:
            path = self.folder_of(key) / HISTOGRAMS / f"{category}.npz"
            try:
                self._left_out[key, category] = load_histograms(path).select(scored.rows).leave_one_out()
            except (DataError, IndexError):
                self._left_out[key, category] = None
        found = self._left_out[key, category]
        return None if found is None else found[metric]


def image_leave_one_out(scores: Floats, labels: npt.NDArray[np.int64]) -> dict[str, Floats]:
    """Image metrics without each image: each of ``IMAGE_METRICS`` -> [n]; NaN where undefined."""
    levels, at = np.unique(scores, return_inverse=True)
    own = np.zeros((len(scores), len(levels)))
    own[np.arange(len(scores)), at] = 1.0
    bad = (labels == 1)[:, None]
    negatives, positives = own * ~bad, own * bad
    found = ranking_metrics(negatives.sum(axis=0) - negatives, positives.sum(axis=0) - positives)
    return dict(zip(IMAGE_METRICS, found, strict=True))
