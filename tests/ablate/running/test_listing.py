"""What ls knows of a study: from its files, whether it has runs, a report, claims or not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ablate.running.listing import listed


def test_a_published_folder_has_verdicts_age_and_size(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    (folder / "report").mkdir(parents=True)
    (folder / "runs.csv").write_text("x" * 100)
    claims = folder / "report" / "claims.csv"
    claims.write_text("claim,verdict\na > b,supported\nb > c,undecided\nc > d,supported\n")
    for path, at in ((folder / "runs.csv", 1000.0), (claims, 2000.0)):
        os.utime(path, (at, at))
    found = listed(folder, now=2060.0)
    assert (found.study, found.state) == ("s", None)
    assert found.verdicts == {"supported": 2, "undecided": 1}
    assert found.age == 60.0
    assert found.size == 100 + claims.stat().st_size


def test_a_file_that_vanishes_meanwhile_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "runs.csv").write_text("x" * 100)
    (tmp_path / "checkpoint").write_text("x" * 10)
    found = Path.is_file

    def vanishing(path: Path, **options: bool) -> bool:
        there = found(path, **options)
        if path.name == "checkpoint":
            path.unlink(missing_ok=True)
        return there

    monkeypatch.setattr(Path, "is_file", vanishing)  # between a walk's first question and its second
    assert listed(tmp_path).size in (100, 110)


def test_without_a_report_there_are_no_verdicts(tmp_path: Path) -> None:
    (tmp_path / "runs.csv").touch()
    assert listed(tmp_path).verdicts == {}
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "claims.csv").write_text("other\n1\n")
    assert listed(tmp_path).verdicts == {}
