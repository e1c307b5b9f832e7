"""Behavioural: which layout a folder has is told from each layout's miniature, from a category alone,
from an archive's wrapping; and what has none ends in a line that says what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from model.data.config import DataConfig, DatasetName
from model.data.dataset import load_dataset
from model.data.recognise import Recognised, recognise
from model.errors import DataError
from tests.model.data import layouts
from tests.model.data.readers.test_readers import MINIATURES


def look(folder: Path) -> Recognised:
    return recognise(folder, cache_dir=folder.parent / "cache")


@pytest.mark.parametrize(("dataset", "build"), MINIATURES, ids=[name for name, _ in MINIATURES])
def test_every_layout_is_told_apart(
    tmp_path: Path, dataset: DatasetName, build: Callable[[Path], Path]
) -> None:
    root = build(tmp_path / "data")
    found = look(root)
    assert found.config == DataConfig(dataset=dataset, root=str(root))
    assert found.notes == ()
    same = load_dataset(found.config, cache_dir=tmp_path / "cache")
    assert found.dataset.fingerprint == same.fingerprint


def test_a_category_alone_is_read_from_its_parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layouts.mvtec(tmp_path / "data", "bottle")
    layouts.mvtec(tmp_path / "data", "cable")
    found = look(tmp_path / "data/cable")
    assert found.config == DataConfig("mvtec", str(tmp_path / "data"), ("cable",))
    assert "single category" in found.notes[0]
    assert found.dataset.categories == ("cable",)
    monkeypatch.chdir(tmp_path / "data/bottle")
    assert look(Path()).config == DataConfig("mvtec", str(tmp_path / "data"), ("bottle",))


def test_what_an_archive_wrapped_is_found(tmp_path: Path) -> None:
    layouts.loco(tmp_path / "download/mvtec_loco/data")
    found = look(tmp_path / "download")
    assert (found.config.dataset, found.config.root) == ("loco", str(tmp_path / "download/mvtec_loco/data"))
    assert "lies in" in found.notes[0]


def test_plain_folders_side_by_side_are_categories(tmp_path: Path) -> None:
    layouts.folder(tmp_path / "data/a")
    layouts.folder(tmp_path / "data/b", masks=False)
    found = look(tmp_path / "data")
    assert found.config == DataConfig("folder", str(tmp_path / "data"))
    assert found.dataset.categories == ("a", "b")


def test_several_datasets_are_not_one(tmp_path: Path) -> None:
    layouts.folder(tmp_path / "data/plain")
    layouts.mvtec(tmp_path / "data/published")
    with pytest.raises(DataError, match=r"several datasets: .*plain \(folder\), .*published \(mvtec\)"):
        look(tmp_path / "data")


def _picture(path: str) -> Callable[[Path], object]:
    return lambda root: layouts.picture(root / path)


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (_picture("1.png"), "images lie directly in .* 'normal' and 'abnormal'"),
        (_picture("candle/Data/Images/Normal/1.JPG"), "VisA without its split .expected .*1cls.csv"),
        (_picture("things/1.png"), "no layout that is known; in it: things .*<category>/train/good"),
        (lambda root: (root / "data.zip").write_text(""), "holds archives .unpack"),
        (lambda root: (root / "notes.txt").write_text(""), "no images in .*\\.png"),
        (_picture("bottle/train/good/1.png"), "split into train, but not as a layout"),
        (lambda root: (layouts.mvtec(root), (root / "bottle/train").rename(root / "bottle/Train")),
         "bottle/Train in small letters .rename"),
        (lambda root: (layouts.mvtec(root), (root / "bottle/test").rename(root / "bottle/testing")),
         "bottle is split into testing, train, but not as a layout has it .*<category>/train/good"),
        (lambda root: (layouts.mvtec(root), layouts.picture(root / "bottle/train/crack/1.png")), "crack"),
        (lambda root: (layouts.mvtec(root), layouts.picture(root / "bottle/test/dent/9.png")),
         "9.png has no mask .*dataset: folder"),
    ],
    ids=["images", "visa", "other", "archive", "empty", "train only", "capitals", "other names",
         "defects train", "no mask"],
)  # fmt: skip
def test_a_mess_ends_in_a_line_that_says_what_to_do(
    tmp_path: Path, build: Callable[[Path], object], said: str
) -> None:
    root = tmp_path / "data"
    root.mkdir()
    build(root)
    with pytest.raises(DataError, match=said) as caught:
        look(root)
    assert "\n" not in str(caught.value)


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        look(tmp_path / "nowhere")
    with pytest.raises(DataError, match="is a file"):
        look(layouts.picture(tmp_path / "1.png"))
