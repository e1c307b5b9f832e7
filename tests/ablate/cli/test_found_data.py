"""Behavioural: ``ablate init --from-data`` writes a study that plans, whatever the folder's layout, and
says what it found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ablate.cli import commands as cli
from ablate.study.plan import make_plan
from ablate.study.reading import load_spec
from model.data.config import DatasetName
from tests.model.data import layouts
from tests.model.data.readers.test_readers import MINIATURES


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ABLATE_CACHE", str(tmp_path / "cache"))


def init(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main(["init", "found", *map(str, arguments)])
    return int(str(ended.value.code))


@pytest.mark.parametrize(("dataset", "build"), MINIATURES, ids=[name for name, _ in MINIATURES])
def test_the_study_of_any_layout_plans(
    tmp_path: Path, dataset: DatasetName, build: Callable[[Path], Path]
) -> None:
    root, out = build(tmp_path / "data"), tmp_path / "found.yaml"
    assert init("--from-data", root, "--preset", "pocket", "--seeds", "2", "--out", out) == 0
    spec = load_spec(out)
    assert (spec.data.dataset, spec.data.root) == (dataset, str(root))
    assert len(make_plan(spec, cache_dir=tmp_path / "cache").runs) == 4


def test_the_head_says_what_was_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layouts.mvtec(tmp_path / "data", "bottle")
    layouts.mvtec(tmp_path / "data", "line\nbreak: [odd]")
    assert init("--from-data", tmp_path / "data") == 0
    text = capsys.readouterr().out
    assert "#   bottle: 4 to train on, 3 normal and 5 anomalous (crack 3, dent 2) to test on\n" in text
    assert "2 categories, 8 images to train on, 16 to test on" in " ".join(text.replace("#", " ").split())
    path = tmp_path / "study.yaml"
    path.write_text(text)
    assert load_spec(path).study == "found"
    assert init("--from-data", tmp_path / "data/bottle") == 0
    assert "  categories: [bottle]\n" in capsys.readouterr().out


def test_what_metrics_will_lack_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = layouts.folder(tmp_path / "data")
    assert init("--from-data", root) == 0
    assert "# Anomalous images without a mask: 1." in capsys.readouterr().out
    for path in sorted((root / "abnormal").rglob("*.jpg")):
        path.unlink()
    assert init("--from-data", root) == 0
    assert "# data has no anomalous test images: its metrics are undefined." in capsys.readouterr().out


def test_a_folder_whose_name_a_study_would_change_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layouts.mvtec(tmp_path / "data ${HOME}")
    assert init("--from-data", tmp_path / "data ${HOME}") == 2
    assert "variable of the environment" in capsys.readouterr().err


def test_the_data_are_described_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = layouts.mvtec(tmp_path / "data")
    for option, value in (("--dataset", "mvtec"), ("--root", "x"), ("--categories", "a")):
        assert init("--from-data", root, option, value) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert init("--from-data", tmp_path / "nowhere") == 2
    assert "does not exist" in capsys.readouterr().err
