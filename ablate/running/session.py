"""What supervisor and workers agree on: options and identities.

A *session* is one supervisor with its workers. Its lock file is held for the supervisor's whole life,
so anyone can tell whether it is alive; its file tells the workers what to do.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from ablate.running.folder import Workspace, cache_folder
from ablate.running.locks import KernelLock, is_held, locked
from ablate.running.recorded import StoredPlan, write_plan, write_spec
from ablate.study.spec import StudySpec
from model.errors import StorageError
from model.files import write_bytes

EXECUTOR = "ablate.running.one_run:execute_run"
PREPARER = "ablate.running.material:prepare"
SOURCES = "ablate.study.plan:real_sources"
PREPARING = 0
"""Slot of the worker that prepares; the others count from 1."""


@dataclass(frozen=True)
class RunOptions:
    """How a study is run; nothing here changes a result."""

    workers: int = 1
    retries: int = 1
    """How often a run whose worker died is tried again. Runs that failed on their own are not."""
    retry_failed: bool = False
    """Give runs that failed earlier another try."""
    fail_fast: bool = False
    """Stop at the first failed run."""
    timeout: float | None = None
    """Seconds after which a run is stopped and counts as failed."""
    max_runs: int | None = None
    """Start at most this many runs."""
    gpus: tuple[str, ...] = ()
    """Devices (CUDA_VISIBLE_DEVICES) that workers take in turn; () leaves the choice to torch."""
    device: str | None = None
    """What torch computes on; None: a GPU if it sees one."""
    cache_dir: str | None = None
    """Where features and drawn datasets are kept; None: the user's cache folder."""
    executor: str = EXECUTOR
    """``module:function`` that computes one run."""
    preparer: str | None = PREPARER
    """``module:function`` that encodes the dataset before the runs begin; None: nothing to do."""
    sources: str = SOURCES
    """``module:function`` from the cache folder to planning's :class:`~ablate.study.plan.Sources`, for a
    search, whose workers plan."""
    storage: str | None = None
    """Address, without password, of the server that holds the claims; None: the study's journal."""
    grace: float = 30.0
    """Seconds a run that ignores its timeout is given before its worker is killed."""


@dataclass(frozen=True)
class Session:
    """What a worker knows of its supervisor."""

    id: str
    pid: int
    digest: str
    """Of the plan it runs."""
    started: float
    """Unix time."""
    argv: tuple[str, ...]
    options: RunOptions
    search: bool = False
    """Whether its workers search, rather than run a plan."""

    @property
    def cache(self) -> Path:
        """Where features and drawn datasets are kept."""
        return cache_folder(self.options.cache_dir)


_SESSION: TypeAdapter[Session] = TypeAdapter(Session)
_SUFFIX = ".session.json"


@dataclass(frozen=True)
class WorkerId:
    """Who runs something: a worker of a supervisor's session."""

    session: str
    slot: int
    incarnation: int = 0

    def __str__(self) -> str:
        return f"{self.session}-{self.slot}.{self.incarnation}"


def new_session(digest: str, options: RunOptions, *, search: bool = False) -> Session:
    """A session of this process."""
    started = time.time()
    moment = time.strftime("%Y%m%dT%H%M%S", time.gmtime(started))
    name = f"{moment}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
    argv = (Path(sys.argv[0]).name, *sys.argv[1:])
    return Session(name, os.getpid(), digest, started, argv, options, search)


def open_session(workspace: Workspace, session: Session) -> KernelLock:
    """Announce the session; the returned lock must be held as long as the supervisor lives."""
    lock = KernelLock(workspace.session_lock(session.id))
    lock.acquire(timeout=5.0)
    write_session(workspace, session)
    return lock


def write_session(workspace: Workspace, session: Session) -> None:
    """Tell the workers to come what the session is about."""
    write_bytes(workspace.session_file(session.id), _SESSION.dump_json(session), durable=False)


def close_session(workspace: Workspace, session: Session) -> None:
    """Remove the session's files, while its lock is still held."""
    for path in files_of_session(workspace, session.id):
        path.unlink(missing_ok=True)


def files_of_session(workspace: Workspace, name: str) -> list[Path]:
    """Its lock, its file, its workers' files, and what a killed worker left half written of them."""
    found = (workspace.workers.glob(f"{start}{name}[.-]*") for start in ("", "."))
    return sorted(path for paths in found for path in paths)


def load_session(workspace: Workspace, name: str) -> Session:
    """Read a session's file. Raises StorageError if it is gone or unusable."""
    path = workspace.session_file(name)
    try:
        return _SESSION.validate_json(path.read_bytes(), strict=True)
    except OSError as error:
        raise StorageError("no such session", where=str(path)) from error
    except ValueError as error:
        raise StorageError("damaged, or written by another version", where=str(path)) from error


def live_sessions(workspace: Workspace) -> list[Session]:
    """The sessions whose supervisors are alive."""
    names = sorted(path.name.removesuffix(_SUFFIX) for path in workspace.workers.glob(f"*{_SUFFIX}"))
    found = []
    for name in names:
        if is_held(workspace.session_lock(name)):
            with contextlib.suppress(StorageError):  # it may end while we look
                found.append(load_session(workspace, name))
    return found


@contextlib.contextmanager
def announced(
    workspace: Workspace, session: Session, spec: StudySpec | None, plan: StoredPlan | None
) -> Iterator[None]:
    """Hold the session's lock, having written spec and plan (and not over a plan that others run).

    ``spec``, ``plan``: None if what is there stands.
    """
    with locked(workspace.lock):
        for other in live_sessions(workspace):
            if other.digest != session.digest:
                raise StorageError(
                    f"process {other.pid} is running this study with another plan",
                    where=str(workspace.study_dir),
                    hint="wait for it, stop it, or give this study another name",
                )
        # Nothing but a smoke test pins settings.
        if spec is not None:
            write_spec(workspace, spec)
        if plan is not None:
            write_plan(workspace, plan)
        lock = open_session(workspace, session)
    with lock:
        try:
            yield
        finally:
            close_session(workspace, session)
