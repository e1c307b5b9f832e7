"""A search's space as Optuna knows it, and how Optuna proposes and prunes in it.

Wilcoxon pruning pairs a trial's runs with the best trial's. A one-sided signed-rank test over n pairs
cannot give a p-value below 2^-n, and looking after every run makes a loose threshold prune equals; at
the threshold of 0.02 used here, nothing can be pruned before the sixth run. A search with fewer runs
per trial that asks for it is refused.
"""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner, NopPruner, WilcoxonPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler

from ablate.running.journal import categorical
from ablate.study.spec import Choices, Range, SearchConfig
from model.errors import ConfigError

PRUNE_RUNS = 6
"""Runs per trial from which Wilcoxon pruning can ever act."""
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
    return {path: _value(dimension, params[path]) for path, dimension in search.space.items()}


def _value(dimension: Range | Choices, param: Any) -> Any:
    if isinstance(dimension, Range):
        return param
    held = [(categorical(value), value) for value in dimension.values]
    return next(value for label, value in held if type(label) is type(param) and label == param)


def params_of(search: SearchConfig, settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """Settings as a point of the space, in Optuna's parameters; None if they lie outside."""
    inside = {
        path: categorical(settings[path])
        for path, dimension in search.space.items()
        if _contains(dimension, settings[path])
    }
    return inside if len(inside) == len(search.space) else None


def _contains(dimension: Range | Choices, value: Any) -> bool:
    if isinstance(dimension, Choices):
        return value in dimension.values
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    if not dimension.low <= value <= dimension.high:
        return False
    steps = (value - dimension.low) / dimension.step if dimension.step else 0.0
    return math.isclose(steps, round(steps), abs_tol=1e-9)


def make_sampler(search: SearchConfig, number: int) -> BaseSampler:
    """The sampler for trial ``number``: its draws depend on the search and that number alone."""
    seed = int(np.random.SeedSequence([search.seeds[0], number]).generate_state(1)[0])
    with _experimental():
        makers = {
            "tpe": lambda: TPESampler(seed=seed, constant_liar=True),
            "random": lambda: RandomSampler(seed),
        }
        return makers[search.sampler]()


def make_pruner(search: SearchConfig) -> BasePruner:
    """The pruner that the search asks for."""
    if search.pruner == "wilcoxon":
        with _experimental():
            return WilcoxonPruner(p_threshold=PRUNE_P, n_startup_steps=PRUNE_RUNS - 1)
    return NopPruner()


@contextlib.contextmanager
def _experimental() -> Iterator[None]:
    """Without Optuna's notes that a feature may change: its version is pinned by provenance."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield


def check_pruner(search: SearchConfig, runs: int) -> None:
    """Refuse Wilcoxon pruning where it could never prune. Raises ConfigError."""
    if search.pruner == "wilcoxon" and runs < PRUNE_RUNS:
        raise ConfigError(
            f"search.pruner: wilcoxon cannot act on {runs} runs per trial: the smallest p-value of the "
            f"test is {0.5**runs:g}, its threshold {PRUNE_P:g}",
            hint=f"use at least {PRUNE_RUNS} seeds x categories, or pruner: none",
        )
