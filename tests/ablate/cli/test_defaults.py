"""Behavioural: options may stand in the project's folder; nearer words win over farther ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from ablate.cli import commands as cli
from ablate.cli.defaults import Defaults, read_defaults
from model.errors import ConfigError


def outcome(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main([str(argument) for argument in arguments])
    return int(str(ended.value.code))


def test_the_nearest_file_counts(tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    assert read_defaults(deep) == Defaults()
    (tmp_path / "pyproject.toml").write_text('[tool.ablate]\nresults = "out"\nworkers = 3\n')
    assert read_defaults(deep) == Defaults(results=tmp_path / "out", workers=3)
    (tmp_path / "a" / "ablate.toml").write_text('cache = "/fast/cache"\n')
    assert read_defaults(deep) == Defaults(cache=Path("/fast/cache"))


def test_a_pyproject_of_others_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.black\nbroken")
    assert read_defaults(tmp_path) == Defaults()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('resluts = "x"', "unknown option 'resluts' (did you mean 'results'?)"),
        ("workers = 0", "workers must be a whole number above 0, got 0"),
        ("workers = true", "got True"),
        ("results = 3", "results must be text"),
        ("results = ", "cannot be read"),
    ],
)
def test_a_wrong_option_is_named_with_its_file(
    text: str,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "ablate.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_defaults(tmp_path)
    assert said in str(caught.value) and str(tmp_path / "ablate.toml") in str(caught.value)
    monkeypatch.chdir(tmp_path)
    assert outcome("ls") == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_option_then_variable_then_file_then_what_is_built_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("built-in", "file", "variable", "option"):
        root = tmp_path / ("results" if name == "built-in" else name)
        (root / f"study-{name}").mkdir(parents=True)
        (root / f"study-{name}" / "runs.csv").touch()

    def listed(*arguments: str) -> str:
        assert outcome("ls", *arguments) == 0
        return capsys.readouterr().out

    assert "study-built-in" in listed()
    (tmp_path / "ablate.toml").write_text('results = "file"\n')
    assert "study-file" in listed()
    monkeypatch.setenv("ABLATE_RESULTS", str(tmp_path / "variable"))
    assert "study-variable" in listed()
    assert "study-option" in listed("--results", "option")
