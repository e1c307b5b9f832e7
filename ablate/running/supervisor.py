"""The supervisor of a study: starts workers, watches them, says how it went.

It computes nothing and decides nothing that a crash could lose: which runs are left, who may compute
them and what has come out stands in the journal and in ``runs/`` (see :mod:`ablate.running.ledger`).
Several supervisors may serve the same study at once, if they have the same plan.

Signals: the first SIGINT or SIGTERM asks the workers to checkpoint and put their runs back; the second
kills them (nothing is lost but the work since their last checkpoints). Workers live in process groups
of their own, so that a terminal's Ctrl-C reaches the supervisor alone.
"""

from __future__ import annotations

import contextlib
import functools
import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from ablate.running.attempt import Kind
from ablate.running.conclusion import Result, conclude, failures
from ablate.running.folder import Workspace
from ablate.running.frame import FrameWriter
from ablate.running.journal import Journal, quiet_optuna, sound_journal
from ablate.running.ledger import Ledger
from ablate.running.manifest import set_aside_damaged, sound_elsewhere
from ablate.running.process import (
    FROM_OUTSIDE,
    Exit,
    death,
    kill_group,
    let_go,
    rebuild_error,
    start_worker,
    worker_environment,
)
from ablate.running.progress import PlainView, View, settled
from ablate.running.queue import Queue
from ablate.running.recorded import StoredPlan
from ablate.running.seal import seal
from ablate.running.session import (
    PREPARING,
    RunOptions,
    Session,
    WorkerId,
    announced,
    live_sessions,
    new_session,
)
from ablate.running.slots import TICK, Slot
from ablate.running.status import StudyStatus, read_status
from ablate.study.plan import Plan
from model.errors import StorageError, UserError
from model.files import read_json
from model.machine import available_cores

RUNS_PER_LOOK = 300
"""A study of so many runs is looked at every TICK, a larger one more seldom: looking costs time, too."""


@dataclass(frozen=True)
class Work:
    """What the workers of a session are to do, as their supervisor sees it."""

    ledger: Queue[Any]
    """Where a dead worker's run stands."""
    read: Callable[[], StudyStatus]
    """Asked several times a second."""
    committed: Callable[[], None]
    """Called after new results, and before the last look: cheap."""
    parallel: int
    """How much of it can be done at a time: no more workers than that are started."""
    prepare: bool
    """Whether something has to be computed, hence prepared."""
    finished: Callable[[], None] = lambda: None
    """Called at the end: what would cost too much after every run."""
    threads: int = 1
    """CPU threads that a run computes with; preparation takes all cores."""
    notes: tuple[str, ...] = ()
    """To be said before it begins."""


def planned_work(
    journal: Journal, plan: StoredPlan, options: RunOptions, notes: Sequence[str] = ()
) -> Work:
    """The runs of a plan that are left, enqueued; ``notes``: what else is to be said."""
    workspace, ledger = journal.workspace, Ledger(journal, plan.study)
    ledger.describe(plan)
    damaged = set_aside_damaged(workspace, (run.key for run in plan.runs))
    ledger.plan(plan, retries=options.retries, retry_failed=options.retry_failed)
    todo = [run.key for run in plan.runs if not workspace.committed(run.key)]
    return Work(
        ledger,
        read=functools.partial(read_status, workspace, plan, ledger, known={}),
        committed=lambda: None,
        finished=FrameWriter(workspace, plan).write,  # who reads before brings it up to date
        parallel=len(todo),
        prepare=any(sound_elsewhere(workspace, key) is None for key in todo),
        threads=plan.threads,
        notes=(*notes, *damaged),
    )


def run_study(
    plan: Plan, root: Path, options: RunOptions | None = None, *, view: View | None = None
) -> Result:
    """Run what is left of a plan under ``root``, and wait for it.

    Parameters
    ----------
    root: results root; the study goes to ``root/<study>``.
    view: shows progress; plain lines on stderr if not given.

    Raises
    ------
    StorageError: results cannot be read or written, or another supervisor runs another plan here.
    UserError: what stops the runs before they begin (data, weights, a worker that cannot start).
    """
    quiet_optuna()
    options, stored = options or RunOptions(), StoredPlan.of(plan)
    workspace = Workspace(root / stored.study)
    workspace.create()
    session = new_session(stored.digest, options)
    with (
        announced(workspace, session, plan.spec, stored),
        contextlib.closing(view or PlainView(print_error)) as shown,
    ):
        seal(workspace, plan)
        journal, notes = sound_journal(workspace, alone=len(live_sessions(workspace)) == 1)
        return supervise(workspace, planned_work(journal, stored, options, notes), session, shown)


def supervise(workspace: Workspace, work: Work, session: Session, view: View) -> Result:
    """Have an announced session's workers do its work; see :func:`run_study`."""
    supervisor = Supervisor(workspace, session, work, view)
    state = supervisor.run()
    return conclude(
        workspace,
        state,
        supervisor.stopped_by,
        supervisor.elapsed,
        limited=session.options.max_runs is not None and not supervisor.deserted,
    )


def print_error(line: str) -> None:
    """A line on stderr."""
    print(line, file=sys.stderr, flush=True)


class Supervisor:
    """Keeps workers alive until there is nothing left to take."""

    def __init__(self, workspace: Workspace, session: Session, work: Work, view: View) -> None:
        self.workspace = workspace
        self.session = session
        self.options = session.options
        self.work = work
        self.view = view
        self.wanted = min(session.options.workers, work.parallel)
        self.slots: list[Slot] = []
        self._signals: list[int] = []
        self._stopping = False
        self.deserted = False
        """Whether a worker was stopped by somebody else than us."""
        self._began = time.monotonic()
        self._failed_before = 0

    @property
    def stopped_by(self) -> int | None:
        """The signal that stopped it, if one did."""
        return self._signals[0] if self._signals else None

    @property
    def elapsed(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self._began

    # --- the whole ---------------------------------------------------------------------------

    def run(self) -> StudyStatus:
        """Prepare, run everything, leave no process behind. Raises as :func:`run_study`."""
        try:
            with self._signals_caught():
                state = self.work.read()
                self._failed_before = failures(state)
                for line in self.work.notes:
                    self.view.say(line)
                self.view.update(state)
                if self.wanted and self.work.prepare and self.options.preparer:
                    self._serve([PREPARING])
                if self.wanted and not self._stopping:
                    self._serve(range(1, self.wanted + 1))
                self.work.committed()
                state = self.work.read()
                self.view.update(state)
                self.work.finished()
                return state
        finally:
            self._kill_all()

    def _serve(self, numbers: Sequence[int]) -> None:
        """Start these workers and stay until all have ended for good."""
        self.slots = [Slot(number) for number in numbers]
        for slot in self.slots:
            self._start(slot)
        finished, looked, state = (0, 0), -math.inf, self.work.read()
        while any(slot.process or slot.due for slot in self.slots):
            time.sleep(TICK)
            for slot in self.slots:
                self._watch(slot)
            self._obey(state)
            if time.monotonic() - looked < TICK * len(state.runs) / RUNS_PER_LOOK:
                continue
            looked, state = time.monotonic(), self.work.read()
            if settled(state) != finished:
                finished = settled(state)
                self.work.committed()
            self.view.update(state)

    def _obey(self, state: StudyStatus) -> None:
        """Act on signals, and on failures under ``fail_fast``."""
        if len(self._signals) > 1:
            self._kill_all()
        elif self._signals and not self._stopping:
            name = signal.Signals(self._signals[0]).name
            self._stop(f"{name}: stopping at the next checkpoint; once more kills at once")
        elif self.options.fail_fast and not self._stopping and failures(state) > self._failed_before:
            self._stop("a run failed: stopping (--fail-fast)")

    def _stop(self, why: str) -> None:
        """Ask all workers to checkpoint and put their runs back."""
        self._stopping = True
        self.view.say(why)
        for slot in self.slots:
            slot.due = None
            if slot.process is not None:
                slot.process.terminate()

    # --- workers -----------------------------------------------------------------------------

    def _start(self, slot: Slot) -> None:
        slot.incarnation += 1
        slot.verdict = slot.due = None
        preparing, gpus = slot.number == PREPARING, self.options.gpus
        slot.process = start_worker(
            [str(self.workspace.study_dir), self.session.id, str(slot.number), str(slot.incarnation)],
            self._log(slot),
            worker_environment(
                available_cores() if preparing else self.work.threads,
                gpu=gpus[(slot.number - 1) % len(gpus)] if gpus else None,
            ),
        )

    def _watch(self, slot: Slot) -> None:
        """Notice a worker's end, or that its run overstays its timeout."""
        process = slot.process
        if process is None:
            if slot.due is not None and time.monotonic() >= slot.due:
                self._start(slot)
            return
        if process.poll() is None:
            self._enforce_timeout(slot)
            return
        slot.process = None
        let_go(process)
        code = process.returncode
        last_words = self._forget(slot)
        if code == Exit.USER:
            self._release(slot)
            raise rebuild_error(last_words.get("user_error", {}))
        died = code not in tuple(Exit)
        if died:  # its children may hold its lock, and its GPU
            kill_group(process)
        kind, reason = slot.verdict or ("died", death(code))
        buried = self._bury(slot, kind, reason)
        if self._stopping or self._signals:
            return
        if died and not buried:
            self._pause(slot, code)
        elif died or buried or code == Exit.RECYCLE:
            slot.idle_kills = 0
            self._start(slot)
        elif code == Exit.STOPPED:
            self.deserted = True
            self.view.say(f"worker {slot.number} was stopped by a signal that was not ours; it stays so")

    def _pause(self, slot: Slot, code: int) -> None:
        """After a death outside any run: wait a while where it was killed, give up if it dies of itself.

        Who is killed again and again is given up, too; the others, if any are left, go on without.
        """
        wait = slot.pause_after(code)
        if wait is None:
            if -code not in FROM_OUTSIDE or not any(other.process or other.due for other in self.slots):
                raise self._hopeless(slot, code)
            self.view.say(f"worker {slot.number}: {death(code)} again and again; it stays so")
            return
        if wait > 1.0:
            self.view.say(f"worker {slot.number}: {death(code)}; it is started again in {wait:.0f} s")
        slot.due = time.monotonic() + wait

    def _forget(self, slot: Slot) -> dict[str, Any]:
        """Remove an ended worker's file; return what it last said."""
        file = self.workspace.worker_file(str(self._id(slot)))
        last_words = read_json(file) or {}
        file.unlink(missing_ok=True)
        return last_words

    def _bury(self, slot: Slot, kind: Kind, reason: str) -> bool:
        """Record what a dead worker left; say so. False if it left nothing."""
        buried = self.work.ledger.bury(self._id(slot), kind, reason, retries=self.options.retries)
        if buried is None:
            return False
        log = self.workspace.log(buried.key)
        with contextlib.suppress(OSError), log.open("a", encoding="utf-8") as stream:
            stream.write(f"--- {reason}\n")
        then = "; it is tried again" if buried.retried else ""
        self.view.say(f"{buried.label}: {reason}{then} ({log})")
        return True

    def _release(self, slot: Slot) -> None:
        """Put back what a worker was running when it was stopped through no fault of the run."""
        with contextlib.suppress(StorageError):  # then the next session finds its lock free
            self.work.ledger.abandon(self._id(slot))

    def _enforce_timeout(self, slot: Slot) -> None:
        """Kill a worker whose run ignores its timeout; it has been asked to stop long ago."""
        if self.options.timeout is None or slot.verdict or slot.process is None:
            return
        state = read_json(self.workspace.worker_file(str(self._id(slot)))) or {}
        if not state.get("key"):
            return
        # By the machine's monotonic clock: somebody may set the other one.
        if time.monotonic() - float(state["clock"]) > self.options.timeout + self.options.grace:
            slot.verdict = ("timeout", f"killed: did not stop after {self.options.timeout:g} s (--timeout)")
            slot.process.kill()

    def _kill_all(self) -> None:
        """Kill the workers that are left, with all they have started, and put their runs back."""
        for slot in self.slots:
            slot.due = None
            if slot.process is not None:
                kill_group(slot.process)
                slot.process.wait()
                let_go(slot.process)
                slot.process = None
                self._forget(slot)
                self._release(slot)

    def _id(self, slot: Slot) -> WorkerId:
        return WorkerId(self.session.id, slot.number, slot.incarnation)

    def _log(self, slot: Slot) -> Path:
        return self.workspace.logs / f"worker-{slot.number}.log"

    def _hopeless(self, slot: Slot, code: int) -> UserError:
        log = self._log(slot)
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return UserError(
            f"a worker cannot work: {death(code)}; it last said: {lines[-1] if lines else 'nothing'}",
            where=str(log),
            hint="fewer --workers need less memory" if -code == signal.SIGKILL else None,
        )

    @contextlib.contextmanager
    def _signals_caught(self) -> Iterator[None]:
        """Take note of SIGINT, SIGTERM and SIGHUP instead of dying from them."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def note(number: int, _: FrameType | None) -> None:
            self._signals.append(number)

        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {number: signal.signal(number, note) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
