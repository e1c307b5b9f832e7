"""Behavioural: what every engine of the queue promises; one contract, on the journal and on PostgreSQL.

The server is a real one, from the system's packages; where there is none, its half is skipped aloud.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ablate.running.attempt import Kind
from ablate.running.cluster import plan_study
from ablate.running.folder import CHECKPOINT, Workspace
from ablate.running.ledger import Ledger
from ablate.running.locks import KernelLock
from ablate.running.manifest import damage, set_aside_damaged
from ablate.running.queue import Nothing, Queue
from ablate.running.recorded import StoredPlan, write_plan
from ablate.running.server import Server
from ablate.running.session import WorkerId
from tests.ablate import runner_fakes as fakes
from tests.ablate.running.postgresql import PostgresServer
from tests.ablate.running.studies import open_ledger

FIRST, SECOND = WorkerId("session", 1, 1), WorkerId("session", 2, 1)


class Bench:
    """A planned study of three runs, and queues on it as other processes would open them."""

    def __init__(self, root: Path, server: PostgresServer | None) -> None:
        plan = fakes.make_fake_plan(("base", "other", "third"))
        self.plan = StoredPlan.of(plan)
        self.workspace = Workspace(root / self.plan.study)
        self.workspace.create()
        write_plan(self.workspace, self.plan)
        self._open: Callable[[], Queue[Any]]
        if server is None:
            open_ledger(self.workspace).plan(self.plan)
            self._open = lambda: open_ledger(self.workspace)
        else:

            def joined() -> Queue[Any]:
                return plan_study(
                    Server(server.address), self.workspace, self.plan, plan.spec, shared=True
                ).queue()

            self._open = joined

    def queue(self) -> Queue[Any]:
        return self._open()

    def plan_again(self) -> None:
        """What the next session does first; opening a queue of the server does it anyway."""
        queue = self.queue()
        if isinstance(queue, Ledger):
            set_aside_damaged(self.workspace, [run.key for run in self.plan.runs])
            queue.plan(self.plan)

    def take(self, queue: Queue[Any], worker: WorkerId = FIRST) -> Any:
        held = queue.take(self.plan.runs, worker)
        assert not isinstance(held, Nothing)
        held.begin()
        return held

    def die(self, held: Any) -> None:
        """What the kernel does for a dead worker: its lock is free. Of a lease nothing is seen yet."""
        if isinstance(held.lock, KernelLock):
            held.lock.release()

    def finish(self, queue: Queue[Any], held: Any) -> bool:
        with held.lock:
            fakes.write_metrics(held.run, held.attempt_dir, fakes.value_of(held.run))
            return queue.commit(held)


@pytest.fixture(params=["journal", "postgresql"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    server = request.getfixturevalue("fresh_server") if request.param == "postgresql" else None
    return Bench(tmp_path, server)


def test_runs_are_taken_once_and_in_order(bench: Bench) -> None:
    one, other = bench.queue(), bench.queue()
    held = [bench.take(one), bench.take(other, SECOND), bench.take(one, WorkerId("session", 3, 1))]
    assert [h.run.key for h in held] == [run.key for run in bench.plan.runs]
    assert other.take(bench.plan.runs, WorkerId("session", 4, 1)) is Nothing.BUSY


def test_a_committed_run_is_whole_and_there_is_an_end(bench: Bench) -> None:
    queue = bench.queue()
    for _ in bench.plan.runs:
        assert bench.finish(queue, bench.take(queue))
    assert queue.take(bench.plan.runs, FIRST) is Nothing.DONE
    for run in bench.plan.runs:
        assert damage(bench.workspace.run_dir(run.key), run.key) is None
    assert list(bench.workspace.attempts.iterdir()) == []


def test_a_subset_can_be_taken(bench: Bench) -> None:
    queue = bench.queue()
    last = bench.plan.runs[-1:]
    held = queue.take(last, FIRST)
    assert not isinstance(held, Nothing)
    assert held.run.key == last[0].key
    assert bench.queue().take(last, SECOND) is Nothing.BUSY


def test_an_interrupted_run_goes_on_from_its_checkpoint(bench: Bench) -> None:
    queue = bench.queue()
    held = bench.take(queue)
    with held.lock:
        (held.attempt_dir / CHECKPOINT).write_text("7")
        held.suspend(12.5)
        assert queue.release(held)
    other = bench.queue()
    again = other.take(bench.plan.runs, SECOND)
    assert not isinstance(again, Nothing)
    assert again.run == held.run
    assert again.begin() == 12.5
    assert (again.attempt_dir / CHECKPOINT).read_text() == "7"
    assert again.number == 1


def test_a_failed_run_stays_failed(bench: Bench) -> None:
    queue = bench.queue()
    held = bench.take(queue)
    with held.lock:
        assert queue.fail(held, kind="error", reason="ValueError: no", seconds=1.0)
    assert bench.take(queue).run != held.run
    assert not bench.workspace.committed(held.run.key)


@pytest.mark.parametrize(("kind", "next_one"), [("disk", "base"), ("error", "other")])
def test_what_failed_for_a_full_disk_is_planned_again_unasked(
    bench: Bench, kind: Kind, next_one: str
) -> None:
    queue = bench.queue()
    held = bench.take(queue)
    with held.lock:
        assert queue.fail(held, kind, "no", 1.0)
    bench.plan_again()
    assert bench.take(bench.queue(), SECOND).run.variant == next_one


def test_a_dead_workers_run_is_tried_again_as_often_as_allowed(bench: Bench) -> None:
    queue, supervisor = bench.queue(), bench.queue()
    for number in (1, 2):
        held = bench.take(queue)
        assert held.number == number
        bench.die(held)
        buried = supervisor.bury(FIRST, "died", "worker died", retries=1)
        assert buried is not None
        assert (buried.key, buried.retried) == (held.run.key, number == 1)
    assert bench.take(queue).run != held.run
    assert supervisor.bury(SECOND, "died", "worker died", retries=1) is None


def test_an_abandoned_run_is_free_again(bench: Bench) -> None:
    queue = bench.queue()
    held = bench.take(queue)
    bench.die(held)
    bench.queue().abandon(FIRST)
    again = bench.take(bench.queue(), SECOND)
    assert (again.run, again.number) == (held.run, 1)


def test_no_more_than_max_runs_are_started(bench: Bench) -> None:
    queue = bench.queue()
    held = queue.take(bench.plan.runs, FIRST, max_runs=1)
    assert not isinstance(held, Nothing)
    held.begin()
    assert bench.finish(queue, held)
    assert queue.take(bench.plan.runs, FIRST, max_runs=1) is Nothing.LIMIT


def test_a_run_that_stands_unrecorded_is_settled_not_repeated(bench: Bench) -> None:
    queue = bench.queue()
    held = bench.take(queue)
    assert bench.finish(queue, held)
    donor = bench.workspace.run_dir(held.run.key)
    assert bench.queue().take([held.run], SECOND) is Nothing.DONE
    assert damage(donor, held.run.key) is None


def test_a_committed_run_that_was_damaged_is_computed_again_by_the_next_session(bench: Bench) -> None:
    queue = bench.queue()
    held = bench.take(queue)
    assert bench.finish(queue, held)
    folder = bench.workspace.run_dir(held.run.key)
    (folder / "metrics.csv").write_text("category,split,stratum,metric,value,reason\n")
    bench.plan_again()
    again = bench.take(bench.queue(), SECOND)
    assert again.run.key == held.run.key
    assert bench.finish(bench.queue(), again)
    assert damage(folder, held.run.key) is None


def test_a_beat_says_whether_the_claim_stands(bench: Bench) -> None:
    queue = bench.queue()
    held = bench.take(queue)
    assert not queue.beat(held)
    assert not held.lost


def test_threads_racing_for_runs_get_each_once(bench: Bench) -> None:
    found: list[str] = []

    def race(number: int) -> None:
        queue = bench.queue()
        worker = WorkerId("session", number, 1)
        while not isinstance(held := queue.take(bench.plan.runs, worker), Nothing):
            held.begin()
            found.append(held.run.key)
            assert bench.finish(queue, held)

    threads = [threading.Thread(target=race, args=(number,)) for number in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == sorted(run.key for run in bench.plan.runs)
