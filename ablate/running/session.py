"""What supervisor and workers agree on: options, identities, exit codes.

A *session* is one supervisor with its workers. Its lock file is held for the supervisor's whole life,
so anyone can tell whether it is alive; its file tells the workers what to do.
"""

from __future__ import annotations

import enum
import json
import os
import sys
import time
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from ablate.running.folder import Workspace, read_json, write_text
from ablate.running.locks import KernelLock
from model.errors import StorageError

EXECUTOR = "ablate.running.one_run:execute_run"
PREPARER = "ablate.running.one_run:prepare"
SOURCES = "ablate.study.plan:real_sources"
PREPARING = 0
"""Slot of the worker that prepares; the others count from 1."""


class Exit(enum.IntEnum):
    """How a worker says why it ended; anything else is a death."""

    DONE = 0
    """Nothing left to claim."""
    RECYCLE = 80
    """A run failed and is recorded; a fresh process should go on: this one's memory or CUDA context
    may be spoilt."""
    STOPPED = 81
    """Stopped as asked; its run is back in the queue."""
    USER = 82
    """A user's error, before or outside any run; the worker's file says which."""


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
        given = self.options.cache_dir
        return Path(given) if given else user_cache_path("ablate")


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
    content = {**asdict(session), "workers": session.options.workers}
    write_text(workspace.session_file(session.id), json.dumps(content), durable=False)


def close_session(workspace: Workspace, session: Session) -> None:
    """Remove the session's files, while its lock is still held."""
    for path in workspace.workers.glob(f"{session.id}[.-]*"):
        path.unlink(missing_ok=True)


def load_session(workspace: Workspace, name: str) -> Session:
    """Read a session's file. Raises StorageError if it is gone."""
    values: dict[str, Any] | None = read_json(workspace.session_file(name))
    if values is None:
        raise StorageError("no such session", where=str(workspace.session_file(name)))
    values.pop("workers")
    options = values.pop("options")
    options["gpus"] = tuple(options["gpus"])
    values["argv"] = tuple(values["argv"])
    return Session(**values, options=RunOptions(**options))
