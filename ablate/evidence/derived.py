"""The plan of a published folder: what was planned follows from study file, invocation and frame.

A published study keeps no ``plan.json``. Its study file, expanded again, has the same rows, settings,
factors and notes; keys are those of the frame. So a report made from it says what the first one said.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd

from ablate.running.recorded import StoredPlan
from ablate.study.plan import PlanRow, Run, Sources, make_plan
from ablate.study.spec import StudySpec
from model.errors import UserError


def derived_plan(spec: StudySpec, frame: pd.DataFrame) -> StoredPlan | None:
    """The plan that ``frame`` came from; None if the study file does not tell (a search does not).

    Cells without values keep keys of their own, which no folder has: they are runs that never finished.
    """
    if spec.search is not None:
        return None
    categories = tuple(dict.fromkeys(map(str, frame["category"].unique())))
    known = spec.data.categories
    if known and set(categories) <= set(known):
        categories = tuple(known)
    sources = Sources(
        categories=lambda _data: categories,
        data=lambda data, _held: repr(data),  # rows that read other images are other runs
        encoder=lambda _encoder: "",
    )
    try:
        plan = make_plan(spec, cache_dir=Path(), more=added_seeds(spec, frame), sources=sources)
    except UserError:
        return None
    if not set(frame["variant"].unique()) <= {row.variant for row in plan.rows}:
        return None
    cells = frame[["variant", "seed", "category", "key"]].drop_duplicates()
    keys = {(str(v), int(s), str(c)): str(k) for v, s, c, k in cells.itertuples(index=False)}
    by_key = {run.key: run for run in plan.runs}
    rows: list[PlanRow] = []
    runs: dict[str, Run] = {}
    for row in plan.rows:
        run = by_key[row.key]
        found = (keys.get((row.variant, row.seed, c)) for c in run.categories)
        key = next((k for k in found if k is not None), row.key)
        rows.append(replace(row, key=key))
        runs.setdefault(key, replace(run, key=key))
    return StoredPlan(spec.study, spec.report.primary, tuple(runs.values()), tuple(rows))


def added_seeds(spec: StudySpec, frame: pd.DataFrame) -> dict[int, tuple[str, ...]]:
    """Seeds that were run beyond those the study begins with, and the variants that got them."""
    added = frame[~frame["seed"].isin(list(spec.seeds))].groupby("seed")["variant"].unique()
    return {int(seed): tuple(map(str, variants)) for seed, variants in added.items()}
