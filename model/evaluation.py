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
from model.priors.geometry import Grid
from model.student import Student

BATCH = 16
"""Images scored at once on an accelerator."""
CPU_BATCH = 4
"""On a CPU, where a layer's values should stay in the cache: twice as fast as 16 at 784 tokens."""


@dataclass(frozen=True)
class Predictions:
    """Scores of n images; s = ``score.map_size``."""

    maps: np.ndarray
    """[n, s, s] float32, smoothed."""
    scores: np.ndarray
    """[n] float64."""
    distances: np.ndarray
    """[n, H, W] float32: mean over groups of 1 - cosine per token, before any resampling."""


def _gaussian_line(size: int, sigma: float) -> Tensor:
    """[size] float64, sums to 1."""
    x = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    line = torch.exp(-(x**2) / (2 * sigma**2))
    return line / line.sum()


def gaussian_kernel(size: int, sigma: float) -> Tensor:
    """[1, 1, size, size] float32, sums to 1."""
    line = _gaussian_line(size, sigma)
    return torch.outer(line, line).float()[None, None]


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


class MapMaker:
    """``smooth(anomaly_map(distances, crop), config)`` at a hundredth of its cost.

    Each of its steps is linear and treats rows and columns apart, so all of them together are one matrix
    from either side, the mean over groups taken before: R d C^T.
    """

    def __init__(
        self, grid: Grid, crop: tuple[int, int], config: ScoreConfig, device: torch.device
    ) -> None:
        self._rows, self._columns = (
            _along_one_side(tokens, pixels, config).to(device)
            for tokens, pixels in zip(grid, crop, strict=True)
        )  # [s, H], [s, W]

    def __call__(self, distances: Tensor) -> Tensor:
        """Mean distances over groups [B, H, W] -> maps [B, 1, s, s]."""
        return (self._rows @ distances @ self._columns.T).unsqueeze(1)


def _along_one_side(tokens: int, pixels: int, config: ScoreConfig) -> Tensor:
    """[s, tokens]: what each token of a line adds to each pixel of the map's line."""
    unit = torch.eye(tokens, dtype=torch.float64).unsqueeze(1)  # one line per token, [tokens, 1, tokens]
    line = functional.interpolate(unit, size=pixels, mode="linear", align_corners=True)
    line = functional.interpolate(line, size=config.map_size, mode="linear", align_corners=False)
    kernel = _gaussian_line(config.kernel, config.sigma)[None, None]
    return functional.conv1d(line, kernel, padding=config.kernel // 2).squeeze(1).T.float()


def image_scores(maps: Tensor, max_ratio: float) -> Tensor:
    """[B, 1, s, s] -> [B]: mean of the ``max_ratio`` highest pixels; the maximum if that is 0."""
    flat = maps.flatten(1)  # [B, s * s]
    count = max(int(flat.shape[1] * max_ratio), 1)
    return flat.topk(count, dim=1).values.mean(dim=1)


@torch.no_grad()
def predict(
    student: Student,
    features: Features,
    indices: Tensor,
    *,
    device: torch.device,
    batch: int | None = None,
) -> Predictions:
    """Score the images at ``indices`` [n], ``batch`` at once (None: what suits the device).

    Raises DivergedError if a score is not finite.
    """
    student.to(device).eval()
    student.set_progress(1.0)
    batch = batch or (CPU_BATCH if device.type == "cpu" else BATCH)
    config = student.config
    maps_of = MapMaker(student.grid, config.image.crop, config.score, device)
    maps: list[Tensor] = []
    scores: list[Tensor] = []
    tokens: list[Tensor] = []
    for chunk in indices.split(batch):
        en, de = student(features[chunk].to(device))
        distances = torch.stack([distance(e, d) for e, d in zip(en, de, strict=True)]).mean(0)
        smoothed = maps_of(distances)
        maps.append(smoothed.squeeze(1).cpu())
        scores.append(image_scores(smoothed, config.score.max_ratio).double().cpu())
        tokens.append(distances.cpu())
    result = Predictions(torch.cat(maps).numpy(), torch.cat(scores).numpy(), torch.cat(tokens).numpy())
    if not (np.isfinite(result.maps).all() and np.isfinite(result.scores).all()):
        raise DivergedError("the anomaly maps hold NaN or infinity")
    return result
