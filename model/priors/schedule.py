"""Prior A2: what a knob is worth at a point of training. No torch here."""

from __future__ import annotations

import math
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
