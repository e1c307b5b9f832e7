"""Commands on what studies say, in this process: several studies, quoted rows, what is printed and
refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ablate.cli import commands as cli
from tests.ablate.report_inputs import SPEC, write_study


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("results")
    write_study(root / "directional-tail", pictures=False)
    other = SPEC.replace("study: directional-tail", "study: other").replace(
        "preset: pocket", "preset: pocket, tail: {factor: 0.2}"
    )
    write_study(
        root / "other",
        other.replace("control:     ", "turned:      ")
        .replace("> control", "> turned")
        .replace("< control", "< turned"),
        pictures=False,
    )
    return root


def outcome(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main([str(argument) for argument in arguments])
    return int(str(ended.value.code))


def test_two_studies_are_compared_by_the_names_that_both_have(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert outcome("compare", "directional-tail", "other", "--json", "--results", results) == 0
    rows = json.loads(capsys.readouterr().out)
    rows = rows if isinstance(rows, list) else rows["rows"]
    assert [row["variant"] for row in rows] == ["dinomaly", "top-q", "directional"]
    assert outcome("compare", "directional-tail", "absent", "--results", results) == 2
    assert "no study 'absent'" in capsys.readouterr().err


def test_quoted_rows_are_imported_or_refused_with_their_line(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("method,I-AUROC\nPatchCore,991\n")
    arguments = ("import", "other", rows, "--source", "A", "--results", results)
    assert outcome(*arguments) == 2
    assert "rows.csv:2: value '991' is not 0 to 100" in capsys.readouterr().err
    rows.write_text("method,I-AUROC\nPatchCore,99.1\n")
    assert outcome(*arguments) == 0
    assert "1 value added" in capsys.readouterr().out
    assert (results / "other" / "quoted.csv").is_file()
