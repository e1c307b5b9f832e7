"""Behavioural: locks, files in one step, the journal, and what is read from a study's folder.

Reference-checked: the journal against Optuna's own reader (``optuna.load_study``). Processes are real
where an invariant speaks of them.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from ablate.running import store
from ablate.running.folder import (
    StoredPlan,
    Workspace,
    dump_run,
    encode_plan,
    load_plan,
    load_run,
    move_into_place,
    write_plan,
    write_text,
)
from ablate.running.ledger import Attempt, Ledger, Nothing, WorkerId, open_journal
from ablate.running.locks import KernelLock, is_held, locked
from ablate.running.scores import check_scores, summarise
from ablate.study.plan import Plan
from model.errors import DivergedError, StorageError
from tests.ablate import runner_fakes as fakes

WORKER = WorkerId("session", 1, 1)


@pytest.fixture(autouse=True)
def _log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_LOG", str(tmp_path / "log"))


def open_study(root: Path, plan: Plan) -> tuple[Workspace, StoredPlan, Ledger]:
    """A planned study without any supervisor."""
    text, stored = encode_plan(plan)
    workspace = Workspace(root / stored.study)
    workspace.create()
    write_plan(workspace, text, plan.spec.text)
    ledger = Ledger(workspace, stored.study)
    ledger.describe(primary=stored.primary)
    ledger.plan(stored)
    return workspace, stored, ledger


def claim(ledger: Ledger, plan: StoredPlan, worker: WorkerId = WORKER, **limits: int) -> Attempt:
    """A claim that must succeed, begun."""
    attempt = ledger.claim(plan.runs, worker, **limits)
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
    return [trial.state.name for trial in ledger.trials()]


# --- locks ------------------------------------------------------------------------------------


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds ``tmp_path/x.lock``."""
    code = (
        "import sys, time; from pathlib import Path; from ablate.running.locks import KernelLock; "
        "lock = KernelLock(Path(sys.argv[1])); print(lock.try_acquire(), flush=True); time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "x.lock")],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "True"
    yield process
    process.kill()
    process.wait()


def test_a_lock_is_exclusive_and_dies_with_its_owner(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    path = tmp_path / "x.lock"
    lock = KernelLock(path)
    assert is_held(path)
    assert not lock.try_acquire()
    with pytest.raises(StorageError, match="locked by another process"):
        locked(path, timeout=0.05)
    holder.kill()
    holder.wait()
    assert not is_held(path)
    assert lock.try_acquire()
    assert lock.valid()


def test_asking_whether_a_lock_is_held_does_not_look_like_holding_it(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    assert not is_held(path)
    assert not path.exists()
    lock = KernelLock(path)
    assert lock.try_acquire()
    lock.release()
    assert not is_held(path)


def test_a_lock_whose_file_was_replaced_is_not_valid(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    first, second = KernelLock(path), KernelLock(path)
    assert first.try_acquire()
    path.unlink()
    assert not first.valid()
    assert second.try_acquire()
    assert second.valid()
    assert not first.valid()


def test_a_lock_where_none_can_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot be locked"):
        KernelLock(tmp_path / "file" / "x.lock").try_acquire()


# --- files ------------------------------------------------------------------------------------


def test_of_two_folders_the_first_stays(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name / "deep").mkdir(parents=True)
        (tmp_path / name / "deep" / "file").write_text(name)
    assert move_into_place(tmp_path / "a", tmp_path / "runs" / "key")
    assert not move_into_place(tmp_path / "b", tmp_path / "runs" / "key")
    assert (tmp_path / "runs" / "key" / "deep" / "file").read_text() == "a"


def test_writing_replaces_in_one_step_and_leaves_nothing_behind(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "one")
    write_text(tmp_path / "a", "two")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text() == "two"
    (tmp_path / "f").touch()
    with pytest.raises(StorageError, match="cannot be written"):
        write_text(tmp_path / "f" / "a", "x")


def test_a_plan_survives_its_file(tmp_path: Path) -> None:
    plan = fakes.make_fake_plan(("base", "other"), 2)
    text, stored = encode_plan(plan)
    workspace = Workspace(tmp_path / "study")
    workspace.create()
    write_plan(workspace, text, "study: study")
    again = load_plan(workspace)
    assert again == stored
    assert again.runs == plan.runs
    assert again.rows == plan.rows
    assert load_run(json.loads(json.dumps(dump_run(plan.runs[0])))) == plan.runs[0]


def test_a_missing_or_damaged_plan_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no such study"):
        load_plan(Workspace(tmp_path / "nothing"))
    (tmp_path / "plan.json").write_text('{"schema": 1}')
    with pytest.raises(StorageError, match="damaged"):
        load_plan(Workspace(tmp_path))


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("a,report,all,image_auroc,nan,", DivergedError),
        ("a,report,all,image_auroc,inf,", DivergedError),
        ("", ValueError),
        ("a,report,all,image_auroc,high,", ValueError),
    ],
)
def test_a_run_without_results_is_refused(tmp_path: Path, line: str, error: type[Exception]) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text(f"category,split,stratum,metric,value,reason\n{line}\n")
    with pytest.raises(error):
        check_scores(path)


def test_an_undefined_metric_with_a_reason_is_a_result(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text(
        "category,split,stratum,metric,value,reason\n"
        "a,report,all,m,,no defects\nb,report,all,m,0.5,\nb,selection,all,m,0.7,\nb,report,faint,m,0.1,\n"
    )
    check_scores(path)
    assert summarise(path, "m") == {"b": 0.5}
    assert summarise(path, "m", split="selection") == {"b": 0.7}


# --- the journal --------------------------------------------------------------------------------


def test_every_run_is_one_trial_that_optuna_reads(tmp_path: Path) -> None:
    workspace, plan, ledger = open_study(tmp_path, fakes.make_fake_plan(("base", "other"), 3))
    ledger.plan(plan)
    Ledger(workspace, plan.study).plan(plan)
    assert states(ledger) == ["WAITING"] * 6
    attempt = claim(ledger, plan)
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
        "import sys; from pathlib import Path; from ablate.running.ledger import Ledger; "
        "from ablate.running.folder import Workspace, load_plan; w = Workspace(Path(sys.argv[1])); "
        "Ledger(w, 'study').plan(load_plan(w))"
    )
    text, stored = encode_plan(fakes.make_fake_plan(("base", "other"), 5))
    workspace = Workspace(tmp_path / "study")
    workspace.create()
    write_plan(workspace, text)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    processes = [
        subprocess.Popen([sys.executable, "-c", code, str(workspace.study_dir)], env=environment)
        for _ in range(4)
    ]
    assert [process.wait(60) for process in processes] == [0] * 4
    ledger = Ledger(workspace, "study")
    assert sorted(t.user_attrs["key"] for t in ledger.trials()) == sorted(r.key for r in stored.runs)


def test_a_claimed_run_is_not_claimed_again(tmp_path: Path) -> None:
    _, plan, ledger = open_study(tmp_path, fakes.make_fake_plan(("base", "other")))
    first, second = claim(ledger, plan), claim(ledger, plan, WorkerId("session", 2, 1))
    assert first.run.key != second.run.key
    assert ledger.claim(plan.runs, WORKER) is Nothing.BUSY
    finish(ledger, first)
    finish(ledger, second)
    assert ledger.claim(plan.runs, WORKER) is Nothing.DONE


def test_a_session_starts_no_more_runs_than_it_may(tmp_path: Path) -> None:
    _, plan, ledger = open_study(tmp_path, fakes.make_fake_plan(("base", "b", "c")))
    finish(ledger, claim(ledger, plan, max_runs=1))
    assert ledger.claim(plan.runs, WORKER, max_runs=1) is Nothing.LIMIT
    finish(ledger, claim(ledger, plan, WorkerId("another", 1, 1), max_runs=1))


def test_a_released_run_keeps_its_folder_and_its_time(tmp_path: Path) -> None:
    _, plan, ledger = open_study(tmp_path, fakes.make_fake_plan())
    attempt = claim(ledger, plan)
    (attempt.attempt_dir / "checkpoint.pt").write_text("7")
    with attempt.lock:
        attempt.suspend(12.5)
        assert ledger.release(attempt)
    assert states(ledger) == ["WAITING"]
    again = ledger.claim(plan.runs, WORKER)
    assert isinstance(again, Attempt)
    assert again.begin() == 12.5
    assert (again.attempt_dir / "checkpoint.pt").read_text() == "7"
    finish(ledger, again)
    assert not list(Workspace(tmp_path / "study").run_dir(again.run.key).glob("*.pt"))
    assert states(ledger) == ["COMPLETE"]


def test_a_run_left_by_a_dead_session_goes_on(tmp_path: Path) -> None:
    _, plan, ledger = open_study(tmp_path, fakes.make_fake_plan())
    claim(ledger, plan).lock.release()  # what the kernel does when the owner is killed
    again = claim(ledger, plan, WorkerId("another", 1, 1))
    assert states(ledger) == ["FAIL", "RUNNING"]
    assert ledger.trials()[0].user_attrs["kind"] == "lost"
    assert again.number == 1  # the run is not to blame
    finish(ledger, again)


def test_a_dead_workers_run_is_left_to_its_living_supervisor(tmp_path: Path) -> None:
    workspace, plan, ledger = open_study(tmp_path, fakes.make_fake_plan())
    session = locked(workspace.session_lock("session"))
    claim(ledger, plan).lock.release()
    assert ledger.claim(plan.runs, WorkerId("another", 1, 1)) is Nothing.BUSY
    session.release()
    claim(ledger, plan, WorkerId("another", 1, 1))


def test_a_worker_that_dies_is_retried_as_often_as_asked(tmp_path: Path) -> None:
    _, plan, ledger = open_study(tmp_path, fakes.make_fake_plan())
    for retried in (True, False):
        claim(ledger, plan).lock.release()
        buried = ledger.bury(WORKER, "died", "worker died (signal SIGKILL)", retries=1)
        assert buried is not None
        assert buried.retried is retried
    assert ledger.claim(plan.runs, WORKER) is Nothing.DONE
    ledger.plan(plan, retries=1)
    assert states(ledger) == ["FAIL", "FAIL"]
    ledger.plan(plan, retry_failed=True)
    assert states(ledger) == ["FAIL", "FAIL", "WAITING"]
    assert ledger.trials()[-1].user_attrs["attempt"] == 1


def test_a_death_between_commit_and_record_loses_nothing(tmp_path: Path) -> None:
    workspace, plan, ledger = open_study(tmp_path, fakes.make_fake_plan())
    attempt = claim(ledger, plan)
    compute(attempt)
    (attempt.attempt_dir / "checkpoint.pt").write_text("9")
    assert move_into_place(attempt.attempt_dir, workspace.run_dir(attempt.run.key))
    attempt.lock.release()
    assert ledger.claim(plan.runs, WorkerId("another", 1, 1)) is Nothing.DONE
    assert states(ledger) == ["COMPLETE"]
    assert not (workspace.run_dir(attempt.run.key) / "checkpoint.pt").exists()


def test_a_stale_owner_is_fenced(tmp_path: Path) -> None:
    workspace, plan, ledger = open_study(tmp_path, fakes.make_fake_plan())
    stale = claim(ledger, plan)
    workspace.key_lock(stale.run.key).unlink()  # somebody cleaned up by hand
    other = claim(Ledger(workspace, "study"), plan, WorkerId("another", 1, 1))
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
    finish(ledger, claim(ledger, plan))
    workspace.journal.unlink()
    ledger = Ledger(workspace, plan.study)
    ledger.plan(plan)
    attempt = claim(ledger, plan)
    assert attempt.run.variant == "other"
    assert states(ledger) == ["COMPLETE", "RUNNING"]


def test_a_run_whose_folder_was_removed_is_computed_again(tmp_path: Path) -> None:
    workspace, plan, ledger = open_study(tmp_path, fakes.make_fake_plan())
    finish(ledger, claim(ledger, plan))
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


@pytest.mark.parametrize("torn", [b'{"op_code": 5, "wor', b"\x00\x00"])
def test_a_line_cut_off_by_a_crash_does_not_spoil_the_journal(tmp_path: Path, torn: bytes) -> None:
    workspace, plan, ledger = open_study(tmp_path, fakes.make_fake_plan(("base", "other")))
    with workspace.journal.open("ab") as stream:
        stream.write(torn)
    assert states(Ledger(workspace, "study")) == ["WAITING"] * 2
    finish(ledger, claim(ledger, plan))
    assert states(Ledger(workspace, "study")) == ["COMPLETE", "WAITING"]


def test_a_damaged_journal_is_one_line(tmp_path: Path) -> None:
    workspace, _, _ = open_study(tmp_path, fakes.make_fake_plan())
    lines = workspace.journal.read_bytes().splitlines(keepends=True)
    workspace.journal.write_bytes(b"".join([lines[0], b"rubbish\n", *lines[1:]]))
    with pytest.raises(StorageError, match="journal is damaged"):
        open_journal(workspace.journal)


def test_a_study_that_may_not_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "results").touch()
    with pytest.raises(StorageError, match="cannot be written"):
        Workspace(tmp_path / "results" / "study").create()


# --- reuse ------------------------------------------------------------------------------------


def test_a_run_of_another_study_is_reused(tmp_path: Path) -> None:
    _, plan, ledger = open_study(tmp_path, fakes.make_fake_plan(study="one"))
    finish(ledger, claim(ledger, plan))
    workspace, second, other = open_study(tmp_path, fakes.make_fake_plan(study="two"))
    assert second.runs[0].key == plan.runs[0].key
    assert other.claim(second.runs, WORKER) is Nothing.DONE
    (trial,) = other.trials()
    assert trial.state == TrialState.COMPLETE
    assert trial.user_attrs["reused_from"] == "one"
    assert workspace.committed(plan.runs[0].key)
    assert store.status(workspace.study_dir).counts == {"reused": 1}
    assert list(store.collect(workspace.study_dir)["study"].unique()) == ["two"]


def test_a_run_that_another_study_is_computing_is_waited_for(tmp_path: Path) -> None:
    _, plan, ledger = open_study(tmp_path, fakes.make_fake_plan(study="one"))
    attempt = claim(ledger, plan)
    _, second, other = open_study(tmp_path, fakes.make_fake_plan(study="two"))
    assert other.claim(second.runs, WORKER) is Nothing.BUSY
    finish(ledger, attempt)
    assert other.claim(second.runs, WORKER) is Nothing.DONE


# --- the frame, timings, status, litter ---------------------------------------------------------


def test_the_frame_has_rows_for_every_cell(tmp_path: Path) -> None:
    plan = fakes.make_fake_plan(("base", "same"), 2, distinct=False)
    assert len(plan.runs) == 2
    workspace, stored, ledger = open_study(tmp_path, plan)
    assert store.collect(workspace.study_dir).empty
    finish(ledger, claim(ledger, stored))
    frame = store.collect(workspace.study_dir, stored)
    assert list(frame.columns) == ["study", "variant", *store.FRAME_TAIL]
    assert len(frame) == 2 * 2 * 2  # two cells share the run; two categories; two splits
    assert set(frame["variant"]) == {"base", "same"}
    assert set(frame["category"]) == {"a", "b"}
    store.FrameWriter(workspace, stored).write()
    assert workspace.frame.read_text().count("\n") == 9


@pytest.mark.parametrize("damage", ["stale", "garbage", "gone"])
def test_a_frame_that_was_left_behind_is_brought_up_to_date(tmp_path: Path, damage: str) -> None:
    workspace, stored, ledger = open_study(tmp_path, fakes.make_fake_plan(seeds=2))
    finish(ledger, claim(ledger, stored))
    store.FrameWriter(workspace, stored).write()
    if damage == "garbage":
        workspace.frame.write_bytes(b"\xe6\x00 no table")
    elif damage == "gone":
        workspace.frame.unlink()
    finish(ledger, claim(ledger, stored))
    store.refresh_frame(workspace.study_dir)
    assert workspace.frame.read_text() == store.collect(workspace.study_dir).to_csv(index=False)
    assert all(run.key in workspace.frame.read_text() for run in stored.runs)


def test_a_published_frame_is_not_replaced_by_fewer_runs(tmp_path: Path) -> None:
    workspace, stored, ledger = open_study(tmp_path, fakes.make_fake_plan(seeds=2))
    for _ in stored.runs:
        finish(ledger, claim(ledger, stored))
    store.FrameWriter(workspace, stored).write()
    before = workspace.frame.read_text()
    shutil.rmtree(workspace.run_dir(stored.runs[0].key))
    store.refresh_frame(workspace.study_dir)
    shutil.rmtree(workspace.runs)
    store.refresh_frame(workspace.study_dir)
    assert workspace.frame.read_text() == before


def test_factors_are_columns(tmp_path: Path) -> None:
    extra = "factors: {design: one-at-a-time, tail.q: [0.02, 0.3]}"
    workspace, stored, ledger = open_study(tmp_path, fakes.make_fake_plan(extra=extra))
    while isinstance(attempt := ledger.claim(stored.runs, WORKER), Attempt):
        attempt.begin()
        finish(ledger, attempt)
    frame = store.collect(workspace.study_dir)
    assert list(frame.columns[:4]) == ["study", "variant", "tail.q", "seed"]
    by_variant = frame.groupby("variant")["tail.q"].first()
    assert by_variant["tail.q=0.02"] == 0.02
    assert frame[frame["variant"] == "base"]["tail.q"].isna().all()
    assert ledger.trials()[1].params["tail.q"] == 0.02


def test_past_timings_estimate_those_to_come(tmp_path: Path) -> None:
    (run,) = fakes.make_fake_plan(iterations=100).runs
    config = dump_run(run)["config"]
    for number, (seconds, iterations) in enumerate([(10.0, 100), (14.0, 100), (30.0, 200)]):
        folder = tmp_path / "study" / "runs" / str(number)
        folder.mkdir(parents=True)
        config["train"]["iterations"] = iterations
        content = {
            "config": config, "timings": {"total": seconds}, "hardware": {"device": "cpu"},
        }  # fmt: skip
        (folder / "provenance.json").write_text(json.dumps(content))
    (tmp_path / "study" / "runs" / "0" / "provenance.json").with_name("x").write_text("not read")
    timings = store.Timings.read(tmp_path)
    assert timings.estimate(run) == 12.0
    longer = dataclasses.replace(
        run,
        config=dataclasses.replace(
            run.config, train=dataclasses.replace(run.config.train, iterations=1000)
        ),
    )
    assert timings.estimate(longer) == pytest.approx(140.0)
    image = dataclasses.replace(run.config.image, resize=(224, 224), crop=(196, 196))
    smaller = dataclasses.replace(run, config=dataclasses.replace(run.config, image=image))
    assert timings.estimate(smaller) is None
    assert store.Timings.read(tmp_path / "nowhere").estimate(run) is None


def test_status_tells_the_states_apart(tmp_path: Path) -> None:
    names = ("done", "failed", "interrupted", "running", "lost", "waiting")
    workspace, plan, ledger = open_study(tmp_path, fakes.make_fake_plan(names))
    finish(ledger, claim(ledger, plan))
    failed = claim(ledger, plan)
    assert ledger.fail(failed, "error", "ValueError: no", 3.0)
    failed.lock.release()
    interrupted, running, lost = (claim(ledger, plan) for _ in range(3))
    ledger.release(interrupted)
    interrupted.lock.release()
    lost.lock.release()
    state = store.status(workspace.study_dir)
    assert {run.variant: run.state for run in state.runs} == {name: name for name in names}
    assert state.last_error == "failed, seed 0: ValueError: no"
    assert state.failed[0].log.endswith(f"{failed.run.key}.log")
    assert json.loads(json.dumps(state.as_dict()))["counts"]["done"] == 1
    assert state.sessions == ()
    assert state.elapsed is None
    running.lock.release()


def test_looking_writes_nothing(tmp_path: Path) -> None:
    workspace, plan, ledger = open_study(tmp_path, fakes.make_fake_plan())
    finish(ledger, claim(ledger, plan))
    before = workspace.journal.read_bytes()
    assert store.status(workspace.study_dir).finished == 1
    assert workspace.journal.read_bytes() == before
    workspace.journal.unlink()
    assert store.status(workspace.study_dir).finished == 1
    assert not workspace.journal.exists()


def test_status_of_nothing_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no such study"):
        store.status(tmp_path / "nothing")


def test_clean_lists_first_and_never_touches_a_live_run(tmp_path: Path) -> None:
    workspace, plan, ledger = open_study(tmp_path, fakes.make_fake_plan(("live", "interrupted")))
    live = claim(ledger, plan)
    stopped = claim(ledger, plan)
    ledger.release(stopped)
    stopped.lock.release()
    stray = workspace.attempt_dir("0" * 20)
    stray.mkdir()
    (stray / "checkpoint.pt").write_text("12345")
    workspace.log("0" * 20).write_text("old")
    session = locked(workspace.session_lock("alive"))
    write_text(workspace.session_file("alive"), "{}")
    locked(workspace.session_lock("dead")).release()
    write_text(workspace.session_file("dead"), "{}")
    write_text(workspace.worker_file("dead-1.1"), "{}")

    found = store.clean(workspace.study_dir)
    names = {item.path.name for item in found}
    dead = {"dead.lock", "dead.session.json", "dead-1.1.worker.json"}
    assert names == {"0" * 20, f"{'0' * 20}.log", *dead}
    assert sum(item.size for item in found if item.path == stray) == 5
    assert all(item.path.exists() for item in found)

    assert {item.path.name for item in store.clean(workspace.study_dir, dry=False)} == names
    assert store.clean(workspace.study_dir) == []
    assert live.attempt_dir.exists()
    assert stopped.attempt_dir.exists()
    assert workspace.session_file("alive").exists()
    (more,) = store.clean(workspace.study_dir, dry=False, interrupted=True)
    assert more.path == stopped.attempt_dir
    assert live.attempt_dir.exists()
    session.release()


def test_a_claim_costs_little(tmp_path: Path) -> None:
    workspace, plan, ledger = open_study(tmp_path, fakes.make_fake_plan(seeds=30))
    for _ in range(29):
        finish(ledger, claim(ledger, plan))
    began = time.perf_counter()
    finish(ledger, claim(ledger, plan))
    assert time.perf_counter() - began < 1.0
    assert store.status(workspace.study_dir).finished == 30
