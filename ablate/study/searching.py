"""The ``search:`` part of a study file, read into a :class:`~ablate.study.spec.SearchConfig`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ablate.study.checking import Set, given_settings, parse_value
from ablate.study.constraints import read_constraints
from ablate.study.dimensions import Dimension, Space, conditional
from ablate.study.grids import grid
from ablate.study.located import Located, Mark
from ablate.study.settings import leaves
from ablate.study.spaces import check_grid, read_space
from ablate.study.spec import SearchConfig, known_categories
from model.config import ModelConfig
from model.data.config import DataConfig
from model.suggest import suggestion

_ARM_SEEDS = 2
"""Seeds that an arm's trials are judged on, if none are given."""
_MORE_SEEDS = 5
"""Fresh seeds for winner against baseline, if none are given."""


def check_exclusive(root: Located) -> bool:
    """Refuse a file that compares in two ways, or in none; whether its search has arms.

    Raises
    ------
    ConfigError: variants or factors beside a search without arms, arms without variants, or nothing at all.
    """
    items = root.mapping("a study")
    arms = "search" in items and "arms" in items["search"].mapping("search")
    compared = [key for key in ("variants", "factors") if key in items]
    if arms and not compared:
        root.keys["search"].fail("search.arms needs variants: each is an arm")
    if "search" in items and compared and not (arms and compared == ["variants"]):
        root.keys[compared[-1 if arms else 0]].fail(
            f"'{compared[-1 if arms else 0]}' and 'search' exclude each other",
            hint="a search compares its winner with the base; keep one of the two, or make the variants "
            "its arms",
        )
    if "search" not in items and not compared:
        root.mark.fail(
            "nothing to compare: the study has neither variants, factors nor search",
            hint="e.g. variants: {baseline: {}, top-q: {tail.q: 0.02}}",
        )
    return arms


def read_search(
    node: Located,
    mark: Mark,
    seeds: tuple[int, ...],
    data: DataConfig,
    *,
    variants: Mapping[str, Mapping[str, Any]] | None = None,
    most: int | None = None,
    most_runs: int,
) -> SearchConfig:
    """Read and check a search.

    Parameters
    ----------
    node: the mapping below ``search:``; ``mark``: where that key stands.
    seeds: the study's own, which a search without seeds is judged on.
    data: the study's data, for the names of its categories.
    variants: the study's named ones and their settings: the arms, if the search has any.
    most: most seeds that the study may come to; an arm is searched for on others.
    most_runs: refuse a grid of more configurations x seeds.

    Raises
    ------
    ConfigError: anything wrong with it, at its place.
    """
    known = leaves(SearchConfig)
    if "space" not in node.mapping("search"):
        mark.fail("missing key 'space' in search", hint="e.g. space: {tail.q: {low: 0.01, high: 0.2}}")
    given = given_settings(node, SearchConfig, "search")
    of_space, of_arms = given.pop("space"), given.pop("arms", None)
    values: dict[str, Any] = {
        path: parse_value(known[path], item.value, "search") for path, item in given.items()
    }
    sampler = values.get("sampler", "tpe")
    space = read_space(of_space.value, of_space.key, "search.space", sampler)
    arms = _arms(of_arms.value, variants or {}, space, sampler) if of_arms else {}
    values |= _judging(given, values, data)
    if arms:
        values = {
            **values,
            **_apart(values, given, range(max(most or 0, *(seed + 1 for seed in seeds))), seeds),
        }
    searched = values.get("seeds") or seeds
    if sampler == "grid":
        check_grid(space, of_space.value, of_space.key, len(searched), most_runs)
        values["trials"] = _trials(given, arms, space)
    if sampler == "gp" and any(map(conditional, (space, *arms.values()))):
        given["sampler"].value.mark.fail(
            "search.sampler: a Gaussian process knows no conditions", hint="sampler: tpe, or random"
        )
    first = max(searched) + 1
    fresh = values.get("fresh_seeds") or tuple(range(_MORE_SEEDS))
    if arms:
        fresh = seeds
    elif "fresh_seeds" not in given or isinstance(given["fresh_seeds"].value.value, int):
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
    return SearchConfig(**{**values, "space": space, "arms": arms, "seeds": searched, "fresh_seeds": fresh})


def _judging(given: Mapping[str, Set], values: Mapping[str, Any], data: DataConfig) -> dict[str, Any]:
    """What trials are judged by, as far as it is not one metric alone. Raises ConfigError."""
    found: dict[str, Any] = {}
    if "constraints" in given:
        found["constraints"] = read_constraints(given["constraints"].value, known_categories(data))
    if "objectives" in given:
        if "objective" in given:
            given["objectives"].key.fail("search has both objective and objectives", hint="keep one")
        if len(values["objectives"]) != 2:
            given["objectives"].value.mark.fail(
                f"search.objectives takes two metrics, got {len(values['objectives'])}",
                hint="one alone is the objective",
            )
        first, second = values["objectives"]
        if first == second:
            given["objectives"].value.mark.fail(f"search.objectives: '{first}' is given twice")
        found["objective"] = first
    pruner = values.get("pruner", "none")
    if pruner != "none" and any(found.values()):
        given["pruner"].value.mark.fail(
            f"search.pruner: {pruner} knows one objective and no constraints", hint="pruner: none"
        )
    return found


def _trials(given: Mapping[str, Set], arms: Mapping[str, Space], space: Space) -> int:
    """As many trials as the grid has configurations. Raises ConfigError if others are asked for."""
    if any(arms.values()):
        given["sampler"].value.mark.fail(
            "search.sampler: arms have as many trials each, but grids over knobs of their own differ",
            hint="sampler: tpe, or no knobs of their own",
        )
    if "trials" in given:
        given["trials"].key.fail(
            "search.trials: a grid has as many as its values have combinations", hint="leave it out"
        )
    return sum(1 for _ in grid(space))


def _arms(
    node: Located, variants: Mapping[str, Mapping[str, Any]], space: Space, sampler: str
) -> dict[str, dict[str, Dimension]]:
    """Every variant's own dimensions, those of the file checked."""
    found: dict[str, dict[str, Dimension]] = {name: {} for name in variants}
    for name, settings in variants.items():
        if data := sorted(set(settings) - set(leaves(ModelConfig))):
            node.mark.fail(f"search.arms: arms share their data, but '{name}' sets {', '.join(data)}")
    for name, item in node.mapping("search.arms").items():
        if name not in found:
            node.keys[name].fail(
                f"search.arms: no variant is called '{name}'", hint=suggestion(name, variants)
            )
        if item.value:
            found[name] = read_space(item, node.keys[name], f"search.arms.{name}", sampler, space)
        for path in sorted(set(found[name]) & set(space)):
            node.keys[name].fail(f"search.arms: {path} is in search.space already, which every arm has")
    return found


def _apart(
    values: Mapping[str, Any], given: Mapping[str, Set], compared: range, seeds: tuple[int, ...]
) -> dict[str, Any]:
    """The search's seeds, apart from those that the winners are compared on."""
    if "fresh_seeds" in given:
        given["fresh_seeds"].key.fail(
            "search.fresh_seeds: arms are compared on the study's seeds", hint="leave it out"
        )
    own = values.get("seeds") or seeds[:_ARM_SEEDS]
    if "seeds" not in given or isinstance(given["seeds"].value.value, int):
        return {"seeds": tuple(compared.stop + seed for seed in range(len(own)))}
    used = sorted(set(own) & set(compared))
    if used:
        given["seeds"].value.mark.fail(
            f"search.seeds: the winners are compared on {', '.join(map(str, used))}",
            hint="give a number of seeds: they are counted from behind those",
        )
    return {"seeds": own}
