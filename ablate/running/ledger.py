"""The ledger of a study: every attempt at every run is an Optuna trial; and who may compute what.

A run's *key* has a history of trials, of which only the newest can be unfinished. Invariants:

1. Trials are created, and move WAITING -> RUNNING, only inside the study's critical section
   (``.lock``), after re-reading the journal. So a key never gets two unfinished trials, which
   ``enqueue_trial(skip_if_exists=True)`` cannot promise.
2. Whoever moves a trial to RUNNING holds the key's lock and keeps it until the attempt has ended
   and is recorded. Hence RUNNING with a free lock means: the owner is dead.
3. A run is finished when its folder is in ``runs/``, put there by one rename. The journal follows:
   a crash between rename and record is mended by the next one who takes the key's lock.
4. A stale owner (its lock file was removed, another took over) is fenced: it must find its own token
   in the attempt folder, the rename refuses a second folder, Optuna refuses to change a finished
   trial.

So execution is at least once, and commit exactly once. Deaths count against ``retries`` only if a
living supervisor saw its worker die; if it died too (reboot, ``kill -9`` of everything), the run
itself is not under suspicion.

In a search the runs that judge its configurations stand here like any others, besides those of its
final table.
"""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from json import dumps
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from ablate.running.attempt import NOT_ITS_FAULT, Attempt, Kind, run_label
from ablate.running.files import clone_folder, move_into_place
from ablate.running.folder import ATTEMPT, CHECKPOINT, REUSED
from ablate.running.journal import Journal, Scalar, Trials
from ablate.running.locks import KernelLock, is_held, locked
from ablate.running.manifest import damage, seal, set_aside, sound_elsewhere
from ablate.running.parameters import fixed_params, run_choices
from ablate.running.queue import Buried, Nothing
from ablate.running.recorded import StoredPlan
from ablate.running.scores import summarise
from ablate.running.session import WorkerId
from ablate.study.plan import Run
from model.files import read_json, storage_errors, write_text

SETTLED_AT_ONCE = 50
"""Runs that a take settles before it lets others into the critical section."""
SILENCE = 15.0
"""Seconds a living supervisor has to say what its worker died of; it takes a fraction of one."""
_UNFINISHED = (TrialState.WAITING, TrialState.RUNNING)


class Ledger:
    """All attempts at a study's runs. One object per process; not for use by several threads.

    ``study``: its name, which is the Optuna study's, too. Raises :class:`StorageError` wherever the
    journal cannot be read or written.
    """

    def __init__(self, journal: Journal, study: str) -> None:
        self.journal = journal
        self.workspace = journal.workspace
        self.book = Trials(journal, study)
        self._ownerless: dict[int, float] = {}
        """Trials whose owner is dead though its supervisor lives, and since when this is known."""

    def describe(self, plan: StoredPlan) -> None:
        """Note in the journal what the trials' values are, and what they were selected on."""
        self.book.describe(primary=plan.primary, selected_on_reported=plan.selected_on_reported)

    def trials(self) -> list[FrozenTrial]:
        """All attempts, oldest first (shared objects: do not change them)."""
        return self.book.all()

    def latest(self) -> dict[str, FrozenTrial]:
        """The newest trial of each key."""
        return {key: trial for trial in self.trials() if (key := trial.user_attrs.get("key"))}

    # --- planning ----------------------------------------------------------------------------

    def plan(self, plan: StoredPlan, *, retries: int = 1, retry_failed: bool = False) -> None:
        """Enqueue exactly one trial for each run that needs one; withdraw those no longer wanted.

        A failed run is tried again only with ``retry_failed``, except after what was not its fault (a full
        disk). Idempotent, at any time, by anyone.
        """
        choices = run_choices(plan.runs)
        with self.journal.critical(), self.journal.batch():
            latest = self.latest()
            for run in plan.runs:
                attempt = self._due(run.key, latest.get(run.key), retries, retry_failed)
                if attempt:
                    finished = run.key not in latest and self._stands(run.key)
                    self._add(run, choices, attempt, finished=finished)
            wanted = {run.key for run in plan.runs}
            for key, trial in latest.items():
                if trial.state == TrialState.WAITING and key not in wanted:
                    self._close(trial._trial_id, "withdrawn", "no longer in the plan")

    def enqueue(self, run: Run, *, retries: int = 1, retry_failed: bool = False) -> None:
        """The same for a single run that is not part of a plan (search)."""
        with self.journal.critical():
            attempt = self._due(run.key, self.latest().get(run.key), retries, retry_failed)
            if attempt:
                self._add(run, run_choices([run]), attempt)

    def _due(self, key: str, trial: FrozenTrial | None, retries: int, retry_failed: bool) -> int:
        """Number of the attempt to enqueue; 0 if none is due."""
        if trial is None:
            return 1
        if trial.state in _UNFINISHED:
            return 0
        if trial.state == TrialState.COMPLETE:  # unless its folder has been removed since
            return 0 if self.workspace.committed(key) else 1
        attempt = int(trial.user_attrs.get("attempt", 1))
        kind = trial.user_attrs.get("kind")
        if kind == "died" and attempt <= retries:  # a supervisor died between burying and enqueueing
            return attempt + 1
        if kind in NOT_ITS_FAULT:
            return attempt
        return 1 if retry_failed else 0

    def _stands(self, key: str) -> bool:
        """Whether the run was finished in this study by a journal that has been lost."""
        return self.workspace.committed(key) and damage(self.workspace.run_dir(key), key) is None

    def _add(
        self,
        run: Run,
        choices: Mapping[str, tuple[Scalar, ...]],
        attempt: int,
        *,
        finished: bool = False,
    ) -> None:
        params, distributions = fixed_params(run, choices)
        attributes: dict[str, Any] = {
            "key": run.key,
            "label": run_label(run.variant, run.seed, run.category),
            "attempt": attempt,
            "config": f"runs/{run.key}/config.json",
        }
        value = None
        if finished:
            found, value = self._outcome(run.key)
            source = (read_json(self.workspace.run_dir(run.key) / REUSED) or {}).get("study")
            attributes |= found | ({"reused_from": source} if source else {})
        self.book.add(params, distributions, attributes, value=value)

    # --- taking ------------------------------------------------------------------------------

    def take(
        self, runs: Sequence[Run], worker: WorkerId, *, max_runs: int | None = None
    ) -> Attempt | Nothing:
        """The first of ``runs`` that is free, with its lock held; or why there is none.

        On the way, what needs no computing is settled: runs that a crash left committed but
        unrecorded, and runs that another study of the same root has computed.
        """
        while True:
            taken = self._take(runs, worker, max_runs)
            if taken is not None:
                return taken

    def _take(
        self, runs: Sequence[Run], worker: WorkerId, max_runs: int | None
    ) -> Attempt | Nothing | None:
        """The same, but None after some runs were settled: others want to enter the section, too."""
        with self.journal.critical():
            latest, busy, room = self.latest(), False, self._room(worker.session, max_runs)
            settled = 0
            for run in runs:
                if settled == SETTLED_AT_ONCE:
                    return None
                trial = latest.get(run.key)
                if trial is None or trial.state.is_finished():
                    continue
                lock = KernelLock(self.workspace.key_lock(run.key))
                if not lock.try_acquire():
                    busy = True
                    continue
                with _released_on_error(lock):
                    taken = self._begin(run, trial, lock, worker, room)
                if isinstance(taken, Attempt):
                    return taken
                lock.release()
                settled += taken is Nothing.DONE
                if taken is Nothing.LIMIT:
                    return taken
                busy = busy or taken is Nothing.BUSY
            return Nothing.BUSY if busy else Nothing.DONE

    def _begin(
        self, run: Run, trial: FrozenTrial, lock: KernelLock, worker: WorkerId, room: bool
    ) -> Attempt | Nothing:
        """Take ``trial``, whose lock we hold: settle it without computing if possible."""
        if self._settle(run, trial):
            return Nothing.DONE
        if trial.state == TrialState.RUNNING:
            session = str(trial.user_attrs.get("session"))
            alive = is_held(self.workspace.session_lock(session))
            if alive and not self._overdue(trial):
                return Nothing.BUSY  # its supervisor knows why the worker died, and will say
            why = "says nothing" if alive else "too"
            trial = self._requeue(trial, "lost", f"worker died, and its supervisor {why}", retries=None)
        if not room:
            return Nothing.LIMIT
        owner = {"session": worker.session, "worker": str(worker), "pid": os.getpid()}
        self.book.annotate(trial._trial_id, owner)
        if not self.book.start(trial._trial_id):
            return Nothing.BUSY
        number = int(trial.user_attrs.get("attempt", 1))
        return Attempt(run, trial._trial_id, number, lock, self.workspace.attempt_dir(run.key))

    def _overdue(self, trial: FrozenTrial) -> bool:
        """Whether a supervisor has been silent about its dead worker for so long that it must be stuck."""
        now = time.monotonic()
        return now - self._ownerless.setdefault(trial._trial_id, now) > SILENCE

    def _settle(self, run: Run, trial: FrozenTrial) -> bool:
        """Complete ``trial`` from a folder that exists already, here or in another study."""
        attrs: dict[str, Any] = {}
        folder = self.workspace.run_dir(run.key)
        if self.workspace.committed(run.key) and damage(folder, run.key) is not None:
            set_aside(self.workspace, run.key)
        if not self.workspace.committed(run.key):
            source = sound_elsewhere(self.workspace, run.key)
            if source is None:
                return False
            attrs["reused_from"] = source.parent.parent.name
            self._adopt(run, source)
        self._complete(trial._trial_id, run.key, attrs)
        return True

    def _adopt(self, run: Run, source: Path) -> None:
        """Commit a clone of another study's run, saying where it came from."""
        draft = self.workspace.attempts / f"{run.key}.reuse"
        with storage_errors(draft):
            shutil.rmtree(draft, ignore_errors=True)
            clone_folder(source, draft)
            note = {"study": source.parent.parent.name, "key": run.key}
            write_text(draft / REUSED, dumps(note))
            move_into_place(draft, self.workspace.run_dir(run.key))
            shutil.rmtree(draft, ignore_errors=True)

    def _room(self, session: str, max_runs: int | None) -> bool:
        started = sum(trial.user_attrs.get("session") == session for trial in self.trials())
        return max_runs is None or started < max_runs

    # --- ends of an attempt ------------------------------------------------------------------

    def beat(self, attempt: Attempt) -> bool:
        """Whether the claim is lost. It needs no renewal: the kernel keeps it while its owner lives."""
        return attempt.fenced()

    def commit(self, attempt: Attempt) -> bool:
        """Publish the attempt folder as the run's result and record it; False if we were fenced.

        Raises :class:`StorageError` if the disk refuses (the attempt is then kept).
        """
        folder = attempt.attempt_dir
        with storage_errors(folder):
            if attempt.fenced():
                return False
            run = attempt.run
            seal(folder, run.key, code=run.code_digest, token=attempt.token, attempt=attempt.number)
            if not move_into_place(folder, self.workspace.run_dir(attempt.run.key)):
                shutil.rmtree(folder, ignore_errors=True)
                return False
        with self.journal.errors():
            return self._complete(attempt.trial_id, attempt.run.key, {})

    def fail(self, attempt: Attempt, kind: Kind, reason: str, seconds: float) -> bool:
        """Record a failed attempt; False if we were fenced. Its folder stays, unless it diverged."""
        if attempt.fenced():
            return False
        if kind == "diverged":  # a checkpoint may hold the NaN already
            shutil.rmtree(attempt.attempt_dir, ignore_errors=True)
        with self.journal.errors():
            return self._close(attempt.trial_id, kind, reason, seconds=round(seconds, 3))

    def release(self, attempt: Attempt) -> bool:
        """Put an interrupted run back in the queue; its folder, with the checkpoint, stays."""
        if attempt.fenced():
            return False
        with self.journal.critical():
            return self.book.put_back(attempt.trial_id)

    # --- deaths ------------------------------------------------------------------------------

    def bury(self, worker: WorkerId, kind: Kind, reason: str, *, retries: int) -> Buried | None:
        """Record what a dead worker left RUNNING, and enqueue it again if it may be retried.

        Called by the supervisor, once it has seen the process end. None if the worker had no run, or
        had committed it. Raises :class:`StorageError` if the key's lock stays held (by a child process
        that survived the worker).
        """
        with self.journal.critical():
            trial = self._running_under(worker)
            if trial is None:
                return None
            key = str(trial.user_attrs["key"])
            with locked(self.workspace.key_lock(key), timeout=10.0):
                if self.workspace.committed(key):
                    self._complete(trial._trial_id, key, {})
                    return None
                if kind == "died":
                    newest = self._requeue(trial, kind, reason, retries=retries)
                else:
                    newest = trial
                    self._close(trial._trial_id, kind, reason)
            return Buried(key, str(trial.user_attrs.get("label", key)), newest is not trial)

    def abandon(self, worker: WorkerId) -> None:
        """Put back in the queue what a worker was running when the user had it killed."""
        with self.journal.critical():
            trial = self._running_under(worker)
            if trial is not None:
                self.book.put_back(trial._trial_id)

    def _running_under(self, worker: WorkerId) -> FrozenTrial | None:
        running = (t for t in self.latest().values() if t.state == TrialState.RUNNING)
        return next((t for t in running if t.user_attrs.get("worker") == str(worker)), None)

    def _requeue(self, trial: FrozenTrial, kind: Kind, reason: str, *, retries: int | None) -> FrozenTrial:
        """Fail ``trial`` and add its successor, unless the retries are used up; return the newest.

        ``retries`` None: the death does not count as an attempt.
        """
        self._close(trial._trial_id, kind, reason)
        number = int(trial.user_attrs.get("attempt", 1)) + (retries is not None)
        if retries is not None and number > retries + 1:
            return trial
        kept = ("key", "label", "config")
        attrs = {name: value for name, value in trial.user_attrs.items() if name in kept}
        self.book.add(trial.params, trial.distributions, {**attrs, "attempt": number})
        return self.latest()[attrs["key"]]

    # --- writing -----------------------------------------------------------------------------

    def _complete(self, trial_id: int, key: str, attrs: Mapping[str, Any]) -> bool:
        """COMPLETE with the primary metric's mean as value; False if the trial was finished already."""
        folder = self.workspace.run_dir(key)
        for scrap in (ATTEMPT, CHECKPOINT):
            (folder / scrap).unlink(missing_ok=True)
        found, value = self._outcome(key)
        return self.book.end(trial_id, TrialState.COMPLETE, {**found, **attrs}, value)

    def _outcome(self, key: str) -> tuple[dict[str, Any], float]:
        """Attributes and value of a finished run's trial."""
        folder = self.workspace.run_dir(key)
        provenance = read_json(folder / "provenance.json") or {}
        scores = summarise(folder / "metrics.csv", str(self.book.attributes.get("primary", "")))
        timings = provenance.get("timings", {})
        finite = [value for value in scores.values() if math.isfinite(value)]
        # Optuna's journal has no "no value": a run whose metric is undefined everywhere ranks last.
        value = sum(finite) / len(finite) if finite else -math.inf
        return {"metrics": scores, "timings": timings}, value

    def _close(self, trial_id: int, kind: Kind, reason: str, **attrs: Any) -> bool:
        """FAIL with a kind and a reason; False if the trial was finished already."""
        return self.book.end(trial_id, TrialState.FAIL, {"kind": kind, "reason": reason, **attrs})


@contextlib.contextmanager
def _released_on_error(lock: KernelLock) -> Iterator[None]:
    try:
        yield
    except BaseException:
        lock.release()
        raise
