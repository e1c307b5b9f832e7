"""A worker: takes runs one after another and computes them, until none is left.

    python -m ablate.running.worker STUDY_DIR SESSION SLOT INCARNATION

It owes nobody anything: killed at any point, it leaves a journal and folders from which the next one
continues (see :mod:`ablate.running.ledger`). Its supervisor and everyone else follow it through one small
file, replaced a few times a second. SIGTERM, or its supervisor's death, asks it to checkpoint and put
its run back. What a run prints goes to the run's log.
"""

from __future__ import annotations

import contextlib
import enum
import errno
import json
import math
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablate.running.attempt import Kind, run_label
from ablate.running.folder import Workspace
from ablate.running.journal import Journal, quiet_optuna
from ablate.running.ledger import Ledger
from ablate.running.process import (
    Exit,
    default_device,
    dump_error,
    hold_torch_to_threads,
    load_function,
    redirected,
    when_alone,
)
from ablate.running.provenance import run_provenance, session_provenance
from ablate.running.queue import Nothing, Queue, Taken
from ablate.running.recorded import dump_run, load_plan
from ablate.running.reporter import Executor, HasRuns, Preparer
from ablate.running.scheduler import job_name
from ablate.running.scores import check_scores
from ablate.running.session import PREPARING, Session, WorkerId, load_session
from ablate.study.plan import Run
from model.errors import DivergedError, InterruptedRun, StorageError, UserError
from model.files import read_json, write_text

SAY_EVERY = 0.3
"""Seconds between updates of the worker's file."""
ALONE = 5.0
"""Seconds that a worker has for its checkpoint once its supervisor is gone."""
IDLE_POLL = 0.3
"""Seconds between looks at the queue while others hold what is left."""


class Ending(enum.Enum):
    """How an attempt, a preparation, or all of a worker's work ended."""

    DONE = enum.auto()
    """As it should; of a worker: there is nothing left for it to take."""
    FAILED = enum.auto()
    """A run failed, and this is recorded."""
    STOPPED = enum.auto()
    """Stopped as asked; a run is back in the queue."""


EXIT_CODES = {Ending.DONE: Exit.DONE, Ending.FAILED: Exit.RECYCLE, Ending.STOPPED: Exit.STOPPED}
"""What the process says to its supervisor."""


class StopFlag:
    """Set by SIGTERM or SIGINT, or when the supervisor is gone."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def install(self) -> None:
        """Answer signals, and the supervisor's death, by raising the flag."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._event.set())
        when_alone(self._event.set, ALONE)

    @property
    def raised(self) -> bool:
        """Whether to stop."""
        return self._event.is_set()

    def wait(self, seconds: float) -> None:
        """Sleep, but not through a signal."""
        self._event.wait(seconds)


class LiveFile:
    """The worker's file: who it is, what it is at."""

    def __init__(self, path: Path, worker: WorkerId, slot: int) -> None:
        self._path = path
        self._state: dict[str, Any] = {"worker": str(worker), "slot": slot, "pid": os.getpid()}
        if job := job_name():  # one host of many: say which
            self._state |= {"host": socket.gethostname(), "job": job}
        self._said = -math.inf

    @property
    def state(self) -> dict[str, Any]:
        """What it last said."""
        return dict(self._state)

    def say(self, *, now: bool = False, **changes: Any) -> None:
        """Merge ``changes``; write them if it is time, or ``now``. A full disk is no reason to fail."""
        self._state.update(changes)
        if now or time.monotonic() - self._said >= SAY_EVERY:
            self._said = time.monotonic()
            self._state["updated"] = time.time()
            with contextlib.suppress(StorageError):
                write_text(self._path, json.dumps(self._state), durable=False)


class LiveReporter:
    """Reports to the worker's file, stops on request or when time is up."""

    def __init__(
        self,
        live: LiveFile,
        stop: StopFlag,
        session: Session,
        *,
        timeout: float | None,
        lost: Callable[[], bool] = lambda: False,
    ) -> None:
        self._live = live
        self._stop = stop
        self._lost = lost
        self._deadline = math.inf if timeout is None else time.monotonic() + timeout
        self.cache = session.cache
        self.device = session.options.device or default_device()

    @property
    def timed_out(self) -> bool:
        """Whether the run has used up its time."""
        return time.monotonic() > self._deadline

    def progress(self, done: int, total: int, note: str = "") -> None:
        """See :class:`~ablate.running.reporter.Reporter`."""
        self._live.say(done=int(done), total=int(total), note=str(note))

    def should_stop(self) -> bool:
        """See :class:`~ablate.running.reporter.Reporter`."""
        return self._stop.raised or self.timed_out or self._lost()


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended, if it failed."""

    kind: Kind
    reason: str


INTERRUPTED = Outcome("lost", "interrupted")
"""Not a failure: the run goes back to the queue."""


class Worker:
    """One worker process's view of its study."""

    def __init__(self, workspace: Workspace, session: Session, worker: WorkerId) -> None:
        self.workspace = workspace
        self.session = session
        self.id = worker
        self.options = session.options
        self.stop = StopFlag()
        self.live = LiveFile(workspace.worker_file(str(worker)), worker, worker.slot)
        self._shared: Mapping[str, Any] | None = None

    def executor(self) -> Executor:
        """What computes a run, with torch held to this worker's threads.

        Raises ConfigError if torch cannot use the device that the session asks for.
        """
        executor: Executor = load_function(self.options.executor)
        hold_torch_to_threads()
        self._check_device()
        return executor

    def _check_device(self) -> None:
        if self.options.device is not None and "torch" in sys.modules:
            from model.device import check_device

            check_device(self.options.device)

    # --- the loop ----------------------------------------------------------------------------

    def work(self, runs: Sequence[Run], ledger: Queue[Any]) -> Ending:
        """Take and compute until nothing is left. Raises UserError for what no run is to blame for."""
        executor = self.executor()
        while not self.stop.raised:
            taken = ledger.take(runs, self.id, max_runs=self.options.max_runs)
            if not isinstance(taken, Nothing):
                ending = self.compute(taken, executor, ledger)
                if ending is Ending.FAILED and self.options.fail_fast:
                    return Ending.DONE
                if ending is not Ending.DONE:
                    return ending
            elif taken is Nothing.BUSY:
                self.stop.wait(IDLE_POLL)
            else:
                return Ending.DONE
        return Ending.STOPPED

    def compute(self, attempt: Taken, executor: Executor, ledger: Queue[Any]) -> Ending:
        """Make one attempt and record how it ended. Raises :class:`StorageError` if that is refused."""
        run = attempt.run
        clock = time.monotonic()
        label = run_label(run.variant, run.seed, run.category)
        self.live.say(key=run.key, label=label, started=time.time(), clock=clock, done=0, total=0, note="")
        limit = self.options.timeout
        reporter = LiveReporter(
            self.live, self.stop, self.session, timeout=limit, lost=lambda: attempt.lost
        )
        try:
            with attempt.lock:
                before = attempt.begin()
                self.live.say(now=True, before=before)
                with redirected(self.workspace.log(run.key), f"{label}: attempt {attempt.number}"):
                    outcome = self._try(attempt, executor, reporter, before)
                if outcome is None:
                    ledger.commit(attempt)
                    return Ending.DONE
                seconds = before + time.monotonic() - clock
                attempt.suspend(seconds)
                if outcome is INTERRUPTED:
                    # Who has been overtaken, not stopped, goes on with the next run.
                    return Ending.STOPPED if ledger.release(attempt) or self.stop.raised else Ending.DONE
                ledger.fail(attempt, outcome.kind, outcome.reason, seconds)
                return Ending.FAILED
        finally:
            self.live.say(now=True, key=None, label="", started=None)

    def _try(
        self, attempt: Taken, executor: Executor, reporter: LiveReporter, before: float
    ) -> Outcome | None:
        """Run the executor; None if it succeeded. Prints the traceback of what went wrong."""
        clock = time.monotonic()
        try:
            executor(attempt.run, attempt.attempt_dir, reporter)
            check_scores(attempt.attempt_dir / "metrics.csv")
            self._document(attempt, before + time.monotonic() - clock)
        except InterruptedRun:
            if reporter.timed_out and not self.stop.raised:
                return Outcome("timeout", f"stopped after {self.options.timeout:g} s (--timeout)")
            print("interrupted: checkpoint kept", flush=True)
            return INTERRUPTED
        except (Exception, SystemExit) as error:
            traceback.print_exc()
            return classify(error)
        return None

    def _document(self, attempt: Taken, seconds: float) -> None:
        """Write config.json and provenance.json into the attempt folder."""
        if self._shared is None:
            self._shared = session_provenance()  # after the executor's imports: it asks torch for the GPU
        path = attempt.attempt_dir / "provenance.json"
        content = run_provenance(
            self._shared,
            attempt.run,
            own=read_json(path) or {},
            seconds=round(seconds, 3),
            attempts=attempt.number,
            argv=self.session.argv,
        )
        write_text(path, json.dumps(content, indent=1))
        config = attempt.attempt_dir / "config.json"
        if not config.exists():
            write_text(config, json.dumps(dump_run(attempt.run), indent=1))

    def prepare(self, plan: HasRuns) -> Ending:
        """Do once what all runs share, e.g. encode the dataset. Raises what the preparer raises."""
        if self.options.preparer is None:
            return Ending.DONE
        preparer: Preparer = load_function(self.options.preparer)
        self._check_device()
        self.live.say(now=True, label="preparing", started=time.time())
        try:
            preparer(plan, LiveReporter(self.live, self.stop, self.session, timeout=None))
        except InterruptedRun:
            return Ending.STOPPED
        return Ending.DONE


def classify(error: BaseException) -> Outcome:
    """The kind of failure an exception stands for, and its reason in one line."""
    if isinstance(error, DivergedError):
        return Outcome("diverged", f"diverged: {error}")
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return Outcome("memory", f"out of memory: {one_line(error) or 'host memory'}")
    cause: BaseException | None = error
    while cause is not None:  # the library in between may have wrapped it
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            return Outcome("disk", f"disk full: {one_line(error)}")
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, UserError):
        return Outcome("error", one_line(error))
    return Outcome("error", describe(error))


def describe(error: BaseException) -> str:
    """``Type: message`` in one line."""
    return f"{type(error).__name__}: {one_line(error)}".rstrip(": ")


def one_line(error: BaseException, limit: int = 300) -> str:
    """An exception's message without its line breaks."""
    text = " ".join(str(error).split())
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the worker process; returns an :class:`~ablate.running.process.Exit` code."""
    study_dir, name, slot, incarnation = arguments if arguments is not None else sys.argv[1:]
    quiet_optuna()
    workspace = Workspace(Path(study_dir))
    session = load_session(workspace, name)
    worker = Worker(workspace, session, WorkerId(name, int(slot), int(incarnation)))
    worker.stop.install()
    worker.live.say(now=True)
    try:
        return int(EXIT_CODES[_serve(worker)])
    except UserError as error:
        worker.live.say(now=True, user_error=dump_error(error))
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        return int(Exit.USER)


def _serve(worker: Worker) -> Ending:
    if worker.options.storage is not None:
        from ablate.running.remote import serve

        return serve(worker)
    journal = Journal(worker.workspace)
    if worker.session.search:
        from ablate.running.searcher import Searcher

        searcher = Searcher(worker, journal)
        return searcher.prepare() if worker.id.slot == PREPARING else searcher.work()
    plan = load_plan(worker.workspace)
    if worker.id.slot == PREPARING:
        return worker.prepare(plan)
    return worker.work(plan.runs, Ledger(journal, plan.study))


if __name__ == "__main__":
    sys.exit(main())
