"""Behavioural: two processes, standing for two hosts, find out whether locks hold between them."""

from __future__ import annotations

import json
import multiprocessing
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from ablate.running.file_systems import RECORD, Mount, against_sharing
from ablate.running.locks import KernelLock
from ablate.running.probe import FOLDER, Host, probe
from model.errors import ConfigError, StorageError, UserError

CONTEXT = multiprocessing.get_context("spawn")
MOUNTS = [Mount("server:/export", "/", "lustre")]


class LocalLock(KernelLock):
    """A lock that the other host knows nothing of, as on a file system without locks between hosts."""

    def __init__(self, path: Path) -> None:
        super().__init__(path.with_name(f"{path.name}.{multiprocessing.current_process().name}"))


def mounts() -> list[Mount]:
    return MOUNTS


def side(root: Path, host: Host, lock: type[KernelLock], out: Connection) -> None:
    """One of the two probes, in a process of its own."""
    try:
        out.send(probe(root, host=host, lock=lock, mounts=mounts))
    except UserError as error:
        out.send(error)


def both(root: Path, hosts: tuple[Host, Host], lock: type[KernelLock] = KernelLock) -> list[Any]:
    """What two probes at the same time find."""
    pipes = [CONTEXT.Pipe(duplex=False) for _ in hosts]
    processes = [
        CONTEXT.Process(target=side, args=(root, host, lock, out), name=host.kernel)
        for host, (_, out) in zip(hosts, pipes, strict=True)
    ]
    for process in processes:
        process.start()
    found = [inner.recv() for inner, _ in pipes]
    for process in processes:
        process.join()
    return found


TWO = (Host("node1", "boot-1"), Host("node2", "boot-2"))


def test_locks_that_hold_are_found_to_hold_and_recorded(tmp_path: Path) -> None:
    one, other = both(tmp_path, TWO)
    assert one.holds and other.holds
    assert one.excluded == other.excluded == (True, True)
    assert one.read == other.read == (True, True)
    assert one.hosts == other.hosts and set(one.hosts) == {"node1", "node2"}
    assert json.loads((tmp_path / RECORD).read_text())["holds"] is True
    assert against_sharing(tmp_path, mounts) is None
    assert not (tmp_path / FOLDER).exists()


def test_locks_that_exclude_nobody_are_found_out(tmp_path: Path) -> None:
    found = both(tmp_path, TWO, LocalLock)
    assert [one.holds for one in found] == [False, False]
    assert found[0].excluded == (False, False)
    assert "do not hold" in (against_sharing(tmp_path, mounts) or "")


def test_two_probes_on_one_host_show_nothing(tmp_path: Path) -> None:
    found = both(tmp_path, (Host("a-container", "boot-1"), Host("another", "boot-1")))
    assert all(isinstance(error, ConfigError) for error in found), found
    assert "on another host" in str(found[0])
    assert not (tmp_path / RECORD).exists()


def test_who_stays_alone_is_told_what_to_do(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    killed = {"token": "0", "host": "node9", "kernel": "boot-9", "step": 0, "beat": 7}
    (tmp_path / FOLDER / "0.json").write_text(json.dumps(killed))  # of a probe that was killed once
    with pytest.raises(ConfigError, match=r"nobody else came.*on two hosts at the same time"):
        probe(tmp_path, patience=0.2)
    assert not (tmp_path / RECORD).exists()


def test_where_locks_get_lost_unnoticed_nothing_is_tried(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="lies on NFS, where locks can be lost unnoticed"):
        probe(tmp_path, mounts=lambda: [Mount("server:/export", "/", "nfs4")])
    assert not list(tmp_path.iterdir())


def test_a_folder_without_locks_says_so_at_once(tmp_path: Path) -> None:
    class Refused(KernelLock):
        def try_acquire(self) -> bool:
            raise StorageError("cannot be locked: Function not implemented", where=str(self.path))

    with pytest.raises(StorageError, match="Function not implemented"):
        probe(tmp_path, lock=Refused)
