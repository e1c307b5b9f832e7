"""What a search has tried, and what a forest fitted to it says of the space.

The forest is a picture of the trials, not of the truth: a search looks where it expects good values, so
that the rest of the space is known little, and every value is the selection's. Importance is functional
ANOVA's main effect (Hutter, Hoos and Leyton-Brown, 2014): the share of the forest's variance over the space
that a setting explains by itself. Shares need not add up to one; what is left is interactions.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ablate.study.dimensions import Choices, Dimension, Space, holds, parents_first
from ablate.study.spec import SearchConfig

LEAST_TRIALS = 10
"""Judged configurations from which a forest says anything."""
_POINTS, _LEVELS = 400, 15
_ABSENT = -1.0
"""Stands for a setting whose condition does not hold; others lie within [0, 1], or are an index."""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Trial:
    """One configuration."""

    number: int
    state: str
    """``complete``, ``fail``, ``pruned``, ``running``."""
    values: tuple[float, ...]
    """Of a judged one its objectives, fractions; else empty."""
    params: Mapping[str, Any]
    """By path, of the settings that are there."""
    broken: bool = False
    """Whether it breaks a constraint."""
    front: bool = False
    """Of two objectives: whether no other beats it in both."""


def read_trials(table: Path, search: SearchConfig) -> tuple[Trial, ...]:
    """From ``search.csv``. Raises OSError, ValueError or KeyError if it is none of this search."""
    lines = pd.read_csv(table, dtype=str, keep_default_na=False).to_dict("records")
    return tuple(_trial({str(k): str(v) for k, v in line.items()}, search) for line in lines)


def _trial(line: Mapping[str, str], search: SearchConfig) -> Trial:
    written = [line["objective"], *(line[metric] for metric in search.judged_by[1:])]
    there: dict[str, Any] = {}
    for path, dimension in parents_first(search.space):
        for value in _read(dimension, line[path]) if holds(dimension.when, there) else ():
            there[path] = value
    return Trial(
        number=int(line["trial"]),
        state=line["state"],
        # What a pruned one had is a mean over some of its runs, easier or harder ones than the others'.
        values=tuple(map(float, written)) if line["state"] == "complete" and all(written) else (),
        params={path: there[path] for path in search.space if path in there},
        broken=bool(line.get("broken", "")),
        front=line.get("front", "") == "yes",
    )


def _read(dimension: Dimension, text: str) -> list[Any]:
    """The value that is written there, if there is one."""
    if isinstance(dimension, Choices):
        return [value for value in dimension.values if choice_text(value) == text][:1]
    return [float(text)] if text else []


def choice_text(value: Any) -> str:
    """A choice as ``search.csv`` has it."""
    if value is None:
        return ""
    return str(value) if isinstance(value, (str, int, float)) else json.dumps(value)


@dataclass(frozen=True)
class Effect:
    """What a setting does by itself, over the rest of the space."""

    levels: tuple[Any, ...]
    """Values of the setting: of a range evenly spaced (by ratio if logarithmic), or all choices."""
    means: tuple[float, ...]
    """Of the first objective, at each."""


class Surface:
    """A forest fitted to the judged configurations of a search; the same trials give the same numbers.

    Its trees are extremely randomised (Geurts, Ernst and Wehenkel, 2006): at some tens of trials they see
    small effects and interactions that trees with the best splits leave to the largest effect.
    """

    def __init__(self, space: Space, trials: Sequence[Trial]) -> None:
        from sklearn.ensemble import ExtraTreesRegressor

        self.space = space
        self._column = {path: i for i, path in enumerate(space)}
        self._parents = {path for dimension in space.values() for path in dimension.when}
        judged = [trial for trial in trials if trial.values]
        made = ExtraTreesRegressor(n_estimators=64, min_samples_leaf=2, random_state=0)
        where = np.array([self._encoded(trial.params) for trial in judged])
        self._forest = made.fit(where, [trial.values[0] for trial in judged])
        self._background = self._drawn(np.random.default_rng(0))

    def levels(self, path: str) -> tuple[Any, ...]:
        """Values of a setting that its effect is given at."""
        dimension = self.space[path]
        if isinstance(dimension, Choices):
            return dimension.values
        return tuple(_decoded(dimension, part) for part in np.linspace(0.0, 1.0, _LEVELS))

    def effect(self, path: str) -> Effect:
        """The setting's main effect, where it is there."""
        return Effect(self.levels(path), tuple(self._means(path, self._codes(path))))

    def _means(self, path: str, codes: Array) -> list[float]:
        return [float(self._predicted({path: code}).mean()) for code in codes]

    def importances(self) -> dict[str, float]:
        """Setting -> share of the variance that its main effect explains, the largest first."""
        total = float(np.var(self._forest.predict(self._background))) or math.inf
        found = {
            path: float(np.nanvar(self._means(path, self._cells(path)))) * self._presence(path) / total
            for path in self.space
        }
        return dict(sorted(found.items(), key=lambda item: -item[1]))

    def surface(self, across: str, up: str) -> Array:
        """Means over the rest of the space at the levels of two settings, ``(levels of up, of across)``."""
        return np.array(
            [
                [float(self._predicted({across: x, up: y}).mean()) for x in self._codes(across)]
                for y in self._codes(up)
            ]
        )

    def _codes(self, path: str) -> Array:
        dimension = self.space[path]
        if isinstance(dimension, Choices):
            return np.arange(len(dimension.values), dtype=float)
        return np.linspace(0.0, 1.0, _LEVELS)

    def _cells(self, path: str) -> Array:
        """Middles of equal parts of a setting: their variance is that of values drawn evenly."""
        if isinstance(self.space[path], Choices):
            return self._codes(path)
        return (np.arange(_LEVELS) + 0.5) / _LEVELS

    def _predicted(self, fixed: Mapping[str, float]) -> Array:
        """The forest at the background's points that have these settings, with these values for them.

        Of a setting that others depend on, those points that have the value: in another's place it would
        stand beside settings that are not there with it.
        """
        points = self._background
        for path, code in fixed.items():
            column = points[:, self._column[path]]
            points = points[column == code if path in self._parents else column != _ABSENT]
        if not len(points):
            return np.array([math.nan])
        points = points.copy()
        for path, code in fixed.items():
            points[:, self._column[path]] = code
        found: Array = self._forest.predict(points)
        return found

    def _presence(self, path: str) -> float:
        return float((self._background[:, self._column[path]] != _ABSENT).mean())

    def _encoded(self, params: Mapping[str, Any]) -> list[float]:
        return [
            _code(dimension, params[path]) if path in params else _ABSENT
            for path, dimension in self.space.items()
        ]

    def _drawn(self, rng: np.random.Generator) -> Array:
        """Configurations drawn evenly from the space."""
        rows = []
        for parts in rng.random((_POINTS, len(self.space))):
            chosen: dict[str, Any] = {}
            for path, dimension in parents_first(self.space):
                if holds(dimension.when, chosen):
                    chosen[path] = _decoded(dimension, parts[self._column[path]])
            rows.append(self._encoded(chosen))
        return np.array(rows)


def index_of(dimension: Choices, value: Any) -> int:
    """Which of the choices a value is, by its text."""
    return [choice_text(each) for each in dimension.values].index(choice_text(value))


def _code(dimension: Dimension, value: Any) -> float:
    """A value as the forest sees it."""
    if isinstance(dimension, Choices):
        return float(index_of(dimension, value))
    low, high = dimension.low, dimension.high
    if dimension.log:
        return math.log(float(value) / low) / math.log(high / low)
    return (float(value) - low) / (high - low)


def _decoded(dimension: Dimension, part: float) -> Any:
    """The value at a place in [0, 1]."""
    if isinstance(dimension, Choices):
        return dimension.values[min(int(part * len(dimension.values)), len(dimension.values) - 1)]
    low, high = dimension.low, dimension.high
    return float(low * (high / low) ** part if dimension.log else low + part * (high - low))


def enough(trials: Sequence[Trial]) -> bool:
    """Whether a forest says anything: enough judged configurations, and not all of one value."""
    values = {trial.values[0] for trial in trials if trial.values}
    return sum(bool(trial.values) for trial in trials) >= LEAST_TRIALS and len(values) > 1


def winner_of(trials: Sequence[Trial]) -> Trial | None:
    """The trial that a search ends with: the best by its objectives in order, the oldest of equals."""
    able = [trial for trial in trials if trial.values and not trial.broken]
    return max(able, key=lambda trial: (*trial.values, -trial.number), default=None)
