"""Behavioural: what bash is offered while a command is typed, asked of the real program."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import cast
from unittest.mock import Mock

import pytest
import typer

from ablate.cli.completion import offer_variants
from ablate.study.spec import StudySpec

ROOT = Path(__file__).parents[3]
STUDY = (
    "study: tiny\ndata: {dataset: stripes}\nvariants: {a: {}, above: {tail.q: 0.02}, b: {tail.q: 0.05}}\n"
)


def offered(line: str, folder: Path) -> list[str]:
    """What comes for a line; the last word is being typed."""
    words = line.split(" ")
    done = subprocess.run(
        [sys.executable, "-m", "ablate"],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "_ABLATE_COMPLETE": "complete_bash",
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(words) - 1),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.split()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tiny.yaml").write_text(STUDY)
    (tmp_path / "other.yaml").write_text("services: {}\n")
    (tmp_path / "out" / "tested").mkdir(parents=True)
    (tmp_path / "out" / "tested" / "runs.csv").touch()
    (tmp_path / "ablate.toml").write_text('results = "out"\n')
    return tmp_path


def test_many_rows_are_labelled_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = Mock(return_value={"above": "Ours"})
    monkeypatch.setattr(StudySpec, "labels", property(labels))
    context = cast("typer.Context", SimpleNamespace(params={"spec": str(folder / "tiny.yaml")}))
    assert offer_variants(context, "a") == [("a", ""), ("above", "Ours")]
    assert labels.call_count == 1


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("ablate status t", ["tested", "tiny.yaml"]),
        ("ablate show tiny.yaml --variant a", ["a", "above"]),
        ("ablate plan tiny.yaml --set base.tail.q", ["base.tail.q="]),
        ("ablate init x --preset pocket-", ["pocket-real"]),
    ],
)
def test_words_are_offered(line: str, words: list[str], folder: Path) -> None:
    assert offered(line, folder) == words


def test_a_broken_study_offers_nothing_and_says_nothing(folder: Path) -> None:
    (folder / "tiny.yaml").write_text("study: tiny\nvariants: [\n")
    assert offered("ablate show tiny.yaml --variant a", folder) == []
