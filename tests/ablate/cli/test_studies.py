"""Behavioural: STUDY means the same to every command, and nothing means the study that one is in."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from unittest.mock import Mock

import pytest

from ablate.cli import commands as cli
from ablate.cli.studies import find_study, load_study, place_of
from ablate.study import reading
from model.errors import ConfigError, StorageError
from tests.ablate.report_inputs import SPEC, write_study

TINY = """\
study: tiny
data: {dataset: stripes, categories: [domain_a], stripes: {size: 32, train: 2, test_good: 2, test_bad: 2}}
base: {preset: pocket}
variants: {dinomaly: {}, top-q: {tail.q: 0.02}}
seeds: 2
"""


def outcome(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main([str(argument) for argument in arguments])
    return int(str(ended.value.code))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ABLATE_CACHE", str(tmp_path / "cache"))
    return tmp_path


def started(folder: Path, text: str = TINY) -> Path:
    folder.mkdir(parents=True)
    (folder / "plan.json").write_text("{}")
    (folder / "spec.yaml").write_text(text)
    return folder


def test_a_study_file_is_read_once_to_find_its_folder(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started(here / "results" / "tiny")
    (here / "mine.yaml").write_text(TINY)
    read = Mock(wraps=reading.load_spec)
    monkeypatch.setattr(reading, "load_spec", read)
    assert find_study("mine.yaml", Path("results")) == Path("results/tiny")
    assert read.call_count == 1


def test_a_name_a_folder_and_a_file_mean_one_study(here: Path) -> None:
    folder = started(here / "results" / "tiny")
    (here / "mine.yaml").write_text(TINY)
    results = Path("results")
    for target in (
        "tiny",
        "results/tiny",
        "results/tiny/",
        str(folder),
        "mine.yaml",
        str(here / "mine.yaml"),
    ):
        assert find_study(target, results).resolve() == folder
        assert load_study(target, results=results).study == "tiny"
    with pytest.raises(StorageError, match=r"no study 'tinny' in .* \(did you mean 'tiny'\?\)"):
        find_study("tinny", results)
    with pytest.raises(StorageError, match="known: none yet"):
        find_study("mine.yaml", here / "elsewhere")


def test_a_name_may_be_that_of_a_file_not_started_yet(here: Path) -> None:
    (here / "studies").mkdir()
    (here / "studies" / "first.yaml").write_text(TINY)
    for target in ("tiny", "first", "studies"):
        assert place_of(target, Path("results")).file == Path("studies/first.yaml")
    assert outcome("show", "tiny") == 0
    with pytest.raises(StorageError, match="no study 'tiny'"):
        find_study("tiny", Path("results"))


def test_nothing_means_the_study_here(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StorageError, match="no study here"):
        place_of(None, Path("results"))
    folder = started(here / "results" / "only")
    assert place_of(None, Path("results")).folder == Path("results/only")
    (here / "mine.yaml").write_text(TINY)
    assert place_of(None, Path("results")).file == Path("mine.yaml")
    (here / "other.yaml").write_text(TINY.replace("tiny", "other"))
    (here / "unrelated.yaml").write_text("services: {web: {}}\n")
    with pytest.raises(ConfigError, match=r"which study\? \(name one: mine.yaml, other.yaml, only\)"):
        place_of(None, Path("results"))
    monkeypatch.chdir(folder)
    assert place_of(None, Path("results")).folder == folder


def test_a_study_meant_by_its_results_is_what_was_started(here: Path) -> None:
    folder = started(here / "elsewhere" / "tiny")
    (folder / "invocation.json").write_text('{"overrides": ["seeds=1"], "smoke": false}')
    spec = load_study(str(folder), ["report.primary=aupro"])
    assert (spec.seeds, spec.report.primary) == ((0,), "aupro")
    assert place_of(str(folder), Path("results")).results == folder.parent


def test_status_without_a_study_lists_several(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_study(here / "results" / "one", SPEC.replace("directional-tail", "one"), pictures=False)
    write_study(here / "results" / "two", SPEC.replace("directional-tail", "two"), pictures=False)
    assert outcome("status") == 0
    shown = capsys.readouterr().out
    assert "one" in shown and "two" in shown and "20 of 20" in shown
    assert outcome("claims") == 2
    assert "which study? (name one: one, two)" in capsys.readouterr().err


def test_open_shows_the_report_or_says_where_it_is(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    study = here / "results" / "directional-tail"
    write_study(study, pictures=False)
    (study / "report").mkdir()
    (study / "report" / "report.html").write_text("made before")
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: opened.append(url) or True)
    assert outcome("open") == 0
    assert opened == [(study / "report" / "report.html").as_uri()]
    monkeypatch.setattr(webbrowser, "open", lambda _url: False)
    assert outcome("open", "directional-tail") == 2
    told = capsys.readouterr()
    assert "results/directional-tail/report/report.html" in told.out and "no browser" in told.err
