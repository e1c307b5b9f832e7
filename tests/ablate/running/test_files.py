"""Behavioural: folders that appear in one step."""

from __future__ import annotations

from pathlib import Path

from ablate.running.files import clone_folder, move_into_place


def test_of_two_folders_the_first_stays(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name / "deep").mkdir(parents=True)
        (tmp_path / name / "deep" / "file").write_text(name)
    assert move_into_place(tmp_path / "a", tmp_path / "runs" / "key")
    assert not move_into_place(tmp_path / "b", tmp_path / "runs" / "key")
    assert (tmp_path / "runs" / "key" / "deep" / "file").read_text() == "a"


def test_a_clone_shares_its_files_with_the_original(tmp_path: Path) -> None:
    source = tmp_path / "a" / "deep"
    source.mkdir(parents=True)
    (source / "file").write_text("x")
    clone_folder(tmp_path / "a", tmp_path / "b")
    clone_folder(tmp_path / "a", tmp_path / "b")  # a killed copy is continued
    assert (tmp_path / "b" / "deep" / "file").samefile(source / "file")
