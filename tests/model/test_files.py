"""Behavioural: files that are replaced in one step."""

from __future__ import annotations

from pathlib import Path

import pytest

from model.errors import StorageError
from model.files import drop_drafts, read_json, replacing, write_bytes, write_text


def test_writing_replaces_in_one_step_and_leaves_nothing_behind(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "one")
    write_text(tmp_path / "a", "two")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text() == "two"
    (tmp_path / "f").touch()
    with pytest.raises(StorageError, match="cannot be written"):
        write_text(tmp_path / "f" / "a", "x")


def test_what_fails_half_way_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a"
    write_bytes(path, b"old")

    def write_half() -> None:
        with replacing(path) as stream:
            stream.write(b"ne")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_half()
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in path.parent.iterdir()] == ["a"]


def test_the_draft_of_a_killed_process_is_dropped(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "whole")
    with replacing(tmp_path / "a") as stream:
        stream.write(b"another")
        (draft,) = tmp_path.glob(".a.*")
        kept = draft.read_bytes()
    draft.write_bytes(kept)  # as if the process had died before the rename
    drop_drafts(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("content", [None, b"{", b"[1]", b"\xff", b"{}"])
def test_only_an_object_is_read(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "a").write_bytes(content)
    assert read_json(tmp_path / "a") == ({} if content == b"{}" else None)
