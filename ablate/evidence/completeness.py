"""What a comparison lacks: cells that have not finished, have failed, or have no value.

A comparison is judged on whole seeds only. What is missing may say something (a model that diverges on the
hard category), so survivors are never judged as if they were all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from ablate.evidence.results import Results

Why = Literal["waiting", "failed", "undefined"]


@dataclass(frozen=True)
class Gap:
    """A cell without a value."""

    variant: str
    seed: Any
    category: str
    why: Why
    reason: str = ""
    """Of a failure, as the journal has it."""


@dataclass(frozen=True)
class Completeness:
    """Seeds and gaps of one comparison."""

    planned: tuple[Any, ...]
    """Seeds that both sides should have, in the plan's order."""
    whole: tuple[Any, ...]
    """Those of them with every value on both sides."""
    gaps: tuple[Gap, ...]
    started: bool = True
    """Whether every side has a value somewhere."""

    @property
    def prefix(self) -> tuple[Any, ...]:
        """Whole seeds before the first that is not: what may be looked at before the study is done."""
        whole = set(self.whole)
        first = next((i for i, seed in enumerate(self.planned) if seed not in whole), len(self.planned))
        return self.planned[:first]

    def having(self, *why: Why) -> tuple[Gap, ...]:
        """Gaps of these kinds."""
        return tuple(gap for gap in self.gaps if gap.why in why)


def completeness(
    results: Results, sides: Sequence[str], metric: str, category: str | None, stratum: str
) -> Completeness:
    """What is there and what is missing of ``sides`` on one metric and stratum.

    A category in which the metric is undefined in *every* finished run of both sides (no such defects, no
    masks) is not part of the question, unless it was asked for by name.
    """
    frame = results.frame[results.frame["variant"].isin(list(sides))]
    rows = frame[(frame["metric"] == metric) & (frame["stratum"] == stratum)].dropna(subset=["value"])
    done, known = _cells(frame), _cells(rows)
    places = [category] if category is not None else list(results.categories)
    asked = [
        place
        for place in places
        if category is not None
        or any(c == place for _, _, c in known)
        or not any(c == place for _, _, c in done)
    ]
    planned = _planned(results, sides, done)
    gaps = [
        _gap(results, side, seed, place, (side, seed, place) in done)
        for seed in planned
        for side in sides
        for place in asked
        if (side, seed, place) not in known
    ]
    broken = {gap.seed for gap in gaps}
    whole = tuple(seed for seed in planned if seed not in broken) if asked else ()
    return Completeness(planned, whole, tuple(gaps), started={v for v, _, _ in known} >= set(sides))


def _cells(frame: pd.DataFrame) -> set[tuple[str, Any, str]]:
    cells = frame[["variant", "seed", "category"]].drop_duplicates()
    return {(str(v), s, str(c)) for v, s, c in cells.itertuples(index=False, name=None)}


def _planned(results: Results, sides: Sequence[str], done: set[tuple[str, Any, str]]) -> tuple[Any, ...]:
    """Seeds planned for all sides; for one without any plan, the study's."""
    by_side = []
    for side in sides:
        own = {run.seed for run in results.runs if run.variant == side}
        by_side.append(own | {s for v, s, _ in done if v == side} or set(results.seeds))
    return tuple(seed for seed in results.seeds if all(seed in own for own in by_side))


def _gap(results: Results, variant: str, seed: Any, category: str, done: bool) -> Gap:
    if done:
        return Gap(variant, seed, category, "undefined")
    for run in results.runs:
        if (run.variant, run.seed) == (variant, seed) and run.category in (None, category):
            if run.state == "failed":
                return Gap(variant, seed, category, "failed", run.reason)
            # Committed, but not this category of it.
            return Gap(variant, seed, category, "undefined" if run.state == "done" else "waiting")
    return Gap(variant, seed, category, "waiting")
