"""Prior A2: what a knob is worth at a point of training. No torch here."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache
from typing import Literal

from model.errors import ConfigError
from model.knobs import Knob, Schedule


def value_at(knob: Knob | Literal["learned"], progress: float) -> float:
    """A knob's value at training progress in [0, 1] (DESIGN section 4, A2).

    The ends are exact: ``from`` up to ``begin``, ``to`` from ``end`` on.
    """
    if knob == "learned":
        raise ConfigError("a learned knob has no scheduled value")
    if not isinstance(knob, Schedule):
        return float(knob)
    if knob.shape == "constant" or progress >= knob.end:
        return knob.to
    if progress <= knob.begin:
        return knob.from_
    t = (progress - knob.begin) / (knob.end - knob.begin)
    if knob.shape == "step":
        return knob.to if t >= 0.5 else knob.from_
    if knob.shape == "linear":
        return knob.from_ + (knob.to - knob.from_) * t
    if knob.shape == "cosine":
        return knob.to + (knob.from_ - knob.to) * (1 + math.cos(math.pi * t)) / 2
    return knob.from_ * (knob.to / knob.from_) ** t


@lru_cache(maxsize=1024)
def mean_value(knob: Knob, iterations: int) -> float:
    """Mean of a knob over the steps of a training, iteration i being at progress i / iterations.

    What a schedule does on average: two courses of a rate are a fair pair only if this agrees.
    """
    if not isinstance(knob, Schedule):
        return float(knob)
    return math.fsum(value_at(knob, i / iterations) for i in range(iterations)) / iterations


def scaled_to_mean(knob: Knob, mean: float, iterations: int) -> Knob:
    """The knob times the factor that makes its :func:`mean_value` over ``iterations`` equal ``mean``.

    Every shape keeps its form under scaling. A schedule that never moves becomes the number.
    Raises ``ValueError`` if the knob is 0 throughout.
    """
    if not isinstance(knob, Schedule) or knob.shape == "constant" or knob.from_ == knob.to:
        return mean
    before = mean_value(knob, iterations)
    if before == 0:
        raise ValueError(f"a schedule that is 0 at each of {iterations} iterations cannot be scaled")
    return replace(knob, from_=knob.from_ * mean / before, to=knob.to * mean / before)


def lengths_at(lengths: tuple[Knob, Knob], progress: float) -> tuple[int, int]:
    """Shortest and longest run at training progress in [0, 1], each rounded to whole tokens.

    Where two schedules cross on the way, the shortest gives way.
    """
    shortest, longest = (math.floor(value_at(length, progress) + 0.5) for length in lengths)
    return (min(shortest, longest) if 0 < progress < 1 else shortest), longest
