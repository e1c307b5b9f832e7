"""Behavioural: what a folder lies on, by injected tables of mounts, and who may share a journal there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ablate.running.file_systems import (
    RECORD,
    Mount,
    against_sharing,
    check_shared_journal,
    file_system,
    mounted,
)
from model.errors import ConfigError


def table(fstype: str, at: Path) -> list[Mount]:
    return [
        Mount("/dev/sda1", "/", "ext4"),
        Mount("server:/export", str(at), fstype),
        Mount("/dev/sdb1", f"{at}-other", "xfs"),
    ]


@pytest.mark.parametrize(
    ("fstype", "kind", "shared", "loses"),
    [
        ("nfs", "NFS", True, True),
        ("nfs4", "NFS", True, True),
        ("cifs", "SMB", True, True),
        ("lustre", "Lustre", True, False),
        ("beegfs", "BeeGFS", True, False),
        ("gpfs", "GPFS", True, False),
        ("xfs", "xfs", False, False),
    ],
)
def test_kinds_are_told_apart(tmp_path: Path, fstype: str, kind: str, shared: bool, loses: bool) -> None:
    found = file_system(tmp_path / "results" / "deep", lambda: table(fstype, tmp_path))
    assert (found.kind, found.shared, found.loses_locks) == (kind, shared, loses)
    assert (found.device, found.mountpoint) == ("server:/export", str(tmp_path))


def test_the_innermost_mount_counts_and_of_two_at_one_place_the_later(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    mounts = [Mount("a", str(inner), "lustre"), Mount("b", str(tmp_path), "nfs"), Mount("c", "/", "ext4")]
    assert file_system(inner / "results", lambda: mounts).kind == "Lustre"
    assert file_system(tmp_path / "inner2", lambda: mounts).kind == "NFS"
    hidden = [*mounts, Mount("d", str(inner), "gpfs")]
    assert file_system(inner, lambda: hidden).device == "d"


def test_a_link_lies_where_it_leads(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "near").symlink_to(tmp_path / "far")
    mounts = table("nfs4", tmp_path / "far")
    assert file_system(tmp_path / "near" / "results", lambda: mounts).kind == "NFS"


def test_this_host_has_a_table(tmp_path: Path) -> None:
    assert mounted()
    assert file_system(tmp_path).kind not in ("", "unknown")


def record(root: Path, **changes: object) -> None:
    content = {"holds": True, "kind": "Lustre", "device": "server:/export", **changes}
    (root / RECORD).write_text(json.dumps(content))


def test_a_journal_is_shared_only_where_a_probe_says_so(tmp_path: Path) -> None:
    def lustre() -> list[Mount]:
        return table("lustre", tmp_path)

    assert "no probe has shown" in (against_sharing(tmp_path, lustre) or "")
    record(tmp_path)
    assert against_sharing(tmp_path, lustre) is None
    record(tmp_path, holds=False)
    assert "do not hold" in (against_sharing(tmp_path, lustre) or "")
    record(tmp_path, device="elsewhere:/export")
    assert "another file system" in (against_sharing(tmp_path, lustre) or "")
    (tmp_path / RECORD).write_text("{")
    assert "no probe has shown" in (against_sharing(tmp_path, lustre) or "")


def test_on_nfs_no_probe_helps(tmp_path: Path) -> None:
    def nfs() -> list[Mount]:
        return table("nfs4", tmp_path)

    record(tmp_path, kind="NFS")
    with pytest.raises(ConfigError, match=r"lies on NFS.*can be lost unnoticed") as caught:
        check_shared_journal(tmp_path, "--slurm", nfs)
    assert "--storage postgresql://" in str(caught.value)
    assert "--probe" not in str(caught.value)


def test_the_way_out_is_a_server_or_a_probe(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--storage postgresql://.*--probe.*on two hosts"):
        check_shared_journal(tmp_path, "--slurm", lambda: table("beegfs", tmp_path))
