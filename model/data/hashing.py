"""Content hashes of files, remembered by path, size and times (a modification time can be set back)."""

from __future__ import annotations

import hashlib
import json
import stat as stat_module
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from model.data.images import orientation_of
from model.errors import DataError, StorageError
from model.files import read_json, replacing
from model.machine import available_cores

Progress = Callable[[int, int], None]
"""Called with (files hashed, files to hash)."""


def content_hash(path: Path) -> str:
    """blake2b of a file's contents, 32 hex digits. Raises OSError if it cannot be read."""
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def hash_file(path: Path) -> str:
    """What of a dataset's file determines a result: :func:`content_hash`, 32 hex digits.

    Images stored turned have another one: they were once read as stored, and what was computed of
    them then must not be taken for what is computed now.
    Raises :class:`DataError` naming the file if it is unreadable.
    """
    try:
        digest = content_hash(path)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from None
    if not _is_turned(path):
        return digest
    return hashlib.blake2b(f"upright {digest}".encode(), digest_size=16).hexdigest()


def _is_turned(path: Path) -> bool:
    try:
        return orientation_of(path) != 1
    except DataError:  # no image: who decodes it says so
        return False


class FileHashes:
    """Hashes of the files below one root, kept in ``cache_dir`` between calls.

    The memory is only a memory: a damaged or deleted one costs time, never correctness, and of two
    processes that write it at once the last one wins.
    """

    def __init__(self, cache_dir: Path, root: Path) -> None:
        self.root = root
        name = hashlib.blake2b(str(root).encode(), digest_size=8).hexdigest()
        self.path = cache_dir / "file-hashes-upright" / f"{name}.json"

    def _load(self) -> dict[str, list[int | str]]:
        return read_json(self.path) or {}

    def _save(self, known: dict[str, list[int | str]]) -> None:
        try:
            with replacing(self.path) as stream:
                stream.write(json.dumps(known, separators=(",", ":")).encode())
        except OSError as error:
            raise StorageError(f"cannot write to the cache folder {self.path.parent}: {error}") from None

    def of(self, paths: Iterable[Path], progress: Progress | None = None) -> dict[Path, str]:
        """Content hash of each path; only new and changed files are read.

        Raises :class:`DataError` naming a file that is missing or unreadable.
        """
        known = self._load()
        result: dict[Path, str] = {}
        fresh: list[tuple[Path, str, list[int | str]]] = []
        for path in dict.fromkeys(paths):
            try:
                stat = path.stat()
            except OSError as error:
                raise DataError(f"cannot read {path}: {error.strerror}") from None
            if not stat_module.S_ISREG(stat.st_mode):  # a device or a pipe may never end
                raise DataError(f"{path} is no regular file")
            key = path.relative_to(self.root).as_posix()
            stamp: list[int | str] = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]
            entry = known.get(key)
            if isinstance(entry, list) and entry[:3] == stamp and isinstance(entry[-1], str):
                result[path] = entry[-1]
            else:
                fresh.append((path, key, stamp))
        if fresh:
            # Reading dominates and hashlib releases the interpreter's lock: threads suffice.
            with ThreadPoolExecutor(max_workers=min(8, 2 * available_cores())) as pool:
                for done, ((path, key, stamp), digest) in enumerate(
                    zip(fresh, pool.map(hash_file, (path for path, _, _ in fresh)), strict=True), start=1
                ):
                    result[path] = digest
                    known[key] = [*stamp, digest]
                    if progress:
                        progress(done, len(fresh))
            self._save(known)
        return result
