"""Behavioural: counts, the list of problems and the contact sheet of a dataset."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model.data import check
from model.data.config import DataConfig
from model.data.dataset import Dataset, load_dataset
from model.data.samples import Sample
from model.errors import StorageError
from tests.model.data import layouts


def load(root: Path, dataset: str = "mvtec", **values: str) -> Dataset:
    config = DataConfig(dataset=dataset, root=str(root), **values)  # type: ignore[arg-type]
    return load_dataset(config, cache_dir=root.parent / "cache")


def test_counts(tmp_path: Path) -> None:
    dataset = load(layouts.mvtec(tmp_path / "data"), selection="half")
    counts = check.count(dataset)
    assert [(c.split, c.defect_type, c.images) for c in counts] == [
        ("train", "good", 4),
        ("test", "good", 3),
        ("test", "crack", 3),
        ("test", "dent", 2),
    ]
    assert [c.selection for c in counts] == [0, 1, 1, 1]
    table = check.frame(counts)
    assert list(table["images"]) == [4, 3, 3, 2]
    assert table["missing_masks"].sum() == 0


def test_missing_masks_are_counted(tmp_path: Path) -> None:
    dataset = load(layouts.folder(tmp_path / "data"), "folder")
    assert {c.defect_type: c.missing_masks for c in check.count(dataset)} == {
        "good": 0,
        "hole": 0,
        "abnormal": 1,
    }
    (problem,) = check.find_problems(dataset)
    assert not problem.fatal
    assert problem.path.endswith("odd.jpg")


def test_strata_come_from_the_caller(tmp_path: Path) -> None:
    dataset = load(layouts.mvtec(tmp_path / "data"))

    def strata_of(sample: Sample) -> list[str]:
        return ["faint", "horizontal"] if sample.defect_type == "dent" else ["faint"]

    assert [(c.stratum, c.images) for c in check.count_strata(dataset, strata_of)] == [
        ("faint", 5),
        ("horizontal", 2),
    ]


def test_all_problems_are_listed_at_once(tmp_path: Path) -> None:
    root = layouts.mvtec(tmp_path / "data")
    base = root / "bottle"
    (base / "train/good/000.png").write_bytes((base / "train/good/000.png").read_bytes()[:100])
    layouts.mask(base / "ground_truth/crack/001_mask.png", size=(5, 5), box=(0, 0, 2, 2))
    layouts.mask(base / "ground_truth/dent/000_mask.png", box=(0, 0, 0, 0))
    shutil.copy(base / "train/good/001.png", base / "test/good/001.png")
    seen: list[tuple[int, int]] = []
    problems = check.find_problems(load(root), lambda *at: seen.append(at))
    found = {(Path(p.path).parent.name, Path(p.path).name): (p.fatal, p.message) for p in problems}
    assert len(problems) == 4
    assert found["good", "000.png"][0]
    assert "cannot read image" in found["good", "000.png"][1]
    assert "is 5x5 pixels" in found["crack", "001.png"][1]
    assert found["dent", "000.png"] == (False, "anomalous image whose mask is empty")
    assert "training image" in found["good", "001.png"][1]
    assert seen[-1] == (12, 12)
    assert len(check.frame(problems)) == 4


def test_a_sound_dataset_has_no_problems(tmp_path: Path) -> None:
    assert check.find_problems(load(layouts.loco(tmp_path / "data"), "loco")) == []


def test_what_is_passed_over_or_cannot_be_meant_is_said(tmp_path: Path) -> None:
    root = layouts.mvtec(tmp_path / "data")
    base = root / "bottle"
    layouts.picture(base / "test/good/extra.gif", mode="L")
    layouts.mask(base / "ground_truth/crack/lost_mask.png")
    layouts.mask(base / "ground_truth/dent/000_mask.png", box=(0, 0, 12, 9))
    shutil.move(base / "ground_truth/crack/000_mask.png", base / "ground_truth/crack/000_mask.jpg")
    for path in (base / "test/good").glob("*.png"):
        path.unlink()
    problems = check.find_problems(load(root))
    said = {Path(problem.path).name: problem.message for problem in problems}
    assert not any(problem.fatal for problem in problems)
    assert said == {
        "extra.gif": "not read: .gif is no format of datasets",
        "lost_mask.png": "a mask without an image",
        "data": "category bottle has no normal test images: image metrics are undefined",
    } | {"000.png": said["000.png"]}
    assert {problem.message for problem in problems if problem.path.endswith("000.png")} == {
        "the mask covers 90% of the image: is it inverted?",
        "the mask is a JPEG: compression blurs its edges",
    }


def test_contact_sheet(tmp_path: Path) -> None:
    root = layouts.mvtec(tmp_path / "data")
    style = check.SheetStyle(cell=40, columns=4)
    dataset = load(root)
    path = check.contact_sheet(dataset, tmp_path / "new/sheet.png", style)
    pixels = np.asarray(Image.open(path))
    row = style.cell + style.header + style.gap
    assert pixels.shape == (4 * row + style.gap, 4 * (40 + style.gap) + style.gap, 3)
    red = (pixels == style.outline).all(-1)
    # Outlines in the two rows of defects only, and only in the second tile of each pair.
    assert not red[: 2 * row].any()
    columns = red.any(axis=0).reshape(-1)
    tiles = [columns[style.gap + i * 46 : style.gap + i * 46 + 40].any() for i in range(4)]
    assert tiles == [False, True, False, True]
    captioned = check.contact_sheet(dataset, tmp_path / "words.png", style, lambda _: ["faint"])
    assert (np.asarray(Image.open(captioned)) != pixels).any()
    short = check.contact_sheet(
        dataset, tmp_path / "short.png", style, lambda _: ["faintness=faint", "faint+broken"]
    )
    assert (np.asarray(Image.open(short)) == np.asarray(Image.open(captioned))).all()


def test_contact_sheet_that_cannot_be_written(tmp_path: Path) -> None:
    dataset = load(layouts.mvtec(tmp_path / "data"))
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        check.contact_sheet(dataset, tmp_path / "file/sheet.png")
