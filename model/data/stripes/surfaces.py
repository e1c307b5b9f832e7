"""Normal surfaces: filtered noise under varying light. All are float32 [side, side] in grey levels.

``unit`` is one pixel of a 256 px image in pixels of this one, so that a surface looks the same at
any size; it also carries the image's random magnification.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import fft

Field = NDArray[np.float32]
"""[side, side]."""


@lru_cache(maxsize=4)
def _frequencies(side: int) -> tuple[Field, Field]:
    """Cycles per pixel down the rows [side, 1] and along them [1, side // 2 + 1]."""
    down = np.fft.fftfreq(side).astype(np.float32)[:, None]
    along = np.fft.rfftfreq(side).astype(np.float32)[None, :]
    return down, along


def _shaped_noise(rng: Generator, side: int, response: Field) -> Field:
    """White noise through a frequency response [side, side // 2 + 1]; mean 0, sd 1."""
    spectrum = fft.rfft2(rng.standard_normal((side, side), dtype=np.float32))
    spectrum[0, 0] = 0
    noise = fft.irfft2(spectrum * response, s=(side, side))
    return (noise / max(float(noise.std()), 1e-6)).astype(np.float32)


def smooth_noise(rng: Generator, side: int, down: float, along: float) -> Field:
    """Noise with Gaussian correlation lengths ``down`` the rows and ``along`` them, pixels."""
    fy, fx = _frequencies(side)
    # exp(-2 (pi f l)^2) is the transform of a Gaussian of standard deviation l.
    response = np.exp(-2 * np.pi**2 * ((fy * down) ** 2 + (fx * along) ** 2))
    return _shaped_noise(rng, side, response)


def band_noise(rng: Generator, side: int, period: float, width: float = 0.35) -> Field:
    """Isotropic noise of one spatial ``period`` in pixels, relative band ``width``."""
    fy, fx = _frequencies(side)
    radius = np.hypot(fy, fx) * period
    return _shaped_noise(rng, side, np.exp(-((radius - 1) ** 2) / (2 * width**2)))


def lighting(rng: Generator, side: int, strength: float = 0.12) -> Field:
    """A gain per pixel around 1: overall exposure and a gradient from a random direction."""
    angle = rng.uniform(0, 2 * np.pi)
    line = np.linspace(-1, 1, side, dtype=np.float32)
    gradient = np.cos(angle) * line[None, :] + np.sin(angle) * line[:, None]
    return (rng.uniform(0.92, 1.08) * (1 + rng.uniform(0.2, 1) * strength * gradient)).astype(np.float32)


def leather(rng: Generator, side: int, unit: float) -> Field:
    """Pebbled leather: a network of creases around pads, lit from one side."""
    pads = band_noise(rng, side, 13 * unit, 0.3)
    # Zero crossings of band-limited noise form a connected network, as creases do.
    creases = np.exp(-((pads / 0.45) ** 2))
    height = -creases + 0.25 * smooth_noise(rng, side, 1.2 * unit, 1.2 * unit)
    angle = rng.uniform(0, 2 * np.pi)
    slope = np.cos(angle) * np.gradient(height, axis=1) + np.sin(angle) * np.gradient(height, axis=0)
    mottling = smooth_noise(rng, side, 22 * unit, 22 * unit)
    return 0.50 - 0.10 * creases + 0.16 * unit * slope + 0.015 * mottling


def paint(rng: Generator, side: int, unit: float) -> Field:
    """A painted, speckled sheet: orange peel, pigment speckle, slow mottling; no direction."""
    peel = band_noise(rng, side, 9 * unit, 0.5)
    speckle = smooth_noise(rng, side, 0.8 * unit, 0.8 * unit)
    flakes = np.clip(smooth_noise(rng, side, 1.1 * unit, 1.1 * unit) - 2.0, 0, None)
    mottling = smooth_noise(rng, side, 26 * unit, 26 * unit)
    return 0.56 + 0.018 * peel + 0.022 * speckle + 0.10 * flakes + 0.012 * mottling


def brushed(rng: Generator, side: int, unit: float) -> Field:
    """Brushed metal: hairlines of several lengths, slow bands and a few long brush marks, all level."""
    hairs = smooth_noise(rng, side, 0.55 * unit, 45 * unit)
    short = smooth_noise(rng, side, 0.7 * unit, 9 * unit)
    bands = smooth_noise(rng, side, 9 * unit, 400 * unit)
    grain = smooth_noise(rng, side, 0.5 * unit, 0.8 * unit)
    return (
        0.55 + 0.035 * hairs + 0.022 * short + 0.018 * bands + 0.014 * grain + _brush_marks(rng, side, unit)
    )


def _brush_marks(rng: Generator, side: int, unit: float) -> Field:
    """Long level lines across the whole image: thin, unbroken, and normal."""
    rows = np.arange(side, dtype=np.float32)[:, None]
    marks = np.zeros((side, side), np.float32)
    for _ in range(rng.integers(3, 9)):
        centre, sd = rng.uniform(0, side), rng.uniform(0.5, 0.9) * unit
        line = np.exp(-((rows - centre) ** 2) / (2 * sd**2))
        fading = 0.75 + 0.25 * smooth_noise(rng, side, 400 * unit, 60 * unit)[:1]
        marks += rng.uniform(-0.07, 0.07) * line * fading
    return marks


def woven(rng: Generator, side: int, unit: float) -> Field:
    """Plain-woven cloth: the weft's level threads dominate and differ in brightness."""
    pitch = 5.0 * unit
    rows, columns = np.mgrid[:side, :side].astype(np.float32)
    bend = 0.25 * pitch * smooth_noise(rng, side, 30 * unit, 30 * unit)
    down = (rows + bend) / pitch + rng.uniform(0, 2)
    along = (columns + 0.5 * bend) / (1.3 * pitch) + rng.uniform(0, 2)
    over = np.sin(np.pi * along) * np.where(np.floor(down) % 2 == 0, 1, -1)
    weft = np.abs(np.sin(np.pi * down)) ** 0.7
    thread = rng.standard_normal(side + 8).astype(np.float32)[np.floor(down).astype(int) % (side + 8)]
    slubs = smooth_noise(rng, side, 1.2 * unit, 14 * unit)
    grain = smooth_noise(rng, side, 0.6 * unit, 0.6 * unit)
    return 0.42 + 0.13 * weft + 0.035 * over * weft + 0.016 * thread + 0.016 * slubs + 0.015 * grain
