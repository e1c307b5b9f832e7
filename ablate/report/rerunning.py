"""Whether a study's numbers come out again: some of its runs, computed a second time and compared.

Recomputing tables shows that a report says what ``runs.csv`` says; this shows that ``runs.csv`` says what
the runs give. A few runs drawn at random suffice to find large fabrications, and it is said how probably
which share would have escaped.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from ablate.evidence.derived import added_seeds
from ablate.evidence.gather import gather
from ablate.evidence.reading import read_frame
from ablate.evidence.stats import POINTS
from ablate.running.folder import Workspace
from ablate.running.material import prepare as prepare_run
from ablate.running.one_run import execute_run
from ablate.running.recorded import StoredPlan, load_plan
from ablate.running.reporter import Executor, Preparer, Reporter
from ablate.running.rerun import Again, choose, escape_probability, recompute
from ablate.study.plan import Run, make_plan
from ablate.study.reading import load_recorded

FABRICATED = (0.1, 0.25, 0.5)
"""Shares of runs for which it is said how probably they would have escaped."""


@dataclass(frozen=True)
class Rerun:
    """Runs that were computed again, of how many."""

    again: tuple[Again, ...]
    of: int
    """Finished runs."""
    tolerance: float
    """Points."""

    @property
    def wrong(self) -> tuple[Again, ...]:
        """Those that differ by more than the tolerance."""
        return tuple(one for one in self.again if POINTS * one.largest > self.tolerance)


def rerun_some(
    study_dir: Path,
    count: int,
    reporter: Reporter,
    *,
    tolerance: float | None = None,
    draw: random.Random | None = None,
    execute: Executor = execute_run,
    prepare: Preparer = prepare_run,
) -> Rerun:
    """Compute ``count`` random finished runs again and compare every number with ``runs.csv``.

    ``tolerance``: points; the study's margin if not given. Raises StorageError without a plan (of a
    published folder it is made from the study file), and as the runs do.
    """
    workspace, results = Workspace(study_dir), gather(study_dir)
    frame = read_frame(workspace)
    plan = load_plan(workspace) if workspace.plan.is_file() else _planned(study_dir, frame, reporter.cache)
    places = ["category", "split", "stratum", "metric"]
    known = {
        str(key): dict(zip(map(tuple, part[places].to_numpy().tolist()), part["value"], strict=True))
        for key, part in frame.drop_duplicates(["key", *places]).groupby("key", sort=False)
    }
    cells = {(v, s, c): key for (v, s, c), key in results.keys.items()}
    runs: dict[str, Run] = {}
    for row in plan.rows:
        run = next(run for run in plan.runs if run.key == row.key)
        key = next((k for c in run.categories if (k := cells.get((row.variant, row.seed, c)))), None)
        if key is not None:
            runs.setdefault(key, replace(run, key=key))
    chosen = choose(list(runs.values()), count, draw or random.SystemRandom())
    again = recompute(
        chosen,
        known,
        reporter,
        execute=execute,
        prepare=prepare,
    )
    return Rerun(tuple(again), len(runs), results.margin if tolerance is None else tolerance)


def _planned(study_dir: Path, frame: pd.DataFrame, cache: Path) -> StoredPlan:
    spec = load_recorded(study_dir)
    return StoredPlan.of(make_plan(spec, cache_dir=cache, more=added_seeds(spec, frame)))


def rerun_summary(checked: Rerun) -> list[str]:
    """What came out, and what it proves."""
    lines = []
    for one in checked.again:
        points = POINTS * one.largest
        said = f"largest difference {points:.2g} points ({one.at})" if points else "no digit differs"
        code = "; the code has changed since" if one.other_code else ""
        verdict = "DIFFERS" if one in checked.wrong else "agrees"
        lines.append(f"{one.name} ({one.run.key}): {verdict}, {one.values} values, {said}{code}")
    k, n = len(checked.again), checked.of
    chances = ", ".join(
        f"{share:.0%} {escape_probability(n, k, share):.0%}" for share in FABRICATED if k <= n
    )
    lines.append(
        f"{k - len(checked.wrong)} of {k} runs agree within {checked.tolerance:g} points; had a share of "
        f"the {n} runs been fabricated, this would have missed it with probability: {chances}"
    )
    return lines
