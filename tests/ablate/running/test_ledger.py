"""Behavioural: attempts at runs: planned once, taken once, committed once, whoever dies.

Reference-checked: the journal against Optuna's own reader (``optuna.load_study``). Processes are real
where an invariant speaks of them.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from ablate.running.attempt import Attempt
from ablate.running.files import move_into_place
from ablate.running.folder import Workspace
from ablate.running.frame import collect
from ablate.running.ledger import Nothing
from ablate.running.locks import locked
from ablate.running.manifest import seal
from ablate.running.recorded import StoredPlan, write_plan
from ablate.running.session import RunOptions, WorkerId, new_session, open_session
from ablate.running.status import status
from tests.ablate import runner_fakes as fakes
from tests.ablate.running.studies import (
    PATIENCE,
    WORKER,
    compute,
    finish,
    open_ledger,
    open_study,
    states,
    take,
)


def test_every_run_is_one_trial_that_optuna_reads(tmp_path: Path) -> None:
    workspace, plan, ledger = open_study(tmp_path, fakes.make_fake_plan(("base", "other"), 3))
    ledger.plan(plan)
    open_ledger(workspace).plan(plan)
    assert states(ledger) == ["WAITING"] * 6
    attempt = take(ledger, plan)
    finish(ledger, attempt)
    study = optuna.load_study(
        study_name="study",
        storage=optuna.storages.JournalStorage(
            optuna.storages.journal.JournalFileBackend(str(workspace.journal))
        ),
    )
    (done,) = [trial for trial in study.trials if trial.state == TrialState.COMPLETE]
    assert done.params == {"variant": "base", "seed": 0, "category": "unified"}
    assert done.distributions["variant"].choices == ("base", "other")  # type: ignore[attr-defined]
    assert done.value == pytest.approx(fakes.value_of(attempt.run))
    assert done.user_attrs["key"] == attempt.run.key
    assert done.user_attrs["metrics"] == dict.fromkeys("ab", done.value)
    assert done.duration is not None


def test_planning_at_the_same_time_enqueues_once(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from ablate.running.folder import Workspace; "
        "from ablate.running.recorded import load_plan; "
        "from tests.ablate.running.studies import open_ledger; w = Workspace(Path(sys.argv[1])); "
        "open_ledger(w).plan(load_plan(w))"
    )
    stored = StoredPlan.of(fakes.make_fake_plan(("base", "other"), 5))
    workspace = Workspace(tmp_path / "study")
    workspace.create()
    write_plan(workspace, stored)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    processes = [
        subprocess.Popen([sys.executable, "-c", code, str(workspace.study_dir)], env=environment)
        for _ in range(4)
    ]
    assert [process.wait(PATIENCE) for process in processes] == [0] * 4
    ledger = open_ledger(workspace)
    assert sorted(t.user_attrs["key"] for t in ledger.trials()) == sorted(r.key for r in stored.runs)


def test_a_taken_run_is_not_taken_again(tmp_path: Path) -> None:
    _, plan, ledger = open_study(tmp_path, fakes.make_fake_plan(("base", "other")))
    first, second = take(ledger, plan), take(ledger, plan, WorkerId("session", 2, 1))
    assert first.run.key != second.run.key
    assert ledger.take(plan.runs, WORKER) is Nothing.BUSY
    finish(ledger, first)
    finish(ledger, second)
    assert ledger.take(plan.runs, WORKER) is Nothing.DONE


def test_a_session_starts_no_more_runs_than_it_may(tmp_path: Path) -> None:
    _, plan, ledger = open_study(tmp_path, fakes.make_fake_plan(("base", "b", "c")))
    finish(ledger, take(ledger, plan, max_runs=1))
    assert ledger.take(plan.runs, WORKER, max_runs=1) is Nothing.LIMIT
    finish(ledger, take(ledger, plan, WorkerId("another", 1, 1), max_runs=1))


def test_a_released_run_keeps_its_folder_and_its_time(tmp_path: Path) -> None:
    _, plan, ledger = open_study(tmp_path, fakes.make_fake_plan())
    attempt = take(ledger, plan)
    (attempt.attempt_dir / "checkpoint.pt").write_text("7")
    with attempt.lock:
        attempt.suspend(12.5)
        assert ledger.release(attempt)
    assert states(ledger) == ["WAITING"]
    again = ledger.take(plan.runs, WORKER)
    assert isinstance(again, Attempt)
    assert again.begin() == 12.5
    assert (again.attempt_dir / "checkpoint.pt").read_text() == "7"
    finish(ledger, again)
    assert not list(Workspace(tmp_path / "study").run_dir(again.run.key).glob("*.pt"))
    assert states(ledger) == ["COMPLETE"]


def test_a_run_left_by_a_dead_session_goes_on(tmp_path: Path) -> None:
    _, plan, ledger = open_study(tmp_path, fakes.make_fake_plan())
    take(ledger, plan).lock.release()  # what the kernel does when the owner is killed
    again = take(ledger, plan, WorkerId("another", 1, 1))
    assert states(ledger) == ["FAIL", "RUNNING"]
    assert ledger.trials()[0].user_attrs["kind"] == "lost"
    assert again.number == 1  # the run is not to blame
    finish(ledger, again)


def test_a_dead_workers_run_is_left_to_its_living_supervisor(tmp_path: Path) -> None:
    workspace, plan, ledger = open_study(tmp_path, fakes.make_fake_plan())
    session = locked(workspace.session_lock("session"))
    take(ledger, plan).lock.release()
    assert ledger.take(plan.runs, WorkerId("another", 1, 1)) is Nothing.BUSY
    session.release()
    take(ledger, plan, WorkerId("another", 1, 1))


def test_a_worker_that_dies_is_retried_as_often_as_asked(tmp_path: Path) -> None:
    _, plan, ledger = open_study(tmp_path, fakes.make_fake_plan())
    for retried in (True, False):
        take(ledger, plan).lock.release()
        buried = ledger.bury(WORKER, "died", "worker died (signal SIGKILL)", retries=1)
        assert buried is not None
        assert buried.retried is retried
    assert ledger.take(plan.runs, WORKER) is Nothing.DONE
    ledger.plan(plan, retries=1)
    assert states(ledger) == ["FAIL", "FAIL"]
    ledger.plan(plan, retry_failed=True)
    assert states(ledger) == ["FAIL", "FAIL", "WAITING"]
    assert ledger.trials()[-1].user_attrs["attempt"] == 1


def test_a_death_between_commit_and_record_loses_nothing(tmp_path: Path) -> None:
    workspace, plan, ledger = open_study(tmp_path, fakes.make_fake_plan())
    attempt = take(ledger, plan)
    compute(attempt)
    (attempt.attempt_dir / "checkpoint.pt").write_text("9")
    seal(attempt.attempt_dir, attempt.run.key)
    assert move_into_place(attempt.attempt_dir, workspace.run_dir(attempt.run.key))
    attempt.lock.release()
    assert ledger.take(plan.runs, WorkerId("another", 1, 1)) is Nothing.DONE
    assert states(ledger) == ["COMPLETE"]
    assert not (workspace.run_dir(attempt.run.key) / "checkpoint.pt").exists()


def test_a_dead_workers_run_is_not_waited_for_when_its_supervisor_is_stuck(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, plan, ledger = open_study(tmp_path, fakes.make_fake_plan())
    session = new_session(plan.digest, RunOptions())
    with open_session(workspace, session):
        take(ledger, plan, WorkerId(session.id, 1, 1)).lock.release()
        assert ledger.take(plan.runs, WORKER) is Nothing.BUSY
        monkeypatch.setattr("ablate.running.ledger.SILENCE", 0.0)
        finish(ledger, take(ledger, plan))
        assert ledger.bury(WorkerId(session.id, 1, 1), "died", "late", retries=1) is None
    assert states(ledger) == ["FAIL", "COMPLETE"]


def test_a_stale_owner_is_fenced(tmp_path: Path) -> None:
    workspace, plan, ledger = open_study(tmp_path, fakes.make_fake_plan())
    stale = take(ledger, plan)
    workspace.key_lock(stale.run.key).unlink()  # somebody cleaned up by hand
    other = take(open_ledger(workspace), plan, WorkerId("another", 1, 1))
    compute(other)
    assert stale.fenced()
    assert not ledger.fail(stale, "error", "too late", 1.0)
    assert not ledger.release(stale)
    assert not ledger.commit(stale)
    finish(ledger, other)
    assert not ledger.commit(stale)
    assert [trial.state.name for trial in ledger.trials()] == ["FAIL", "COMPLETE"]


def test_a_lost_journal_is_rebuilt_from_the_runs(tmp_path: Path) -> None:
    workspace, plan, ledger = open_study(tmp_path, fakes.make_fake_plan(("base", "other")))
    finish(ledger, take(ledger, plan))
    workspace.journal.unlink()
    ledger = open_ledger(workspace)
    ledger.plan(plan)
    attempt = take(ledger, plan)
    assert attempt.run.variant == "other"
    assert states(ledger) == ["COMPLETE", "RUNNING"]


def test_a_run_whose_folder_was_removed_is_computed_again(tmp_path: Path) -> None:
    workspace, plan, ledger = open_study(tmp_path, fakes.make_fake_plan())
    finish(ledger, take(ledger, plan))
    (workspace.run_dir(plan.runs[0].key)).rename(tmp_path / "gone")
    ledger.plan(plan)
    assert states(ledger) == ["COMPLETE", "WAITING"]


def test_runs_that_are_no_longer_planned_are_withdrawn(tmp_path: Path) -> None:
    _, plan, ledger = open_study(tmp_path, fakes.make_fake_plan(("base", "other")))
    smaller = dataclasses.replace(plan, runs=plan.runs[:1], rows=plan.rows[:1])
    ledger.plan(smaller)
    assert states(ledger) == ["WAITING", "FAIL"]
    ledger.plan(plan)
    assert states(ledger) == ["WAITING", "FAIL", "WAITING"]


def test_a_run_of_another_study_is_reused(tmp_path: Path) -> None:
    _, plan, ledger = open_study(tmp_path, fakes.make_fake_plan(study="one"))
    finish(ledger, take(ledger, plan))
    workspace, second, other = open_study(tmp_path, fakes.make_fake_plan(study="two"))
    assert second.runs[0].key == plan.runs[0].key
    assert other.take(second.runs, WORKER) is Nothing.DONE
    (trial,) = other.trials()
    assert trial.state == TrialState.COMPLETE
    assert trial.user_attrs["reused_from"] == "one"
    assert workspace.committed(plan.runs[0].key)
    assert status(workspace.study_dir).counts == {"reused": 1}
    assert list(collect(workspace.study_dir)["study"].unique()) == ["two"]


def test_a_run_that_another_study_is_computing_is_waited_for(tmp_path: Path) -> None:
    _, plan, ledger = open_study(tmp_path, fakes.make_fake_plan(study="one"))
    attempt = take(ledger, plan)
    _, second, other = open_study(tmp_path, fakes.make_fake_plan(study="two"))
    assert other.take(second.runs, WORKER) is Nothing.BUSY
    finish(ledger, attempt)
    assert other.take(second.runs, WORKER) is Nothing.DONE


def test_what_a_run_adds_to_the_journal_does_not_grow_with_the_study(tmp_path: Path) -> None:
    workspace, plan, ledger = open_study(tmp_path, fakes.make_fake_plan(seeds=30))
    added = []
    for _ in plan.runs:
        before = workspace.journal.stat().st_size
        finish(ledger, take(ledger, plan))
        added.append(workspace.journal.stat().st_size - before)
    assert max(added) < 1.1 * added[0]
    assert status(workspace.study_dir).finished == 30


def test_what_a_run_adds_to_the_journal_does_not_grow_with_the_variants(tmp_path: Path) -> None:
    sizes = []
    for count in (100, 400):
        workspace, plan, _ = open_study(
            tmp_path / str(count), fakes.make_fake_plan([f"v{i:03d}" for i in range(count)])
        )
        sizes.append(workspace.journal.stat().st_size / len(plan.runs))
    assert sizes[1] < 1.1 * sizes[0]


def test_others_may_enter_while_many_runs_are_settled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each take that settles lets go of the section after a few runs."""
    first = fakes.make_fake_plan(seeds=7, study="first")
    _, plan, ledger = open_study(tmp_path, first)
    for _ in plan.runs:
        finish(ledger, take(ledger, plan))
    _, second, other = open_study(tmp_path, fakes.make_fake_plan(seeds=7, study="second"))
    entered = []
    critical = other.journal.critical
    monkeypatch.setattr("ablate.running.ledger.SETTLED_AT_ONCE", 3)
    monkeypatch.setattr(other.journal, "critical", lambda: (entered.append(1), critical())[1])
    assert other.take(second.runs, WORKER) is Nothing.DONE
    assert states(other) == ["COMPLETE"] * 7
    assert len(entered) == 3


def test_a_journal_lost_after_the_end_is_complete_again(tmp_path: Path) -> None:
    workspace, plan, ledger = open_study(tmp_path, fakes.make_fake_plan(seeds=2))
    for _ in plan.runs:
        finish(ledger, take(ledger, plan))
    before = [(trial.value, trial.user_attrs["metrics"]) for trial in ledger.trials()]
    workspace.journal.unlink()
    ledger = open_ledger(workspace)
    ledger.describe(plan)
    ledger.plan(plan)
    assert states(ledger) == ["COMPLETE"] * 2
    assert [(trial.value, trial.user_attrs["metrics"]) for trial in ledger.trials()] == before


def test_the_draft_of_a_killed_attempt_is_not_committed(tmp_path: Path) -> None:
    workspace, plan, ledger = open_study(tmp_path, fakes.make_fake_plan())
    dead = take(ledger, plan)
    (dead.attempt_dir / ".provenance.json.0123abcd.tmp").write_text("{")
    dead.lock.release()
    again = take(ledger, plan, WorkerId("another", 1, 1))
    finish(ledger, again)
    assert not list(workspace.run_dir(again.run.key).glob(".*.tmp"))
