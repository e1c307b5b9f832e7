"""Where everything of a study lies on disk, and how files get there whole or not at all.

    results/                      root: studies here reuse each other's runs
      .locks/<key>.lock           held by the process that computes that run, whatever its study
      <study>/
        spec.yaml  plan.json      what is to be run: as written, and fully resolved
        search.json  search.csv   of a search: what it looks for, and what it has tried
        optuna.journal            every attempt at every run, and how it ended
        runs/<key>/               committed runs: appear by one rename, never change afterwards
        runs.csv                  tidy long frame of all committed runs, remade at will
        report/  logs/<key>.log
        .lock                     short critical sections (planning, claiming)
        .attempts/<key>/          a run in the making; stable, so that its checkpoint is found again
        .workers/                 sessions (supervisors) and workers: live state for ``status``

``runs/`` is the truth: the journal can be lost and is rebuilt from it. No torch, pandas or Optuna
here.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from ablate.study.plan import Plan, PlanRow, Run
from model.config import build_config, dump_config
from model.data.config import DataConfig
from model.errors import StorageError

PLAN_SCHEMA = 1
CHECKPOINT = "checkpoint.pt"
ATTEMPT = "attempt.json"

_DATA: TypeAdapter[DataConfig] = TypeAdapter(DataConfig)
_DISK_HINTS: Mapping[int | None, str] = {
    errno.ENOSPC: "free some space and run again: finished runs are kept",
    errno.EDQUOT: "the quota is used up: free some space and run again, finished runs are kept",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "check the permissions of the results folder",
}


@dataclass(frozen=True)
class Workspace:
    """The paths of one study; ``study_dir`` is ``results/<study>``."""

    study_dir: Path

    @property
    def root(self) -> Path:
        """The results root, shared by all studies that may reuse each other's runs."""
        return self.study_dir.parent

    @property
    def spec(self) -> Path:
        """Verbatim copy of the study file."""
        return self.study_dir / "spec.yaml"

    @property
    def plan(self) -> Path:
        """The resolved plan."""
        return self.study_dir / "plan.json"

    @property
    def journal(self) -> Path:
        """Optuna's journal."""
        return self.study_dir / "optuna.journal"

    @property
    def runs(self) -> Path:
        """Committed runs."""
        return self.study_dir / "runs"

    @property
    def search(self) -> Path:
        """What a search looks for; only in a study that is one."""
        return self.study_dir / "search.json"

    @property
    def search_frame(self) -> Path:
        """The configurations a search has tried."""
        return self.study_dir / "search.csv"

    def search_lock(self, number: int) -> Path:
        """Lock of one configuration of a search."""
        return self.study_dir / ".search" / f"{number}.lock"

    @property
    def frame(self) -> Path:
        """The tidy frame."""
        return self.study_dir / "runs.csv"

    @property
    def logs(self) -> Path:
        """One log per run, one per worker."""
        return self.study_dir / "logs"

    @property
    def attempts(self) -> Path:
        """Runs in the making."""
        return self.study_dir / ".attempts"

    @property
    def workers(self) -> Path:
        """Sessions and workers."""
        return self.study_dir / ".workers"

    @property
    def lock(self) -> Path:
        """Lock of the study's short critical sections."""
        return self.study_dir / ".lock"

    def run_dir(self, key: str) -> Path:
        """Folder of a committed run."""
        return self.runs / key

    def attempt_dir(self, key: str) -> Path:
        """Folder of a run in the making."""
        return self.attempts / key

    def log(self, key: str) -> Path:
        """Log of all attempts at a run."""
        return self.logs / f"{key}.log"

    def key_lock(self, key: str) -> Path:
        """Lock of a run's key, common to all studies of the root."""
        return self.root / ".locks" / f"{key}.lock"

    def session_lock(self, session: str) -> Path:
        """Lock held by a supervisor for its whole life."""
        return self.workers / f"{session}.lock"

    def session_file(self, session: str) -> Path:
        """A supervisor's options and identity."""
        return self.workers / f"{session}.session.json"

    def worker_file(self, worker: str) -> Path:
        """A worker's live state."""
        return self.workers / f"{worker}.worker.json"

    def committed(self, key: str) -> bool:
        """Whether the run is finished in this study."""
        return self.run_dir(key).is_dir()

    def found_elsewhere(self, key: str) -> Path | None:
        """The same run, committed by another study of this root; None if there is none."""
        candidates = sorted(self.root.glob(f"*/runs/{key}"))
        return next((path for path in candidates if path != self.run_dir(key)), None)

    def available(self, key: str) -> bool:
        """Whether the run need not be computed: finished here or in another study of the root."""
        return self.committed(key) or self.found_elsewhere(key) is not None

    def create(self) -> None:
        """Make the study's folders.

        Raises :class:`StorageError` if they cannot be made.
        """
        with storage_errors(self.study_dir):
            for folder in (self.runs, self.logs, self.attempts, self.workers):
                folder.mkdir(parents=True, exist_ok=True)


@dataclass(frozen=True)
class StoredPlan:
    """What ``plan.json`` says: all that running and collecting need, without the study file."""

    study: str
    """The study's name."""
    primary: str
    """Metric summarised in the journal and shown in progress lines."""
    runs: tuple[Run, ...]
    """Distinct runs, in the order in which they are claimed."""
    rows: tuple[PlanRow, ...]
    """All cells of the study; several may share a key."""
    search: str | None
    """Digest of the search that this study is; None if it is not one."""
    selected_on_reported: bool
    """Whether its winner was chosen on the images that its tables report; they must say so."""
    digest: str
    """Hash of the above; two supervisors work together only if theirs agree."""

    @property
    def factors(self) -> tuple[str, ...]:
        """Dotted names of the factors, in order of appearance."""
        return tuple(dict.fromkeys(name for row in self.rows for name in row.factors))


def encode_plan(plan: Plan) -> tuple[str, StoredPlan]:
    """The text of ``plan.json``, and what it says."""
    return encode_parts(plan.spec.study, plan.spec.report.primary, plan.runs, plan.rows)


def encode_parts(
    study: str,
    primary: str,
    runs: Sequence[Run],
    rows: Sequence[PlanRow],
    *,
    search: str | None = None,
    selected_on_reported: bool = False,
) -> tuple[str, StoredPlan]:
    """The same from its parts (a search tabulates runs that its study file does not list)."""
    content = {
        "schema": PLAN_SCHEMA,
        "study": study,
        "primary": primary,
        "search": search,
        "selected_on_reported": selected_on_reported,
        "runs": [dump_run(run) for run in runs],
        "rows": [{f.name: getattr(row, f.name) for f in fields(row)} for row in rows],
    }
    text = json.dumps(content, indent=1)
    return text, _parse_plan(text)


def write_plan(workspace: Workspace, text: str, spec_text: str | None = None) -> None:
    """Write ``plan.json`` and, if given, ``spec.yaml``, each in one step.

    Raises :class:`StorageError` if the disk refuses.
    """
    if spec_text is not None:
        write_text(workspace.spec, spec_text)
    write_text(workspace.plan, text)


def load_plan(workspace: Workspace) -> StoredPlan:
    """Read ``plan.json``.

    Raises :class:`StorageError` if it is missing, damaged or of another version.
    """
    try:
        return _parse_plan(workspace.plan.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StorageError(
            "no such study", where=str(workspace.study_dir), hint="start it with: ablate run STUDY.yaml"
        ) from None
    except OSError as error:
        raise StorageError(f"unreadable: {error.strerror}", where=str(workspace.plan)) from error
    except (ValueError, KeyError, TypeError) as error:
        raise StorageError(
            "damaged, or written by another version",
            where=str(workspace.plan),
            hint="run the study file again: finished runs are kept",
        ) from error


def _parse_plan(text: str) -> StoredPlan:
    content = json.loads(text)
    if content["schema"] != PLAN_SCHEMA:
        raise ValueError(f"plan schema {content['schema']}, not {PLAN_SCHEMA}")
    return StoredPlan(
        study=content["study"],
        primary=content["primary"],
        runs=tuple(load_run(run) for run in content["runs"]),
        rows=tuple(PlanRow(**row) for row in content["rows"]),
        search=content["search"],
        selected_on_reported=content["selected_on_reported"],
        digest=digest_of(text),
    )


def digest_of(text: str) -> str:
    """A short hash, to tell plans apart."""
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def dump_run(run: Run) -> dict[str, Any]:
    """Plain data of a run; ``load_run(dump_run(run)) == run``."""
    values: dict[str, Any] = {f.name: getattr(run, f.name) for f in fields(run)}
    values["config"] = dump_config(run.config)
    values["data"] = _DATA.dump_python(run.data, mode="json", by_alias=True)
    return values


def load_run(values: Mapping[str, Any]) -> Run:
    """Inverse of :func:`dump_run`."""
    plain = dict(values)
    plain["config"] = build_config(plain["config"])
    plain["data"] = _DATA.validate_json(json.dumps(plain["data"]), strict=True)
    plain["categories"] = tuple(plain["categories"])
    return Run(**plain)


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals into one :class:`StorageError` that names ``path``."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"cannot be written: {error.strerror or error}",
            where=str(error.filename or path),
            hint=_DISK_HINTS.get(error.errno),
        ) from error


def write_text(path: Path, text: str, *, durable: bool = True) -> None:
    """:func:`write_bytes` of ``text`` in UTF-8."""
    write_bytes(path, text.encode("utf-8"), durable=durable)


def write_bytes(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Replace ``path`` by ``content`` in one step: a reader sees the old or the new, never a part.

    ``durable``: also survive a power cut (fsync); not needed for live state.
    Raises :class:`StorageError` if the disk refuses.
    """
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
        try:
            with draft.open("wb") as stream:
                stream.write(content)
                if durable:
                    stream.flush()
                    os.fsync(stream.fileno())
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a JSON file; None if it is missing or unreadable (a crash may have left it so)."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def sync_folder(folder: Path) -> None:
    """Flush a folder's files and entries to disk, so that a following rename commits all of them."""
    for path in folder.rglob("*"):
        if path.name != CHECKPOINT:  # large, and of no use once the run is committed
            _fsync(path)
    _fsync(folder)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def move_into_place(draft: Path, target: Path) -> bool:
    """Rename the folder ``draft`` to ``target`` durably; False if ``target`` exists (the first wins).

    ``rename(2)`` refuses a non-empty target, which makes test and move one step.
    """
    sync_folder(draft)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        draft.rename(target)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return False
        raise
    _fsync(target.parent)
    return True


def clone_folder(source: Path, target: Path) -> None:
    """Copy a committed run, by hard links where the file system has them (the files never change)."""
    shutil.copytree(source, target, copy_function=_link_or_copy, dirs_exist_ok=True)


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except FileExistsError:
        pass
    except OSError:
        shutil.copy2(source, target)
