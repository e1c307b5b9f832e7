"""What ls knows of a study: from its files, whether it has runs, a report, claims or not."""

from __future__ import annotations

import os
from pathlib import Path

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


def test_without_a_report_there_are_no_verdicts(tmp_path: Path) -> None:
    (tmp_path / "runs.csv").touch()
    assert listed(tmp_path).verdicts == {}
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "claims.csv").write_text("other\n1\n")
    assert listed(tmp_path).verdicts == {}
