"""The completion probes of a run: which images and which tokens they look at, as rows of ``metrics.csv``.

Held-out normal images and defects of the test set, at most ``LIMIT`` each and evenly spread, so that the
probes cost a small part of an evaluation and every variant and seed is probed on the same images.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from model.features import Features
from model.ground_truth import GroundTruth
from model.metric_names import COMPLETIONS, DEFECT_COMPLETIONS
from model.priors.config import Direction
from model.priors.geometry import Grid
from model.probes import DIRECTIONS, Completion, completions
from model.strata import ALL, STRATA, Strata
from model.stratum_scores import Row
from model.student import Student

LIMIT = 24
"""Normal images, and images with defects, that are probed."""
BATCH = 8

Bools = npt.NDArray[np.bool_]


def completion_rows(
    student: Student | None, features: Features, indices: Tensor, truth: GroundTruth
) -> list[Row]:
    """``completion_*`` on normal images, ``completion_defect_*`` overall and by stratum.

    Parameters
    ----------
    student: the trained decoder, in eval mode; None where the method has none.
    indices: [n] rows of the images in ``features``; truth: theirs, in the same order.
    """
    strata = (ALL, *STRATA)
    if student is None:
        reason = "this method has no decoder"
        return [
            *_rows(ALL, COMPLETIONS, None, reason),
            *(row for stratum in strata for row in _rows(stratum, DEFECT_COMPLETIONS, None, reason)),
        ]
    normal = spread(np.flatnonzero(truth.labels == 0), LIMIT)
    marked = truth.masks.reshape(len(truth.masks), -1).any(axis=1)
    defective = spread(np.flatnonzero(marked), LIMIT)
    tokens = defect_tokens(truth.masks, truth.strata, defective, student.grid)  # [k, K, H, W]

    rows = [*_rows(ALL, COMPLETIONS, None, "no normal image")]
    if len(normal):
        found = completions(student, _batches(student, features, indices, normal, None))
        rows = _rows(ALL, COMPLETIONS, {d: found[d][0] for d in DIRECTIONS})
    probed = None
    if len(defective):
        probed = completions(student, _batches(student, features, indices, defective, tokens))
    for number, stratum in enumerate(strata):
        if probed is None or not tokens[:, number].any():
            rows += _rows(stratum, DEFECT_COMPLETIONS, None, "no defect of this kind")
        else:
            rows += _rows(stratum, DEFECT_COMPLETIONS, {d: probed[d][number] for d in DIRECTIONS})
    return rows


def spread(items: npt.NDArray[np.int64], limit: int) -> npt.NDArray[np.int64]:
    """At most ``limit`` of the items, evenly spread."""
    if len(items) <= limit:
        return items
    return items[np.linspace(0, len(items) - 1, limit).round().astype(np.int64)]


def defect_tokens(
    masks: npt.NDArray[np.generic], strata: Strata, chosen: npt.NDArray[np.int64], grid: Grid
) -> Bools:
    """Tokens with a defect pixel, per chosen image and stratum (all defects first): [k, 1 + S, H, W]."""
    rows, columns = grid
    height, width = masks.shape[1:]
    members = np.stack([strata.members(stratum) for stratum in (ALL, *STRATA)])  # [1 + S, defects]
    tokens = np.zeros((len(chosen), len(members), rows, columns), dtype=bool)
    stop = np.cumsum(strata.regions.pixels)
    for k, image in enumerate(chosen):
        y, x = np.nonzero(masks[image])
        own = strata.regions.of_pixel[stop[image] - len(y) : stop[image]]
        for number, member in enumerate(members):
            inside = member[own]
            tokens[k, number, y[inside] * rows // height, x[inside] * columns // width] = True
    return tokens


def _batches(
    student: Student,
    features: Features,
    indices: Tensor,
    chosen: npt.NDArray[np.int64],
    tokens: Bools | None,
) -> Iterator[tuple[Tensor, Tensor | None]]:
    device = student.layer_shares.device
    for start in range(0, len(chosen), BATCH):
        part = slice(start, start + BATCH)
        groups = features[indices[torch.from_numpy(chosen[part])]].to(device)
        yield groups, None if tokens is None else torch.from_numpy(tokens[part])


def _rows(
    stratum: str,
    names: tuple[str, str, str],
    found: dict[Direction, Completion] | None,
    reason: str = "the decoder hardly uses its input",
) -> list[Row]:
    """Horizontal, vertical and their difference; ``reason`` where a value is NaN."""
    horizontal, vertical = (found[d].value if found else math.nan for d in DIRECTIONS)
    values = (horizontal, vertical, horizontal - vertical)
    return [
        Row(stratum, name, value, reason if math.isnan(value) else "")
        for name, value in zip(names, values, strict=True)
    ]
