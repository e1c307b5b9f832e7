"""Behavioural: locks between real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ablate.running.locks import KernelLock, is_held, locked
from model.errors import StorageError


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds ``tmp_path/x.lock``."""
    code = (
        "import sys, time; from pathlib import Path; from ablate.running.locks import KernelLock; "
        "lock = KernelLock(Path(sys.argv[1])); print(lock.try_acquire(), flush=True); time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "x.lock")],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "True"
    yield process
    process.kill()
    process.wait()


def test_a_lock_is_exclusive_and_dies_with_its_owner(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    path = tmp_path / "x.lock"
    lock = KernelLock(path)
    assert is_held(path)
    assert not lock.try_acquire()
    with pytest.raises(StorageError, match="locked by "):
        locked(path, timeout=0.05)
    holder.kill()
    holder.wait()
    assert not is_held(path)
    assert lock.try_acquire()
    assert lock.valid()


@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="the kernel does not list locks here")
def test_a_stopped_holder_is_named(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    os.kill(holder.pid, signal.SIGSTOP)
    try:
        os.waitid(os.P_PID, holder.pid, os.WSTOPPED | os.WNOWAIT)
        with pytest.raises(StorageError, match=rf"locked by process {holder.pid} \(stopped\).*kill -CONT"):
            locked(tmp_path / "x.lock", timeout=0.05)
    finally:
        os.kill(holder.pid, signal.SIGCONT)


def test_asking_whether_a_lock_is_held_does_not_look_like_holding_it(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    assert not is_held(path)
    assert not path.exists()
    lock = KernelLock(path)
    assert lock.try_acquire()
    lock.release()
    assert not is_held(path)


def test_a_lock_whose_file_was_replaced_is_not_valid(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    first, second = KernelLock(path), KernelLock(path)
    assert first.try_acquire()
    path.unlink()
    assert not first.valid()
    assert second.try_acquire()
    assert second.valid()
    assert not first.valid()


def test_a_lock_where_none_can_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot be locked"):
        KernelLock(tmp_path / "file" / "x.lock").try_acquire()
