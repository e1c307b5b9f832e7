"""The configurations of a grid: every combination of its dimensions' values, in one order."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from ablate.study.dimensions import Choices, Dimension, Space, holds, parents_first

_DIGITS = 12
"""Significant digits of a value between low and high: 0.05 + 0.1 is 0.15."""


def has_grid(dimension: Dimension) -> bool:
    """Whether the dimension says which values a grid has of it."""
    return isinstance(dimension, Choices) or dimension.step is not None or dimension.points is not None


def grid_values(dimension: Dimension) -> tuple[Any, ...]:
    """The values of a dimension in a grid, ascending where they are numbers; see :func:`has_grid`."""
    if isinstance(dimension, Choices):
        return dimension.values
    low, high = dimension.low, dimension.high
    if dimension.step is not None:
        found = [low + i * dimension.step for i in range(_steps(low, high, dimension.step) + 1)]
    else:
        assert dimension.points is not None
        parts = [i / (dimension.points - 1) for i in range(dimension.points)]
        ratio = high / low if dimension.log else 1.0
        found = [low * ratio**part if dimension.log else low + part * (high - low) for part in parts]
    if dimension.integer:
        return tuple(dict.fromkeys(round(value) for value in found))
    return tuple(min(max(float(f"{value:.{_DIGITS}g}"), low), high) for value in found)


def _steps(low: float, high: float, step: float) -> int:
    return math.floor((high - low) / step + 1e-9)


def count_values(dimension: Dimension) -> int:
    """How many values :func:`grid_values` has at most, without making them."""
    if isinstance(dimension, Choices):
        return len(dimension.values)
    if dimension.step is not None:
        return _steps(dimension.low, dimension.high, dimension.step) + 1
    assert dimension.points is not None
    return dimension.points


def grid(space: Space) -> Iterator[dict[str, Any]]:
    """Every configuration of the grid: by path, the first dimension changing slowest.

    A dimension whose condition does not hold is left out, so that no configuration comes twice.
    """
    ordered = list(parents_first(space))

    def rest(index: int, chosen: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if index == len(ordered):
            yield {path: chosen[path] for path in space if path in chosen}
            return
        path, dimension = ordered[index]
        if not holds(dimension.when, chosen):
            yield from rest(index + 1, chosen)
            return
        for value in grid_values(dimension):
            yield from rest(index + 1, {**chosen, path: value})

    return rest(0, {})


def most_points(space: Space) -> int:
    """How many configurations :func:`grid` has at most, without making them."""
    return math.prod(count_values(dimension) for dimension in space.values())
