"""The space of a search as a study file gives it, read into :mod:`ablate.study.dimensions`' records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ablate.study.checking import Set, build, check_value, given_settings
from ablate.study.dimensions import (
    Choices,
    ConditionalChoices,
    Dimension,
    Range,
    Space,
    parents_first,
    same,
)
from ablate.study.grids import has_grid, most_points
from ablate.study.located import Located, Mark
from ablate.study.problems import Problems
from ablate.study.settings import Leaf, leaves
from ablate.study.text import shown
from model.config import ModelConfig


def read_space(
    node: Located, mark: Mark, what: str, sampler: str, outer: Space | None = None
) -> dict[str, Dimension]:
    """Dimensions by dotted path.

    Parameters
    ----------
    node: the mapping; ``mark``: where its key stands; ``what``: what messages call it.
    sampler: what proposes in it: a number of points is for a grid.
    outer: further dimensions, which conditions may name.

    Raises
    ------
    ConfigError: anything wrong with it, at its place.
    """
    given = given_settings(node, ModelConfig, what)
    if not given:
        mark.fail(f"{what} names no setting")
    problems = Problems()
    space: dict[str, Dimension] = {}
    for path, item in given.items():
        with problems.noted():
            space[path] = _dimension(leaves(ModelConfig)[path], item.value, sampler)
    problems.raise_all()
    for path, item in given.items():
        if isinstance(item.value.value, dict) and "when" in item.value.value:
            with problems.noted():
                condition = _condition(path, item.value.value["when"], {**(outer or {}), **space})
                space[path] = replace(space[path], when=condition)
    problems.raise_all()
    _check_circles(space, given)
    return space


def check_grid(space: Space, node: Located, mark: Mark, seeds: int, most_runs: int) -> None:
    """Refuse a space that is no grid, or one of more runs than ``most_runs``. Raises ConfigError.

    ``node``: what the space was read from; ``mark``: where its key stands.
    """
    for path, item in given_settings(node, ModelConfig, "search.space").items():
        if not has_grid(space[path]):
            item.key.fail(
                f"search.space: {path} has no values that a grid could take",
                hint="add a step or a number of points, e.g. points: 5, or give a list of choices",
            )
    runs = most_points(space) * seeds
    if runs > most_runs:
        mark.fail(f"this grid has {runs:,} runs", hint="--max-plan raises the limit")


def _dimension(leaf: Leaf, node: Located, sampler: str) -> Dimension:
    """One entry of a search space, its values checked against the setting; its condition is read later."""
    what = f"search.space.{leaf.path}"
    if isinstance(node.value, list):
        return _choices(leaf, node)
    if not isinstance(node.value, dict):
        node.mark.fail(
            f"search.space: {leaf.path} needs {{low, high, log, step}} or a list of choices, "
            f"got {shown(node.plain())}"
        )
    if "choices" in node.value:
        given = given_settings(_without_condition(node), ConditionalChoices, what)
        return _choices(leaf, given["choices"].value)
    given = given_settings(_without_condition(node), Range, what)
    if "points" in given and sampler != "grid":
        given["points"].key.fail(
            f"search.space: {leaf.path} has a number of points, but the sampler is {sampler}",
            hint="write sampler: grid, or a step instead",
        )
    return _range(leaf, node, given)


def _without_condition(node: Located) -> Located:
    return replace(node, value={key: item for key, item in node.value.items() if key != "when"})


def _choices(leaf: Leaf, node: Located) -> Choices:
    if not isinstance(node.value, list):
        node.mark.fail(f"search.space: {leaf.path} needs a list of choices, got {shown(node.plain())}")
    values = tuple(check_value(leaf, item) for item in node.value)
    if len(values) < 2:
        node.mark.fail(f"search.space: {leaf.path} has {len(values)} choice(s), nothing to search")
    return Choices(values)


def _range(leaf: Leaf, node: Located, given: Mapping[str, Set]) -> Range:
    bounds: Range = build(Range, given, node.mark, f"search.space.{leaf.path}")
    if not leaf.is_number:
        node.mark.fail(f"search.space: {leaf.path} is not a number", hint="give a list of choices")
    for end in ("low", "high"):
        check_value(leaf, given[end].value)
    low_mark = given["low"].value.mark
    if bounds.low >= bounds.high:
        low_mark.fail(f"search.space: {leaf.path} has low {bounds.low:g} >= high {bounds.high:g}")
    if bounds.log and bounds.low <= 0:
        low_mark.fail(f"search.space: {leaf.path} is logarithmic, so low must be positive")
    if bounds.log and bounds.step is not None:
        given["step"].key.fail(f"search.space: {leaf.path} cannot have both log and step")
    if bounds.points is not None and bounds.step is not None:
        given["points"].key.fail(f"search.space: {leaf.path} cannot have both points and step")
    integer = not leaf.is_float
    if integer and bounds.step is not None and bounds.step != int(bounds.step):
        given["step"].value.mark.fail(
            f"search.space: {leaf.path} takes whole numbers, so step must be whole"
        )
    return replace(bounds, integer=integer)


def _condition(path: str, node: Located, space: Space) -> dict[str, list[Any]]:
    """The values of other dimensions under which ``path`` is searched."""
    found: dict[str, list[Any]] = {}
    for other, item in given_settings(node, ModelConfig, f"search.space.{path}.when").items():
        known = space.get(other)
        if known is None or other == path:
            item.key.fail(
                f"search.space: {path} depends on {other}, which is not searched",
                hint="a condition names another setting of the space",
            )
        if not isinstance(known, Choices):
            item.key.fail(
                f"search.space: {path} depends on {other}, which is a range",
                hint=f"give {other} as a list of choices",
            )
        found[other] = _allowed(path, other, item.value, known)
    if not found:
        node.mark.fail(f"search.space: the condition of {path} names no setting")
    return found


def _allowed(path: str, other: str, node: Located, known: Choices) -> list[Any]:
    whole = [value for value in known.values if same(value, node.plain())]
    if whole:
        return whole
    allowed = []
    for item in node.value if isinstance(node.value, list) else [node]:
        equal = [value for value in known.values if same(value, item.plain())]
        if not equal:
            item.mark.fail(
                f"search.space: {path} depends on {other} = {shown(item.plain())}, which is not among its "
                "choices"
            )
        allowed += equal
    return allowed


def _check_circles(space: Space, given: Mapping[str, Set]) -> None:
    left = space.keys() - dict(parents_first(space)).keys()
    for path in (path for path in space if path in left):
        given[path].key.fail(
            f"search.space: the conditions of {', '.join(sorted(left))} go round in a circle"
        )
