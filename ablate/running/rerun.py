"""Computing some finished runs again, from scratch and apart from their study, to compare the numbers."""

from __future__ import annotations

import contextlib
import math
import random
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ablate.running.attempt import run_label
from ablate.running.material import prepare
from ablate.running.one_run import execute_run
from ablate.running.reporter import Executor, Preparer, Reporter
from ablate.running.scores import Score, read_scores
from ablate.study.code import run_modules
from ablate.study.plan import Run
from model.code_identity import combined

Place = tuple[str, str, str, str]
"""Category, split, stratum, metric."""


@dataclass(frozen=True)
class Again:
    """One run, computed a second time."""

    run: Run
    values: int
    """Numbers compared."""
    largest: float
    """Largest difference (a fraction); infinite where a number is there only once."""
    at: str
    """Where that is."""
    other_code: bool
    """Whether the code is not that which the first numbers came from."""

    @property
    def name(self) -> str:
        """As people call it."""
        return run_label(self.run.variant, self.run.seed, self.run.category)


@dataclass(frozen=True)
class _Chosen:
    runs: tuple[Run, ...]


def choose(runs: Sequence[Run], count: int, draw: random.Random) -> tuple[Run, ...]:
    """``count`` of the runs at random, all if there are fewer."""
    return tuple(draw.sample(list(runs), min(count, len(runs))))


def recompute(
    runs: Sequence[Run],
    known: dict[str, dict[Place, float]],
    reporter: Reporter,
    *,
    execute: Executor = execute_run,
    prepare: Preparer = prepare,
) -> Iterator[Again]:
    """Compute ``runs`` in a temporary folder, one after the other, with the code that is there now.

    Each with the threads of its plan, on which a result's last bits depend.
    ``known``: key -> the numbers of the first time. Raises as :func:`~ablate.running.one_run.execute_run`.
    """
    fresh = tuple(replace(run, code_digest=combined(run_modules(run.config, run.metrics))) for run in runs)
    prepare(_Chosen(fresh), reporter)
    for first, run in zip(runs, fresh, strict=True):
        with tempfile.TemporaryDirectory(prefix="ablate-rerun-") as folder:
            place = Path(folder) / run.key
            place.mkdir()
            with _threads(run.threads):
                execute(run, place, reporter)
            made = {_place(score): score.value for score in read_scores(place / "metrics.csv")}
        largest, at = _largest(known[run.key], made)
        changed = first.code_digest not in ("", run.code_digest)
        yield Again(first, len(known[run.key]), largest, at, changed)


@contextlib.contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _place(score: Score) -> Place:
    return score.category, score.split, score.stratum, score.metric


def _largest(first: dict[Place, float], second: dict[Place, float]) -> tuple[float, str]:
    """The largest difference among the numbers of the first time."""
    found, where = 0.0, ""
    for place, value in first.items():
        other = second.get(place, math.nan)
        if math.isnan(value) and math.isnan(other):
            continue
        difference = math.inf if math.isnan(value - other) else abs(value - other)
        if difference > found:
            category, _, stratum, metric = place
            found, where = (
                difference,
                f"{metric} on {category}" + ("" if stratum == "all" else f", {stratum}"),
            )
    return found, where


def escape_probability(runs: int, checked: int, share: float) -> float:
    """Chance that none of ``checked`` runs drawn at random is among a fabricated ``share`` of all
    ``runs``."""
    fabricated = math.ceil(share * runs)
    return math.comb(runs - fabricated, checked) / math.comb(runs, checked)
