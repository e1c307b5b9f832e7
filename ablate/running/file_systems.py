"""What kind of file system a folder lies on, and whether several hosts may share a study's journal there.

The journal rests on locks (see :mod:`ablate.running.locks`). Between hosts these hold on some file systems,
depending on how they are mounted, and nothing but trying shows it (:mod:`ablate.running.probe`). On some
they can be lost unnoticed, which no trial can exclude: these are refused whatever a probe has found.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import psutil

from model.errors import ConfigError
from model.files import read_json

RECORD = ".probe.json"
"""In a results folder: what a probe between two hosts has found there."""

_NAMES = {
    "nfs": "NFS",
    "nfs4": "NFS",
    "cifs": "SMB",
    "smb3": "SMB",
    "smbfs": "SMB",
    "fuse.sshfs": "SSHFS",
    "lustre": "Lustre",
    "beegfs": "BeeGFS",
    "fhgfs": "BeeGFS",
    "gpfs": "GPFS",
    "ceph": "CephFS",
    "fuse.ceph-fuse": "CephFS",
    "fuse.glusterfs": "GlusterFS",
    "gfs2": "GFS2",
    "ocfs2": "OCFS2",
    "pvfs2": "OrangeFS",
    "wekafs": "WekaFS",
}
"""File systems that several hosts may mount, by what the kernel calls them; all others are one host's."""
_LOSES_LOCKS = frozenset({"NFS", "SMB", "SSHFS"})
"""A server or a connection that starts anew may forget locks, and their holders hear nothing of it."""


class Mount(NamedTuple):
    """A line of the table of mounts."""

    device: str
    mountpoint: str
    fstype: str


def mounted() -> list[Mount]:
    """The table of mounts of this host, in its order."""
    return [Mount(part.device, part.mountpoint, part.fstype) for part in psutil.disk_partitions(all=True)]


Mounts = Callable[[], Sequence[Mount]]


@dataclass(frozen=True)
class FileSystem:
    """What a folder lies on."""

    kind: str
    """As people call it: ``Lustre``; of one host's, as the kernel does: ``ext4``."""
    device: str
    mountpoint: str

    @property
    def shared(self) -> bool:
        """Whether other hosts may see the same files."""
        return self.kind in _NAMES.values()

    @property
    def loses_locks(self) -> bool:
        """Whether locks between hosts can be lost unnoticed."""
        return self.kind in _LOSES_LOCKS

    def __str__(self) -> str:
        return f"{self.kind}, mounted at {self.mountpoint}"


def file_system(folder: Path, mounts: Mounts = mounted) -> FileSystem:
    """What ``folder``, or the nearest of its parents that exists, lies on."""
    place = folder.resolve()
    found = Mount("", "/", "unknown")
    for mount in mounts():  # of two at one place the later one hides the earlier
        inside = place == Path(mount.mountpoint) or Path(mount.mountpoint) in place.parents
        if inside and len(mount.mountpoint) >= len(found.mountpoint):
            found = mount
    return FileSystem(_NAMES.get(found.fstype, found.fstype), found.device, found.mountpoint)


def against_sharing(root: Path, mounts: Mounts = mounted) -> str | None:
    """Why several hosts may not share the journals of studies in ``root``; None: a probe says they may."""
    here = file_system(root, mounts)
    if here.loses_locks:
        return f"{root} lies on {here.kind}, where locks between hosts can be lost unnoticed"
    record = read_json(root / RECORD)
    if record is None:
        return f"no probe has shown that locks in {root} ({here.kind}) hold between hosts"
    if (record.get("kind"), record.get("device")) != (here.kind, here.device):
        return f"the probe in {root} was made on another file system ({record.get('kind')})"
    if record.get("holds") is not True:
        return f"a probe has shown that locks in {root} ({here.kind}) do not hold between hosts"
    return None


def check_shared_journal(root: Path, what: str, mounts: Mounts = mounted) -> None:
    """Refuse ``what`` where several hosts may not share the journals of ``root``: a ConfigError."""
    against = against_sharing(root, mounts)
    if against is None:
        return
    way_out = "add --storage postgresql://user@host/database (docs/cluster.md says how to start one)"
    if not file_system(root, mounts).loses_locks:
        way_out += f", or start `ablate doctor --probe {root}` on two hosts at the same time"
    raise ConfigError(f"{what} needs a queue that several hosts can share: {against}", hint=way_out)
