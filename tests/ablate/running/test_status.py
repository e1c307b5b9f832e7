"""Behavioural: where runs stand, and how long they will take."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ablate.running.status import RunStatus, status, time_left
from ablate.study.text import json_text
from model.errors import StorageError
from tests.ablate import runner_fakes as fakes
from tests.ablate.running.studies import finish, open_study, take


def test_status_tells_the_states_apart(tmp_path: Path) -> None:
    names = ("done", "failed", "interrupted", "running", "lost", "waiting")
    workspace, plan, ledger = open_study(tmp_path, fakes.make_fake_plan(names))
    finish(ledger, take(ledger, plan))
    failed = take(ledger, plan)
    assert ledger.fail(failed, "error", "ValueError: no", 3.0)
    failed.lock.release()
    interrupted, running, lost = (take(ledger, plan) for _ in range(3))
    ledger.release(interrupted)
    interrupted.lock.release()
    lost.lock.release()
    state = status(workspace.study_dir)
    assert {run.variant: run.state for run in state.runs} == {name: name for name in names}
    assert state.last_error == "failed, seed 0: ValueError: no"
    assert state.failed[0].log.endswith(f"{failed.run.key}.log")
    assert json.loads(json_text(state))["counts"]["done"] == 1
    assert state.sessions == ()
    assert state.elapsed is None
    running.lock.release()


def test_looking_writes_nothing(tmp_path: Path) -> None:
    workspace, plan, ledger = open_study(tmp_path, fakes.make_fake_plan())
    finish(ledger, take(ledger, plan))
    before = workspace.journal.read_bytes()
    assert status(workspace.study_dir).finished == 1
    assert workspace.journal.read_bytes() == before
    workspace.journal.unlink()
    assert status(workspace.study_dir).finished == 1
    assert not workspace.journal.exists()


def test_status_of_nothing_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no such study"):
        status(tmp_path / "nothing")


def testtime_left_counts_what_is_left() -> None:
    def status_of(*runs: RunStatus, workers: int = 1) -> float | None:
        return time_left(runs, workers)

    def one(state: str, **values: object) -> RunStatus:
        return RunStatus("k", "v", 0, None, state, **values)  # type: ignore[arg-type]

    done = one("done", seconds=10.0)
    assert status_of(one("waiting")) is None
    assert status_of(done, one("waiting"), one("waiting"), workers=2) == pytest.approx(10.0)
    assert status_of(one("running", seconds=4.0, done=1, total=4)) == pytest.approx(12.0)
    assert status_of(done, one("running", seconds=4.0)) == pytest.approx(6.0)
    assert status_of(done, one("failed")) == 0.0
    first = one("running", seconds=4.0, done=1, total=4)
    assert status_of(first, one("waiting")) == pytest.approx(12.0 + 16.0)
