"""OK or NG: a threshold from held-out normal training images, and what it decides on the test images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from model.config import ScoreConfig
from model.data.samples import Sample
from model.errors import DataError
from model.stratum_scores import Row
from model.streams import generator
from model.threshold import decide, find_threshold


def hold_out(train: Sequence[Sample], config: ScoreConfig, seed: int) -> tuple[list[Sample], list[Sample]]:
    """A category's normal images: those to train on, and those to set the threshold on.

    Nothing is held out unless ``score.threshold.quantile`` is given. Which are depends on seed and number
    of images alone, so variants of a study share them. Raises DataError if none would remain to train on.
    """
    if config.threshold.quantile is None:
        return list(train), []
    count = max(round(config.threshold.holdout * len(train)), 1)
    if count >= len(train):
        raise DataError(
            f"score.threshold holds {count} of {len(train)} training images out: none remains",
            hint="lower score.threshold.holdout, or give more images",
        )
    order = torch.randperm(len(train), generator=generator(seed, "threshold holdout", len(train)))
    held = set(order[:count].tolist())
    return [s for i, s in enumerate(train) if i not in held], [s for i, s in enumerate(train) if i in held]


def decision_rows(
    held: npt.NDArray[np.float64],
    scores: npt.NDArray[np.float64],
    labels: npt.NDArray[np.int64],
    config: ScoreConfig,
) -> list[Row]:
    """Threshold, counts and F1 of one category; empty without ``score.threshold.quantile``.

    Parameters
    ----------
    held: image scores of the held-out normal images. scores, labels: [n] of the test images.
    """
    if config.threshold.quantile is None:
        return []
    threshold = find_threshold(held, config.threshold.quantile)
    found = decide(threshold, scores, labels)
    values = {
        "threshold": threshold.value,
        "true_ng": found.true_ng,
        "false_ng": found.false_ng,
        "true_ok": found.true_ok,
        "false_ok": found.false_ok,
        "f1_at_threshold": found.f1,
    }
    no_f1 = "no test image is anomalous" if np.isnan(found.f1) else ""
    reasons = {"threshold": threshold.note or "", "f1_at_threshold": no_f1}
    return [Row("all", name, float(value), reasons.get(name, "")) for name, value in values.items()]
