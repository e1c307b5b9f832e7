"""Defects with exact masks: each is a coverage in [0, 1] and the pixels that count as defect.

Lengths are in pixels. A coverage of 1 changes the surface by the full amplitude; its mask is where
the coverage is at least one half, so edges are antialiased and the mask is still exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from model.data.stripes.surfaces import Field, smooth_noise


@dataclass(frozen=True, eq=False)
class Defect:
    """What is added to a surface, in grey levels, and where."""

    change: Field
    """[side, side] signed grey levels."""
    mask: NDArray[np.bool_]
    """[side, side]."""


def merged(defects: list[Defect]) -> Defect:
    """Several defects of one image."""
    return Defect(
        np.sum([defect.change for defect in defects], axis=0, dtype=np.float32),
        np.any([defect.mask for defect in defects], axis=0),
    )


def _covered(coverage: Field, amplitude: float) -> Defect:
    return Defect((amplitude * coverage).astype(np.float32), coverage >= 0.5)


def signed(rng: Generator, low: float, high: float, dark: float = 0.5) -> float:
    """An amplitude in [low, high], negative with probability ``dark``."""
    return float(rng.uniform(low, high)) * (-1 if rng.random() < dark else 1)


def blob(rng: Generator, side: int, radius: float, amplitude: float) -> Defect:
    """A stain: an ellipse with an irregular outline and a soft rim."""
    cy, cx = rng.uniform(0.15, 0.85, 2) * side
    rows, columns = np.mgrid[:side, :side].astype(np.float32)
    angle, stretch = rng.uniform(0, np.pi), rng.uniform(1, 1.7)
    u = (columns - cx) * np.cos(angle) + (rows - cy) * np.sin(angle)
    v = (rows - cy) * np.cos(angle) - (columns - cx) * np.sin(angle)
    outline = radius * (1 + 0.22 * smooth_noise(rng, side, radius / 2.5, radius / 2.5))
    rim = max(0.3 * radius, 1.0)
    coverage = np.clip((outline - np.hypot(u / stretch, v)) / rim + 0.5, 0, 1)
    return _covered(coverage, amplitude)


def scratch(rng: Generator, side: int, length: float, thickness: float, amplitude: float) -> Defect:
    """A curved scratch in any direction: a quadratic Bezier curve that thins out at its ends."""
    heading = rng.uniform(0, 2 * np.pi)
    middle = rng.uniform(0.3, 0.7, 2) * side
    reach = length / 2 * np.array([np.sin(heading), np.cos(heading)])
    bulge = rng.uniform(-0.25, 0.25) * length * np.array([np.cos(heading), -np.sin(heading)])
    t = np.linspace(0, 1, 25)[:, None]
    points = (1 - t) ** 2 * (middle - reach) + 2 * t * (1 - t) * (middle + bulge) + t**2 * (middle + reach)
    rows, columns = np.mgrid[:side, :side].astype(np.float32)
    pixels = np.stack([rows, columns], axis=-1)
    distance = np.full((side, side), np.inf, np.float32)
    for start, end, place in zip(points[:-1], points[1:], t[:-1, 0], strict=True):
        offset = (end - start).astype(np.float32)
        relative = pixels - start.astype(np.float32)
        along = np.clip(relative @ offset / (offset @ offset), 0, 1)
        gap = relative - along[..., None] * offset
        # Distance to the scratch's edge: half the thickness, tapering over the outer fifths.
        taper = min(1.0, 0.4 + 3 * min(place, 1 - place))
        np.minimum(distance, np.hypot(gap[..., 0], gap[..., 1]) - taper * thickness / 2, out=distance)
    return _covered(np.clip(0.5 - distance, 0, 1), amplitude)


def streak(
    rng: Generator,
    side: int,
    *,
    angle: float,
    length: float,
    thickness: float,
    amplitude: float,
    gap_ratio: float = 0.0,
) -> Defect:
    """A straight streak at ``angle`` (radians from level), with a share of its length missing.

    Gaps are excluded from the mask: it holds the pieces only. Pieces have rounded ends, and their
    strength varies between 0.65 and 1 of the amplitude along the streak.
    """
    extent = np.abs(length / 2 * np.array([np.sin(angle), np.cos(angle)]))
    low, high = np.minimum(extent, 0.46 * side) + 0.04 * side, side * 0.96 - np.minimum(extent, 0.46 * side)
    cy, cx = rng.uniform(np.minimum(low, high), np.maximum(low, high))
    rows, columns = np.mgrid[:side, :side].astype(np.float32)
    u = (columns - cx) * np.cos(angle) + (rows - cy) * np.sin(angle) + length / 2
    v = (rows - cy) * np.cos(angle) - (columns - cx) * np.sin(angle)
    wobble = 0.15 * thickness * np.sin(2 * np.pi * (u / (0.5 * length) + rng.random()))
    strength = 0.825 + 0.175 * np.sin(2 * np.pi * (u / (rng.uniform(0.15, 0.4) * length) + rng.random()))
    # Signed distance to the nearest piece's edge: a rounded bar, at least one pixel thick.
    half = max(thickness, 1.0) / 2
    inside = np.full((side, side), -np.inf, np.float32)
    for start, end in _pieces(rng, length, gap_ratio):
        beyond = np.maximum(np.maximum(start + half - u, u - end + half), 0)
        np.maximum(inside, half - np.hypot(beyond, v + wobble), out=inside)
    coverage = np.clip(inside + 0.5, 0, 1)
    return Defect((amplitude * strength * coverage).astype(np.float32), coverage >= 0.5)


def _pieces(rng: Generator, length: float, gap_ratio: float) -> list[tuple[float, float]]:
    """(start, end) of a broken streak's pieces: random lengths, gaps adding up to the ratio."""
    if gap_ratio == 0:
        return [(0.0, length)]
    gaps = int(rng.integers(2, 6))
    # Dirichlet(4): uneven, yet hardly ever a piece or gap of no length.
    missing = rng.dirichlet(np.full(gaps, 4.0)) * gap_ratio * length
    present = rng.dirichlet(np.full(gaps + 1, 4.0)) * (1 - gap_ratio) * length
    starts = np.concatenate([[0.0], np.cumsum(present[:-1] + missing)])
    return [(float(a), float(a + b)) for a, b in zip(starts, present, strict=True)]
