"""A study's litter: what dead or finished work left behind. Deletes only what no living process owns."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from ablate.running.files import file_stats
from ablate.running.folder import Workspace
from ablate.running.frame import frame_lock
from ablate.running.locks import KernelLock
from ablate.running.recorded import load_plan
from ablate.running.session import files_of_session, live_sessions
from model.files import storage_errors


@dataclass(frozen=True)
class Litter:
    """Something that may be deleted, and why."""

    path: Path
    why: str
    size: int
    """Bytes."""


def clean(study_dir: Path, dry: bool = True, *, interrupted: bool = False) -> list[Litter]:
    """What dead or finished work left behind; deletes it unless ``dry``. Never touches a live run.

    Attempts that can be continued are kept unless ``interrupted`` asks for them too. Each attempt is
    judged and deleted under its key's lock, so that nobody can take it up meanwhile.
    Raises :class:`StorageError` if the study is missing or something cannot be deleted.
    """
    workspace = Workspace(study_dir)
    plan = load_plan(workspace)
    wanted = {run.key for run in plan.runs}
    litter: list[Litter] = []
    for path in sorted(workspace.attempts.glob("*")):
        key = path.name.removesuffix(".reuse")
        lock = KernelLock(workspace.key_lock(key))
        if not lock.try_acquire():
            continue
        with lock:
            why = _attempt_litter(workspace, path, key, wanted, interrupted)
            if why:
                litter.append(dispose(path, why, dry))
    litter += _session_litter(workspace, dry)
    litter += _drafts(workspace, dry)
    for path in sorted(workspace.logs.glob("*.log")):
        if path.stem not in wanted and not path.name.startswith("worker-"):
            lock = KernelLock(workspace.key_lock(path.stem))
            if lock.try_acquire():
                with lock:
                    litter.append(dispose(path, "log of a run that is not in the plan", dry))
    return litter


def _attempt_litter(
    workspace: Workspace, path: Path, key: str, wanted: set[str], interrupted: bool
) -> str | None:
    """Why an attempt folder that nobody owns may go; None if it should stay."""
    if path.name != key:
        return "unfinished copy of another study's run"
    if workspace.committed(key):
        return "the run is finished"
    if key not in wanted:
        return "the run is not in the plan"
    return "interrupted attempt" if interrupted else None


def _session_litter(workspace: Workspace, dry: bool) -> list[Litter]:
    """Live files of supervisors and workers that are gone."""
    litter = []
    for path in sorted(workspace.workers.glob("*.lock")):
        lock = KernelLock(path)
        if not lock.try_acquire():
            continue
        with lock:
            files = files_of_session(workspace, path.stem)
            litter += [dispose(file, "its supervisor is gone", dry) for file in files]
    return litter


def _drafts(workspace: Workspace, dry: bool) -> list[Litter]:
    """Files of the study that a killed process was about to replace; whoever does so holds a lock."""
    locks = [KernelLock(workspace.lock), KernelLock(frame_lock(workspace.frame))]
    try:
        if live_sessions(workspace) or not all(lock.try_acquire() for lock in locks):
            return []
        drafts = sorted(workspace.study_dir.glob(".*.tmp"))
        return [dispose(path, "its writer was killed", dry) for path in drafts]
    finally:
        for lock in locks:
            lock.release()


def dispose(path: Path, why: str, dry: bool) -> Litter:
    """Something to delete, and its size; deletes it unless ``dry``."""
    item = Litter(path, why, sum(file.st_size for file in file_stats(path)))
    if not dry:
        with storage_errors(path):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    return item
