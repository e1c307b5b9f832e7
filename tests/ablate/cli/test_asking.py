"""Behavioural: before finished runs are computed again it is said why, and asked where one can answer."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer

from ablate.cli import asking
from ablate.cli.asking import ask_if_changed
from ablate.doors import start
from ablate.running.changed import Changed
from ablate.running.session import RunOptions
from ablate.study.plan import Sources, make_plan
from ablate.study.reading import load_spec, parse_spec
from model.data.hashing import FileHashes
from model.errors import ConfigError, DataError

SPEC = "study: tiny\ndata: {dataset: stripes}\nvariants: {a: {}}\n"


@pytest.fixture
def planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "tiny"
    folder.mkdir()
    (folder / "plan.json").write_text("{}")
    monkeypatch.setattr("ablate.study.plan.make_plan", lambda *_, **__: None)
    monkeypatch.setattr("ablate.running.earlier.with_accepted", lambda plan, _results: plan)
    found = Changed(2, ("tail.q: 0.02 -> 0.05 (b)",))
    monkeypatch.setattr("ablate.running.changed.since_last_plan", lambda *_: found)
    return tmp_path


def ask(results: Path, **options: bool) -> None:
    spec = parse_spec(SPEC, Path("tiny.yaml"), env={})
    given = {"yes": False, "quiet": False, "accept_code": False, **options}
    ask_if_changed(spec, results, results / "cache", **given)


def at_a_terminal(monkeypatch: pytest.MonkeyPatch, answer: bool) -> list[str]:
    asked: list[str] = []

    def confirm(text: str, **_: Any) -> bool:
        asked.append(text)
        return answer

    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr(asking.typer, "confirm", confirm)
    return asked


def test_without_a_terminal_it_is_said_and_goes_on(
    planned: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: False))
    ask(planned)
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines() == [
        "changed since tiny was last run:",
        "  tail.q: 0.02 -> 0.05 (b)",
        "2 finished runs will be computed again; earlier results stay on disk",
    ]


def test_at_a_terminal_it_is_asked_and_no_ends_it(planned: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = at_a_terminal(monkeypatch, False)
    with pytest.raises(typer.Abort):
        ask(planned)
    assert asked == ["compute 2 finished runs again?"]
    at_a_terminal(monkeypatch, True)
    ask(planned)


@pytest.mark.parametrize("options", [{"yes": True}, {"quiet": True}])
def test_nobody_is_asked_who_said_yes_or_cannot_answer(
    options: dict[str, bool], planned: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = at_a_terminal(monkeypatch, False)
    ask(planned, **options)
    assert asked == []


def test_a_study_that_was_never_run_is_not_looked_at(tmp_path: Path) -> None:
    ask(tmp_path)


def test_names_that_differ_in_case_only_are_refused(tmp_path: Path) -> None:
    (tmp_path / "Tiny").mkdir()
    spec = parse_spec(SPEC, Path("tiny.yaml"), env={})
    with pytest.raises(ConfigError, match=r"'tiny' and the study 'Tiny' in .* differ in case only"):
        start(spec, tmp_path, RunOptions(), None)
    sources = Sources(lambda _data: ("Nut", "nut"), lambda _data, _held: "", lambda _encoder: "")
    with pytest.raises(ConfigError, match="'Nut' and 'nut' differ in case only"):
        make_plan(spec, cache_dir=tmp_path, sources=sources)


def test_what_is_no_regular_file_is_not_read(tmp_path: Path) -> None:
    pipe = tmp_path / "s.yaml"
    os.mkfifo(pipe)
    with pytest.raises(ConfigError, match="no regular file"):
        load_spec(pipe)
    with pytest.raises(ConfigError, match="no regular file"):
        load_spec("/dev/zero")
    with pytest.raises(DataError, match="no regular file"):
        FileHashes(tmp_path / "cache", tmp_path).of([pipe])
