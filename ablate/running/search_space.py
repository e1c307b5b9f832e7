"""A search's space as Optuna knows it, and how Optuna proposes and prunes in it.

Wilcoxon pruning pairs a trial's runs with the best trial's. A one-sided signed-rank test over n pairs
cannot give a p-value below 2^-n, and looking after every run makes a loose threshold prune equals; at
the threshold of 0.02 used here, nothing can be pruned before the sixth run. A search with fewer runs
per trial that asks for it is refused. Median pruning holds a trial's mean after so many runs against the
median of the judged trials' means after as many: cheap and rough. It never stops the baseline's trial, from
whose lead the winner's optimism is told, and no row of a table: those are not trials.
"""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner, NopPruner, WilcoxonPruner
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from ablate.running.journal import categorical
from ablate.running.judged import BREACHES
from ablate.study.dimensions import Choices, Range, Space, here, holds, parents_first, same
from ablate.study.grids import grid
from ablate.study.spec import SearchConfig
from model.errors import ConfigError

PRUNE_RUNS = 6
"""Runs per trial from which Wilcoxon pruning can ever act."""
MEDIAN_TRIALS = 5
"""Judged trials from which median pruning can act."""
PRUNE_P = 0.02
"""Its threshold: above 2^-6, low enough for repeated looks."""


def distribution(dimension: Range | Choices) -> BaseDistribution:
    """A dimension as Optuna knows it."""
    if isinstance(dimension, Choices):
        return CategoricalDistribution([categorical(value) for value in dimension.values])
    if dimension.integer:
        step = int(dimension.step or 1)
        return IntDistribution(int(dimension.low), int(dimension.high), log=dimension.log, step=step)
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log, step=dimension.step)


def values_of(search: SearchConfig, params: Mapping[str, Any]) -> dict[str, Any]:
    """Optuna's parameters as settings: the inverse of :func:`distribution`."""
    return {path: _value(search.space[path], param) for path, param in params.items()}


def _value(dimension: Range | Choices, param: Any) -> Any:
    if isinstance(dimension, Range):
        return param
    held = [(categorical(value), value) for value in dimension.values]
    return next(value for label, value in held if type(label) is type(param) and label == param)


def params_of(search: SearchConfig, settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """Settings as a point of the space, in Optuna's parameters; None if they lie outside."""
    there = here(search.space, settings)
    inside = all(_contains(search.space[path], value) for path, value in there.items())
    return {path: categorical(value) for path, value in there.items()} if inside else None


def _contains(dimension: Range | Choices, value: Any) -> bool:
    if isinstance(dimension, Choices):
        return value in dimension.values
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    if not dimension.low <= value <= dimension.high:
        return False
    steps = (value - dimension.low) / dimension.step if dimension.step else 0.0
    return math.isclose(steps, round(steps), abs_tol=1e-9)


def complete(space: Space, params: Mapping[str, Any]) -> bool:
    """Whether ``params`` (Optuna's) have every dimension of ``space`` that is there under them."""
    known = {path: _value(space[path], param) for path, param in params.items()}
    return all(holds(dimension.when, known) == (path in known) for path, dimension in space.items())


def suggest(
    study: optuna.Study, space: Space, distributions: Mapping[str, BaseDistribution]
) -> optuna.Trial:
    """A new trial with a value for every dimension that is there, those of others first."""
    always = {path: distributions[path] for path, dimension in space.items() if not dimension.when}
    trial = study.ask(always)
    values = {path: _value(space[path], param) for path, param in trial.params.items()}
    for path, dimension in parents_first(space):
        if dimension.when and holds(dimension.when, values):
            values[path] = _value(dimension, trial._suggest(path, distributions[path]))
    return trial


def next_of_grid(
    search: SearchConfig, tried: Sequence[Mapping[str, Any]], first: Mapping[str, Any] | None
) -> dict[str, Any] | None:
    """The first configuration of the grid that is not among ``tried``; None if all are.

    All in Optuna's parameters. ``first``: the baseline; where the grid has it, the grid begins with it.
    """
    every = [{path: categorical(value) for path, value in point.items()} for point in grid(search.space)]
    every.sort(key=lambda point: first is None or not _equal(point, first))
    return next((point for point in every if not any(_equal(point, one) for one in tried)), None)


def _equal(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return set(one) == set(other) and all(_alike(one[path], other[path]) for path in one)


def _alike(one: Any, other: Any) -> bool:
    numbers = [type(value) in (int, float) for value in (one, other)]
    return math.isclose(one, other, rel_tol=1e-9) if all(numbers) else same(one, other)


def make_sampler(search: SearchConfig, number: int) -> BaseSampler:
    """The sampler for trial ``number``: its draws depend on the search and that number alone."""
    seed = int(np.random.SeedSequence([search.seeds[0], number]).generate_state(1)[0])
    bounds = _breaches if search.constraints else None
    with _experimental():
        makers: dict[str, Callable[[], BaseSampler]] = {
            "tpe": lambda: TPESampler(seed=seed, constant_liar=True, constraints_func=bounds),
            "random": lambda: RandomSampler(seed),
            "gp": lambda: GPSampler(seed=seed, constraints_func=bounds),
            "grid": lambda: RandomSampler(seed),  # all of a grid's values are given
        }
        return makers[search.sampler]()


def _breaches(trial: FrozenTrial) -> Sequence[float]:
    """A judged trial's constraints as Optuna has them: above 0 is broken."""
    return tuple(trial.user_attrs[BREACHES])


def make_pruner(search: SearchConfig) -> BasePruner:
    """The pruner that the search asks for."""
    if search.pruner == "wilcoxon":
        with _experimental():
            return WilcoxonPruner(p_threshold=PRUNE_P, n_startup_steps=PRUNE_RUNS - 1)
    if search.pruner == "median":
        return BelowMedian()
    return NopPruner()


class BelowMedian(BasePruner):
    """Prunes a trial whose mean lies below the median of the judged trials' after as many runs.

    Not Optuna's own, which compares the best of a trial's means so far: after an easy first category that
    one hardly ever prunes.
    """

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """See the class."""
        step = trial.last_step
        if step is None:
            return False
        judged = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        means = [one.intermediate_values[step] for one in judged if step in one.intermediate_values]
        return len(means) >= MEDIAN_TRIALS and trial.intermediate_values[step] < float(np.median(means))


@contextlib.contextmanager
def _experimental() -> Iterator[None]:
    """Without Optuna's notes that a feature may change: its version is pinned by provenance."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        warnings.simplefilter("ignore", FutureWarning)  # constraints_func: what replaces it came in 5.0
        yield


def check_pruner(search: SearchConfig, runs: int) -> None:
    """Refuse pruning where it could never prune. Raises ConfigError."""
    if search.pruner == "median" and runs < 2:
        raise ConfigError(
            "search.pruner: median cannot act on 1 run per trial: it stops between runs",
            hint="use at least 2 seeds x categories, or pruner: none",
        )
    if search.pruner == "wilcoxon" and runs < PRUNE_RUNS:
        raise ConfigError(
            f"search.pruner: wilcoxon cannot act on {runs} runs per trial: the smallest p-value of the "
            f"test is {0.5**runs:g}, its threshold {PRUNE_P:g}",
            hint=f"use at least {PRUNE_RUNS} seeds x categories, or pruner: none",
        )
