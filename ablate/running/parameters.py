"""A run as Optuna knows it: fixed parameters, from few values each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from optuna.distributions import BaseDistribution, CategoricalDistribution

from ablate.running.journal import Scalar, categorical
from ablate.study.plan import Run

UNIFIED = "unified"
"""The parameter ``category`` of a model of all categories."""

MOST_CHOICES = 64
"""Values of one of Optuna's parameters."""


def run_params(run: Run) -> dict[str, Scalar]:
    """A run as fixed Optuna parameters."""
    factors = {name: categorical(value) for name, value in run.factors.items()}
    return {
        "variant": run.variant,
        "seed": run.seed,
        "category": run.category or UNIFIED,
        **factors,
    }


def run_choices(runs: Sequence[Run]) -> dict[str, tuple[Scalar, ...]]:
    """The values each parameter takes over ``runs``, in order of appearance.

    Values are told apart by type too: Python holds 1, 1.0 and True for equal. What takes more than
    ``MOST_CHOICES`` is no parameter: each trial would carry the whole list, and each process all of them.
    """
    seen: dict[str, dict[tuple[type, Scalar], None]] = {}
    for run in runs:
        for name, value in run_params(run).items():
            seen.setdefault(name, {})[(type(value), value)] = None
    few = {name: values for name, values in seen.items() if len(values) <= MOST_CHOICES}
    return {name: tuple(value for _, value in values) for name, values in few.items()}


def fixed_params(
    run: Run, choices: Mapping[str, tuple[Scalar, ...]]
) -> tuple[dict[str, Scalar], dict[str, BaseDistribution]]:
    """A run's parameters among ``choices`` (see :func:`run_choices`), and the distribution of each."""
    params = {name: value for name, value in run_params(run).items() if name in choices}
    return params, {name: CategoricalDistribution(choices[name]) for name in params}
