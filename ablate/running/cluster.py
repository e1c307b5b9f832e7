"""A study on a PostgreSQL server: planned once, joined from any machine, watched and collected anywhere.

The server holds, besides the claims (``ablate_run``, see :mod:`ablate.running.postgres`), what a machine
without any file of the study needs to join: its plan and spec (``ablate_study``), who is at work
(``ablate_worker``) and, where no folder is shared, the finished runs' files (``ablate_chunk``).
"""

from __future__ import annotations

import contextlib
import socket
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from json import dumps
from pathlib import Path
from typing import Any

from ablate.running import artifacts
from ablate.running.attempt import NOT_ITS_FAULT
from ablate.running.folder import Workspace
from ablate.running.lease import Timing
from ablate.running.manifest import damage, set_aside, set_aside_damaged
from ablate.running.postgres import PostgresQueue, decode
from ablate.running.recorded import StoredPlan, dump_plan, load_plan
from ablate.running.server import Server
from ablate.study.spec import StudySpec
from model.errors import StorageError
from model.files import read_json, write_bytes, write_text

_FOLDER = ".folder"
"""File that tells a study's shared folder from others."""
_STORAGE = "storage.json"
"""File that says on which server a study's claims stand."""

_TABLES = (
    """CREATE TABLE IF NOT EXISTS ablate_study (
        name text PRIMARY KEY, digest text NOT NULL, plan bytea NOT NULL, spec bytea NOT NULL,
        invocation bytea NOT NULL, folder text, lease double precision NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS ablate_run (
        study text NOT NULL, key text NOT NULL, position integer NOT NULL,
        state text NOT NULL DEFAULT 'waiting', token bigint NOT NULL DEFAULT 0,
        attempt integer NOT NULL DEFAULT 1, expiries integer NOT NULL DEFAULT 0,
        owner text, session text, lease timestamptz, kind text, reason text,
        seconds double precision, ended timestamptz, files jsonb, mirrored boolean NOT NULL DEFAULT false,
        PRIMARY KEY (study, key))""",
    """CREATE INDEX IF NOT EXISTS ablate_run_open ON ablate_run (study, position)
        WHERE state IN ('waiting', 'running')""",
    """CREATE TABLE IF NOT EXISTS ablate_worker (
        study text NOT NULL, worker text NOT NULL, session text NOT NULL, host text NOT NULL,
        job text NOT NULL, seen timestamptz NOT NULL, said jsonb NOT NULL, PRIMARY KEY (study, worker))""",
    artifacts.TABLE,
)

_PLAN_RUN = """
INSERT INTO ablate_run (study, key, position) VALUES (%s, %s, %s)
ON CONFLICT (study, key) DO UPDATE SET position = excluded.position,
    state = CASE WHEN ablate_run.state = 'withdrawn' THEN 'waiting' ELSE ablate_run.state END
"""


@dataclass(frozen=True)
class Joined:
    """A study of a server, and its folder on this machine."""

    server: Server
    workspace: Workspace
    plan: StoredPlan
    timing: Timing
    shared: bool
    """Whether all its workers share the folder."""
    notes: tuple[str, ...] = ()
    """What is to be said of it."""

    def queue(self, *, stopping: Callable[[], bool] = lambda: False) -> PostgresQueue:
        """Its runs, for one process."""
        return PostgresQueue(
            self.server,
            self.workspace,
            self.plan.study,
            self.plan.runs,
            timing=self.timing,
            shared=self.shared,
            stopping=stopping,
        )


def create_tables(server: Server) -> None:
    """Make what is missing of our tables. Raises :class:`StorageError`."""
    for statement in _TABLES:
        try:
            server.call(lambda c, s=statement: c.execute(s))  # type: ignore[misc]
        except StorageError:  # two processes made it at the same moment: the catalogue refuses one
            server.call(lambda c, s=statement: c.execute(s))  # type: ignore[misc]


def plan_study(
    server: Server,
    workspace: Workspace,
    plan: StoredPlan,
    spec: StudySpec,
    *,
    shared: bool = False,
    lease: float = 60.0,
    retry_failed: bool = False,
) -> Joined:
    """Put a study's runs on the server, those that need computing as waiting. Idempotent, by anyone.

    Raises :class:`StorageError` if workers are at it with another plan, or with results elsewhere.
    """
    create_tables(server)
    present = server.call(
        lambda c: c.execute(
            "SELECT digest, folder FROM ablate_study WHERE name = %s", (plan.study,)
        ).fetchone()
    )
    busy = bool(_workers(server, plan.study, lease))
    if present and present[0] != plan.digest and busy:
        raise StorageError(
            f"workers are at '{plan.study}' with another plan",
            where=server.address.public,
            hint="wait for them, stop them, or give this study another name",
        )
    folder = _folder_id(workspace, create=True) if shared else None
    if present and busy and present[1] != folder:
        raise StorageError(
            f"workers are at '{plan.study}' with results in another place",
            where=server.address.public,
            hint="start it with --shared-folder on that folder, or without, as they were",
        )
    content = (
        plan.study,
        plan.digest,
        dump_plan(plan),
        spec.text.encode(),
        spec.invocation.to_json().encode(),
    )
    keys = [run.key for run in plan.runs]

    def put(connection: Any) -> None:
        connection.execute(
            "INSERT INTO ablate_study VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT (name) DO UPDATE SET "
            "digest = excluded.digest, plan = excluded.plan, spec = excluded.spec, "
            "invocation = excluded.invocation, folder = excluded.folder, lease = excluded.lease",
            (*content, folder, lease),
        )
        with connection.cursor() as cursor:
            cursor.executemany(_PLAN_RUN, [(plan.study, key, i) for i, key in enumerate(keys)])
        connection.execute(
            "UPDATE ablate_run SET state = 'withdrawn' WHERE study = %s AND state = 'waiting' "
            "AND NOT key = ANY(%s)",
            (plan.study, keys),
        )
        connection.execute(
            "UPDATE ablate_run SET state = 'waiting', attempt = 1, expiries = 0 WHERE study = %s "
            "AND state = 'failed' AND (kind = ANY(%s) OR %s) AND key = ANY(%s)",
            (plan.study, list(NOT_ITS_FAULT), retry_failed, keys),
        )

    server.call(put)
    _remember(workspace, server)
    joined = Joined(server, workspace, plan, Timing.of(lease), shared)
    return replace(joined, notes=_renew_lost(joined))


def _renew_lost(joined: Joined) -> tuple[str, ...]:
    """Compute again what is recorded as done but lies nowhere any more, or damaged; returns what to say."""
    done = [key for key, files in _done(joined.server, joined.plan.study) if files is None]
    damaged = set_aside_damaged(joined.workspace, done)
    keys = [key for key in done if not joined.workspace.committed(key)]
    if keys:
        joined.server.call(
            lambda c: c.execute(
                "UPDATE ablate_run SET state = 'waiting' "
                "WHERE study = %s AND key = ANY(%s) AND state = 'done'",
                (joined.plan.study, keys),
            )
        )
    return tuple(damaged)


def join_study(server: Server, study: str, root: Path) -> Joined:
    """A study that is planned on the server, with plan and spec written to ``root/<study>``.

    Raises :class:`StorageError` if the server has none of that name, or its results belong in a shared
    folder that this one is not.
    """
    create_tables(server)
    row = server.call(
        lambda c: c.execute(
            "SELECT plan, spec, invocation, folder, lease FROM ablate_study WHERE name = %s", (study,)
        ).fetchone()
    )
    if row is None:
        known = server.call(lambda c: c.execute("SELECT name FROM ablate_study ORDER BY name").fetchall())
        raise StorageError(
            f"no study '{study}'",
            where=server.address.public,
            hint=f"known: {', '.join(name for (name,) in known) or 'none yet'}; "
            "plan it with: ablate run STUDY.yaml --storage ...",
        )
    plan, spec, invocation, folder, lease = row
    workspace = Workspace(root / study)
    workspace.create()
    if folder is not None and _folder_id(workspace, create=False) != folder:
        raise StorageError(
            f"'{study}' keeps its results in a shared folder, and this is not it",
            where=str(workspace.study_dir),
            hint="name it with --results; or plan the study without --shared-folder",
        )
    for path, content in (
        (workspace.plan, plan),
        (workspace.spec, spec),
        (workspace.invocation, invocation),
    ):
        if not path.is_file() or path.read_bytes() != bytes(content):
            write_bytes(path, bytes(content))
    _remember(workspace, server)
    return Joined(server, workspace, load_plan(workspace), Timing.of(lease), folder is not None)


def fetch_results(joined: Joined) -> int:
    """Bring every finished run into the study's folder, checked; returns how many came."""
    came = 0
    for key, files in _done(joined.server, joined.plan.study):
        place = joined.workspace.run_dir(key)
        if joined.workspace.committed(key) and damage(place, key) is not None:
            set_aside(joined.workspace, key)
        if files is not None and not joined.workspace.committed(key):
            artifacts.fetch(joined.server, joined.workspace, key, files)
            came += 1
    return came


def _done(server: Server, study: str) -> list[tuple[str, Mapping[str, str] | None]]:
    rows = server.call(
        lambda c: c.execute(
            "SELECT key, files FROM ablate_run WHERE study = %s AND state = 'done'", (study,)
        ).fetchall()
    )
    return [(key, decode(files)) for key, files in rows]


# --- where a study's claims stand ----------------------------------------------------------------


def _remember(workspace: Workspace, server: Server) -> None:
    write_text(workspace.study_dir / _STORAGE, dumps({"storage": server.address.public}))


def remembered(study_dir: Path) -> str | None:
    """The server (without password) that a study's folder says holds its claims; None: its journal."""
    found = (read_json(study_dir / _STORAGE) or {}).get("storage")
    return None if found is None else str(found)


def _folder_id(workspace: Workspace, *, create: bool) -> str | None:
    path = workspace.study_dir / _FOLDER
    if not path.is_file():
        if not create:
            return None
        write_text(path, uuid.uuid4().hex)
    return path.read_text(encoding="utf-8")


# --- who is at work ------------------------------------------------------------------------------


def announce(
    server: Server, study: str, worker: str, session: str, job: str, said: Mapping[str, Any]
) -> None:
    """Tell everyone who this worker is, where, and on what. Never waits for a server that is away."""
    with contextlib.suppress(StorageError):
        server.call(
            lambda c: c.execute(
                "INSERT INTO ablate_worker VALUES (%s, %s, %s, %s, %s, clock_timestamp(), %s) "
                "ON CONFLICT (study, worker) DO UPDATE SET seen = clock_timestamp(), said = excluded.said",
                (study, worker, session, socket.gethostname(), job, dumps(said)),
            ),
            patience=0.0,
        )


def depart(server: Server, study: str, worker: str) -> None:
    """Take a worker off the list."""
    with contextlib.suppress(StorageError):
        server.call(
            lambda c: c.execute(
                "DELETE FROM ablate_worker WHERE study = %s AND worker = %s", (study, worker)
            ),
            patience=0.0,
        )


def _workers(server: Server, study: str, lease: float) -> list[tuple[Any, ...]]:
    """Worker, session, host, job, what it said and how many seconds ago, of the living."""
    return server.call(
        lambda c: c.execute(
            "SELECT worker, session, host, job, said, extract(epoch FROM clock_timestamp() - seen)::float8 "
            "FROM ablate_worker WHERE study = %s AND seen > clock_timestamp() - %s * interval '1 second' "
            "ORDER BY worker",
            (study, lease),
        ).fetchall()
    )


def living(joined: Joined) -> list[tuple[Any, ...]]:
    """Of all machines."""
    return _workers(joined.server, joined.plan.study, joined.timing.lease)


def rows(joined: Joined) -> dict[str, tuple[Any, ...]]:
    """Key -> state, attempt, owner, reason, seconds, files, lease expired or not, kind of failure."""
    found = joined.server.call(
        lambda c: c.execute(
            "SELECT key, state, attempt, owner, reason, seconds, files IS NOT NULL, "
            "lease < clock_timestamp(), kind FROM ablate_run WHERE study = %s",
            (joined.plan.study,),
        ).fetchall()
    )
    return {row[0]: row[1:] for row in found}
