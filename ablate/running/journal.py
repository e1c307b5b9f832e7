"""Optuna's journal file of a study, and the critical section of all who change what stands in it.

The file is appended to under a kernel lock of ours, not under Optuna's own marker file, which a
killed process leaves behind (the others then wait 30 s); and a line that was cut off by a kill or a
full disk is removed before the next one is written, where it would spoil the file for ever.

A journal holds several Optuna studies, each a :class:`Trials`. What the trials *mean* is for their
owners to say: attempts at runs (:mod:`ablate.running.ledger`), or a search's configurations
(:mod:`ablate.running.searcher`).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from json import JSONDecodeError, dumps
from pathlib import Path
from typing import Any

import optuna
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, TrialState, create_trial

from ablate.running.folder import Workspace
from ablate.running.locks import KernelLock, locked
from model.errors import StorageError
from model.files import storage_errors

Scalar = str | int | float | bool | None
"""What Optuna's categorical distribution can hold."""

_ALREADY_FINISHED = RuntimeError
"""What Optuna raises when a finished trial is to be changed (since 4.2 by a subclass)."""
_SECTION_TIMEOUT = 120.0


def quiet_optuna() -> None:
    """Keep Optuna's notes about each new study or trial out of our output (process-wide)."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def categorical(value: Any) -> Scalar:
    """A value as Optuna's categorical distribution can hold it: lists and schedules by their text."""
    return value if value is None or isinstance(value, (str, int, float, bool)) else dumps(value)


class DamagedJournal(StorageError):  # noqa: N818 - what happened, to be mended by sound_journal
    """A journal that cannot be read: something else than a cut-off last line is wrong with it."""


def sound_journal(workspace: Workspace, *, alone: bool) -> tuple[Journal, tuple[str, ...]]:
    """The study's journal, and what is to be said of it: a damaged one is set aside, to be written anew.

    Finished runs stand in their folders, so that nothing is lost but why others failed.
    ``alone``: nobody else works on the study. Raises :class:`DamagedJournal` if somebody does.
    """
    with locked(workspace.lock, _SECTION_TIMEOUT):
        try:
            return Journal(workspace), ()
        except DamagedJournal:
            if not alone:
                raise
        number = sum(1 for _ in workspace.study_dir.glob(f"{workspace.journal.name}.damaged.*"))
        place = workspace.journal.with_name(f"{workspace.journal.name}.damaged.{number + 1}")
        with storage_errors(place):
            workspace.journal.replace(place)
    said = f"the journal was damaged; moved to {place}, it is written anew from the finished runs"
    return Journal(workspace), (said,)


class Journal:
    """A study's journal, made if missing; optuna-dashboard opens the same file.

    One object per process; not for use by several threads. Raises :class:`StorageError` wherever the
    file cannot be read or written, :class:`DamagedJournal` if it is damaged.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.path = workspace.journal
        with self.errors():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._backend = _Backend(self.path)
            try:
                self.storage = JournalStorage(self._backend)
            except (
                LookupError,
                TypeError,
                AttributeError,
            ) as error:  # not Optuna's JSON
                raise self._damaged() from error

    @contextlib.contextmanager
    def critical(self) -> Iterator[None]:
        """The study's critical section: nobody else creates or takes trials meanwhile."""
        with locked(self.workspace.lock, _SECTION_TIMEOUT), self.errors():
            yield

    @contextlib.contextmanager
    def batch(self) -> Iterator[None]:
        """Within: what is written comes to the disk by one write, at the end, before anybody else's."""
        with self.errors(), self._backend.batch():
            yield

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        """One :class:`StorageError` for whatever a journal that cannot be used raises."""
        try:
            with storage_errors(self.path):
                yield
        except (JSONDecodeError, UnicodeDecodeError) as error:
            raise self._damaged() from error
        except ValueError as error:
            if "log format" in str(error):
                raise self._damaged() from error
            raise

    def _damaged(self) -> DamagedJournal:
        return DamagedJournal(
            "the journal is damaged",
            where=str(self.path),
            hint="run the study again once nobody works on it: it is written anew from the finished runs",
        )


class Trials:
    """One Optuna study of a journal, made if missing; ``name`` is unique in the journal.

    ``objectives``: of one that is made, how many values its trials have.

    Raises :class:`StorageError` wherever the journal cannot be read or written.
    """

    def __init__(self, journal: Journal, name: str, *, objectives: int = 1) -> None:
        self.journal = journal
        self.name = name
        storage = journal.storage
        with journal.errors():
            try:  # first, because creating a study that exists writes, too
                self._study = optuna.load_study(study_name=name, storage=storage)
            except KeyError:
                self._study = optuna.create_study(
                    study_name=name,
                    storage=storage,
                    directions=["maximize"] * objectives,
                    load_if_exists=True,
                )
            self._id = storage.get_study_id_from_name(name)

    def all(self) -> list[FrozenTrial]:
        """All trials, oldest first (shared objects: do not change them)."""
        with self.journal.errors():
            return self.journal.storage.get_all_trials(self._id, deepcopy=False)

    @property
    def attributes(self) -> Mapping[str, Any]:
        """What the study says of itself."""
        return self._study.user_attrs

    def describe(self, **attributes: Any) -> None:
        """Set those attributes of the study that differ from what it has."""
        with self.journal.errors():
            known = self.attributes
            for name, value in attributes.items():
                if known.get(name) != value:
                    self._study.set_user_attr(name, value)

    def optimiser(self, sampler: BaseSampler, pruner: BasePruner) -> optuna.Study:
        """The study as Optuna proposes and prunes with it."""
        return optuna.load_study(
            study_name=self.name, storage=self.journal.storage, sampler=sampler, pruner=pruner
        )

    # The following leave it to the caller to be in the critical section where that matters.

    def add(
        self,
        params: Mapping[str, Any],
        distributions: Mapping[str, optuna.distributions.BaseDistribution],
        attributes: Mapping[str, Any],
        *,
        value: float | None = None,
    ) -> None:
        """A new trial: waiting, or with a ``value`` complete already."""
        self._study.add_trial(
            create_trial(
                state=TrialState.WAITING if value is None else TrialState.COMPLETE,
                value=value,
                params=dict(params),
                distributions=dict(distributions),
                user_attrs=dict(attributes),
            )
        )

    def annotate(self, trial_id: int, attributes: Mapping[str, Any]) -> None:
        """Set attributes of an unfinished trial."""
        for name, value in attributes.items():
            self.journal.storage.set_trial_user_attr(trial_id, name, value)

    def start(self, trial_id: int) -> bool:
        """Move a waiting trial to RUNNING; False if another process was first."""
        return self.journal.storage.set_trial_state_values(trial_id, TrialState.RUNNING)

    def put_back(self, trial_id: int) -> bool:
        """Move a running trial to WAITING; False if it was finished already."""
        try:
            self.journal.storage.set_trial_state_values(trial_id, TrialState.WAITING)
        except _ALREADY_FINISHED:
            return False
        return True

    def end(
        self,
        trial_id: int,
        state: TrialState,
        attributes: Mapping[str, Any],
        value: float | None = None,
    ) -> bool:
        """Finish a trial, with attributes and a value; False if it was finished already."""
        values = None if value is None else [value]
        try:
            self.annotate(trial_id, attributes)
            self.journal.storage.set_trial_state_values(trial_id, state, values)
        except _ALREADY_FINISHED:
            return False
        return True


class _Backend(JournalFileBackend):
    """The file, under our lock; many entries can be written at once."""

    def __init__(self, path: Path) -> None:
        self._write_lock = _JournalLock(path)
        super().__init__(str(path), lock_obj=self._write_lock)
        self._path = path
        self._pending: list[dict[str, Any]] | None = None
        """Entries of a batch, which nobody else has seen; None outside of one."""
        self._in_file = 0
        """Entries before the batch's."""

    @contextlib.contextmanager
    def batch(self) -> Iterator[None]:
        """See :meth:`Journal.batch`. After an error nothing is written, and this object is of no use."""
        self._write_lock.acquire()
        try:
            self._pending, self._in_file = [], -1
            yield
            text = "".join(dumps(entry, separators=(",", ":")) + "\n" for entry in self._pending)
            if text:
                with self._path.open("ab") as stream:
                    stream.write(text.encode())
                    stream.flush()
                    os.fsync(stream.fileno())
        finally:
            self._pending = None
            self._write_lock.release()

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        if self._pending is None:
            super().append_logs(logs)
        else:
            self._pending += logs

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:  # type: ignore[override]
        if self._pending is None:
            yield from super().read_logs(log_number_from)
            return
        if self._in_file < 0:  # nobody else writes from here on
            read = list(super().read_logs(log_number_from))
            self._in_file = log_number_from + len(read)
            yield from read
        yield from self._pending[max(log_number_from - self._in_file, 0) :]


class _JournalLock(JournalFileOpenLock):
    """The journal's write lock: kernel-held, and it mends a torn last line before anyone appends."""

    def __init__(self, journal: Path) -> None:
        super().__init__(str(journal))
        self._journal = journal
        self._kernel = KernelLock(journal.with_name(f".{journal.name}.lock"))

    def acquire(self) -> bool:
        self._kernel.acquire(_SECTION_TIMEOUT)
        try:
            _drop_torn_line(self._journal)
        except BaseException:
            self._kernel.release()
            raise
        return True

    def release(self) -> None:
        self._kernel.release()


def _drop_torn_line(journal: Path) -> None:
    """Cut the file back to its last complete line. Readers have never consumed what is removed."""
    with journal.open("r+b") as stream:
        end = stream.seek(0, os.SEEK_END)
        if end == 0:
            return
        stream.seek(end - 1)
        if stream.read(1) == b"\n":
            return
        stream.seek(0)
        stream.truncate(stream.read().rfind(b"\n") + 1)
