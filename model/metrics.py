"""The eight metrics of a detector: exact, from one sort of the normal pixels.

Unusual here: no threshold sweep. A positive pixel of score s has, among the negatives, a share ``g``
scoring above it and a share ``e`` scoring at least as high. On the ROC curve it is missed while
FPR < g and found once FPR > e; in between (ties) the curve is a straight line. Hence the area it
adds up to FPR = L is, with g' = min(g, L) and e' = min(e, L),

    A_L(s) = (L - e') + (e' - g')^2 / (2 (e - g))          (second term 0 where e = g)

    AUROC   = mean of A_1
    AUPRO_L = sum of A_L / (regions * area of the pixel's region * L)

Average precision and F1-max change only where a positive is gained, so they too need nothing but
the counts at the positive scores. Counts are int64 and sums float64: pixel counts pass 2^24, where
float32 stops counting. Scores are taken in blocks, so that the peak stays near one copy of the maps.

Layout: n images of h x w pixels, C order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from model.errors import DataError, DivergedError
from model.metric_names import IMAGE_METRICS, METRICS, PIXEL_METRICS
from model.regions import Ints, Regions, label_regions, marked_pixels

LIMITS = {"aupro": 0.3, "aupro_05": 0.05}
"""FPR up to which each per-region overlap curve is integrated."""

AuproRecipe = Literal["exact", "reference200"]

Floats = npt.NDArray[np.floating[Any]]
Areas = dict[str, float | str]
"""AUPRO of each of LIMITS, or why it has none."""

BLOCK = 1 << 14
"""Positive scores looked up at once: bounds the working memory (about 1 MiB) at full speed."""
REFERENCE_STEPS = 200


class Metrics(dict[str, float]):
    """Metric name -> value in [0, 1], or NaN where it is undefined.

    ``reasons`` says for each NaN why; ``notes`` lists what a reader of the numbers should know.
    """

    def __init__(
        self,
        values: Mapping[str, float],
        reasons: Mapping[str, str] | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        super().__init__(values)
        self.reasons: dict[str, str] = dict(reasons or {})
        self.notes: tuple[str, ...] = tuple(notes)

    def __reduce__(self) -> tuple[Any, ...]:
        # A dict subclass is pickled item by item otherwise, which loses the constructor's arguments.
        return Metrics, (dict(self), self.reasons, self.notes)


def evaluate(
    maps: Floats,
    masks: npt.NDArray[Any],
    labels: npt.ArrayLike,
    image_scores: npt.ArrayLike,
    *,
    regions: Regions | None = None,
    aupro: AuproRecipe = "exact",
    annotated: npt.ArrayLike | None = None,
) -> Metrics:
    """All eight metrics of one set of images.

    Parameters
    ----------
    maps: [n, h, w] anomaly maps, float16, float32 or float64; higher = more anomalous.
    masks: [n, h, w]; nonzero = defect.
    labels: [n]; 1 = anomalous image, 0 = normal.
    image_scores: [n]; higher = more anomalous.
    regions: ``label_regions(masks)``, if at hand: the same for every detector of a dataset.
    aupro: ``exact``, or ``reference200`` for the 200 thresholds of published tables (it drops the
        piece of the curve just below the limit and reads up to a point lower).
    annotated: [n] bool; False where an anomalous image has no pixel annotation. Pixel metrics are
        then undefined. If not given, every mask is taken at its word: an empty mask means that no
        defect is in view (it may lie outside the crop), as in the reference.

    Raises
    ------
    DivergedError: a map or an image score is NaN or infinite.
    DataError: labels other than 0 and 1, or a normal image whose mask marks a defect.
    ValueError: shapes that do not fit, or ``regions`` of other masks.
    """
    truth, scores = np.asarray(labels), np.asarray(image_scores)
    known = None if annotated is None else np.asarray(annotated, dtype=bool)
    _check_shapes(maps, masks, truth, scores, known)
    if aupro not in AUPRO_RECIPES:
        raise ValueError(f"aupro must be one of {sorted(AUPRO_RECIPES)}, got {aupro!r}")
    marked = marked_pixels(masks)
    _check_content(scores, truth, marked)
    if regions is None:
        regions = label_regions(masks)
    elif not np.array_equal(regions.pixels, marked):
        raise ValueError("regions were labelled from other masks: pixel counts per image differ")

    bad = truth == 1
    image = _image_metrics(scores, bad)
    pixel = _pixel_metrics(maps, masks, marked, bad, known, regions, aupro)
    both = image | pixel
    return Metrics({name: both[name] for name in METRICS}, image.reasons | pixel.reasons, pixel.notes)


def _image_metrics(scores: npt.NDArray[Any], bad: npt.NDArray[np.bool_]) -> Metrics:
    if reason := _undefined(len(bad), int(bad.sum()), "images", "is anomalous", "is normal"):
        return _without_value(IMAGE_METRICS, reason)
    ranking = _ranking(np.sort(scores[~bad]), np.sort(scores[bad]))
    return Metrics(dict(zip(IMAGE_METRICS, ranking, strict=True)))


def _pixel_metrics(
    maps: Floats,
    masks: npt.NDArray[Any],
    marked: Ints,
    bad: npt.NDArray[np.bool_],
    known: npt.NDArray[np.bool_] | None,
    regions: Regions,
    aupro: AuproRecipe,
) -> Metrics:
    # Split first, whatever follows: it is what finds NaN, which must not pass for "undefined".
    negatives, positives = _split(maps, masks, marked)
    unknown = np.flatnonzero(bad & ~known) if known is not None else np.empty(0, np.int64)
    if len(unknown):
        return _without_value(
            PIXEL_METRICS,
            f"{len(unknown)} anomalous image(s) have no pixel annotation, the first at index {unknown[0]}",
        )
    if reason := _undefined(maps.size, len(positives), "pixels", "is marked as a defect", "is unmarked"):
        return _without_value(PIXEL_METRICS, reason)
    negatives.sort()
    areas = AUPRO_RECIPES[aupro](negatives, positives, regions)
    positives.sort()  # in place: from here on they no longer match ``regions``
    ranking = dict(zip(PIXEL_METRICS[:3], _ranking(negatives, positives), strict=True))
    reasons = {name: area for name, area in areas.items() if isinstance(area, str)}
    values = {name: area for name, area in areas.items() if not isinstance(area, str)}
    empty = np.flatnonzero(bad & (marked == 0))
    notes = [
        f"{len(empty)} anomalous image(s) have an empty mask and count as normal pixels, "
        f"the first at index {empty[0]}"
    ] if len(empty) else []  # fmt: skip
    return Metrics(ranking | values | dict.fromkeys(reasons, float("nan")), reasons, notes)


def _without_value(names: Sequence[str], reason: str) -> Metrics:
    return Metrics(dict.fromkeys(names, float("nan")), dict.fromkeys(names, reason))


def _check_shapes(
    maps: Floats,
    masks: npt.NDArray[Any],
    labels: npt.NDArray[Any],
    scores: npt.NDArray[Any],
    annotated: npt.NDArray[np.bool_] | None,
) -> None:
    if maps.ndim != 3 or maps.shape != masks.shape:
        raise ValueError(f"maps and masks must both be [n, h, w], got {maps.shape} and {masks.shape}")
    named = {"labels": labels, "image_scores": scores} | (
        {} if annotated is None else {"annotated": annotated}
    )
    for name, array in named.items():
        if array.shape != maps.shape[:1]:
            raise ValueError(f"{name} must have one entry for each of {len(maps)} maps, got {array.shape}")


def _check_content(scores: npt.NDArray[Any], labels: npt.NDArray[Any], marked: Ints) -> None:
    if not np.isfinite(scores).all():
        index = int(np.flatnonzero(~np.isfinite(scores))[0])
        raise DivergedError(f"the image score at index {index} is {scores[index]}")
    if not np.isin(labels, (0, 1)).all():
        index = int(np.flatnonzero(~np.isin(labels, (0, 1)))[0])
        raise DataError(
            f"the label at index {index} is {labels[index]}; labels are 0 (normal) or 1 (anomalous)"
        )
    contradictory = np.flatnonzero((labels == 0) & (marked > 0))
    if len(contradictory):
        index = int(contradictory[0])
        raise DataError(
            f"the image at index {index} is labelled normal, but its mask marks {marked[index]} pixels",
            hint="relabel the image or empty its mask",
        )


def _undefined(total: int, positive: int, things: str, is_positive: str, is_negative: str) -> str | None:
    """Why a two-class metric has no value here, if it has none."""
    if total == 0:
        return f"there are no {things}"
    if positive == 0:
        return f"none of the {total} {things} {is_positive}"
    if positive == total:
        return f"none of the {total} {things} {is_negative}"
    return None


def _split(maps: Floats, masks: npt.NDArray[Any], marked: Ints) -> tuple[Floats, Floats]:
    """Scores of normal and of defect pixels, in C order; one copy of the maps in all.

    float16 becomes float32 on the way: NumPy sorts it many times faster.
    """
    dtype = np.result_type(maps.dtype, np.float32)
    negatives = np.empty(maps.size - int(marked.sum()), dtype)
    positives = np.empty(int(marked.sum()), dtype)
    low = high = 0
    for index, (values, raw) in enumerate(zip(maps, masks, strict=True)):
        if not np.isfinite(values).all():
            first = values[~np.isfinite(values)][0]
            raise DivergedError(f"the anomaly map at index {index} holds {first}")
        size = int(marked[index])
        if size == 0:
            negatives[low : low + values.size] = values.reshape(-1)
        else:
            mask = raw != 0
            negatives[low : low + values.size - size] = values[~mask]
            positives[high : high + size] = values[mask]
        low, high = low + values.size - size, high + size
    return negatives, positives


def _ranking(negatives: Floats, positives: Floats) -> tuple[float, float, float]:
    """AUROC, average precision and F1-max of two ascending arrays of scores, neither empty."""
    n, p = len(negatives), len(positives)
    beaten = 0  # negatives above + negatives at or above, summed over the positives
    precision = 0.0
    best = 0.0
    for _, score in _blocks(positives):
        above, at_least = _counts(negatives, score)
        found = p - np.searchsorted(positives, score, side="left")
        beaten += int(above.sum()) + int(at_least.sum())
        # AP adds (gain in recall) * precision at each distinct score; tied positives share both.
        precision += float((found / (found + at_least)).sum())
        best = max(best, float((2 * found / (found + at_least + p)).max()))
    return 1.0 - beaten / (2 * n * p), precision / p, best


def _counts(negatives: Floats, scores: Floats) -> tuple[Ints, Ints]:
    """How many of the ascending ``negatives`` are above each score, and how many at or above it."""
    n = len(negatives)
    above = n - np.searchsorted(negatives, scores, side="right").astype(np.int64)
    at_least = n - np.searchsorted(negatives, scores, side="left").astype(np.int64)
    return above, at_least


def _blocks(values: Floats) -> Iterator[tuple[int, Floats]]:
    for low in range(0, len(values), BLOCK):
        yield low, values[low : low + BLOCK]


def _weights(regions: Regions) -> npt.NDArray[np.float64]:
    """[regions] weight of one pixel of each region in a mean over regions of means over pixels."""
    return 1.0 / (regions.count * regions.areas.astype(np.float64))


def _exact(negatives: Floats, positives: Floats, regions: Regions) -> Areas:
    """AUPRO by the formula of the module's header."""
    n = len(negatives)
    weight = _weights(regions)
    totals = dict.fromkeys(LIMITS, 0.0)
    for low, block in _blocks(positives):
        order = np.argsort(block)  # ascending look-ups stay in the processor's cache
        above, at_least = _counts(negatives, block[order])
        share = weight[regions.of_pixel[low : low + len(block)][order]]
        for name, limit in LIMITS.items():
            totals[name] += float(share @ _area(above / n, at_least / n, limit))
    return {name: totals[name] / limit for name, limit in LIMITS.items()}


def _area(g: npt.NDArray[np.float64], e: npt.NDArray[np.float64], limit: float) -> npt.NDArray[np.float64]:
    """A_L of the module's header, for each positive."""
    area = limit - np.minimum(e, limit)
    tied = np.flatnonzero((e > g) & (g < limit))
    low, high = g[tied], e[tied]
    area[tied] += (np.minimum(high, limit) - low) ** 2 / (2 * (high - low))
    return area


def _reference200(negatives: Floats, positives: Floats, regions: Regions) -> Areas:
    """The recipe behind published AUPRO tables.

    Thresholds climb from the lowest score in 200 equal steps; the points with FPR below the limit
    are kept, their FPR divided by the largest one kept, and the trapezoids summed.
    """
    lowest = min(negatives[0], positives.min())
    highest = max(negatives[-1], positives.max())
    step = (highest - lowest) / negatives.dtype.type(REFERENCE_STEPS)
    if not step > 0:
        return dict.fromkeys(LIMITS, f"all pixels score {lowest:g}, which leaves no room for thresholds")
    # As the published values had it: count and increment rounded to the scores' precision, multiples
    # of the increment to float64. (Whether numpy.arange rounds depends on its version.)
    increment = float(lowest + step) - float(lowest)
    exact = float(lowest) + increment * np.arange(math.ceil((highest - lowest) / step))
    # Rounded down to the scores' type: a score is above the one exactly when it is above the other,
    # and the look-ups need no wider copy of the scores.
    thresholds = exact.astype(negatives.dtype)
    thresholds = np.where(thresholds > exact, np.nextafter(thresholds, lowest), thresholds)
    fpr = (len(negatives) - np.searchsorted(negatives, thresholds, side="right")) / len(negatives)
    # A pixel is found by the thresholds strictly below its score: the first ``passed`` of them.
    gained = np.zeros(len(thresholds) + 1, dtype=np.float64)
    weight = _weights(regions)
    for low, block in _blocks(positives):
        passed = np.searchsorted(thresholds, block, side="left")
        share = weight[regions.of_pixel[low : low + len(block)]]
        gained += np.bincount(passed, weights=share, minlength=len(gained))
    overlap = np.cumsum(gained[::-1])[::-1][1:]
    areas: Areas = {}
    for name, limit in LIMITS.items():
        x, y = fpr[fpr < limit], overlap[fpr < limit]
        if len(np.unique(x)) < 2:
            areas[name] = f"fewer than two of the 200 thresholds differ in an FPR below {limit:g}"
        else:
            areas[name] = float(((x[:-1] - x[1:]) * (y[:-1] + y[1:]) / 2).sum() / x.max())
    return areas


AUPRO_RECIPES: dict[AuproRecipe, Callable[[Floats, Floats, Regions], Areas]] = {
    "exact": _exact,
    "reference200": _reference200,
}
"""Scores of normal pixels (ascending) and of defect pixels (C order), regions -> areas."""
