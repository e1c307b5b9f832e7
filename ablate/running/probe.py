"""Do locks in a folder hold between two hosts? Found out by trying, from both at the same time.

Each side holds the lock once while the other tries to take it, and leaves a number behind that the other
must read once the lock is its own: a lock that excludes nobody, and a host that reads old files, both come
to light. The two speak through a file each, so whatever does not come across in time is an error.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import socket
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ablate.running.file_systems import RECORD, Mounts, file_system, mounted
from ablate.running.locks import KernelLock
from model.errors import ConfigError, StorageError
from model.files import read_json, write_text

FOLDER = ".probe"
PATIENCE = 120.0
"""Seconds that one side waits for the other; file systems may show a change half a minute late."""
_POLL = 0.05
_BEAT = 0.5


@dataclass(frozen=True)
class Host:
    """Who takes part."""

    name: str
    kernel: str
    """Of its present boot: two containers of one machine share it, and with it all locks."""


def this_host() -> Host:
    """The host that this process runs on."""
    name = socket.gethostname()
    boot = Path("/proc/sys/kernel/random/boot_id")
    with contextlib.suppress(OSError):
        return Host(name, boot.read_text(encoding="ascii").strip())
    return Host(name, name)


@dataclass(frozen=True)
class Found:
    """What a probe has found; kept in the folder as a record."""

    holds: bool
    """Whether either side's lock kept the other out, and what was written under it was read after it."""
    excluded: tuple[bool, bool]
    """Whether the lock of either side, the first in ``hosts`` first, kept the other out."""
    read: tuple[bool, bool]
    """Whether what either side wrote under it was read by the other once it had the lock."""
    hosts: tuple[str, str]
    kind: str
    device: str
    when: str


def probe(
    root: Path,
    *,
    host: Host | None = None,
    patience: float = PATIENCE,
    mounts: Mounts = mounted,
    say: Callable[[str], None] = lambda _: None,
    lock: Callable[[Path], KernelLock] = KernelLock,
) -> Found:
    """Try locks in ``root`` with whoever does so on another host, and record there what was found.

    Raises
    ------
    ConfigError: nobody else came, or from the same host, or the file system loses locks whatever is found.
    StorageError: the folder cannot be written to or locked in, or the other side fell silent.
    """
    here = file_system(root, mounts)
    if here.loses_locks:
        raise ConfigError(
            f"{root} lies on {here.kind}, where locks can be lost unnoticed: no probe shows that",
            hint="several hosts need --storage postgresql://...",
        )
    side = _Side(root / FOLDER, host or this_host(), patience)
    own = lock(side.folder / f"{side.token}.lock")
    try:
        own.try_acquire()  # where there are no locks at all it says so, before anybody waits
        say(f"waiting for `ablate doctor --probe {root}` on another host")
        other = side.meet()
        first = side.token < other["token"]
        if other["kernel"] == side.host.kernel:
            side.part(first=first)
            raise ConfigError(
                f"both probes run on {side.host.name}: of locks between hosts that shows nothing",
                hint="start one of them on another host",
            )
        excluded, read = (_lead if first else _follow)(side, lock(side.folder / "lock"))
        names = (side.host.name, str(other["host"]))
        found = Found(
            holds=all(excluded) and all(read),
            excluded=excluded,
            read=read,
            hosts=names if first else names[::-1],
            kind=here.kind,
            device=here.device,
            when=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        )
        write_text(root / RECORD, json.dumps(asdict(found), indent=1))
        side.part(first=first)
        return found
    finally:
        own.release()
        own.path.unlink(missing_ok=True)
        side.leave()


class _Side:
    """One of the two: what it says, and what it hears of the other."""

    def __init__(self, folder: Path, host: Host, patience: float) -> None:
        self.folder, self.host, self.patience = folder, host, patience
        self.token = secrets.token_hex(8)
        self._said: dict[str, Any] = {
            "token": self.token, "host": host.name, "kernel": host.kernel, "step": 0, "beat": 0,
        }  # fmt: skip
        self._beaten = 0.0
        self._other = ""

    def say(self, **what: Any) -> None:
        """Add to what the other side can read."""
        self._said.update(what)
        self._said["beat"] += 1
        self._beaten = time.monotonic()
        write_text(self._file(self.token), json.dumps(self._said))

    def meet(self) -> dict[str, Any]:
        """Find somebody who is there now, not one who was killed once; return what it says."""
        self.say()
        beats: dict[str, int] = {}

        def company() -> dict[str, Any] | None:
            for path in sorted(self.folder.glob("*.json")):
                said = read_json(path) or {}
                token, beat = str(said.get("token", self.token)), int(said.get("beat", 0))
                free = token != self.token and said.get("peer") in (None, self.token)
                if free and beats.setdefault(token, beat) != beat:
                    return said
            return None

        found = self._wait(company, "nobody else came")
        self._other = found["token"]
        self.say(peer=self._other)
        return self.hear(lambda said: said.get("peer") == self.token)

    def hear(self, fits: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Wait until what the other side says fits."""

        def heard() -> dict[str, Any] | None:
            said = read_json(self._file(self._other))
            return said if said is not None and fits(said) else None

        return self._wait(heard, "the other side fell silent")

    def step(self, number: int) -> dict[str, Any]:
        """Wait for the other side's step."""
        return self.hear(lambda said: int(said["step"]) >= number)

    def part(self, *, first: bool) -> None:
        """The last of the two takes the files away, once the other has read all that it needs."""
        if not first:
            self.say(step=8)
            return
        self.step(8)
        for path in (self._file(self._other), self.folder / "lock", self.folder / "number"):
            path.unlink(missing_ok=True)

    def leave(self) -> None:
        """Take one's own file away; before the end the other may still read it."""
        if int(self._said["step"]) != 8:
            self._file(self.token).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def _file(self, token: str) -> Path:
        return self.folder / f"{token}.json"

    def _wait(self, look: Callable[[], dict[str, Any] | None], otherwise: str) -> dict[str, Any]:
        until = time.monotonic() + self.patience
        while (found := look()) is None:
            if time.monotonic() > until:
                raise _silence(self.folder.parent, otherwise, self.patience)
            if time.monotonic() - self._beaten > _BEAT:
                self.say()
            time.sleep(_POLL)
        return found


def _silence(root: Path, what: str, patience: float) -> ConfigError | StorageError:
    if what.startswith("nobody"):
        return ConfigError(
            f"{what} in {patience:g} s",
            hint=f"start `ablate doctor --probe {root}` on two hosts at the same time, on the same folder",
        )
    return StorageError(f"{what} for {patience:g} s", where=str(root), hint="start both probes again")


def _lead(side: _Side, lock: KernelLock) -> tuple[tuple[bool, bool], tuple[bool, bool]]:
    """The side that holds the lock first. Returns what was excluded and read, its own lock's first."""
    lock.acquire(side.patience)
    number = _write(side)
    side.say(step=1, number=number)
    mine = bool(side.step(2)["excluded"])
    lock.release()
    side.say(step=3)
    reply = side.step(4)
    theirs = _kept_out(lock)
    side.say(step=5, excluded=theirs)
    side.step(6)
    lock.acquire(side.patience)
    read = _read(side) == reply["number"]
    lock.release()
    side.say(step=7, read=read)
    return (mine, theirs), (bool(reply["read"]), read)


def _follow(side: _Side, lock: KernelLock) -> tuple[tuple[bool, bool], tuple[bool, bool]]:
    """The side that holds it second; returns the same as the other."""
    said = side.step(1)
    theirs = _kept_out(lock)
    side.say(step=2, excluded=theirs)
    side.step(3)
    lock.acquire(side.patience)
    read = _read(side) == said["number"]
    side.say(step=4, read=read, number=_write(side))
    mine = bool(side.step(5)["excluded"])
    lock.release()
    side.say(step=6)
    return (theirs, mine), (read, bool(side.step(7)["read"]))


def _kept_out(lock: KernelLock) -> bool:
    """Whether the other side's lock excludes this one's."""
    taken = lock.try_acquire()
    lock.release()
    return not taken


def _write(side: _Side) -> str:
    """Leave a number in a file, written in place as a journal is."""
    number = secrets.token_hex(8)
    (side.folder / "number").write_text(number, encoding="ascii")
    return number


def _read(side: _Side) -> str:
    return (side.folder / "number").read_text(encoding="ascii")
