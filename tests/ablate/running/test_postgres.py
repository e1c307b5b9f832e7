"""Behavioural: several machines on one PostgreSQL server, which is stopped, killed and started again.

Everything is real: the server from the system's packages, supervisors and workers as processes. The
machines are results folders that share no file.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ablate.cli.commands import main
from ablate.running import artifacts
from ablate.running.cluster import Joined, fetch_results, join_study, plan_study, rows
from ablate.running.folder import CHECKPOINT, Workspace
from ablate.running.frame import collect
from ablate.running.lease import Lease
from ablate.running.manifest import damage
from ablate.running.mirror import mirror, optuna_url
from ablate.running.queue import Nothing
from ablate.running.recorded import StoredPlan
from ablate.running.remote import read_shared
from ablate.running.server import STORAGE, Address, Server, find_address
from ablate.running.session import WorkerId
from ablate.study.plan import Plan
from model.errors import ConfigError, StorageError
from tests.ablate import runner_fakes as fakes
from tests.ablate.running.conftest import new_server
from tests.ablate.running.postgresql import PASSWORD, PostgresServer
from tests.ablate.running.studies import PATIENCE, wait_for

ROOT = Path(__file__).parents[3]
ONE, TWO = WorkerId("20260101T000000-11-aaaaaa", 1, 1), WorkerId("20260101T000000-12-bbbbbb", 1, 1)


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    """A server that the test may stop and kill."""
    server = new_server()
    yield server
    server.stop()


def plan_on(
    server: PostgresServer, root: Path, plan: Plan, *, shared: bool = False, lease: float = 60.0
) -> Joined:
    stored = StoredPlan.of(plan)
    workspace = Workspace(root / stored.study)
    workspace.create()
    return plan_study(Server(server.address), workspace, stored, plan.spec, shared=shared, lease=lease)


def take(joined: Joined, worker: WorkerId = ONE) -> Lease:
    held = joined.queue().take(joined.plan.runs, worker)
    assert isinstance(held, Lease)
    held.begin()
    return held


def finish(joined: Joined, held: Lease) -> bool:
    fakes.write_metrics(held.run, held.attempt_dir, fakes.value_of(held.run))
    return joined.queue().commit(held)


def machine(
    server: PostgresServer, root: Path, log: Path, *, executor: str = "steps", workers: int = 1
) -> subprocess.Popen[str]:
    """``ablate worker`` on a machine of its own, with fakes for an executor."""
    code = (
        "import sys; from pathlib import Path; from tests.ablate import runner_fakes; "
        "runner_fakes.join(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))"
    )
    root.mkdir(parents=True, exist_ok=True)
    environment = {
        **os.environ,
        "FAKE_LOG": str(log),
        STORAGE: server.url,
        "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
    }
    return subprocess.Popen(
        [sys.executable, "-c", code, str(root), executor, str(workers)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ended(process: subprocess.Popen[str], code: int = 0) -> str:
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == code, output
    return output


def states(joined: Joined) -> list[str]:
    found = rows(joined)
    return [found[run.key][0] for run in joined.plan.runs]


# --- leases ---------------------------------------------------------------------------------------


def expire(joined: Joined) -> None:
    """What time does to the leases of workers that are gone."""
    joined.server.call(
        lambda c: c.execute("UPDATE ablate_run SET lease = clock_timestamp() - interval '1 second'")
    )


def no_grace(joined: Joined) -> Joined:
    return dataclasses.replace(joined, timing=dataclasses.replace(joined.timing, grace=-1e6))


def test_a_worker_stopped_past_its_lease_cannot_overwrite_its_successor(
    fresh_server: PostgresServer, tmp_path: Path
) -> None:
    for shared in (True, False):
        plan = fakes.make_fake_plan(study=f"shared-{shared}".lower())
        joined = no_grace(plan_on(fresh_server, tmp_path, plan, shared=shared))
        stopped = take(joined)
        expire(joined)
        successor = take(joined, TWO)
        assert (successor.run, successor.token) == (stopped.run, stopped.token + 1)
        assert successor.attempt_dir != stopped.attempt_dir
        queue = joined.queue()
        assert queue.beat(stopped)
        assert stopped.lost
        assert not queue.fail(stopped, "error", "late", 1.0)
        assert not queue.release(stopped)
        assert not finish(joined, stopped)
        assert not joined.workspace.committed(stopped.run.key)
        assert finish(joined, successor)
        assert not finish(joined, take_again(stopped))
        assert states(joined) == ["done"]


def take_again(lease: Lease) -> Lease:
    """The overtaken worker's folder, as if it had gone on writing there."""
    lease.attempt_dir.mkdir(parents=True, exist_ok=True)
    return lease


def test_a_lease_is_taken_over_with_the_checkpoint_but_not_its_file(
    fresh_server: PostgresServer, tmp_path: Path
) -> None:
    joined = no_grace(plan_on(fresh_server, tmp_path, fakes.make_fake_plan()))
    stopped = take(joined)
    (stopped.attempt_dir / CHECKPOINT).write_text("5")
    expire(joined)
    successor = take(joined, TWO)
    (stopped.attempt_dir / CHECKPOINT).write_text("garbage of a stale worker")
    assert (successor.attempt_dir / CHECKPOINT).read_text() == "5"


def test_only_the_servers_clock_counts(
    fresh_server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined = no_grace(plan_on(fresh_server, tmp_path, fakes.make_fake_plan()))
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 3600)
    held = take(joined)
    monkeypatch.setattr(time, "time", lambda: now() - 3600)
    assert joined.queue().take(joined.plan.runs, TWO) is Nothing.BUSY
    assert not joined.queue().beat(held)
    assert finish(joined, held)


def test_a_start_of_the_server_gives_grace(fresh_server: PostgresServer, tmp_path: Path) -> None:
    joined = plan_on(fresh_server, tmp_path, fakes.make_fake_plan(), lease=1e6)
    take(joined)
    expire(joined)
    assert joined.queue().take(joined.plan.runs, TWO) is Nothing.BUSY
    assert isinstance(no_grace(joined).queue().take(joined.plan.runs, TWO), Lease)


def test_an_answer_lost_on_the_way_back_is_asked_for_again(
    fresh_server: PostgresServer, tmp_path: Path
) -> None:
    joined = plan_on(fresh_server, tmp_path, fakes.make_fake_plan())
    unheard, again = take(joined), take(joined)
    assert (unheard.run, unheard.number) == (again.run, again.number)
    assert finish(joined, again)
    queue = joined.queue()
    folder = joined.workspace.run_dir(again.run.key)
    assert queue._record(again, folder)  # the commit's own answer, too


def test_a_run_that_takes_its_machines_down_is_given_up(
    fresh_server: PostgresServer, tmp_path: Path
) -> None:
    joined = no_grace(plan_on(fresh_server, tmp_path, fakes.make_fake_plan()))
    for number in range(6):
        take(joined, WorkerId(f"20260101T000000-{number}-cccccc", 1, 1))
        expire(joined)
    queue = plan_on(fresh_server, tmp_path, fakes.make_fake_plan()).queue()  # with grace: none is taken
    assert queue.take(joined.plan.runs, TWO) is Nothing.DONE
    (run,) = read_shared(joined).runs
    assert (run.state, run.reason) == ("failed", "the machines that computed it were lost 5 times")


# --- machines -------------------------------------------------------------------------------------


def test_two_machines_without_shared_files_finish_one_study(
    fresh_server: PostgresServer, tmp_path: Path, log: Path
) -> None:
    home = tmp_path / "home"
    joined = plan_on(fresh_server, home, fakes.make_fake_plan(("base", "other"), 3))
    both = [machine(fresh_server, tmp_path / name, log, executor="gated") for name in ("left", "right")]
    wait_for(lambda: sum(worker.label != "" for worker in read_shared(joined).live) == 2)
    assert all(worker.host for worker in read_shared(joined).live)
    Path(f"{log}.gate").touch()
    for process in both:
        ended(process)
    assert states(joined) == ["done"] * 6
    keys = [key for key, _ in fakes.notes(log, "ran")]
    assert len(keys) == len(set(keys)) == 6
    assert len({pid for _, pid in fakes.notes(log, "ran")}) == 2
    assert fetch_results(joined) == 6
    for run in joined.plan.runs:
        assert damage(joined.workspace.run_dir(run.key), run.key) is None
    frame = collect(joined.workspace.study_dir, joined.plan)
    assert len(frame) == 6 * 4
    third = join_study(Server(fresh_server.address), "study", tmp_path / "third")
    assert fetch_results(third) == 6
    assert collect(third.workspace.study_dir).equals(frame)


def test_a_killed_machine_is_replaced_when_its_lease_is_over(
    own_server: PostgresServer, tmp_path: Path, log: Path
) -> None:
    joined = plan_on(own_server, tmp_path / "home", fakes.make_fake_plan(iterations=60), lease=2.0)
    first = machine(own_server, tmp_path / "first", log)
    wait_for(lambda: len(fakes.notes(log, "step")) > 3)
    worker = int(fakes.notes(log, "ran")[0][1])
    first.kill()
    os.kill(worker, signal.SIGKILL)
    first.communicate()
    ended(machine(own_server, tmp_path / "second", log))
    assert states(joined) == ["done"]
    assert len(fakes.notes(log, "ran")) == 2


def test_what_died_with_its_supervisor_is_taken_over_at_once(
    fresh_server: PostgresServer, tmp_path: Path
) -> None:
    """Its lease of an hour is not waited for: it died on this machine."""
    plan_on(fresh_server, tmp_path, fakes.make_fake_plan(iterations=50), lease=3600.0)
    log = tmp_path / "log"
    first = machine(fresh_server, tmp_path, log)
    wait_for(lambda: fakes.notes(log, "step"))
    ((_, worker),) = fakes.notes(log, "ran")
    for pid in (first.pid, int(worker)):
        os.kill(pid, signal.SIGKILL)
    first.wait(PATIENCE)
    ended(machine(fresh_server, tmp_path, log))
    assert len(fakes.notes(log, "ran")) == 2


def test_a_signal_puts_the_run_back_and_another_machine_of_the_folder_continues(
    fresh_server: PostgresServer, tmp_path: Path, log: Path
) -> None:
    home = tmp_path / "home"
    joined = plan_on(fresh_server, home, fakes.make_fake_plan(iterations=50), shared=True)
    first = machine(fresh_server, home, log)
    wait_for(lambda: len(fakes.notes(log, "step")) > 3)
    first.send_signal(signal.SIGTERM)
    ended(first, 128 + signal.SIGTERM)
    assert states(joined) == ["waiting"]
    ended(machine(fresh_server, home, log))
    steps = [int(step) for _, step in fakes.notes(log, "step")]
    assert steps == list(range(50))


def test_workers_wait_for_a_server_that_is_stopped_and_for_one_that_is_killed(
    own_server: PostgresServer, tmp_path: Path, log: Path
) -> None:
    joined = plan_on(own_server, tmp_path / "home", fakes.make_fake_plan(seeds=6, iterations=80), lease=3.0)
    process = machine(own_server, tmp_path / "away", log, workers=2)
    for number, seen in ((signal.SIGINT, 20), (signal.SIGKILL, 200)):
        wait_for(lambda seen=seen: len(fakes.notes(log, "step")) > seen)  # type: ignore[misc]
        own_server.stop(number)
        before = len(fakes.notes(log, "step"))
        wait_for(lambda before=before: len(fakes.notes(log, "step")) > before)  # type: ignore[misc]
        own_server.start()
    ended(process)
    assert states(Joined(Server(own_server.address), *_rest(joined))) == ["done"] * 6
    assert len(fakes.notes(log, "ran")) == 6


def _rest(joined: Joined) -> tuple[Workspace, StoredPlan, object, bool]:
    return joined.workspace, joined.plan, joined.timing, joined.shared


def test_eight_workers_race_for_300_instant_runs(
    fresh_server: PostgresServer, tmp_path: Path, log: Path
) -> None:
    plan = fakes.make_fake_plan(seeds=300)
    joined = plan_on(fresh_server, tmp_path / "home", plan, shared=True)
    ended(machine(fresh_server, tmp_path / "home", log, executor="quick", workers=8))
    keys = [key for key, _ in fakes.notes(log, "ran")]
    assert len(keys) == len(set(keys)) == 300
    assert states(joined) == ["done"] * 300
    assert sum(1 for _ in joined.workspace.runs.iterdir()) == 300


# --- results through the server -------------------------------------------------------------------


def test_a_file_that_changed_in_the_database_is_refused(
    fresh_server: PostgresServer, tmp_path: Path
) -> None:
    joined = plan_on(fresh_server, tmp_path / "home", fakes.make_fake_plan())
    assert finish(joined, take(joined))
    joined.server.call(lambda c: c.execute("UPDATE ablate_chunk SET content = 'x'"))
    other = join_study(Server(fresh_server.address), "study", tmp_path / "other")
    with pytest.raises(StorageError, match="is not what was committed"):
        fetch_results(other)
    assert not other.workspace.committed(joined.plan.runs[0].key)


def test_files_of_every_size_come_back(
    fresh_server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifacts, "CHUNK", 1000)
    joined = plan_on(fresh_server, tmp_path / "home", fakes.make_fake_plan())
    folder = tmp_path / "folder"
    (folder / "deep").mkdir(parents=True)
    sizes = (0, 1, 999, 1000, 1001, 2000, 3500)
    for size in sizes:
        (folder / "deep" / str(size)).write_bytes(bytes(i % 251 for i in range(size)))
    files = artifacts.upload(joined.server, folder)
    assert artifacts.upload(joined.server, folder) == files
    artifacts.fetch(joined.server, joined.workspace, "key", files)
    for size in sizes:
        name = Path("deep") / str(size)
        assert (joined.workspace.run_dir("key") / name).read_bytes() == (folder / name).read_bytes()


def test_a_shared_study_refuses_another_folder(fresh_server: PostgresServer, tmp_path: Path) -> None:
    plan_on(fresh_server, tmp_path / "home", fakes.make_fake_plan(), shared=True)
    with pytest.raises(StorageError, match="shared folder, and this is not it"):
        join_study(Server(fresh_server.address), "study", tmp_path / "other")


def test_another_plan_is_refused_while_workers_are_at_it(
    fresh_server: PostgresServer, tmp_path: Path, log: Path
) -> None:
    joined = plan_on(fresh_server, tmp_path / "home", fakes.make_fake_plan(iterations=3000))
    process = machine(fresh_server, tmp_path / "away", log)
    wait_for(lambda: fakes.notes(log, "step"))
    with pytest.raises(StorageError, match="with another plan"):
        plan_on(fresh_server, tmp_path / "home", fakes.make_fake_plan(("other",)))
    process.terminate()
    ended(process, 128 + signal.SIGTERM)
    wait_for(lambda: not read_shared(joined).live)
    plan_on(fresh_server, tmp_path / "home", fakes.make_fake_plan(("other",)))


def test_finished_runs_are_shown_to_optuna(fresh_server: PostgresServer, tmp_path: Path) -> None:
    import optuna

    joined = plan_on(fresh_server, tmp_path / "home", fakes.make_fake_plan(seeds=2))
    assert finish(joined, take(joined))
    assert [mirror(joined), mirror(joined)] == [1, 0]
    study = optuna.load_study(study_name="study", storage=optuna_url(fresh_server.url))
    (trial,) = study.trials
    assert trial.user_attrs["key"] == joined.plan.runs[0].key
    assert trial.value == pytest.approx(fakes.value_of(joined.plan.runs[0]))


# --- passwords ------------------------------------------------------------------------------------


def test_a_password_is_seen_nowhere(
    fresh_server: PostgresServer, tmp_path: Path, log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert PASSWORD not in repr(fresh_server.address) + fresh_server.address.public
    joined = plan_on(fresh_server, tmp_path / "home", fakes.make_fake_plan(), shared=True)
    process = machine(fresh_server, tmp_path / "home", log, executor="gated")
    wait_for(lambda: any(worker.label for worker in read_shared(joined).live))
    titles = [
        path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if os.access(path, os.R_OK)
    ]
    assert not any(PASSWORD.encode() in title for title in titles)
    Path(f"{log}.gate").touch()
    output = ended(process)
    assert PASSWORD not in output
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or PASSWORD.encode() not in path.read_bytes(), path
    with pytest.raises(StorageError) as refused:
        Server(Address.parse(fresh_server.url.replace(PASSWORD, "wrong-" + PASSWORD))).call(lambda c: c)
    assert PASSWORD not in str(refused.value)
    assert joined.plan.runs
    assert capsys.readouterr().out == ""


def test_a_password_on_the_command_line_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    url = f"postgresql://me:{PASSWORD}@localhost/db"
    with pytest.raises(ConfigError, match="can be read by everyone"):
        find_address(url, arguments=["ablate", "worker", "x", "--storage", url])
    assert find_address(None, arguments=[]) is None or STORAGE in os.environ
    for wrong in ("mysql://h/db", "postgresql://h", "x"):
        with pytest.raises(ConfigError, match="not the address"):
            find_address(wrong)
    with pytest.raises(SystemExit) as left:
        main(["status", "x", "--storage", "sqlite:///a.db"])
    assert left.value.code == 2
    assert "not the address of a PostgreSQL database" in capsys.readouterr().err


def test_a_server_that_is_not_there_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("psycopg")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as left:
        main(["worker", "x", "--storage", "postgresql://me@127.0.0.1:1/db"])
    error = capsys.readouterr().err
    assert left.value.code == 2
    assert error.startswith("error: postgresql://me@127.0.0.1:1/db: ")
    assert len(error.splitlines()) == 1
