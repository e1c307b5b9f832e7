"""A report is held against its study: untouched it agrees, and any changed digit is found."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from ablate.evidence.judgement import Judgement
from ablate.report.methods import methods_files
from ablate.report.rendering import rendered
from ablate.report.tables.every import all_tables
from ablate.report.verifying import first_difference, verify
from model.errors import StorageError
from tests.ablate.report_inputs import write_study


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = write_study(tmp_path_factory.mktemp("results") / "directional-tail", pictures=False)
    folder = made.folder / "report"
    folder.mkdir()
    for table in all_tables(Judgement(made)):
        for suffix, text in rendered(table).items():
            (folder / f"{table.name}{suffix}").write_text(text, encoding="utf-8")
    for suffix, text in methods_files(Judgement(made)).items():
        (folder / f"methods{suffix}").write_text(text, encoding="utf-8")
    return made.folder


@pytest.fixture
def study(reported: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(reported, tmp_path / reported.name))


def test_an_untouched_report_agrees(study: Path) -> None:
    found = verify(study)
    assert found.wrong == "" and found.files > 10 and found.numbers > 500


@pytest.mark.parametrize("name", ["claims.md", "claims.csv", "main.tex", "methods.tex"])
def test_a_changed_digit_is_found(study: Path, name: str) -> None:
    path = study / "report" / name
    text = path.read_text()
    last = list(re.finditer(r"\d\.(\d)", text))[-1]
    other = "7" if last[1] != "7" else "3"
    path.write_text(text[: last.start(1)] + other + text[last.end(1) :])
    line = text[: last.start()].count("\n") + 1
    assert f"{name}:{line}: it says" in verify(study).wrong


def test_a_frame_that_is_not_the_runs_is_found(study: Path) -> None:
    frame = study / "runs.csv"
    lines = frame.read_text().splitlines()
    lines[5] = re.sub(r"0\.(\d)", lambda m: f"0.{(int(m[1]) + 1) % 10}", lines[5])
    frame.write_text("\n".join(lines) + "\n")
    assert "runs.csv:6: it says" in verify(study).wrong


def test_a_damaged_run_is_named(study: Path) -> None:
    folder = next((study / "runs").iterdir())
    metrics = folder / "metrics.csv"
    metrics.write_text(metrics.read_text().replace("0.", "0.1", 1))
    wrong = verify(study).wrong
    assert wrong.startswith(f"{folder}: metrics.csv is not what was written") and "ablate run" in wrong


def test_without_a_report_there_is_nothing_to_verify(study: Path) -> None:
    (study / "report" / "claims.md").unlink()
    with pytest.raises(StorageError, match="ablate report"):
        verify(study)


def test_the_first_difference_is_named_by_line_and_word() -> None:
    assert first_difference("a | 1\nb | 2.1", "a | 1\nb | 2.0") == "2: it says 2.1, recomputed 2.0"
    assert first_difference("a", "a\nb") == "2: it says nothing, recomputed b"
    assert first_difference("a", "a") == ""
