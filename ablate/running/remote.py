"""Working for a study whose claims stand on a PostgreSQL server: supervisors and workers of any machine.

``ablate run --storage`` plans the study and works, ``ablate worker`` joins one that is planned; both are
the same supervisor with the same worker processes as on one machine, only the queue is another. So a
crash of a run is noticed at once where a supervisor lives, and by the lease where a machine is gone.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from json import loads
from pathlib import Path
from typing import Any

from ablate.running.cluster import (
    Joined,
    announce,
    depart,
    fetch_results,
    join_study,
    living,
    plan_study,
    rows,
)
from ablate.running.conclusion import Result
from ablate.running.folder import Workspace
from ablate.running.frame import FrameWriter
from ablate.running.journal import quiet_optuna
from ablate.running.mirror import mirror
from ablate.running.progress import PlainView, View
from ablate.running.recorded import StoredPlan, check_code, write_plan, write_spec
from ablate.running.scheduler import job_name
from ablate.running.server import STORAGE, Address, Remote, find_address, open_server
from ablate.running.session import PREPARING, RunOptions, announced, new_session
from ablate.running.status import LiveWorker, RunStatus, StudyStatus, live_worker, since, time_left
from ablate.running.supervisor import Work, print_error, supervise
from ablate.running.worker import Ending, Worker
from ablate.study.plan import Plan

LOOK_EVERY = 1.0
"""Seconds between a supervisor's looks at the server."""


def run_planned(
    plan: Plan,
    root: Path,
    options: RunOptions,
    remote: Remote,
    *,
    view: View | None = None,
) -> Result:
    """Plan a study on a server and run it, with whoever joins; see :func:`supervisor.run_study`."""
    joined = start_planned(plan, root, remote, retry=options.retry_failed)
    result = work_on(joined, options, view)
    fetch_results(joined)
    FrameWriter(joined.workspace, joined.plan).write()
    mirror(joined)
    return replace(result, state=read_shared(joined))


def start_planned(plan: Plan, root: Path, remote: Remote, *, retry: bool = False) -> Joined:
    """A study planned on a server, with its folder made, for workers to join. Raises StorageError."""
    stored = StoredPlan.of(plan)
    workspace = Workspace(root / stored.study)
    workspace.create()
    server = open_server(remote.address, name=f"ablate {stored.study}")
    joined = plan_study(
        server, workspace, stored, plan.spec, shared=remote.shared, lease=remote.lease, retry_failed=retry
    )
    write_spec(workspace, plan.spec)
    write_plan(workspace, stored)
    return joined


def join(study: str, root: Path, address: Address) -> Joined:
    """A study that is planned on a server, for :func:`work_on`.

    Raises
    ------
    StorageError: there is no such study, or no such server.
    ConfigError: this machine's code is not the one that the study was planned with.
    """
    joined = join_study(open_server(address, name=f"ablate {study}"), study, root)
    check_code(joined.plan)
    return joined


def work_on(joined: Joined, options: RunOptions, view: View | None = None) -> Result:
    """Work for a study of a server until nothing is left of it. Raises as :func:`supervisor.run_study`."""
    quiet_optuna()
    address = joined.server.address
    os.environ[STORAGE] = address.url  # how the workers get it: never by their command line
    chosen = replace(options, storage=address.public)
    session = new_session(joined.plan.digest, chosen)
    look = _Seldom(lambda: read_shared(joined))
    state = look.fresh()
    left = len(state.runs) - state.finished - len(state.failed)
    work = Work(
        joined.queue(),
        read=look,
        committed=look.forget,
        parallel=left,
        prepare=left > 0,
        threads=joined.plan.threads,
        notes=(
            f"working on {joined.plan.study} at {address.public}, results {_where(joined)}",
            *joined.notes,
        ),
    )
    with (
        announced(joined.workspace, session, None, None),
        contextlib.closing(view or PlainView(print_error)) as shown,
    ):
        result = supervise(joined.workspace, work, session, shown)
    return replace(result, state=look.fresh())


def _where(joined: Joined) -> str:
    return f"in {joined.workspace.study_dir}" if joined.shared else "through the server"


class _Seldom:
    """Asks the server at most once a second, however often it is asked."""

    def __init__(self, read: Callable[[], StudyStatus]) -> None:
        self._read = read
        self._last: tuple[float, StudyStatus] | None = None

    def __call__(self) -> StudyStatus:
        if self._last is None or time.monotonic() - self._last[0] > LOOK_EVERY:
            return self.fresh()
        return self._last[1]

    def forget(self) -> None:
        """Ask again when asked next."""
        self._last = None

    def fresh(self) -> StudyStatus:
        self._last = (time.monotonic(), self._read())
        return self._last[1]


# --- in a worker's process ------------------------------------------------------------------------


def serve(worker: Worker) -> Ending:
    """What a worker process of such a session does."""
    address = find_address(worker.options.storage if STORAGE not in os.environ else None)
    assert address is not None
    study = worker.workspace.study_dir.name
    server = open_server(address, patient=True, name=f"ablate {worker.id}")
    joined = join_study(server, study, worker.workspace.root)
    if worker.id.slot == PREPARING:
        with _on_the_list(joined, worker):
            return worker.prepare(joined.plan)
    print(f"worker {worker.id} of {study} at {address.public}, process {os.getpid()}", flush=True)
    with _on_the_list(joined, worker):
        return worker.work(joined.plan.runs, joined.queue(stopping=lambda: worker.stop.raised))


@contextlib.contextmanager
def _on_the_list(joined: Joined, worker: Worker) -> Iterator[None]:
    """Show everyone what this worker is at, by a connection of its thread."""
    over = threading.Event()
    name, session = str(worker.id), worker.session.id

    def keep() -> None:
        while True:
            announce(joined.server, joined.plan.study, name, session, job_name(), worker.live.state)
            if over.wait(min(joined.timing.beat, 5.0)):
                return

    thread = threading.Thread(target=keep, name="list", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(timeout=2.0)
        depart(joined.server, joined.plan.study, name)


# --- status ---------------------------------------------------------------------------------------


def read_shared(joined: Joined) -> StudyStatus:
    """Where the study stands, with the workers of all machines."""
    found = rows(joined)
    heard = [(*row[:4], _decoded(row[4])) for row in living(joined)]
    by_owner = {worker: (said, session) for worker, session, _, _, said in heard}
    runs = tuple(_run_status(joined, run, found.get(run.key), by_owner) for run in joined.plan.runs)
    sessions = {session for _, session, *_ in heard}
    workers = sum(int(said.get("slot", 1)) != PREPARING for *_, said in heard)
    return StudyStatus(
        study=joined.plan.study,
        cells=len(joined.plan.rows),
        runs=runs,
        live=tuple(_live(said, host, job) for _, _, host, job, said in heard),
        sessions=tuple(int(name.split("-")[1]) for name in sorted(sessions)),
        workers=workers,
        elapsed=None,
        eta=time_left(runs, workers),
    )


def _decoded(said: Any) -> dict[str, Any]:
    return said if isinstance(said, dict) else loads(said)


def _live(said: dict[str, Any], host: str, job: str) -> LiveWorker:
    return live_worker(said, host=host, job=job)


def _run_status(joined: Joined, run: Any, row: Any, by_owner: dict[str, Any]) -> RunStatus:
    state, attempt, owner, reason, seconds, _, expired, kind = row or ("waiting", 1, *6 * (None,))
    said: dict[str, Any] = {}
    if state == "running":
        said = by_owner.get(owner or "", ({}, ""))[0]
        if said.get("key") != run.key:
            said = {}
        state = "lost" if expired else "running"
    return RunStatus(
        key=run.key,
        variant=run.variant,
        seed=run.seed,
        category=run.category,
        state="waiting" if state == "withdrawn" else state,
        attempt=attempt,
        reason=(reason or "") if state in ("failed", "lost") else "",
        kind=(kind or "") if state == "failed" else "",
        seconds=since(said) if state == "running" else seconds if state in ("done", "failed") else None,
        worker=(owner or "") if state == "running" else "",
        done=int(said.get("done", 0)),
        total=int(said.get("total", 0)),
        note=str(said.get("note", "")),
        log=str(joined.workspace.log(run.key)),
    )
