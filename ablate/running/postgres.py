"""The queue in PostgreSQL, for several machines.

One table of ours holds the leases; Optuna only optimises, SLURM only starts workers. Invariants:

1. A run is taken by one ``UPDATE`` of the first free row (``FOR UPDATE SKIP LOCKED``), which raises the
   row's *token*. Every later statement about the run names the token, so who has been overtaken changes
   nothing: 0 rows means fenced.
2. A lease ends by the *server's* clock alone. It is renewed from a thread of its own. Expiry has grace
   after a start of the server, when nobody could renew.
3. An attempt works in ``.attempts/<key>.<token>``, so a stopped worker that continues writes nowhere that
   its successor reads; it starts from a copy of the newest checkpoint before it.
4. Commit: in a shared folder, one rename to ``runs/<key>`` (the first wins; the manifest says whose it
   is), then a compare-and-set on the token. Without one, the files go to the database first, and the
   compare-and-set, which names their digests, is the commit.
5. Every statement may be sent again after a lost connection: all are idempotent. The server is waited for
   for ever, but not by a worker that has been asked to stop. No advisory locks: they die with a connection.
"""

from __future__ import annotations

import json
import math
import shutil
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import psutil

from ablate.running import artifacts
from ablate.running.attempt import Kind, run_label
from ablate.running.files import move_into_place
from ablate.running.folder import ATTEMPT, CHECKPOINT, Workspace
from ablate.running.lease import Lease, Timing
from ablate.running.locks import is_held
from ablate.running.manifest import MANIFEST, damage, seal, set_aside
from ablate.running.queue import Buried, Nothing
from ablate.running.server import Server
from ablate.running.session import WorkerId
from ablate.study.plan import Run
from model.files import read_json, storage_errors

STOPPING_PATIENCE = 10.0
"""Seconds that a worker which has been asked to stop waits for the server."""
MOST_EXPIRIES = 5
"""Leases of a run that may expire before it is suspected of taking its machines down."""


_FREE = """
    study = %(study)s AND (%(keys)s::text[] IS NULL OR key = ANY(%(keys)s)) AND (
        state = 'waiting'
        OR state = 'running' AND owner = %(owner)s
        OR state = 'running' AND lease < clock_timestamp()
            AND pg_postmaster_start_time() + %(grace)s * interval '1 second' < clock_timestamp())
"""
"""A running row under the asker's own name: the answer to an earlier take was lost on the way."""

_TAKE = f"""
UPDATE ablate_run SET token = token + 1, state = 'running', owner = %(owner)s, session = %(session)s,
    expiries = expiries + (state = 'running' AND owner IS DISTINCT FROM %(owner)s)::int,
    lease = clock_timestamp() + %(lease)s * interval '1 second', kind = NULL, reason = NULL
WHERE study = %(study)s AND key = (
    SELECT key FROM ablate_run WHERE {_FREE} ORDER BY position LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING key, token, attempt
"""

_GIVE_UP = """
UPDATE ablate_run SET state = 'failed', kind = 'died', owner = NULL,
    reason = 'the machines that computed it were lost ' || expiries || ' times'
WHERE study = %(study)s AND state = 'running' AND expiries >= %(most)s AND lease < clock_timestamp()
"""


class PostgresQueue:
    """The runs of a study that is planned on a server (see :mod:`ablate.running.cluster`).

    Parameters
    ----------
    runs: of the plan.
    shared: whether all workers share the study's folder; else files go through the server.
    stopping: whether this process has been asked to stop.
    said: what the worker shows of itself.
    """

    def __init__(
        self,
        server: Server,
        workspace: Workspace,
        study: str,
        runs: Sequence[Run],
        *,
        timing: Timing,
        shared: bool = False,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self.server = server
        self.workspace = workspace
        self.study = study
        self.timing = timing
        self.shared = shared
        self._stopping = stopping
        self._plan = runs
        self._runs = {run.key: run for run in runs}

    # --- taking ------------------------------------------------------------------------------

    def take(
        self, runs: Sequence[Run], worker: WorkerId, *, max_runs: int | None = None
    ) -> Lease | Nothing:
        """See :class:`~ablate.running.queue.Queue`. Runs that stand in the folder are settled at once."""
        keys = None if runs is self._plan else [run.key for run in runs]
        values = {
            **{"study": self.study, "keys": keys, "owner": str(worker), "session": worker.session},
            **{"lease": self.timing.lease, "grace": self.timing.grace, "most": MOST_EXPIRIES},
        }
        while not self._stopping():
            if max_runs is not None and self._started(worker.session) >= max_runs:
                return Nothing.LIMIT if self._left(values) else Nothing.DONE
            row = self._ask(_TAKE, values)
            if row is None and self._reclaimed():
                continue
            if row is None:
                return Nothing.BUSY if self._left(values) else Nothing.DONE
            key, token, number = row
            lease = Lease(self._runs[key], number, token, self.workspace.attempts, self._kept)
            if not self._settled(lease):
                return lease
        return Nothing.BUSY

    def _left(self, values: Mapping[str, Any]) -> bool:
        self._change(_GIVE_UP, values)
        row = self._ask(
            "SELECT 1 FROM ablate_run WHERE study = %(study)s AND state IN ('waiting', 'running') "
            "AND (%(keys)s::text[] IS NULL OR key = ANY(%(keys)s)) LIMIT 1",
            values,
        )
        return row is not None

    def _reclaimed(self) -> bool:
        """Put back what died on this machine together with its supervisor; whether there was something.

        Nobody else would before its lease is over; here the kernel says that both are gone.
        """
        found = self.server.call(
            lambda c: c.execute(
                "SELECT r.owner, r.session, w.said ->> 'pid' FROM ablate_run r JOIN ablate_worker w "
                "ON w.study = r.study AND w.worker = r.owner "
                "WHERE r.study = %s AND r.state = 'running' AND w.host = %s",
                (self.study, socket.gethostname()),
            ).fetchall(),
            patience=self._patience,
        )
        gone = [owner for owner, session, pid in found if self._gone(session, pid)]
        for owner in gone:
            self._put_back(owner)
        return bool(gone)

    def _gone(self, session: str, pid: str | None) -> bool:
        lock = self.workspace.session_lock(session)
        return lock.exists() and not is_held(lock) and pid is not None and not psutil.pid_exists(int(pid))

    def _started(self, session: str) -> int:
        row = self._ask(
            "SELECT count(*) FROM ablate_run WHERE study = %s AND session = %s", (self.study, session)
        )
        return int(row[0]) if row else 0

    def _settled(self, lease: Lease) -> bool:
        """Whether the run's folder stands already, of an owner that could not record it."""
        key = lease.run.key
        if not self.workspace.committed(key):
            return False
        folder = self.workspace.run_dir(key)
        if damage(folder, key) is not None:
            set_aside(self.workspace, key)
            return False
        self._record(lease, folder)
        return True

    # --- holding -----------------------------------------------------------------------------

    def _kept(self, lease: Lease) -> AbstractContextManager[Any]:
        """Beats from a thread, which training cannot starve: it sleeps in the kernel."""
        over = threading.Event()

        def keep() -> None:
            while not over.wait(self.timing.beat) and not self.beat(lease):
                pass

        stack = ExitStack()
        thread = threading.Thread(target=keep, name="beats", daemon=True)
        thread.start()
        stack.callback(over.set)
        return stack

    def beat(self, lease: Lease) -> bool:
        """Renew the lease; True if it is another's."""
        found = self._change(
            "UPDATE ablate_run SET lease = clock_timestamp() + %s * interval '1 second' "
            "WHERE study = %s AND key = %s AND token = %s AND state = 'running'",
            (self.timing.lease, self.study, lease.run.key, lease.token),
        )
        if not found:
            lease.lose()
        return not found

    # --- ends of an attempt ------------------------------------------------------------------

    def commit(self, lease: Lease) -> bool:
        """See :class:`~ablate.running.queue.Queue`."""
        folder, key = lease.attempt_dir, lease.run.key
        if self.beat(lease):
            shutil.rmtree(folder, ignore_errors=True)
            return False
        with storage_errors(folder):
            for scrap in (ATTEMPT, CHECKPOINT):
                (folder / scrap).unlink(missing_ok=True)
            seal(folder, key, code=lease.run.code_digest, token=str(lease.token), attempt=lease.number)
            if self.shared:
                self._publish(lease)
                won = self._record(lease, self.workspace.run_dir(key))
            else:
                won = self._record(lease, folder)
                if won:
                    self._publish(lease)
            shutil.rmtree(folder, ignore_errors=True)
            if won:
                for path in lease.earlier():
                    shutil.rmtree(path, ignore_errors=True)
        return won

    def _publish(self, lease: Lease) -> None:
        """Rename the attempt's folder to the run's; whatever sound folder is there already stays."""
        key, target = lease.run.key, self.workspace.run_dir(lease.run.key)
        if self.workspace.committed(key) and damage(target, key) is not None:
            set_aside(self.workspace, key)
        try:
            move_into_place(lease.attempt_dir, target)
        except OSError:  # a network's file system may have done it all the same
            manifest = read_json(target / MANIFEST) or {}
            if manifest.get("token") != str(lease.token):
                raise

    def _record(self, lease: Lease, folder: Path) -> bool:
        """The compare-and-set that ends the run; False if fenced. Also true when asked again."""
        files = None if self.shared else artifacts.upload(self.server, folder)
        provenance = read_json(folder / "provenance.json") or {}
        seconds = provenance.get("timings", {}).get("total")
        done = self._change(
            "UPDATE ablate_run SET state = 'done', files = %s, seconds = %s, ended = clock_timestamp() "
            "WHERE study = %s AND key = %s AND token = %s AND state IN ('running', 'done')",
            (None if files is None else json.dumps(files), seconds, self.study, lease.run.key, lease.token),
        )
        if not done:
            lease.lose()
        return bool(done)

    def fail(self, lease: Lease, kind: Kind, reason: str, seconds: float) -> bool:
        """See :class:`~ablate.running.queue.Queue`; a diverged attempt's folder goes."""
        if kind == "diverged":
            shutil.rmtree(lease.attempt_dir, ignore_errors=True)
            for path in lease.earlier():
                shutil.rmtree(path, ignore_errors=True)
        return bool(
            self._change(
                "UPDATE ablate_run SET state = 'failed', kind = %s, reason = %s, seconds = %s, "
                "ended = clock_timestamp() WHERE study = %s AND key = %s AND token = %s "
                "AND state IN ('running', 'failed')",
                (kind, reason, round(seconds, 3), self.study, lease.run.key, lease.token),
            )
        )

    def release(self, lease: Lease) -> bool:
        """See :class:`~ablate.running.queue.Queue`."""
        return bool(
            self._change(
                "UPDATE ablate_run SET state = 'waiting', owner = NULL WHERE study = %s AND key = %s "
                "AND token = %s AND (state = 'running' OR state = 'waiting')",
                (self.study, lease.run.key, lease.token),
            )
        )

    # --- deaths ------------------------------------------------------------------------------

    def bury(self, worker: WorkerId, kind: Kind, reason: str, *, retries: int) -> Buried | None:
        """See :class:`~ablate.running.queue.Queue`. Only a death counts against the retries."""
        left = self._ask(
            "SELECT key FROM ablate_run WHERE study = %s AND owner = %s AND state = 'running'",
            (self.study, str(worker)),
        )
        if left and self.workspace.committed(left[0]):  # it died between the rename and its record
            self.abandon(worker)
            return None
        row = self._ask(
            "UPDATE ablate_run SET owner = NULL, token = token + 1, kind = %(kind)s, reason = %(reason)s, "
            "state = CASE WHEN %(again)s AND attempt <= %(retries)s THEN 'waiting' ELSE 'failed' END, "
            "attempt = attempt + (%(again)s AND attempt <= %(retries)s)::int "
            "WHERE study = %(study)s AND owner = %(owner)s AND state = 'running' RETURNING key, state",
            {
                **{"kind": kind, "reason": reason, "again": kind == "died", "retries": retries},
                **{"study": self.study, "owner": str(worker)},
            },
        )
        if row is None:
            return None
        run = self._runs[row[0]]
        return Buried(run.key, run_label(run.variant, run.seed, run.category), row[1] == "waiting")

    def abandon(self, worker: WorkerId) -> None:
        """See :class:`~ablate.running.queue.Queue`."""
        self._put_back(str(worker))

    def _put_back(self, owner: str) -> None:
        self._change(
            "UPDATE ablate_run SET state = 'waiting', owner = NULL, token = token + 1 "
            "WHERE study = %s AND owner = %s AND state = 'running'",
            (self.study, owner),
        )

    # --- talking to the server ---------------------------------------------------------------

    def _ask(self, statement: str, values: Any) -> tuple[Any, ...] | None:
        """The first row of the answer."""
        return self.server.call(lambda c: c.execute(statement, values).fetchone(), patience=self._patience)

    def _change(self, statement: str, values: Any) -> int:
        """How many rows were changed."""
        return self.server.call(lambda c: c.execute(statement, values).rowcount, patience=self._patience)

    @property
    def _patience(self) -> float:
        return STOPPING_PATIENCE if self._stopping() else math.inf


def decode(files: Any) -> dict[str, str] | None:
    """The column ``files``: name -> sha256; None where the files are in the shared folder."""
    if files is None or isinstance(files, dict):
        return files
    return {str(name): str(digest) for name, digest in json.loads(files).items()}
