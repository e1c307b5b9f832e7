"""Folders that appear by one rename, or as a copy that costs no space, and what they hold.

Files: :mod:`model.files`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from ablate.running.folder import CHECKPOINT


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


def file_stats(place: Path) -> Iterator[os.stat_result]:
    """Size and times of each file below a folder, or of ``place`` itself if it is a file.

    Each is asked for once; what vanishes meanwhile (others are at work) is passed over.
    """
    below = (Path(folder, name) for folder, _, names in os.walk(place) for name in names)
    for path in below if place.is_dir() else [place]:
        with contextlib.suppress(FileNotFoundError):
            found = path.stat()
            if stat.S_ISREG(found.st_mode):
                yield found
