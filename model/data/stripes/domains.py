"""The three domains: which surface, which defects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from model.data.config import StripesConfig
from model.data.stripes.defects import Defect, blob, merged, scratch, signed, streak
from model.data.stripes.surfaces import Field, brushed, leather, lighting, paint, woven

DefectMaker = Callable[[Generator, StripesConfig], Defect]


@dataclass(frozen=True)
class Domain:
    """One category of the built-in dataset."""

    name: str
    description: str
    index: int
    """Its number in the random streams; never reuse one."""
    surface: Callable[[Generator, StripesConfig], Field]
    """Grey levels [side, side] of a normal surface, unlit."""
    defects: dict[str, DefectMaker]
    """Defect type -> its maker; test images take turns."""
    tint: tuple[float, float, float] | None = None
    """Colour of the surface (gain of R, G, B); None: a grey image."""


def _unit(rng: Generator, config: StripesConfig) -> float:
    """A 256 px image's pixel in pixels of this one, with the image's magnification."""
    return config.size / 256 * float(rng.uniform(0.85, 1.2))


def _px(config: StripesConfig, pixels: float) -> float:
    return pixels * config.size / 256


_SURFACES = {"brushed": brushed, "woven": woven}


def _blobs(rng: Generator, config: StripesConfig) -> Defect:
    return merged(
        [
            blob(rng, config.size, _px(config, rng.uniform(5, 14)), signed(rng, 0.08, 0.22, dark=0.7))
            for _ in range(rng.integers(1, 4))
        ]
    )


def _scratches(rng: Generator, config: StripesConfig) -> Defect:
    return merged(
        [
            scratch(
                rng,
                config.size,
                rng.uniform(0.3, 0.6) * config.size,
                _px(config, rng.uniform(1.6, 3.2)),
                signed(rng, 0.10, 0.24, dark=0.3),
            )
            for _ in range(rng.integers(1, 3))
        ]
    )


def _straight(low: float, high: float) -> DefectMaker:
    """Unbroken streaks at an angle from level in [low, high] degrees, to either side."""

    def make(rng: Generator, config: StripesConfig) -> Defect:
        angle = np.deg2rad(rng.uniform(low, high)) * rng.choice([-1, 1])
        return merged(
            [
                streak(
                    rng,
                    config.size,
                    angle=float(angle + rng.normal(0, 0.03)),
                    length=float(rng.uniform(0.35, 0.85)) * config.size,
                    thickness=_px(config, rng.uniform(1.8, 4.0)),
                    amplitude=signed(rng, 0.06, 0.18),
                )
                for _ in range(rng.integers(1, 3))
            ]
        )

    return make


def broken_rows(rng: Generator, config: StripesConfig) -> list[Defect]:
    """Domain C: one or two faint streaks within two degrees of level, with gaps."""
    return [
        streak(
            rng,
            config.size,
            angle=float(np.deg2rad(rng.uniform(-2, 2))),
            length=float(rng.uniform(*config.length)) * config.size,
            thickness=_px(config, rng.uniform(*config.thickness)),
            amplitude=signed(rng, *config.contrast),
            gap_ratio=float(rng.uniform(*config.gap_ratio)),
        )
        for _ in range(rng.integers(1, 3))
    ]


DOMAINS: dict[str, Domain] = {
    domain.name: domain
    for domain in (
        Domain(
            "domain_a",
            "leather with blobs and scratches",
            0,
            lambda rng, config: leather(rng, config.size, _unit(rng, config)),
            {"blob": _blobs, "scratch": _scratches},
            tint=(1.12, 0.84, 0.62),
        ),
        Domain(
            "domain_b",
            "painted sheet with vertical and oblique streaks",
            1,
            lambda rng, config: paint(rng, config.size, _unit(rng, config)),
            {"vertical_streak": _straight(84, 90), "oblique_streak": _straight(28, 62)},
            tint=(0.90, 1.0, 1.06),
        ),
        Domain(
            "domain_c",
            "brushed metal or cloth with faint, broken, horizontal streaks",
            2,
            lambda rng, config: _SURFACES[config.surface](rng, config.size, _unit(rng, config)),
            {"broken_streak": lambda rng, config: merged(broken_rows(rng, config))},
        ),
    )
}
"""Category name -> domain."""


@dataclass(frozen=True, eq=False)
class Drawing:
    """One image with its mask."""

    pixels: NDArray[np.uint8]
    """[side, side] or [side, side, 3]."""
    mask: NDArray[np.bool_] | None
    """[side, side]; None for a normal image."""


def draw(domain: Domain, config: StripesConfig, part: int, index: int, defect: str | None) -> Drawing:
    """Image ``index`` of a ``part`` (0 train, 1 normal test, 2 defect test) of a domain."""
    rng = np.random.default_rng([config.seed, domain.index, part, index])
    surface = domain.surface(rng, config)
    light = lighting(rng, config.size)
    grain = 0.008 * rng.standard_normal(surface.shape, dtype=np.float32)
    # Drawn last, so that a normal image and its defective twin share surface, light and grain.
    flaw = domain.defects[defect](rng, config) if defect else None
    grey = (surface if flaw is None else surface + flaw.change) * light + grain
    values = grey if domain.tint is None else grey[..., None] * np.asarray(domain.tint, np.float32)
    pixels = np.clip(np.rint(values * 255), 0, 255).astype(np.uint8)
    return Drawing(pixels, None if flaw is None else flaw.mask)
