"""A search's space: its dimensions, and which of them a configuration has.

A dimension with a condition is there only where other dimensions have the values that it names; elsewhere
its setting stays as the baseline has it. Conditions name dimensions with choices and go round in no circle,
which the reader has checked, so that every configuration can be told from its values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field
from pydantic.dataclasses import dataclass as checked_dataclass
from pydantic.json_schema import SkipJsonSchema

from model.config import SECTION

Condition = Mapping[str, Any]
"""Dotted path of another dimension -> the list of its values under which this one is there."""


@checked_dataclass(frozen=True, config=SECTION)
class Range:
    """A search dimension: numbers from low to high, both included."""

    low: float
    """Smallest value, included."""
    high: float
    """Largest value, included."""
    log: bool = False
    """Sample on a logarithmic scale."""
    step: Annotated[float, Field(gt=0)] | None = None
    """Distance between neighbouring values."""
    points: Annotated[int, Field(ge=2)] | None = None
    """Of a grid: so many values from low to high, evenly spaced (by ratio with log)."""
    when: Condition = field(default_factory=dict)
    """Searched only where another setting of the space has this value, or one of these values."""
    integer: SkipJsonSchema[bool] = False
    """Whole numbers only; follows from the setting."""


@dataclass(frozen=True)
class Choices:
    """A search dimension: one of these values, plain data; a list in the file."""

    values: tuple[Any, ...]
    when: Condition = field(default_factory=dict)


@checked_dataclass(frozen=True, config=SECTION)
class ConditionalChoices:
    """A search dimension with a condition: one of these values, plain data."""

    choices: Annotated[tuple[Any, ...], Field(min_length=2)]
    """The values."""
    when: Condition = field(default_factory=dict)
    """Searched only where another setting of the space has this value, or one of these values."""


Dimension = Range | Choices
Space = Mapping[str, Dimension]
"""Dotted path -> dimension."""


def same(one: Any, other: Any) -> bool:
    """Whether two plain values are one choice: ``true`` is not 1."""
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def holds(condition: Condition, values: Mapping[str, Any]) -> bool:
    """Whether a dimension with this condition is there, given the values of those it names (by path)."""
    return all(
        path in values and any(same(values[path], one) for one in allowed)
        for path, allowed in condition.items()
    )


def parents_first(space: Space) -> Iterator[tuple[str, Dimension]]:
    """The dimensions, each behind those that its condition names; else in the space's order.

    Conditions that go round in a circle are left out: no space that was read has them.
    """
    left = dict(space)
    while ready := [path for path, each in left.items() if not set(each.when) & set(left)]:
        yield from ((path, left.pop(path)) for path in ready)


def conditional(space: Space) -> bool:
    """Whether any dimension has a condition."""
    return any(dimension.when for dimension in space.values())


def here(space: Space, values: Mapping[str, Any]) -> dict[str, Any]:
    """Of ``values`` (by path; they may hold more), those of the dimensions that are there, in order."""
    found: dict[str, Any] = {}
    for path, dimension in parents_first(space):
        if holds(dimension.when, found):
            found[path] = values[path]
    return {path: found[path] for path in space if path in found}
