"""What a committed run consists of, so that nothing else is ever read as one.

``manifest.json`` is written into the attempt's folder just before the rename that commits it: key, code,
who computed it, and the sha256 of every file. A folder whose files do not agree with it, or that has
none, is *damaged*: named, moved to ``.damaged/`` and computed again, never read. Files that were added
later (``reused_from.json``) do not matter.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from ablate.running.folder import ATTEMPT, CHECKPOINT, REUSED, Workspace
from ablate.running.locks import KernelLock
from model.files import drop_drafts, read_json, storage_errors, write_text

MANIFEST = "manifest.json"
_NOT_OF_THE_RUN = (MANIFEST, ATTEMPT, CHECKPOINT, REUSED)


def seal(folder: Path, key: str, *, code: str = "", token: str = "", attempt: int = 1) -> None:
    """Write the manifest of a finished run. Raises OSError or StorageError if the disk refuses."""
    drop_drafts(folder)
    files = {
        path.relative_to(folder).as_posix(): _sha256(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in _NOT_OF_THE_RUN
    }
    content = {"key": key, "code": code, "token": token, "attempt": attempt, "files": files}
    write_text(folder / MANIFEST, json.dumps(content, indent=1))


def damage(folder: Path, key: str) -> str | None:
    """Why the committed folder must not be read as the run ``key``; None if it is sound.

    Looked at once per process.
    """
    try:
        stat = folder.stat()
    except OSError:
        return "it is gone"
    return _damage(folder, key, stat.st_ino, stat.st_mtime_ns)


@functools.lru_cache(maxsize=1 << 17)
def _damage(folder: Path, key: str, _inode: int, _changed: int) -> str | None:
    manifest = read_json(folder / MANIFEST)
    files = manifest.get("files") if manifest else None
    if not manifest or not isinstance(files, dict):
        return "it has no usable manifest.json"
    if manifest.get("key") != key:
        return f"its manifest is that of {manifest.get('key')}"
    for name, expected in files.items():
        try:
            found = _sha256(folder / name)
        except FileNotFoundError:
            return f"{name} is missing"
        except OSError as error:
            return f"{name} cannot be read ({error.strerror})"
        if found != expected:
            return f"{name} is not what was written"
    return None


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def sound_elsewhere(workspace: Workspace, key: str) -> Path | None:
    """The same run, committed by another study of this root and undamaged; None if there is none."""
    return next((path for path in workspace.elsewhere(key) if damage(path, key) is None), None)


def cached(workspace: Workspace, key: str) -> bool:
    """Whether the run need not be computed: it stands, undamaged, in this study or another."""
    own = workspace.committed(key) and damage(workspace.run_dir(key), key) is None
    return own or sound_elsewhere(workspace, key) is not None


def set_aside(workspace: Workspace, key: str) -> Path:
    """Move a damaged run to ``.damaged/``; the caller holds its key's lock. Raises StorageError."""
    folder = workspace.run_dir(key)
    place = workspace.study_dir / ".damaged"
    with storage_errors(place):
        place.mkdir(exist_ok=True)
        number = sum(1 for _ in place.glob(f"{key}.*"))
        return folder.rename(place / f"{key}.{number + 1}")


def set_aside_damaged(workspace: Workspace, keys: Iterable[str]) -> list[str]:
    """Check these committed runs, move away the damaged ones, and say so, a line each.

    Raises StorageError if one cannot be moved.
    """
    said = []
    for key in keys:
        if not workspace.committed(key):
            continue
        why = damage(workspace.run_dir(key), key)
        lock = KernelLock(workspace.key_lock(key))
        if why is None or not lock.try_acquire():
            continue
        with lock:
            place = set_aside(workspace, key)
        said.append(f"damaged: run {key}: {why}; moved to {place}, it is computed again")
    return said
