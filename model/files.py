"""How files get to their place whole or not at all; used by everything that writes one.

A reader sees the old content or the new, never a part: what is written goes to a draft beside its
target, reaches the disk, and takes the target's name in one rename. A crash leaves at most the draft.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from model.errors import StorageError

_DISK_HINTS: Mapping[int | None, str] = {
    errno.ENOSPC: "free some space and run again: finished runs are kept",
    errno.EDQUOT: "the quota is used up: free some space and run again, finished runs are kept",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "check the permissions of the folder",
}


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


@contextlib.contextmanager
def replacing(path: Path, *, durable: bool = True) -> Iterator[BinaryIO]:
    """A stream whose content replaces ``path`` in one step, when the block ends without an error.

    ``durable``: also survive a power cut (fsync); not needed for live state. Folders are made.
    Raises OSError, for callers that have their own words; see :func:`write_bytes`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        with draft.open("wb") as stream:
            yield stream
            if durable:
                stream.flush()
                os.fsync(stream.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def drop_drafts(folder: Path) -> None:
    """Delete the drafts that a killed process left in ``folder``; nobody else may be writing there."""
    for draft in folder.glob(".*.tmp"):
        draft.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Replace ``path`` by ``content`` in one step. Raises :class:`StorageError` if the disk refuses."""
    with storage_errors(path), replacing(path, durable=durable) as stream:
        stream.write(content)


def write_text(path: Path, text: str, *, durable: bool = True) -> None:
    """The same for text, which is written as UTF-8."""
    write_bytes(path, text.encode("utf-8"), durable=durable)


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a JSON file; None if it is missing or unreadable (a crash may have left it so)."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None
