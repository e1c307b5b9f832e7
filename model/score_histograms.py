"""Pixel scores of a test set, small enough to keep: counts per image and per region in shared score bins.

Unusual here: the histograms exist so that a metric can be computed again on any subset, resample or
weighting of the *images*, long after the maps are gone: what uncertainty over images needs. An image
enters through its normal pixels and its defect regions, so AUPRO is among them.

Bin edges are quantiles of the run's own scores, of normal and of defect pixels. No bin then holds much
of either, whatever the range and the outliers of the maps (equal steps fail on heavy tails: AP .6
points off). Pixels that share a bin count as tied, exactly as in :mod:`model.metrics`.

Layout: n images, R regions (8-connected, in order of their images), b bins (ascending scores), m
weightings of the images.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from model.errors import DataError
from model.metric_names import PIXEL_METRICS
from model.metrics import LIMITS
from model.regions import Regions

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

BINS = 4096
"""Default; the errors that it leaves are measured in the tests."""
BLOCK = 32
"""Weightings worked on at once: bounds the memory at about 50 MB."""
SAMPLE = 1 << 20
"""Scores of each class that the edges are taken from, evenly spaced over the test set."""
DEFECT_EDGES = 0.75
"""Share of the edges that are quantiles of defect pixels: average precision needs them."""
FORMAT = 1


@dataclass(frozen=True, eq=False)
class ScoreHistograms:
    """Counts of one run on one test set."""

    edges: npt.NDArray[np.float32]
    """[b - 1] ascending; bin k holds the scores in (edges[k - 1], edges[k]]."""
    normal: Ints
    """[n, b] normal pixels of each image."""
    defect: Ints
    """[R, b] pixels of each region."""
    image: Ints
    """[R] index of the image a region lies in; ascending."""

    @property
    def images(self) -> int:
        """n."""
        return len(self.normal)

    def select(self, images: npt.ArrayLike) -> ScoreHistograms:
        """The same of some images only; ``images`` [k] indices, ascending."""
        chosen = np.asarray(images, dtype=np.int64)
        own = np.isin(self.image, chosen)
        return ScoreHistograms(
            self.edges, self.normal[chosen], self.defect[own], np.searchsorted(chosen, self.image[own])
        )

    def metrics(self, weights: npt.ArrayLike | None = None) -> dict[str, Floats]:
        """Pixel metrics of weighted images: each of ``PIXEL_METRICS`` -> [m]; NaN where undefined.

        ``weights`` [m, n], >= 0: how often each image counts (a subset is 0 and 1, a bootstrap draw
        is counts). All images once, if not given.

        Raises
        ------
        ValueError: another shape, or a negative weight.
        """
        w = np.ones((1, self.images)) if weights is None else np.asarray(weights, dtype=np.float64)
        if w.ndim != 2 or w.shape[1] != self.images:
            raise ValueError(f"weights must be [weightings, {self.images} images], got shape {w.shape}")
        if not (w >= 0).all():
            raise ValueError("a weight is negative or NaN")
        normal, defect = self.normal.astype(np.float64), self.defect.astype(np.float64)
        overlap = defect / self._areas[:, None]
        blocks = (w[low : low + BLOCK] for low in range(0, len(w), BLOCK))
        return _joined(
            _metrics(
                block @ normal,
                block[:, self.image] @ defect,
                block[:, self.image] @ overlap,
                block[:, self.image].sum(axis=1),
            )
            for block in blocks
        )

    def leave_one_out(self) -> dict[str, Floats]:
        """Pixel metrics without each image: each of ``PIXEL_METRICS`` -> [n].

        The same as ``metrics(1 - identity)``, by subtraction from the totals.
        """
        normal, defect = self.normal.astype(np.float64), self.defect.astype(np.float64)
        overlap = defect / self._areas[:, None]
        regions = np.bincount(self.image, minlength=self.images)
        start = np.concatenate(([0], np.cumsum(regions)))
        totals = normal.sum(axis=0), defect.sum(axis=0), overlap.sum(axis=0)

        def without(low: int) -> dict[str, Floats]:
            high = min(low + BLOCK, self.images)
            own = [slice(start[i], start[i + 1]) for i in range(low, high)]
            return _metrics(
                totals[0] - normal[low:high],
                totals[1] - np.stack([defect[part].sum(axis=0) for part in own]),
                # Differences of sums of fractions: rounding must not pass for a pixel.
                np.maximum(totals[2] - np.stack([overlap[part].sum(axis=0) for part in own]), 0.0),
                (len(self.image) - regions[low:high]).astype(np.float64),
            )

        return _joined(without(low) for low in range(0, self.images, BLOCK))

    @property
    def _areas(self) -> Floats:
        return np.maximum(self.defect.sum(axis=1), 1).astype(np.float64)

    def save(self, path: Path) -> None:
        """Write ``path`` (.npz): sparse counts in the smallest types that hold them, compressed."""
        counts = sparse.csr_array(np.concatenate([self.normal, self.defect]))
        bins = self.normal.shape[1]
        # Steps between filled bins compress far better than the bins themselves.
        steps = np.diff(counts.indices, prepend=0) % bins
        np.savez_compressed(
            path,
            format=np.array(FORMAT),
            edges=self.edges,
            image=_small(self.image),
            row=_small(np.diff(counts.indptr)),
            step=_small(steps),
            count=_small(counts.data),
        )


def load_histograms(path: Path) -> ScoreHistograms:
    """Read what :meth:`ScoreHistograms.save` wrote.

    Raises
    ------
    DataError: missing, damaged, or of another version.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            if int(stored["format"]) != FORMAT:
                raise DataError(f"{path}: score histograms of another version ({int(stored['format'])})")
            edges, image = stored["edges"], stored["image"].astype(np.int64)
            row, step = stored["row"].astype(np.int64), stored["step"].astype(np.int64)
            count = stored["count"].astype(np.int64)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: cannot read score histograms: {error}", hint="run it again") from error
    bins = len(edges) + 1
    dense = np.zeros((len(row), bins), dtype=np.int64)
    dense[np.repeat(np.arange(len(row)), row), np.cumsum(step) % bins] = count
    images = len(row) - len(image)
    return ScoreHistograms(edges, dense[:images], dense[images:], image)


def _small(values: npt.ArrayLike) -> npt.NDArray[Any]:
    x = np.asarray(values)
    return x.astype(np.min_scalar_type(int(x.max()) if x.size else 0))


# ---------------------------------------------------------------------------------- counting


def score_edges(
    maps: npt.NDArray[Any], masks: npt.NDArray[Any], bins: int = BINS
) -> npt.NDArray[np.float32]:
    """Edges [at most bins - 1] from the scores of ``maps`` [n, h, w]; ``masks`` alike, nonzero = defect.

    Where many scores are equal their edges coincide, and one of them is kept.
    """
    if bins < 2:
        raise ValueError(f"need at least 2 bins, got {bins}")
    bad = masks != 0
    normal, defect = (_thinned(maps[part]).astype(np.float32) for part in (~bad, bad))
    # An edge on either side of a defect pixel: with enough bins each has its own, and all is exact.
    defect = np.concatenate([np.nextafter(defect, np.float32(-np.inf)), defect])
    ours = _quantiles(defect, round((bins - 1) * (DEFECT_EDGES if len(normal) else 1.0)))
    return np.unique(np.concatenate([ours, _quantiles(normal, bins - 1 - len(ours))]))


def _quantiles(scores: npt.NDArray[Any], count: int) -> npt.NDArray[Any]:
    """``count`` of the scores themselves, evenly spaced in rank; all distinct ones if they are fewer."""
    ordered = np.sort(scores)
    distinct = ordered[np.diff(ordered, prepend=-np.inf) > 0]
    if len(distinct) <= count:
        return distinct
    return ordered[((np.arange(count) + 1) / (count + 1) * len(ordered)).astype(np.int64)]


def _thinned(scores: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return scores[:: max(1, -(-len(scores) // SAMPLE))]


def count_scores(
    maps: npt.NDArray[Any], masks: npt.NDArray[Any], regions: Regions, bins: int = BINS
) -> ScoreHistograms:
    """Histograms of one test set.

    Parameters
    ----------
    maps: [n, h, w] anomaly maps; higher = more anomalous.
    masks: [n, h, w]; nonzero = defect.
    regions: ``model.regions.label_regions(masks)``.
    bins: at most so many.

    Raises
    ------
    ValueError: shapes that do not fit, or ``regions`` of other masks.
    """
    if maps.shape != masks.shape or maps.ndim != 3 or len(regions.pixels) != len(maps):
        raise ValueError(
            f"maps {maps.shape}, masks {masks.shape} and regions of {len(regions.pixels)} images do not fit"
        )
    edges = score_edges(maps, masks, bins)
    bins = len(edges) + 1
    normal = np.zeros((len(maps), bins), dtype=np.int64)
    defect = np.zeros((regions.count, bins), dtype=np.int64)
    done = 0
    for index, (values, mask) in enumerate(zip(maps, masks, strict=True)):
        bad = mask != 0
        # float32 edges against the scores' own precision: the comparison itself is exact.
        where = np.searchsorted(edges, values[~bad], side="left")
        normal[index] = np.bincount(where, minlength=bins)
        size = int(regions.pixels[index])
        if size != int(np.count_nonzero(bad)):
            raise ValueError("regions were labelled from other masks: pixel counts per image differ")
        own = regions.of_pixel[done : done + size]
        np.add.at(defect, (own, np.searchsorted(edges, values[bad], side="left")), 1)
        done += size
    return ScoreHistograms(edges, normal, defect, regions.image.astype(np.int64))


# ---------------------------------------------------------------------------------- metrics


def ranking_metrics(negatives: Floats, positives: Floats) -> tuple[Floats, Floats, Floats]:
    """AUROC, average precision and F1-max of binned scores.

    ``negatives``, ``positives`` [m, b]: weight of each class in each bin, ascending scores. With one
    bin per distinct score they are exact, for images too. -> [m] each; NaN where a class is empty.
    """
    above, at_least = _from_top(negatives)
    _, found = _from_top(positives)
    n, p = at_least[:, 0], found[:, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        auroc = 1 - (positives * (above + at_least)).sum(axis=1) / (2 * n * p)
        precision = np.where(positives > 0, found / (found + at_least), 0.0)
        ap = (positives * precision).sum(axis=1) / p
        f1 = np.max(np.where(positives > 0, 2 * found / (found + at_least + p[:, None]), 0.0), axis=1)
    undefined = (n <= 0) | (p <= 0)
    return tuple(np.where(undefined, np.nan, value) for value in (auroc, ap, f1))  # type: ignore[return-value]


def _from_top(counts: Floats) -> tuple[Floats, Floats]:
    """[m, b] -> what lies in higher bins, and in higher bins or this one."""
    at_least = np.cumsum(counts[:, ::-1], axis=1)[:, ::-1]
    return at_least - counts, at_least


def _metrics(normal: Floats, defect: Floats, overlap: Floats, regions: Floats) -> dict[str, Floats]:
    """Counts [m, b] of normal and defect pixels, defect pixels over their region's area [m, b], and
    regions [m] -> metrics [m]."""
    values = dict(zip(PIXEL_METRICS[:3], ranking_metrics(normal, defect), strict=True))
    above, at_least = _from_top(normal)
    total = at_least[:, :1]
    defined = (total[:, 0] > 0) & (regions > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        g, e = above / total, at_least / total
        for name, limit in LIMITS.items():
            # A_L of model.metrics, for each bin.
            tied = np.where(e > g, (np.minimum(e, limit) - np.minimum(g, limit)) ** 2 / (2 * (e - g)), 0.0)
            area = limit - np.minimum(e, limit) + tied
            values[name] = np.where(defined, (overlap * area).sum(axis=1) / (regions * limit), np.nan)
    return values


def _joined(blocks: Iterator[dict[str, Floats]]) -> dict[str, Floats]:
    parts = list(blocks)
    return {
        name: np.concatenate([part[name] for part in parts]) if parts else np.empty(0)
        for name in PIXEL_METRICS
    }
