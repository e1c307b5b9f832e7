"""What has changed since a study was last planned, and how many finished runs that would compute again.

A run's key says that something has changed; what it was is told by the two plans: the settings, the data's
configuration, else the contents of data or weights, else the code.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ablate.running.folder import Workspace
from ablate.running.recorded import StoredPlan, load_plan
from ablate.study.plan import Plan, Run
from ablate.study.settings import differences, unnest
from ablate.study.text import flow
from model.config import ModelConfig, dump_config
from model.errors import UserError


@dataclass(frozen=True)
class Changed:
    """A study against its last plan."""

    rerun: int
    """Runs that were finished and would be computed again, under other keys."""
    lines: tuple[str, ...]
    """What is behind it, each once: ``tail.q: 0.02 -> 0.05 (top-q)``."""


def since_last_plan(workspace: Workspace, plan: Plan) -> Changed:
    """Compare a plan with the one that the study's folder records; nothing where there is none.

    Cells that are new, or gone, count for nothing: they compute nothing again.
    """
    try:
        before = load_plan(workspace)
    except UserError:
        return Changed(0, ())
    return compare(before, plan, {run.key for run in before.runs if workspace.committed(run.key)})


def compare(before: StoredPlan, plan: Plan, finished: set[str]) -> Changed:
    """See :func:`since_last_plan`; ``finished``: keys with results."""
    old_runs = {run.key: run for run in before.runs}
    old_keys = {(row.variant, row.seed, row.category): row.key for row in before.rows}
    new_runs = {run.key: run for run in plan.runs}
    again: set[str] = set()
    found: dict[str, dict[str, None]] = {}
    for row in plan.rows:
        key = old_keys.get((row.variant, row.seed, row.category))
        # A key that was there under another name is no work.
        if key is None or key not in finished or row.key in old_runs:
            continue
        again.add(row.key)
        for what in _reasons(old_runs[key], new_runs[row.key]):
            found.setdefault(what, {})[row.variant] = None
    return Changed(len(again), tuple(_line(what, list(variants)) for what, variants in found.items()))


def _reasons(old: Run, new: Run) -> Iterator[str]:
    settings = differences(*(unnest(dump_config(run.config), ModelConfig) for run in (old, new)))
    for path, (before, now) in settings.items():
        yield f"{path}: {flow(before)} -> {flow(now)}"
    if old.aupro != new.aupro:
        yield f"report.aupro: {old.aupro} -> {new.aupro}"
    if old.categories != new.categories:
        yield f"categories: {flow(old.categories)} -> {flow(new.categories)}"
    if old.configuration != new.configuration and not settings and old.aupro == new.aupro:
        yield "the data, or the encoder's weights"
    if old.code_digest != new.code_digest:
        yield "the code (--accept-code adopts earlier runs)"


def _line(what: str, variants: list[str]) -> str:
    named = ", ".join(variants[:3]) + (f" and {len(variants) - 3} more" if len(variants) > 3 else "")
    return f"{what} ({named})"
