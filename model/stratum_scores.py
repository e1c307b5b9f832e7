"""What a model does to each kind of defect: token distances and detection, stratum by stratum.

Rows are those of ``metrics.csv``. Layout as in ``model.metrics``: n images of h x w pixels; patch grid
H x W of tokens.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from model.errors import DivergedError
from model.metric_names import DISTANCES, STRATUM_METRICS
from model.metrics import AuproRecipe, Metrics, evaluate
from model.regions import Regions, label_regions
from model.strata import ALL, STRATA, Strata


class Row(NamedTuple):
    """One line of a tidy frame."""

    stratum: str
    metric: str
    value: float
    reason: str = ""
    """Why the value is NaN, if it is."""


def mechanism(
    distance: npt.NDArray[np.floating[Any]],
    masks: npt.NDArray[Any],
    strata: Strata,
    *,
    annotated: npt.ArrayLike | None = None,
) -> list[Row]:
    """What the model does to each kind of defect: mean token distances, and their gap.

    ``token_distance_defect`` is the mean over defect pixels of the distance of the token they lie
    in, so that a token counts by the share of it that is defect. ``token_distance_normal`` is the
    mean over tokens without a defect pixel: of all images for ``all``, of the images that hold such
    a defect for a stratum, so that both sides of ``token_distance_gap`` (defect - normal) see the
    same images. ``defects`` is the number of defects.

    Parameters
    ----------
    distance: [n, H, W] 1 - cosine per token.
    masks: [n, h, w] covering the same field of view, h >= H and w >= W; nonzero = defect.
    strata: ``stratify(images, masks)``.
    annotated: [n] bool; images that are False are left out (their defects are not marked).

    Raises
    ------
    DivergedError: a distance is NaN or infinite.
    ValueError: shapes that do not fit, or strata of other masks.
    """
    n, rows, columns = distance.shape
    _check_strata(masks, strata)
    height, width = masks.shape[1:]
    if n != len(masks) or height < rows or width < columns:
        raise ValueError(f"distance {distance.shape} does not fit masks {masks.shape}")
    used = np.ones(n, dtype=bool) if annotated is None else np.asarray(annotated, dtype=bool)

    token_row = np.arange(height) * rows // height
    token_column = np.arange(width) * columns // width
    sums = np.zeros(strata.regions.count, dtype=np.float64)
    normal_sum, normal_count = np.zeros(n), np.zeros(n, dtype=np.int64)
    stop = np.cumsum(strata.regions.pixels)
    for index in np.flatnonzero(used):
        values = distance[index].astype(np.float64)
        if not np.isfinite(values).all():
            raise DivergedError(f"the token distances at index {index} hold NaN or infinity")
        y, x = np.nonzero(masks[index])
        touched = np.zeros((rows, columns), dtype=bool)
        touched[token_row[y], token_column[x]] = True
        normal_sum[index] = values[~touched].sum()
        normal_count[index] = np.count_nonzero(~touched)
        own = strata.regions.of_pixel[stop[index] - len(y) : stop[index]]
        sums += np.bincount(own, weights=values[token_row[y], token_column[x]], minlength=len(sums))

    of_normal, of_defect, gap = DISTANCES
    result: list[Row] = []
    for stratum in (ALL, *STRATA):
        members = strata.members(stratum) & used[strata.regions.image]
        holders = used if stratum == ALL else np.isin(np.arange(n), strata.regions.image[members])
        tokens, pixels = int(normal_count[holders].sum()), int(strata.regions.areas[members].sum())
        normal = normal_sum[holders].sum() / tokens if tokens else math.nan
        defect = sums[members].sum() / pixels if pixels else math.nan
        no_defect = "" if pixels else "no defect of this kind"
        no_normal = "" if tokens else no_defect or "no token is free of defects"
        result += [
            Row(stratum, of_normal, float(normal), no_normal),
            Row(stratum, of_defect, float(defect), no_defect),
            Row(stratum, gap, float(defect - normal), no_defect or no_normal),
            Row(stratum, "defects", float(np.count_nonzero(members))),
        ]
    return result


def detection(
    maps: npt.NDArray[np.floating[Any]],
    masks: npt.NDArray[Any],
    labels: npt.ArrayLike,
    image_scores: npt.ArrayLike,
    strata: Strata,
    *,
    regions: Regions | None = None,
    aupro: AuproRecipe = "exact",
) -> list[Row]:
    """How well each kind of defect is found: ``STRATUM_METRICS`` of its images and all normal ones.

    Parameters are those of :func:`model.metrics.evaluate`, and so are the errors; an image belongs
    to a stratum by :meth:`Strata.images`. ``images`` is the number of the stratum's images.
    """
    _check_strata(masks, strata)
    truth, scores = np.asarray(labels), np.asarray(image_scores)
    regions = label_regions(masks) if regions is None else regions
    result: list[Row] = []
    for stratum in STRATA:
        members = strata.images(stratum)
        if members.any():
            chosen = np.flatnonzero(members | (truth == 0))
            values = evaluate(
                maps[chosen],
                masks[chosen],
                truth[chosen],
                scores[chosen],
                regions=regions.select(chosen),
                aupro=aupro,
            )
        else:
            reason = "no image of this kind"
            values = Metrics(
                dict.fromkeys(STRATUM_METRICS, math.nan), dict.fromkeys(STRATUM_METRICS, reason)
            )
        result += [
            Row(stratum, metric, values[metric], values.reasons.get(metric, ""))
            for metric in STRATUM_METRICS
        ]
        result.append(Row(stratum, "images", float(np.count_nonzero(members))))
    return result


def _check_strata(masks: npt.NDArray[Any], strata: Strata) -> None:
    marked = [np.count_nonzero(mask) for mask in masks]
    if masks.ndim != 3 or not np.array_equal(strata.regions.pixels, marked):
        raise ValueError("strata were measured on other masks: pixel counts per image differ")
