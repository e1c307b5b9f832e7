"""The rows of a study's tables: named variants, and rows made by a factor's levels. No torch here."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

from ablate.study.text import label

if TYPE_CHECKING:
    from ablate.study.spec import Factors

IMPLICIT_BASELINE = "base"
"""Name of the row that is the base configuration itself, where no variants are named."""


class Row(NamedTuple):
    """A row of the study's tables: a named configuration."""

    variant: str
    factors: Mapping[str, Any]
    """The factor levels that made this row (labels); empty for a named variant."""
    overrides: Mapping[str, Any]
    """Dotted path -> value over the base."""


def count_rows(variants: Mapping[str, Mapping[str, Any]], factors: Factors | None) -> int:
    """How many rows :func:`rows_of` gives, without making them."""
    named = max(len(variants), 1)
    if factors is None:
        return named
    counts = [len(levels) for levels in factors.levels.values()]
    return named + (sum(counts) if factors.design == "one-at-a-time" else named * math.prod(counts))


def rows_of(variants: Mapping[str, Mapping[str, Any]], factors: Factors | None) -> tuple[Row, ...]:
    """Rows in table order: named variants (or the base alone), then rows made by factors."""
    return tuple(row for row, _ in _labelled(variants, factors, {}))


def labels_of(
    variants: Mapping[str, Mapping[str, Any]], factors: Factors | None, labels: Mapping[str, str]
) -> dict[str, str]:
    """What readers see rows called, by their names; only those that have a label, or whose parts have.

    ``labels``: of named variants.
    """
    return {row.variant: text for row, text in _labelled(variants, factors, labels) if text}


def _labelled(
    variants: Mapping[str, Mapping[str, Any]], factors: Factors | None, labels: Mapping[str, str]
) -> Iterator[tuple[Row, str]]:
    """Every row with its label, or an empty one."""
    named = variants or {IMPLICIT_BASELINE: {}}
    for name, values in named.items():
        yield Row(name, {}, values), labels.get(name, "")
    if factors is None:
        return
    if factors.design == "one-at-a-time":
        for path, levels in factors.levels.items():
            for i in range(len(levels)):
                yield _factor_row(Row("", {}, {}), "", factors, {path: i})
        return
    crossed = [range(len(levels)) for levels in factors.levels.values()]
    for name, values in named.items():
        base = Row(name if variants else "", {}, values)
        for chosen in product(*crossed):
            levels_at = dict(zip(factors.levels, chosen, strict=True))
            yield _factor_row(base, labels.get(name, ""), factors, levels_at)


def scalar_level(level: Any) -> Any:
    """A level as a cell of a table: numbers and words as they are, anything else as text."""
    return level if isinstance(level, (int, float, str)) else label(level)


def _factor_row(base: Row, base_label: str, factors: Factors, chosen: Mapping[str, int]) -> tuple[Row, str]:
    """The row of some levels (path -> index) on a named variant, whose name may be empty; its label."""
    levels = {path: factors.levels[path][i] for path, i in chosen.items()}
    texts = {path: label(level) for path, level in levels.items()}
    scalar = {path: scalar_level(level) for path, level in levels.items()}
    parts = {path: f"{path}={text}" for path, text in texts.items()}
    name = ",".join(filter(None, [base.variant, *parts.values()]))
    row = Row(name, scalar, {**base.overrides, **levels})
    given = {path: factors.labels.get(path, {}).get(i, "") for path, i in chosen.items()}
    if not base_label and not any(given.values()):
        return row, ""
    shown = [base_label or base.variant, *(given[path] or parts[path] for path in chosen)]
    return row, ", ".join(filter(None, shown))
