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
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from ablate.running.folder import (
    StoredPlan,
    Workspace,
    encode_plan,
    load_plan,
    read_json,
    storage_errors,
    write_plan,
)
from ablate.running.ledger import Kind, Ledger, WorkerId, quiet_optuna
from ablate.running.locks import locked
from ablate.running.progress import PlainView, View, duration, settled
from ablate.running.provenance import available_cores
from ablate.running.session import (
    PREPARING,
    Exit,
    RunOptions,
    Session,
    close_session,
    new_session,
    open_session,
)
from ablate.running.store import FrameWriter, StudyStatus, live_sessions, read_status
from ablate.study.plan import Plan
from model import errors
from model.errors import StorageError, UserError

TICK = 0.2
"""Seconds between looks at the workers."""
IDLE_DEATHS = 2
"""Deaths outside any run after which a worker is not started again: it cannot work at all."""

# Start a worker that imports exactly what this process would: ``-m`` would let a folder called
# "model" in the user's working directory shadow ours.
_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv.pop(1)); "
    "from ablate.running.worker import main; sys.exit(main())"
)
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


@dataclass(frozen=True)
class Result:
    """How a session went."""

    exit_code: int
    """0 done; 1 some runs failed; 128 + signal if stopped by one."""
    state: StudyStatus
    lines: tuple[str, ...]
    """Closing lines for the user."""


def run_study(
    plan: Plan,
    root: Path,
    options: RunOptions | None = None,
    *,
    spec_text: str | None = None,
    view: View | None = None,
) -> Result:
    """Run what is left of a plan under ``root``, and wait for it.

    Parameters
    ----------
    root: results root; the study goes to ``root/<study>``.
    spec_text: the study file, kept verbatim; the plan's own if not given.
    view: shows progress; plain lines on stderr if not given.

    Raises
    ------
    StorageError: results cannot be read or written, or another supervisor runs another plan here.
    UserError: what stops the runs before they begin (data, weights, a worker that cannot start).
    """
    text, stored = encode_plan(plan)
    workspace = Workspace(root / stored.study)
    workspace.create()
    session = new_session(stored.digest, options or RunOptions())
    with (
        announced(workspace, session, text=text, spec_text=spec_text or plan.spec.text),
        contextlib.closing(view or PlainView(print_error)) as shown,
    ):
        return supervise(workspace, stored, session, shown)


def resume_study(study_dir: Path, options: RunOptions | None = None, *, view: View | None = None) -> Result:
    """As :func:`run_study`, with the plan (or search) that the study's folder holds."""
    workspace = Workspace(study_dir)
    stored = load_plan(workspace)
    if stored.search:
        from ablate.running.search import resume_search

        return resume_search(study_dir, options, view=view)
    workspace.create()
    session = new_session(stored.digest, options or RunOptions())
    with (
        announced(workspace, session),
        contextlib.closing(view or PlainView(print_error)) as shown,
    ):
        return supervise(workspace, stored, session, shown)


@contextlib.contextmanager
def announced(
    workspace: Workspace, session: Session, *, text: str | None = None, spec_text: str | None = None
) -> Iterator[None]:
    """Hold the session's lock, having written its plan (and not over a plan that others run)."""
    with locked(workspace.lock):
        for other in live_sessions(workspace):
            if other["digest"] != session.digest:
                raise StorageError(
                    f"process {other['pid']} is running this study with another plan",
                    where=str(workspace.study_dir),
                    hint="wait for it, stop it, or give this study another name",
                )
        if text is not None:
            write_plan(workspace, text, spec_text)
        lock = open_session(workspace, session)
    with lock:
        try:
            yield
        finally:
            close_session(workspace, session)


def supervise(workspace: Workspace, plan: StoredPlan, session: Session, view: View) -> Result:
    """Run a stored plan's unfinished runs with workers; see :func:`run_study`."""
    quiet_optuna()
    ledger = Ledger(workspace, plan.study)
    ledger.describe(primary=plan.primary, selected_on_reported=plan.selected_on_reported)
    ledger.plan(plan, retries=session.options.retries, retry_failed=session.options.retry_failed)
    frame = FrameWriter(workspace, plan)
    todo = [run.key for run in plan.runs if not workspace.committed(run.key)]
    supervisor = Supervisor(
        workspace,
        session,
        [ledger],
        view,
        read=lambda: read_status(workspace, plan, ledger),
        wanted=min(session.options.workers, len(todo)),
        prepare=any(workspace.found_elsewhere(key) is None for key in todo),
        committed=frame.write,
    )
    state = supervisor.run()
    return conclude(workspace, state, supervisor.stopped_by, supervisor.elapsed)


def print_error(line: str) -> None:
    """A line on stderr."""
    print(line, file=sys.stderr, flush=True)


@dataclass
class Slot:
    """A worker's place, and who has it."""

    number: int
    incarnation: int = 0
    process: subprocess.Popen[bytes] | None = None
    idle_deaths: int = 0
    verdict: tuple[Kind, str] | None = None
    """Why we killed it, if we did."""


class Supervisor:
    """Keeps workers alive until there is nothing left to claim."""

    def __init__(
        self,
        workspace: Workspace,
        session: Session,
        ledgers: Sequence[Ledger],
        view: View,
        *,
        read: Callable[[], StudyStatus],
        wanted: int,
        prepare: bool,
        committed: Callable[[], None],
    ) -> None:
        """``ledgers``: where a dead worker's run may stand; ``committed``: called after new results."""
        self.workspace = workspace
        self.session = session
        self.options = session.options
        self.ledgers = ledgers
        self.view = view
        self.read = read
        self.wanted = wanted
        self.prepare = prepare
        self.committed = committed
        self.slots: list[Slot] = []
        self._signals: list[int] = []
        self._stopping = False
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
                state = self.read()
                self._failed_before = failures(state)
                self.view.update(state)
                self.committed()
                if self.wanted and self.prepare and self.options.preparer:
                    self._serve([PREPARING])
                if self.wanted and not self._stopping:
                    self._serve(range(1, self.wanted + 1))
                self.committed()
                state = self.read()
                self.view.update(state)
                return state
        finally:
            self._kill_all()

    def _serve(self, numbers: Sequence[int]) -> None:
        """Start these workers and stay until all have ended for good."""
        self.slots = [Slot(number) for number in numbers]
        for slot in self.slots:
            self._start(slot)
        finished = (0, 0)
        while any(slot.process for slot in self.slots):
            time.sleep(TICK)
            for slot in self.slots:
                self._watch(slot)
            state = self.read()
            if settled(state) != finished:
                finished = settled(state)
                self.committed()
            self.view.update(state)
            self._obey(state)

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
            if slot.process is not None:
                slot.process.terminate()

    # --- workers -----------------------------------------------------------------------------

    def _start(self, slot: Slot) -> None:
        slot.incarnation += 1
        slot.verdict = None
        log = self.workspace.logs / f"worker-{slot.number}.log"
        identity = (self.session.id, str(slot.number), str(slot.incarnation))
        path = json.dumps([entry or str(Path.cwd()) for entry in sys.path])
        with storage_errors(log), log.open("ab") as stream:
            slot.process = subprocess.Popen(
                [sys.executable, "-c", _BOOT, path, str(self.workspace.study_dir), *identity],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env=worker_environment(slot.number, self.wanted, self.options.gpus),
                start_new_session=True,
            )

    def _watch(self, slot: Slot) -> None:
        """Notice a worker's end, or that its run overstays its timeout."""
        process = slot.process
        if process is None:
            return
        if process.poll() is None:
            self._enforce_timeout(slot)
            return
        slot.process = None
        code = process.returncode
        last_words = self._forget(slot)
        if code == Exit.USER:
            self._release(slot)
            raise _rebuild(last_words.get("user_error", {}))
        died = code not in tuple(Exit)
        if died:  # its children may hold its lock, and its GPU
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
        kind, reason = slot.verdict or ("died", death(code))
        buried = self._bury(slot, kind, reason)
        if died and not buried:
            slot.idle_deaths += 1
        if self._stopping or self._signals:
            return
        if slot.idle_deaths >= (1 if slot.number == PREPARING else IDLE_DEATHS):
            raise self._hopeless(slot, code)
        if died or code == Exit.RECYCLE:
            self._start(slot)

    def _forget(self, slot: Slot) -> dict[str, Any]:
        """Remove an ended worker's file; return what it last said."""
        file = self.workspace.worker_file(str(self._id(slot)))
        last_words = read_json(file) or {}
        file.unlink(missing_ok=True)
        return last_words

    def _bury(self, slot: Slot, kind: Kind, reason: str) -> bool:
        """Record what a dead worker left; say so. False if it left nothing."""
        for ledger in self.ledgers:
            buried = ledger.bury(self._id(slot), kind, reason, retries=self.options.retries)
            if buried is not None:
                log = self.workspace.log(buried.key)
                with contextlib.suppress(OSError), log.open("a", encoding="utf-8") as stream:
                    stream.write(f"--- {reason}\n")
                then = "; it is tried again" if buried.retried else ""
                self.view.say(f"{buried.label}: {reason}{then} ({log})")
                return True
        return False

    def _release(self, slot: Slot) -> None:
        """Put back what a worker was running when it was stopped through no fault of the run."""
        for ledger in self.ledgers:
            with contextlib.suppress(StorageError):  # then the next session finds its lock free
                ledger.abandon(self._id(slot))

    def _enforce_timeout(self, slot: Slot) -> None:
        """Kill a worker whose run ignores its timeout; it has been asked to stop long ago."""
        if self.options.timeout is None or slot.verdict or slot.process is None:
            return
        state = read_json(self.workspace.worker_file(str(self._id(slot)))) or {}
        if not state.get("key"):
            return
        if time.time() - float(state["started"]) > self.options.timeout + self.options.grace:
            slot.verdict = ("timeout", f"killed: did not stop after {self.options.timeout:g} s (--timeout)")
            slot.process.kill()

    def _kill_all(self) -> None:
        """Kill the workers that are left, with all they have started, and put their runs back."""
        for slot in self.slots:
            if slot.process is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(slot.process.pid, signal.SIGKILL)
                slot.process.wait()
                slot.process = None
                self._forget(slot)
                self._release(slot)

    def _id(self, slot: Slot) -> WorkerId:
        return WorkerId(self.session.id, slot.number, slot.incarnation)

    def _hopeless(self, slot: Slot, code: int) -> UserError:
        log = self.workspace.logs / f"worker-{slot.number}.log"
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return UserError(
            f"a worker cannot work: {death(code)}; it last said: {lines[-1] if lines else 'nothing'}",
            where=str(log),
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


def failures(state: StudyStatus) -> int:
    """Runs, and configurations of a search, that failed."""
    return len(state.failed) + (state.search.failed if state.search else 0)


def worker_environment(slot: int, workers: int, gpus: Sequence[str]) -> dict[str, str]:
    """This process's environment with the worker's share of threads and its GPU.

    A thread count that the user has set stands. The worker that prepares is alone: it gets all.
    """
    environment = dict(os.environ)
    share = max(1, available_cores() // (1 if slot == PREPARING else max(workers, 1)))
    for name in _THREAD_VARIABLES:
        environment.setdefault(name, str(share))
    # Threads that spin while they wait starve each other where other programs share the cores: a
    # step of a small model was seen to take 50 times as long.
    environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if gpus:
        environment["CUDA_VISIBLE_DEVICES"] = gpus[(slot - 1) % len(gpus)]
    return environment


def death(code: int) -> str:
    """What a worker died of, from its exit status."""
    if code >= 0:
        return f"worker died (exit status {code})"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    hint = "; often: the system ran out of memory" if -code == signal.SIGKILL else ""
    return f"worker died (signal {name}{hint})"


def _rebuild(values: Mapping[str, Any]) -> UserError:
    """The user's error that stopped a worker, as the same exception here."""
    kind = getattr(errors, str(values.get("type")), UserError)
    message = str(values.get("message", "a worker stopped without saying why"))
    return kind(message, where=values.get("where"), hint=values.get("hint"))


def conclude(
    workspace: Workspace,
    state: StudyStatus,
    stopped_by: int | None,
    elapsed: float,
) -> Result:
    """Exit code and closing lines of a session."""
    counts = state.counts
    left = len(state.runs) - state.finished - len(state.failed)
    parts = [f"{state.finished} of {len(state.runs)} runs done"]
    if counts.get("reused"):
        parts[0] += f" ({counts['reused']} reused from other studies)"
    parts += [f"{len(state.failed)} failed"] if state.failed else []
    parts += [f"{left} left"] if left else []
    lines = [f"{state.study}: {', '.join(parts)}, after {duration(elapsed)}"]
    lines += [f"failed: {run.label}: {run.reason} (log: {run.log})" for run in state.failed]
    if state.failed:
        lines.append("failed runs are tried again only with --retry-failed")
    if left:
        lines.append(f"continue with: ablate resume {workspace.study_dir}")
    code = 128 + stopped_by if stopped_by else int(bool(state.failed))
    return Result(code, state, tuple(lines))
