"""Anomaly maps and image scores, as the reference computes them at inference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from model.config import ScoreConfig
from model.errors import DivergedError
from model.features import Features
from model.losses import distance
from model.student import Student


@dataclass(frozen=True)
class Predictions:
    """Scores of n images; s = ``score.map_size``."""

    maps: np.ndarray
    """[n, s, s] float32, smoothed."""
    scores: np.ndarray
    """[n] float64."""
    distances: np.ndarray
    """[n, H, W] float32: mean over groups of 1 - cosine per token, before any resampling."""


def gaussian_kernel(size: int, sigma: float) -> Tensor:
    """[1, 1, size, size] float32, sums to 1."""
    x = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    line = torch.exp(-(x**2) / (2 * sigma**2))
    kernel = torch.outer(line, line)
    return (kernel / kernel.sum()).float()[None, None]


def anomaly_map(distances: Sequence[Tensor], crop: tuple[int, int]) -> Tensor:
    """Distances of G groups, [B, H, W] each -> [B, 1, crop_h, crop_w], unsmoothed.

    Bilinear with align_corners=True, then the mean over groups.
    """
    maps = [
        functional.interpolate(d.unsqueeze(1), size=crop, mode="bilinear", align_corners=True)
        for d in distances
    ]
    return torch.cat(maps, dim=1).mean(dim=1, keepdim=True)


def smooth(maps: Tensor, config: ScoreConfig) -> Tensor:
    """[B, 1, h, w] -> [B, 1, s, s]: bilinear (align_corners=False), then a zero-padded Gaussian."""
    side = config.map_size
    maps = functional.interpolate(maps, size=(side, side), mode="bilinear", align_corners=False)
    kernel = gaussian_kernel(config.kernel, config.sigma).to(maps)
    return functional.conv2d(maps, kernel, padding=config.kernel // 2)


def image_scores(maps: Tensor, max_ratio: float) -> Tensor:
    """[B, 1, s, s] -> [B]: mean of the ``max_ratio`` highest pixels; the maximum if that is 0."""
    flat = maps.flatten(1)  # [B, s * s]
    count = max(int(flat.shape[1] * max_ratio), 1)
    return flat.topk(count, dim=1).values.mean(dim=1)


@torch.no_grad()
def predict(
    student: Student, features: Features, indices: Tensor, *, device: torch.device, batch: int = 16
) -> Predictions:
    """Score the images at ``indices`` [n]. Raises DivergedError if a score is not finite."""
    student.to(device).eval()
    student.set_progress(1.0)
    crop = student.config.image.crop
    maps: list[Tensor] = []
    scores: list[Tensor] = []
    tokens: list[Tensor] = []
    for chunk in indices.split(batch):
        en, de = student(features[chunk].to(device))
        distances = [distance(e, d) for e, d in zip(en, de, strict=True)]
        smoothed = smooth(anomaly_map(distances, crop), student.config.score)
        maps.append(smoothed.squeeze(1).cpu())
        scores.append(image_scores(smoothed, student.config.score.max_ratio).double().cpu())
        tokens.append(torch.stack(distances).mean(0).cpu())
    result = Predictions(torch.cat(maps).numpy(), torch.cat(scores).numpy(), torch.cat(tokens).numpy())
    if not (np.isfinite(result.maps).all() and np.isfinite(result.scores).all()):
        raise DivergedError("the anomaly maps hold NaN or infinity")
    return result
