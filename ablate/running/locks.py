"""Locks whose owner's death is noticed by the kernel, not by a clock.

Invariants
----------
- A lock is an exclusive ``flock`` on an open file. It is held exactly as long as its owner lives: a
  killed process cannot leave one behind, and a slow one cannot lose its own. There is no lease to
  renew and no timeout to guess, so "the lock is free" *proves* that the owner is gone.
- A lock counts only while the locked inode is still the one found under its path; a file removed or
  replaced behind the owner's back makes :meth:`KernelLock.valid` false (and fences the owner).

This needs a file system with ``flock`` among the processes that share it: one machine, or several where
a probe between two hosts has shown that locks hold (:mod:`ablate.running.file_systems`). All others share
a server (:mod:`ablate.running.postgres`).

``filelock`` is not used here because it falls back to a plain marker file where ``flock`` is
missing, which a killed owner leaves behind for ever, and it has no test for "is it free?" that does
not look, to another tester, like an owner.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from pathlib import Path
from types import TracebackType

import psutil

from model.errors import StorageError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_HELD_ELSEWHERE = frozenset({errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK})
_POLL_SECONDS = 0.01


class KernelLock:
    """An exclusive lock on the file ``path`` (created if missing, never deleted by the lock)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd: int | None = None

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._fd is not None

    def try_acquire(self) -> bool:
        """Take the lock if nobody holds it; never waits.

        Raises :class:`StorageError` if the file system has no such locks or refuses the file.
        """
        if self._fd is not None:
            return False
        descriptor = _open_locked(self.path, shared=False)
        if descriptor is None:
            return False
        self._fd = descriptor
        if not self.valid():  # unlinked between open and flock
            self.release()
            return False
        return True

    def acquire(self, timeout: float) -> None:
        """Wait up to ``timeout`` seconds for the lock; raise :class:`StorageError` beyond that."""
        deadline = time.monotonic() + timeout
        while not self.try_acquire():
            if time.monotonic() > deadline:
                raise StorageError(
                    f"locked by {holder(self.path) or 'another process'} for more than {timeout:g} s",
                    where=str(self.path),
                    hint="a stopped process goes on with kill -CONT; kill -KILL loses nothing either",
                )
            time.sleep(_POLL_SECONDS)

    def valid(self) -> bool:
        """Whether this object holds the lock *and* the path still leads to the locked file."""
        if self._fd is None:
            return False
        try:
            mine, there = os.fstat(self._fd), self.path.stat()
        except OSError:
            return False
        return (mine.st_dev, mine.st_ino) == (there.st_dev, there.st_ino)

    def release(self) -> None:
        """Give the lock back; harmless if it is not held."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def __enter__(self) -> KernelLock:
        if not self.held:
            raise RuntimeError("enter a KernelLock only once it is acquired")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def locked(path: Path, timeout: float = 60.0) -> KernelLock:
    """An acquired lock, for ``with locked(path): ...``."""
    lock = KernelLock(path)
    lock.acquire(timeout)
    return lock


def is_held(path: Path) -> bool:
    """Whether some living process holds the lock on ``path``.

    Asks with a *shared* lock, so that two askers never take each other for an owner.
    """
    if not path.exists():
        return False
    descriptor = _open_locked(path, shared=True)
    if descriptor is None:
        return True
    os.close(descriptor)
    return False


def holder(path: Path) -> str:
    """``process 12 (stopped)``: who holds the lock on ``path``; empty where the kernel lists no locks."""
    try:
        inode = path.stat().st_ino
        lines = Path("/proc/locks").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    # 3: FLOCK  ADVISORY  WRITE 1234 08:01:5678 0 EOF
    fields = [line.split() for line in lines if " FLOCK " in line and "->" not in line]
    pids = [int(words[4]) for words in fields if int(words[5].rpartition(":")[2]) == inode]
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            return f"process {pid} ({psutil.Process(pid).status()})"
    return ""


def _open_locked(path: Path, *, shared: bool) -> int | None:
    """A descriptor of ``path`` with the lock on it, or None if another process has it."""
    if fcntl is None:
        raise StorageError("this system has no flock", hint="run studies on Linux, macOS or WSL")
    descriptor = -1
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        if descriptor >= 0:
            os.close(descriptor)
            if error.errno in _HELD_ELSEWHERE:
                return None
        raise StorageError(
            f"cannot be locked: {error.strerror}",
            where=str(path),
            hint="results need a writable file system with flock",
        ) from error
    return descriptor
