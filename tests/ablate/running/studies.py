"""Studies of fake runs without a supervisor, moved on by hand; and waiting for a state."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

from ablate.running.attempt import Attempt
from ablate.running.file_systems import RECORD, file_system
from ablate.running.folder import Workspace
from ablate.running.journal import Journal
from ablate.running.ledger import Ledger
from ablate.running.recorded import StoredPlan, write_plan
from ablate.running.session import WorkerId
from ablate.study.plan import Plan
from tests.ablate import runner_fakes as fakes

WORKER = WorkerId("session", 1, 1)
PATIENCE = 240.0
"""Seconds after which a state that tests wait for will not come; no test depends on less."""


def open_study(root: Path, plan: Plan) -> tuple[Workspace, StoredPlan, Ledger]:
    """A planned study without any supervisor."""
    stored = StoredPlan.of(plan)
    workspace = Workspace(root / stored.study)
    workspace.create()
    write_plan(workspace, stored)
    ledger = open_ledger(workspace)
    ledger.describe(stored)
    ledger.plan(stored)
    return workspace, stored, ledger


def open_ledger(workspace: Workspace) -> Ledger:
    """The ledger of a study, as another process would open it."""
    return Ledger(Journal(workspace), workspace.study_dir.name)


def take(ledger: Ledger, plan: StoredPlan, worker: WorkerId = WORKER, **limits: int) -> Attempt:
    """A take that must succeed, begun."""
    attempt = ledger.take(plan.runs, worker, **limits)
    assert isinstance(attempt, Attempt)
    attempt.begin()
    return attempt


def compute(attempt: Attempt) -> None:
    """What an executor leaves."""
    fakes.write_metrics(attempt.run, attempt.attempt_dir, fakes.value_of(attempt.run))


def finish(ledger: Ledger, attempt: Attempt) -> None:
    """Compute and commit."""
    with attempt.lock:
        compute(attempt)
        assert ledger.commit(attempt)


def states(ledger: Ledger) -> list[str]:
    """Of all attempts, oldest first."""
    return [trial.state.name for trial in ledger.trials()]


def allow_sharing(root: Path) -> None:
    """Record what a probe between two hosts would, had it found that locks hold in ``root``."""
    here = file_system(root)
    record = {"holds": True, "kind": here.kind, "device": here.device}
    (root / RECORD).write_text(json.dumps(record))


def wait_for(condition: Callable[[], object], account: Callable[[], str] = str) -> None:
    """Poll until ``condition`` holds; ``account``: what to say if it never does."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"it did not happen\n{account()}"
        time.sleep(0.02)
