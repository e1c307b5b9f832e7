"""The ``search:`` part of a study file, read into a :class:`~ablate.study.spec.SearchConfig`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ablate.study.checking import build, check_value, given_settings, parse_value
from ablate.study.located import Located, Mark
from ablate.study.problems import Problems
from ablate.study.settings import Leaf, leaves
from ablate.study.spec import Choices, Range, SearchConfig, known_categories
from ablate.study.text import shown
from model.config import ModelConfig
from model.data.config import DataConfig
from model.suggest import suggestion

_MORE_SEEDS = 5
"""Fresh seeds for winner against baseline, if none are given."""


def read_search(node: Located, mark: Mark, seeds: tuple[int, ...], data: DataConfig) -> SearchConfig:
    """Read and check a search.

    Parameters
    ----------
    node: the mapping below ``search:``; ``mark``: where that key stands.
    seeds: the study's own, which a search without seeds is judged on.
    data: the study's data, for the names of its categories.

    Raises
    ------
    ConfigError: anything wrong with it, at its place.
    """
    known = leaves(SearchConfig)
    if "space" not in node.mapping("search"):
        mark.fail("missing key 'space' in search", hint="e.g. space: {tail.q: {low: 0.01, high: 0.2}}")
    given = given_settings(node, SearchConfig, "search")
    space = _space(given.pop("space").value, node.keys["space"])
    values: dict[str, Any] = {
        path: parse_value(known[path], item.value, "search") for path, item in given.items()
    }
    searched = values.get("seeds") or seeds
    first = max(searched) + 1
    fresh = values.get("fresh_seeds") or tuple(range(_MORE_SEEDS))
    if "fresh_seeds" not in given or isinstance(given["fresh_seeds"].value.value, int):
        fresh = tuple(first + seed for seed in fresh)  # so many, behind those searched on
    reused = sorted(set(fresh) & set(searched))
    if reused:
        given["fresh_seeds"].value.mark.fail(
            f"search.fresh_seeds: the search itself uses {', '.join(map(str, reused))}",
            hint="the winner must be judged on seeds it was not chosen by",
        )
    categories = known_categories(data)
    for name in values.get("categories") or ():
        if categories is not None and name not in categories:
            given["categories"].key.fail(
                f"search.categories: unknown category '{name}'", hint=suggestion(name, categories)
            )
    return SearchConfig(**{**values, "space": space, "seeds": searched, "fresh_seeds": fresh})


def _space(node: Located, mark: Mark) -> dict[str, Range | Choices]:
    given = given_settings(node, ModelConfig, "search.space")
    if not given:
        mark.fail("search.space names no setting")
    problems = Problems()
    space: dict[str, Range | Choices] = {}
    for path, item in given.items():
        with problems.noted():
            space[path] = _dimension(leaves(ModelConfig)[path], item.value)
    problems.raise_all()
    return space


def _dimension(leaf: Leaf, node: Located) -> Range | Choices:
    """One entry of a search space, its values checked against the setting."""
    if isinstance(node.value, list):
        values = tuple(check_value(leaf, item) for item in node.value)
        if len(values) < 2:
            node.mark.fail(f"search.space: {leaf.path} has {len(values)} choice(s), nothing to search")
        return Choices(values)
    if not isinstance(node.value, dict):
        node.mark.fail(
            f"search.space: {leaf.path} needs {{low, high, log, step}} or a list of choices, "
            f"got {shown(node.plain())}"
        )
    given = given_settings(node, Range, f"search.space.{leaf.path}")
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
    integer = not leaf.is_float
    if integer and bounds.step is not None and bounds.step != int(bounds.step):
        given["step"].value.mark.fail(
            f"search.space: {leaf.path} takes whole numbers, so step must be whole"
        )
    return replace(bounds, integer=integer)
