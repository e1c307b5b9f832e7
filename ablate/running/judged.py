"""What a configuration of a search came to: its measures, and which of those judged may win.

A measure is a metric on a place, averaged over the seeds (and categories) of the configuration's runs, on
the images that select. Objectives are maximised; of two, the first decides among those that no other beats
in both. A configuration that breaks a constraint never wins.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path

from optuna.trial import FrozenTrial, TrialState

from ablate.running.journal import Trials
from ablate.running.scores import WHOLE, summarise
from ablate.study.constraints import constraint_of
from ablate.study.plan import Run
from ablate.study.spec import SearchConfig
from model.errors import ConfigError
from model.suggest import suggestion

BREACHES = "breaches"
"""Attribute of a judged trial: by how many points it breaks each constraint (at most 0: not at all)."""
POINTS = 100.0


class Tally:
    """The measures of one configuration, run by run.

    ``split``: the images that select; None: those that are reported.
    """

    def __init__(self, search: SearchConfig, split: str | None) -> None:
        self._split = split
        self._constraints = [constraint_of(text) for text in search.constraints]
        self._wanted: list[tuple[str, str, tuple[str, ...] | None]] = [
            *((metric, WHOLE, search.categories) for metric in search.judged_by),
            *((c.metric, c.stratum, (c.category,) if c.category else None) for c in self._constraints),
        ]
        self._objectives = len(search.judged_by)
        self._found: list[list[float]] = [[] for _ in self._wanted]

    def add(self, run: Run, path: Path) -> str:
        """Count a run's metrics.csv; gives the measure that it should have and does not, else nothing."""
        for found, (metric, stratum, wanted) in zip(self._found, self._wanted, strict=True):
            if wanted is not None and not set(wanted) & set(run.categories):
                continue  # one of other categories
            scores = summarise(path, metric, split=self._split, stratum=stratum)
            values = [v for name, v in scores.items() if wanted is None or name in wanted]
            if not values and stratum != WHOLE:
                continue  # its categories have no such defects; a constraint without any value is broken
            if not values:
                return metric
            found += values
        return ""

    @property
    def objectives(self) -> list[float]:
        """Means so far, of those that have a value."""
        return [statistics.fmean(found) for found in self._found[: self._objectives] if found]

    @property
    def breaches(self) -> list[float]:
        """Points by which each constraint is broken so far; of one without a value, by all points."""
        means = (statistics.fmean(f) if f else None for f in self._found[self._objectives :])
        return [
            POINTS if mean is None else constraint.breach(POINTS * mean)
            for constraint, mean in zip(self._constraints, means, strict=True)
        ]


def check_places(search: SearchConfig, runs: Sequence[Run]) -> None:
    """Refuse categories that no run has. Raises ConfigError."""
    known = sorted({category for run in runs for category in run.categories})
    constraints = map(constraint_of, search.constraints)
    named = [*(search.categories or ()), *(c.category for c in constraints if c.category)]
    for category in named:
        if category not in known:
            raise ConfigError(f"search: unknown category '{category}'", hint=suggestion(category, known))


def keeps(trial: FrozenTrial) -> bool:
    """Whether a judged trial breaks no constraint."""
    return all(breach <= 0 for breach in trial.user_attrs.get(BREACHES, ()))


def judged(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """Those with an outcome that may win or lose."""
    return [trial for trial in trials if trial.state == TrialState.COMPLETE and trial.values is not None]


def best_trial(configurations: Trials) -> FrozenTrial | None:
    """The trial with the highest first objective that breaks no constraint; None if there is none.

    Of equals the one with the higher second objective, then the oldest: no other beats it in both.
    """
    able = [trial for trial in judged(configurations.all()) if keeps(trial)]
    return max(able, key=lambda trial: (*(trial.values or ()), -trial.number), default=None)


def nearest_trial(configurations: Trials) -> FrozenTrial | None:
    """The judged trial whose worst breach of a constraint is smallest; None if none was judged."""
    done = judged(configurations.all())
    return min(done, key=lambda trial: max(trial.user_attrs.get(BREACHES) or [0.0]), default=None)


def front(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Of the judged trials that break no constraint, those that no other beats: none is at least as good in
    every objective and better in one (the Pareto front)."""
    able = [trial for trial in judged(trials) if keeps(trial)]
    return [trial for trial in able if not any(_dominates(o.values, trial.values) for o in able)]


def _dominates(one: Sequence[float], other: Sequence[float]) -> bool:
    return all(a >= b for a, b in zip(one, other, strict=True)) and list(one) != list(other)
