"""What a search promised and what its winner kept: how optimistic selecting made it.

The winner is the best of many on the images and seeds that selected it, so part of its lead is luck. The
lead over the baseline where it was selected, minus the lead on fresh seeds and on what is reported, is the
optimism; taking the baseline along removes what differs between the two halves of the test images.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from ablate.evidence.reading import read_frame
from ablate.evidence.stats import POINTS
from ablate.evidence.tried import Trial, read_trials
from ablate.running.folder import Workspace
from ablate.running.scores import reporting_split
from ablate.study.arms import arm_of
from ablate.study.dimensions import Space, here
from ablate.study.settings import unnest
from ablate.study.spec import SearchConfig, StudySpec
from model.config import ModelConfig, dump_config
from model.errors import StorageError


@dataclass(frozen=True)
class Searched:
    """Of one search; leads in points."""

    tried: int
    """Configurations with an outcome."""
    failed: int
    seeds: int
    """Seeds that each was judged on."""
    objective: str
    winner: str
    promised: float
    """Lead of the winner over the baseline where it was selected; NaN if the baseline was not tried."""
    kept: float
    """The same on fresh seeds and what is reported; NaN before they are there."""

    objectives: tuple[str, ...] = ()
    """Both, where there were two."""
    front: int = 0
    """Of two objectives: configurations that no other beats in both."""
    constraints: tuple[str, ...] = ()
    """What the winner had to keep."""
    broken: int = 0
    """Configurations that broke a constraint."""
    trials: tuple[Trial, ...] = ()
    """What was tried."""
    space: Space = field(default_factory=dict)

    @property
    def optimism(self) -> float:
        """What selecting had added."""
        return self.promised - self.kept


def read_searched(
    table: Path,
    search: SearchConfig,
    frame: pd.DataFrame,
    own: Mapping[str, Any],
    baseline: str,
    winner: str,
) -> Searched | None:
    """From ``search.csv`` and the frame of the final rows; None if the file is not there or is none of
    ours.

    Parameters
    ----------
    own: the baseline's settings as resolved; they tell whether the first trial is the baseline.
    """
    try:
        trials = pd.read_csv(table)
        done = trials[(trials["state"] == "complete") & trials["objective"].notna()]
        failed = int((trials["state"] == "fail").sum())
        finished = int((~trials["state"].isin(["running", "waiting"])).sum())
        able = done[done["broken"].isna()] if search.constraints else done
        listed = read_trials(table, search)
        front = int((trials["front"] == "yes").sum()) if search.objectives else 0
    except (OSError, ValueError, KeyError):
        return None
    if able.empty:
        return None
    first = done.iloc[0]
    there = here(search.space, own)
    tried = int(first["trial"]) == 0 and all(_same(first.get(path), value) for path, value in there.items())
    best = float(able["objective"].max())
    return Searched(
        tried=finished,
        failed=failed,
        seeds=len(search.seeds),
        objective=search.objective,
        winner=winner,
        promised=POINTS * (best - float(first["objective"])) if tried else math.nan,
        kept=_lead(frame, search, winner, baseline),
        objectives=search.objectives,
        front=front,
        constraints=search.constraints,
        broken=len(done) - len(able),
        trials=listed,
        space=search.space,
    )


def _same(found: Any, wanted: Any) -> bool:
    try:
        return math.isclose(float(found), float(wanted), rel_tol=1e-9, abs_tol=1e-12)
    except (TypeError, ValueError):
        return str(found) == str(wanted)


def _lead(frame: pd.DataFrame, search: SearchConfig, winner: str, baseline: str) -> float:
    """Mean over the seeds that both have, of the objective on the search's categories (points)."""
    rows = frame[(frame["metric"] == search.objective) & (frame["stratum"] == "all")]
    if search.categories:
        rows = rows[rows["category"].isin(list(search.categories))]
    wide = rows.pivot_table(index=["seed", "category"], columns="variant", values="value")
    if not {winner, baseline} <= set(wide.columns):
        return math.nan
    both = (wide[winner] - wide[baseline]).dropna()
    return POINTS * float(both.groupby("seed").mean().mean()) if len(both) else math.nan


def searches_of(
    workspace: Workspace,
    spec: StudySpec | None,
    frame: pd.DataFrame,
    variants: tuple[str, ...],
    baseline: str,
) -> tuple[Searched, ...]:
    """Of the study's search, or of each of its arms."""
    if spec is None or spec.search is None:
        return ()
    if spec.search.arms:
        found = (_arm(workspace, arm_of(spec, arm)) for arm in spec.variants)
        return tuple(replace(one, winner=arm) for arm, one in zip(spec.variants, found, strict=True) if one)
    rows = {row.variant: row for row in spec.rows()}
    winner = next((v for v in variants if v not in rows), "")
    config = spec.config(rows[baseline].overrides if baseline in rows else {})
    own = unnest(dump_config(config), ModelConfig)
    made = read_searched(workspace.search_frame, spec.search, frame, own, baseline, winner)
    return () if made is None else (made,)


def _arm(workspace: Workspace, arm: StudySpec) -> Searched | None:
    own = Workspace(workspace.root / arm.study)
    try:
        frame = read_frame(own)
    except StorageError:
        return None
    frame = frame[frame["split"] == reporting_split(set(frame["split"]))]
    return next(
        iter(searches_of(own, arm, frame, tuple(dict.fromkeys(frame["variant"])), arm.baseline)), None
    )
