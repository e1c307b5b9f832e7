"""Publishing: the copy verifies without the runs, and says what the study says."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ablate.evidence.quoted import import_quoted, read_quoted
from ablate.report.verifying import verify
from recipes.publish import BEGIN, END, STUDIES, answers, publish, write_answers
from tests.ablate.report_inputs import write_study

STUDY = """\
# Does b gain?
study: s
data: {dataset: stripes}
variants: {a: {}, b: {tail.q: 0.02}}
seeds: 2
claims: [b > a]
"""


def test_a_copy_verifies_where_the_runs_are_gone(tmp_path: Path) -> None:
    write_study(tmp_path / "work" / "s", STUDY, pictures=False)
    copy = publish(tmp_path / "work" / "s", tmp_path / "results", {str(tmp_path): "elsewhere"})
    shutil.rmtree(tmp_path / "work")
    texts = [path.read_bytes() for path in copy.rglob("*") if path.is_file()]
    assert not any(str(tmp_path).encode() in text for text in texts)
    assert not verify(copy).wrong and verify(copy).numbers > 0
    assert not (copy / "runs").exists() and not list(copy.rglob("*.pdf"))
    assert (copy / "report" / "report.html").is_file() and list((copy / "report" / "figures").glob("*.png"))
    text = answers([copy])
    assert "Does b gain?" in text and "| b > a" in text.replace("\\>", ">")


def test_a_changed_number_is_not_published(tmp_path: Path) -> None:
    folder = tmp_path / "work" / "s"
    write_study(folder, STUDY, pictures=False)
    frame = folder / "runs.csv"
    publish(folder, tmp_path / "results")
    before = (tmp_path / "results" / "s" / "runs.csv").read_bytes()
    frame.write_text(frame.read_text().replace("image_auroc", "image_aurok", 1))
    with pytest.raises(Exception, match=r"changed since|runs\.csv"):
        publish(folder, tmp_path / "results")
    assert (tmp_path / "results" / "s" / "runs.csv").read_bytes() == before


def test_the_page_keeps_what_stands_around_the_verdicts(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write_answers(page, "new")
    write_answers(page, "newer")
    assert page.read_text() == f"before\n{BEGIN}\n\nnewer\n{END}\nafter\n"
    page.write_text("no marks\n")
    with pytest.raises(ValueError, match="no place for verdicts"):
        write_answers(page, "new")


def test_every_study_to_publish_is_there() -> None:
    folder = Path(__file__).parents[2] / "studies"
    assert [name for name in STUDIES if not (folder / f"{name}.yaml").is_file()] == []


def test_a_copy_keeps_all_that_its_report_reads(tmp_path: Path) -> None:
    folder = tmp_path / "work" / "s"
    write_study(folder, STUDY, pictures=False)
    (tmp_path / "theirs.csv").write_text("variant,image_auroc\nTheirs,90.0\n")
    import_quoted(folder, tmp_path / "theirs.csv", source="a paper")
    copy = publish(folder, tmp_path / "results")
    shutil.rmtree(tmp_path / "work")
    assert not verify(copy).wrong  # made once more of the copy alone, the quoted row among its tables
    assert [row.variant for row in read_quoted(copy)] == ["Theirs"]
    assert "Theirs" in (copy / "report" / "main.md").read_text()
