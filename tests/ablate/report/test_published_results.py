"""The published folders: reported again, they say byte for byte what was published."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ablate.evidence.gather import gather
from ablate.evidence.judgement import Judgement
from ablate.report.methods import methods_files
from ablate.report.rendering import rendered
from ablate.report.tables.every import all_tables

RESULTS = Path(__file__).parents[3] / "results"
FOLDERS = sorted(path.parent for path in RESULTS.glob("*/spec.yaml"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_published_study_reports_what_was_published(folder: Path) -> None:
    made = {
        f"{table.name}{suffix}": text
        for table in all_tables(Judgement(gather(folder)))
        for suffix, text in rendered(table).items()
    }
    made |= {f"methods{suffix}": text for suffix, text in methods_files(Judgement(gather(folder))).items()}
    published = {
        path.name: path.read_text(encoding="utf-8")
        for path in (folder / "report").iterdir()
        if path.suffix in (".md", ".tex")
    }
    assert published and {name: made.get(name) for name in published} == published


def test_what_a_published_folder_knows_without_its_plan() -> None:
    made = Judgement(gather(RESULTS / "prior-b"))
    assert made.primary.family == 6 and made.results.warnings == ()
    assert "texture" in made.results.encoder and made.results.settings["directional"]
    assert made.results.seal and len(made.claims) == 4


def test_a_published_folder_names_no_path_of_the_machine_that_made_it() -> None:
    for folder in FOLDERS:
        for path in folder.rglob("*"):
            if path.suffix in (".html", ".json", ".jsonl", ".yaml", ".md", ".tex", ".csv"):
                assert not re.search(
                    r'["\'=( ]/(home|root|work|tmp|Users)/', path.read_text(encoding="utf-8")
                ), path
