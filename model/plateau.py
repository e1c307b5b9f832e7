"""When training has levelled off: the rule of ``train.until: plateau``."""

from __future__ import annotations

import math
from collections.abc import Sequence

from model.config import ModelConfig


def first_look(config: ModelConfig) -> int:
    """Steps before which nothing is concluded: the warm-up and the tail's ramp move the loss themselves."""
    ramp = config.tail.ramp if config.tail.apart else 0
    return max(config.train.warmup, ramp) + 2 * config.train.plateau_window


def levelled_off(losses: Sequence[float], window: int, gain: float) -> bool:
    """Whether the mean of the last ``window`` losses is less than ``gain`` (a share) below the one before.

    Means over windows, since the loss of a step depends on its batch.
    """
    if len(losses) < 2 * window:
        return False
    before, after = (math.fsum(part) for part in (losses[-2 * window : -window], losses[-window:]))
    return after > (1 - gain) * before
