"""Behavioural, with real processes: supervisors, workers, signals and kills.

Executors are fakes of milliseconds (``runner_fakes``) that note each execution and each step in a file,
so "exactly once" and "nothing repeated" are counted, not believed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from ablate.running import progress
from ablate.running.clean import clean
from ablate.running.conclusion import Result
from ablate.running.folder import Workspace
from ablate.running.locks import locked
from ablate.running.session import RunOptions, new_session, open_session, write_session
from ablate.running.status import status
from ablate.running.supervisor import Slot, Supervisor, Work, run_study
from ablate.study.text import json_text
from model.errors import DataError, StorageError, UserError
from tests.ablate import runner_fakes as fakes
from tests.ablate.running.studies import PATIENCE, open_ledger, open_study, wait_for

STEPS = 200
"""Of a run that shall not be over before something happens to it."""


def options(executor: str = "behave", **changes: object) -> RunOptions:
    plain = RunOptions(executor=f"tests.ablate.runner_fakes:{executor}", preparer=None)
    return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]


def run(root: Path, *variants: str, seeds: int = 1, executor: str = "behave", **changes: object) -> Result:
    """Run a fake study to its end, in this process's supervisor."""
    plan = fakes.make_fake_plan(variants or ("base",), seeds)
    return run_study(plan, root, options(executor, **changes), view=progress.PlainView(lambda _: None))


def supervisor(
    root: Path, executor: str, workers: int, variants: str, seeds: int, iterations: int
) -> subprocess.Popen[str]:
    """A supervisor in a process of its own."""
    words = [str(root), executor, str(workers), variants, str(seeds), str(iterations)]
    return subprocess.Popen(
        [sys.executable, fakes.__file__, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def at_work(log: Path) -> int:
    """Runs of which a first step is done, hence checkpointed or about to be."""
    return len({key for key, _ in fakes.notes(log, "step")})


@contextlib.contextmanager
def held(log: Path) -> Iterator[None]:
    """Within, no run of ``steps`` comes to its end, however long the machine takes for the rest."""
    path = Path(f"{log}.hold")
    path.touch()
    try:
        yield
    finally:
        path.unlink()


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def repeated(log: Path) -> dict[tuple[str, ...], int]:
    """Steps that were computed more than once."""
    return {step: n for step, n in Counter(map(tuple, fakes.notes(log, "step"))).items() if n > 1}


# --- to the end ---------------------------------------------------------------------------------


def test_four_workers_run_thirty_runs_exactly_once(tmp_path: Path, log: Path) -> None:
    result = run(tmp_path, "base", "b", "c", seeds=10, executor="quick", workers=4)
    assert result.exit_code == 0
    ran = fakes.notes(log, "ran")
    assert len(ran) == len({key for key, _ in ran}) == 30
    assert len({pid for _, pid in ran}) > 1
    assert (tmp_path / "study" / "runs.csv").read_text().count("\n") == 1 + 30 * 2 * 2
    assert list((tmp_path / "study" / ".workers").iterdir()) == []
    assert list((tmp_path / "study" / ".attempts").iterdir()) == []


@pytest.mark.slow
def test_two_supervisors_share_a_study(tmp_path: Path, log: Path) -> None:
    both = [supervisor(tmp_path, "steps", 2, "base,b,c", 4, 3) for _ in range(2)]
    texts = [process.communicate(timeout=PATIENCE)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], texts
    ran = fakes.notes(log, "ran")
    assert len(ran) == len({key for key, _ in ran}) == 12
    assert all("12 of 12 runs done" in text for text in texts)


def test_finished_runs_are_not_repeated(tmp_path: Path, log: Path) -> None:
    assert "1 left" in run(tmp_path, "base", "b", max_runs=1).lines[0]
    for _ in range(2):
        assert run(tmp_path, "base", "b").exit_code == 0
    assert len(fakes.notes(log, "ran")) == 2


def test_failures_are_recorded_and_the_study_goes_on(tmp_path: Path, log: Path) -> None:
    result = run(tmp_path, "diverges", "killed", "base", "killed-once", "memory", workers=2)
    assert result.exit_code == 1
    reasons = {r.variant: r.reason for r in result.state.failed}
    assert set(reasons) == {"diverges", "killed", "memory"}
    assert "SIGKILL" in reasons["killed"]
    assert len(fakes.notes(log, "ran")) == 1 + 2 + 1 + 2 + 1  # the dead are tried twice
    text = "\n".join(result.lines)
    assert "2 of 5 runs done, 3 failed" in text
    assert all(run.log in text and Path(run.log).exists() for run in result.state.failed)
    assert "--retry-failed" in text
    assert "SIGKILL" in Path(result.state.failed[1].log).read_text()


def test_failed_runs_are_tried_again_only_when_asked(tmp_path: Path, log: Path) -> None:
    run(tmp_path, "raises")
    assert run(tmp_path, "raises").exit_code == 1
    assert len(fakes.notes(log, "ran")) == 1
    run(tmp_path, "raises", retry_failed=True)
    assert len(fakes.notes(log, "ran")) == 2


@pytest.mark.usefixtures("log")
def test_only_what_is_not_tried_again_anyway_is_said_to_need_being_asked_for(tmp_path: Path) -> None:
    ends = [line for line in run(tmp_path, "full").lines if "tried again" in line]
    assert ends == ["runs that failed for a full disk are tried again by the next ablate run or resume"]
    both = [line for line in run(tmp_path, "full", "raises").lines if "tried again" in line]
    assert both == [*ends, "other failed runs are tried again only with --retry-failed"]


def test_fail_fast_leaves_the_rest(tmp_path: Path, log: Path) -> None:
    result = run(tmp_path, "raises", "base", "b", fail_fast=True)
    assert result.exit_code == 1
    assert len(fakes.notes(log, "ran")) == 1
    assert "2 left" in result.lines[0]


def test_a_run_that_ignores_its_timeout_is_killed(tmp_path: Path, log: Path) -> None:
    result = run(tmp_path, "stubborn", timeout=0.1, grace=0.3)
    (failed,) = result.state.failed
    assert failed.reason.startswith("killed: did not stop after 0.1 s")
    assert len(fakes.notes(log, "ran")) == 1


def test_preparation_comes_first_and_only_if_there_is_something_to_do(tmp_path: Path, log: Path) -> None:
    for _ in range(2):
        run(tmp_path, "base", "b", workers=2, preparer="tests.ablate.runner_fakes:prepare")
    lines = log.read_text().splitlines()
    assert lines[0].startswith("prepared 2")
    assert len(fakes.notes(log, "prepared")) == 1


@pytest.mark.parametrize(("workers", "threads"), [(1, 1), (2, 1), (2, 3)])
def test_threads_follow_the_plan_not_the_workers(
    tmp_path: Path, log: Path, workers: int, threads: int
) -> None:
    plan = fakes.make_fake_plan(("threads",), 2, threads=threads)
    run_study(plan, tmp_path, options(workers=workers), view=progress.PlainView(lambda _: None))
    assert fakes.notes(log, "threads") == [[str(threads)]] * 2


def test_a_users_error_in_preparation_is_raised_here(tmp_path: Path, log: Path) -> None:
    with pytest.raises(DataError, match="the dataset is empty") as caught:
        run(tmp_path, preparer="tests.ablate.runner_fakes:bad_prepare")
    assert (caught.value.where, caught.value.hint) == ("data/", "fill it")
    assert not log.exists()


def test_workers_that_cannot_work_are_not_started_for_ever(tmp_path: Path, log: Path) -> None:
    with pytest.raises(UserError, match=r"a worker cannot work.*no attribute 'nothing'"):
        run(tmp_path, executor="nothing")
    assert not log.exists()
    assert status(tmp_path / "study").counts == {"waiting": 1}


def test_a_worker_that_is_killed_while_starting_is_started_again(tmp_path: Path, log: Path) -> None:
    assert run(tmp_path, executor="killed_three_times").exit_code == 0
    assert len(fakes.notes(log, "born")) == 4
    assert len(fakes.notes(log, "ran")) == 1


MEMORY = r"a worker cannot work.*SIGKILL; often: the system ran out of memory.*fewer --workers"


@pytest.mark.parametrize(
    ("changes", "born"),
    [({"executor": "always_killed"}, 4), ({"preparer": "tests.ablate.runner_fakes:always_killed"}, 3)],
)
def test_what_is_always_killed_while_starting_is_given_up(
    tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], born: int
) -> None:
    monkeypatch.setattr("ablate.running.slots.IDLE_KILLS", 4)
    monkeypatch.setattr("ablate.running.slots.LONGEST_PAUSE", 0.2)
    with pytest.raises(UserError, match=MEMORY):
        run(tmp_path, **changes)
    assert len(fakes.notes(log, "born")) == born
    assert status(tmp_path / "study").counts == {"waiting": 1}


def test_the_others_go_on_without_a_worker_that_is_always_killed(
    tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ablate.running.slots.IDLE_KILLS", 1)
    said: list[str] = []
    plan = fakes.make_fake_plan(("base",), 4)
    result = run_study(
        plan, tmp_path, options("first_killed", workers=2), view=progress.PlainView(said.append)
    )
    assert result.exit_code == 0
    assert len(fakes.notes(log, "ran")) == 4
    assert sum(line.startswith("worker 1:") and line.endswith("it stays so") for line in said) == 1


def test_a_run_that_leaves_with_0_is_a_death_and_tried_again(tmp_path: Path, log: Path) -> None:
    result = run(tmp_path, "leaves-once", "base")
    assert (result.exit_code, result.state.finished) == (0, 2)
    assert len(fakes.notes(log, "ran")) == 3


def test_runs_that_are_left_are_said_and_not_a_success(tmp_path: Path, log: Path) -> None:
    with held(log):
        process = supervisor(tmp_path, "steps", 2, "base,b,c", 1, STEPS)
        wait_for(lambda: at_work(log) == 2)
        for pid in {int(pid) for _, pid in fakes.notes(log, "ran")}:
            os.kill(pid, signal.SIGTERM)
        text, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1, text
    assert "0 of 3 runs done, 3 left" in text
    assert "stopped by a signal that was not ours" in text
    assert "continue with: ablate resume" in text


def test_runs_that_are_left_on_purpose_are_a_success(tmp_path: Path) -> None:
    result = run(tmp_path, "base", "b", max_runs=1)
    assert result.exit_code == 0
    assert "1 left" in result.lines[0]


def test_another_plan_may_not_be_run_at_the_same_time(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "study")
    workspace.create()
    session = new_session("another plan", RunOptions())
    with open_session(workspace, session), pytest.raises(StorageError, match="with another plan"):
        run(tmp_path)
    assert not workspace.plan.exists()


def test_studies_of_one_root_share_runs_also_at_the_same_time(tmp_path: Path, log: Path) -> None:
    first = supervisor(tmp_path, "steps", 1, "base,b", 2, 10)
    wait_for(lambda: fakes.notes(log, "step"))
    plan = fakes.make_fake_plan(("base", "b"), 2, study="other")
    assert {r.key for r in plan.runs} == {r.key for r in fakes.make_fake_plan(("base", "b"), 2).runs}
    result = run_study(plan, tmp_path, options("steps"), view=progress.PlainView(lambda _: None))
    assert first.wait(PATIENCE) == 0
    ran = fakes.notes(log, "ran")
    assert len(ran) == len({key for key, _ in ran}) == 4
    assert result.state.finished == 4
    assert result.state.counts["reused"] >= 1


# --- signals and kills --------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.slow
def test_a_signal_checkpoints_and_a_rerun_continues(tmp_path: Path, log: Path, number: int) -> None:
    with held(log):
        process = supervisor(tmp_path, "steps", 2, "base,b,c", 1, STEPS)
        wait_for(lambda: at_work(log) == 2)
        process.send_signal(number)
        text, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 128 + number, text
    assert "continue with: ablate resume" in text
    state = status(tmp_path / "study")
    assert state.counts == {"interrupted": 2, "waiting": 1}
    assert len(list((tmp_path / "study" / ".attempts").glob("*/checkpoint.pt"))) == 2

    again = supervisor(tmp_path, "steps", 2, "base,b,c", 1, STEPS)
    text, _ = again.communicate(timeout=PATIENCE)
    assert again.returncode == 0, text
    assert repeated(log) == {}
    assert len(fakes.notes(log, "step")) == 3 * STEPS
    assert len(fakes.notes(log, "ran")) == 3 + 2


def test_the_second_signal_kills_at_once(tmp_path: Path, log: Path) -> None:
    process = supervisor(tmp_path, "behave", 1, "stubborn", 1, 1)
    wait_for(lambda: fakes.notes(log, "ran"))
    process.send_signal(signal.SIGINT)
    assert process.stdout is not None
    heard = iter(process.stdout.readline, "")
    assert any("once more kills at once" in line for line in heard)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    text, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, text
    ((_, pid),) = fakes.notes(log, "ran")
    assert not alive(int(pid))
    assert status(tmp_path / "study").counts == {"interrupted": 1}


@pytest.mark.slow
def test_a_killed_worker_is_replaced_and_its_run_continued(tmp_path: Path, log: Path) -> None:
    with held(log):
        process = supervisor(tmp_path, "steps", 2, "base,b", 2, 30)
        wait_for(lambda: len(fakes.notes(log, "step")) > 6)
        os.kill(int(fakes.notes(log, "ran")[0][1]), signal.SIGKILL)
    text, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, text
    assert "SIGKILL" in text
    assert "it is tried again" in text
    assert len(fakes.notes(log, "ran")) == 4 + 1
    assert all(count == 2 for count in repeated(log).values())
    assert len(repeated(log)) <= 1  # the step between its note and its checkpoint, at most
    ledger = open_ledger(Workspace(tmp_path / "study"))
    assert Counter(t.state.name for t in ledger.trials()) == {"COMPLETE": 4, "FAIL": 1}


@pytest.mark.slow
def test_workers_stop_when_their_supervisor_is_killed(tmp_path: Path, log: Path) -> None:
    with held(log):
        process = supervisor(tmp_path, "steps", 2, "base,b,c", 1, 30)
        wait_for(lambda: len({pid for _, pid in fakes.notes(log, "ran")}) == 2)
        pids = [int(pid) for _, pid in fakes.notes(log, "ran")]
        process.kill()
        process.communicate(timeout=PATIENCE)
        wait_for(lambda: not any(alive(pid) for pid in pids))
    assert set(status(tmp_path / "study").counts) <= {"interrupted", "waiting", "lost"}
    again = supervisor(tmp_path, "steps", 2, "base,b,c", 1, 30)
    text, _ = again.communicate(timeout=PATIENCE)
    assert again.returncode == 0, text
    assert len(repeated(log)) <= 2  # a worker that is too slow to stop is killed in the end


def test_a_worker_that_does_not_stop_dies_after_its_supervisor(tmp_path: Path, log: Path) -> None:
    process = supervisor(tmp_path, "behave", 1, "stubborn", 1, 1)
    wait_for(lambda: fakes.notes(log, "ran"))
    process.kill()
    process.wait(PATIENCE)
    ((_, pid),) = fakes.notes(log, "ran")
    wait_for(lambda: not alive(int(pid)))


def test_a_worker_whose_supervisor_died_before_it_began_takes_nothing(tmp_path: Path, log: Path) -> None:
    workspace, stored, _ = open_study(tmp_path, fakes.make_fake_plan(("base", "b")))
    session = new_session(stored.digest, options("quick"))
    write_session(workspace, session)
    code = (
        "import os, sys; from pathlib import Path; from ablate.running.process import start_worker; "
        "worker = start_worker(sys.argv[2:], Path(sys.argv[1]), dict(os.environ)); "
        "print(worker.pid, flush=True); os._exit(0)"
    )
    words = [str(tmp_path / "worker.log"), str(workspace.study_dir), session.id, "1", "1"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code, *words], env=environment, capture_output=True, text=True, check=True
    )
    wait_for(lambda: not alive(int(done.stdout)))
    assert status(workspace.study_dir).counts == {"waiting": 2}
    assert fakes.notes(log, "ran") == []


def test_a_clock_that_is_set_does_not_end_a_run(tmp_path: Path) -> None:
    """A run began an hour ago by the clock on the wall, and just now by the one that nobody sets."""
    workspace, stored, ledger = open_study(tmp_path, fakes.make_fake_plan())
    chosen = options(timeout=60.0, grace=0.0)
    work = Work(ledger, lambda: status(workspace.study_dir), lambda: None, parallel=1, prepare=False)
    watching = Supervisor(
        workspace, new_session(stored.digest, chosen), work, progress.PlainView(lambda _: None)
    )
    slot = Slot(1, process=subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE))
    assert slot.process is not None
    said = {"key": stored.runs[0].key, "started": time.time() - 3600, "clock": time.monotonic()}
    file = workspace.worker_file(f"{watching.session.id}-1.0")
    file.write_text(json.dumps(said))
    watching._enforce_timeout(slot)
    assert slot.verdict is None
    file.write_text(json.dumps({**said, "clock": time.monotonic() - 61}))
    watching._enforce_timeout(slot)
    assert slot.verdict is not None
    slot.process.communicate(timeout=PATIENCE)


@pytest.mark.slow
def test_after_everything_was_killed_the_study_goes_on(tmp_path: Path, log: Path) -> None:
    with held(log):
        process = supervisor(tmp_path, "steps", 2, "base,b,c", 1, 30)
        wait_for(lambda: len({pid for _, pid in fakes.notes(log, "ran")}) == 2)
        for pid in [process.pid, *(int(pid) for _, pid in fakes.notes(log, "ran"))]:
            os.kill(pid, signal.SIGKILL)
    process.communicate(timeout=PATIENCE)
    wait_for(lambda: status(tmp_path / "study").counts == {"lost": 2, "waiting": 1})
    litter = clean(tmp_path / "study")
    assert {item.why for item in litter} == {"its supervisor is gone"}
    again = supervisor(tmp_path, "steps", 2, "base,b,c", 1, 30)
    text, _ = again.communicate(timeout=PATIENCE)
    assert again.returncode == 0, text
    assert "3 of 3 runs done" in text
    assert len(repeated(log)) <= 2


# --- being watched ------------------------------------------------------------------------------


def test_another_process_sees_the_study_run(tmp_path: Path, log: Path) -> None:
    def both_at_work() -> bool:
        seen = status(tmp_path / "study") if (tmp_path / "study" / "plan.json").exists() else None
        return seen is not None and sum(run.done > 0 for run in seen.runs) == 2

    with held(log):
        process = supervisor(tmp_path, "steps", 2, "base,b,c", 1, 60)
        try:
            wait_for(both_at_work)
            state = status(tmp_path / "study")
            assert state.counts == {"running": 2, "waiting": 1}
            assert state.sessions == (process.pid,)
            assert state.workers == 2
            assert state.elapsed is not None and state.elapsed > 0
            assert [worker.slot for worker in state.live] == [1, 2]
            for watched in state.runs[:2]:
                assert 0 < watched.done <= watched.total == 60
                assert watched.note.startswith("loss ")
                assert watched.seconds is not None
            json_text(state)
            assert clean(tmp_path / "study", dry=False, interrupted=True) == []
            screen = Console(file=io.StringIO(), width=120)
            screen.print(progress.render(state))
            shown = screen.file.getvalue()  # type: ignore[attr-defined]
            assert "study" in shown and "base, seed 0" in shown and "/60" in shown
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=PATIENCE)


@pytest.mark.usefixtures("log")
def test_plain_output_has_a_line_per_start_and_end(tmp_path: Path) -> None:
    lines: list[str] = []
    plan = fakes.make_fake_plan(("base", "raises"))
    run_study(plan, tmp_path, options(), view=progress.PlainView(lines.append))
    assert lines[0] == "0/2 runs"
    assert sum("done    base, seed 0" in line for line in lines) == 1
    (failed,) = [line for line in lines if "failed" in line and "raises" in line]
    assert "ValueError: no such thing on two lines" in failed
    assert ".log" in failed


@pytest.mark.usefixtures("log")
def test_json_output_is_one_object_per_line(tmp_path: Path) -> None:
    text: list[str] = []
    run_study(fakes.make_fake_plan(), tmp_path, options(), view=progress.JsonView(text.append))
    events = [json.loads(line) for line in "".join(text).splitlines()]
    assert events[0]["event"] == "progress"
    (ended,) = [event for event in events if event["event"] == "ended"]
    assert (ended["variant"], ended["seed"], ended["state"]) == ("base", 0, "done")


def test_a_locked_study_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = Workspace(tmp_path / "study")
    workspace.create()
    monkeypatch.setattr("ablate.running.session.locked", lambda path: locked(path, timeout=0.1))
    with locked(workspace.lock), pytest.raises(StorageError, match="locked by "):
        run(tmp_path)
