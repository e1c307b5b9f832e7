"""Behavioural: folders that appear in one step."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ablate.running.files import clone_folder, file_stats, move_into_place


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


def test_the_files_of_a_folder_are_each_asked_for_once_and_may_vanish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "study"
    (folder / "runs" / "empty").mkdir(parents=True)
    (folder / "runs" / "a").write_text("aa")
    (folder / "b").write_text("b")
    (folder / "dangling").symlink_to("nowhere")
    (folder / "going").write_text("gone")
    asked: list[str] = []
    ask = Path.stat

    def stat(path: Path, **options: bool) -> os.stat_result:
        asked.append(path.name)
        if path.name == "going":
            path.unlink(missing_ok=True)
        return ask(path, **options)

    monkeypatch.setattr(Path, "stat", stat)
    assert sorted(file.st_size for file in file_stats(folder)) == [1, 2]
    assert sorted(set(asked) - {"study"}) == ["a", "b", "dangling", "going"]
    assert all(asked.count(name) == 1 for name in ("a", "b", "going"))


def test_a_file_is_its_own_and_what_is_not_there_holds_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("aaa")
    assert [file.st_size for file in file_stats(tmp_path / "a")] == [3]
    assert list(file_stats(tmp_path / "b")) == []
