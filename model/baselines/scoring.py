"""Reference rows' maps and image scores, by the same path as every other variant's."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from model.baselines.patches import Scorer
from model.config import ScoreConfig
from model.errors import DivergedError
from model.evaluation import MapMaker, Predictions, image_scores


@torch.no_grad()
def predict(
    scorer: Scorer, batches: Iterable[Tensor], crop: tuple[int, int], config: ScoreConfig
) -> Predictions:
    """Score images given as group means [B, G, T, C] per batch.

    Parameters
    ----------
    crop: the network's input (height, width), to which maps are resampled first.
    config: smoothing and pooling; a scorer's own image scores take precedence.

    Raises
    ------
    DivergedError: a score is not finite.
    """
    maps: list[Tensor] = []
    scores: list[Tensor] = []
    tokens: list[Tensor] = []
    maps_of: MapMaker | None = None
    for groups in batches:
        said = scorer.score(groups)
        _, height, width = said.maps.shape
        maps_of = maps_of or MapMaker((height, width), crop, config, said.maps.device)
        smoothed = maps_of(said.maps)
        images = image_scores(smoothed, config.max_ratio) if said.images is None else said.images
        maps.append(smoothed.squeeze(1))
        scores.append(images.double())
        tokens.append(said.maps)
    result = Predictions(torch.cat(maps).numpy(), torch.cat(scores).numpy(), torch.cat(tokens).numpy())
    if not (np.isfinite(result.maps).all() and np.isfinite(result.scores).all()):
        raise DivergedError("the anomaly maps hold NaN or infinity")
    return result
