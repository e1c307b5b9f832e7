"""Behavioural: everything that is wrong with a dataset's files is named, each kind in its own words; a
sound dataset has nothing to note, whatever its layout."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model.data.config import DataConfig, DatasetName
from model.data.dataset import Dataset, load_dataset
from model.data.problems import Problem, find_problems
from model.errors import DataError
from tests.model.data import layouts
from tests.model.data.readers.test_readers import MINIATURES
from tests.model.data.test_likeness import pictures


def load(root: Path, dataset: str = "mvtec", **values: str) -> Dataset:
    config = DataConfig(dataset=dataset, root=str(root), **values)  # type: ignore[arg-type]
    return load_dataset(config, cache_dir=root.parent / "cache")


def test_all_problems_are_listed_at_once(tmp_path: Path) -> None:
    root = layouts.mvtec(tmp_path / "data")
    base = root / "bottle"
    (base / "train/good/000.png").write_bytes((base / "train/good/000.png").read_bytes()[:100])
    layouts.mask(base / "ground_truth/crack/001_mask.png", size=(5, 5), box=(0, 0, 2, 2))
    layouts.mask(base / "ground_truth/dent/000_mask.png", box=(0, 0, 0, 0))
    shutil.copy(base / "train/good/001.png", base / "test/good/001.png")
    seen: list[tuple[int, int]] = []
    problems = find_problems(load(root), lambda *at: seen.append(at))
    found = {(Path(p.path).parent.name, Path(p.path).name): (p.fatal, p.message) for p in problems}
    assert len(problems) == 4
    assert found["good", "000.png"][0]
    assert "cannot read image" in found["good", "000.png"][1]
    assert "is 5x5 pixels" in found["crack", "001.png"][1]
    assert found["dent", "000.png"] == (False, "anomalous image whose mask is empty")
    assert "training image" in found["good", "001.png"][1]
    assert seen[-1] == (12, 12)


@pytest.mark.parametrize(("dataset", "build"), MINIATURES, ids=[name for name, _ in MINIATURES])
def test_a_sound_dataset_has_no_problems(
    tmp_path: Path, dataset: DatasetName, build: Callable[[Path], Path]
) -> None:
    problems = find_problems(load(build(tmp_path / "data"), dataset))
    # One image of the plain folder has no mask, as some of such folders do.
    assert [p.message for p in problems] == ["anomalous image without a mask: image metrics only"] * (
        dataset == "folder"
    )


def test_what_is_passed_over_or_cannot_be_meant_is_said(tmp_path: Path) -> None:
    root = layouts.mvtec(tmp_path / "data")
    base = root / "bottle"
    layouts.picture(base / "test/good/extra.gif", mode="L")
    layouts.mask(base / "ground_truth/crack/lost_mask.png")
    layouts.mask(base / "ground_truth/dent/000_mask.png", box=(0, 0, 12, 9))
    shutil.move(base / "ground_truth/crack/000_mask.png", base / "ground_truth/crack/000_mask.jpg")
    for path in (base / "test/good").glob("*.png"):
        path.unlink()
    problems = find_problems(load(root))
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


def noted(root: Path, dataset: str = "mvtec", **values: str) -> dict[str, list[str]]:
    """Path below the root -> what is said of it; nothing of it stops a run."""
    problems = find_problems(load(root, dataset, **values))
    assert not any(problem.fatal for problem in problems)
    said: dict[str, list[str]] = {}
    for problem in problems:
        said.setdefault(Path(problem.path).relative_to(root).as_posix(), []).append(problem.message)
    return said


def test_bits_and_colours_that_differ_within_a_category(tmp_path: Path) -> None:
    root = layouts.mvtec(layouts.mvtec(tmp_path / "data", "bottle"), "cable")
    base = root / "bottle/test/crack"
    deep = np.random.default_rng(0).integers(0, 65535, (10, 12), dtype=np.uint16)
    Image.fromarray(deep).save(base / "001.png")
    layouts.picture(base / "002.png", mode="L")
    assert noted(root) == {
        "bottle/test/crack/001.png": [
            "16-bit grey, as are 1 of 12 images of bottle; the others are 8-bit colour"
        ],
        "bottle/test/crack/002.png": [
            "8-bit grey, as are 1 of 12 images of bottle; the others are 8-bit colour"
        ],
    }


def test_a_training_image_that_was_saved_again_and_tests(tmp_path: Path) -> None:
    root = layouts.mvtec(tmp_path / "data")
    base = root / "bottle"
    for i, photograph in enumerate(pictures(4, spread=12.0)):
        photograph.save(base / f"train/good/{i:03d}.png")
    original = Image.open(base / "train/good/002.png")
    original.save(base / "test/good/000.jpg", quality=85)
    painted = original.point(lambda value: min(value + 9, 255))
    streak = (40, 40, 60, 42)  # a faint defect, drawn on a training image
    painted.paste(painted.crop(streak).point(lambda value: value - 18), streak)
    painted.resize((96, 96)).save(base / "test/dent/000.png")
    layouts.mask(base / "ground_truth/dent/000_mask.png", size=(96, 96))
    said = noted(root)
    assert set(said) == {"bottle/test/good/000.jpg", "bottle/test/dent/000.png"}
    for (message,) in said.values():
        assert "nearly the same as training image" in message
        assert "train/good/002.png" in message


def test_everything_odd_about_one_file_is_said(tmp_path: Path) -> None:
    root = layouts.mvtec(tmp_path / "data")
    truth = root / "bottle/ground_truth/dent"
    (truth / "001_mask.png").unlink()
    layouts.mask(truth / "001_mask.jpg", box=(0, 0, 12, 10))
    assert noted(root) == {
        "bottle/test/dent/001.png": [
            "the mask covers 100% of the image: is it inverted?",
            "the mask is a JPEG: compression blurs its edges",
        ]
    }


def test_folders_that_the_layout_has_no_place_for(tmp_path: Path) -> None:
    root = layouts.mvtec(tmp_path / "data")
    for i in range(3):
        layouts.picture(root / "bottle/extra/more" / f"{i}.png")
    layouts.picture(root / "untrained/test/good/0.png")
    layouts.picture(root / "0.png")
    message = "not read: the layout has no place for this folder's images ({})"
    assert noted(root) == {
        ".": [message.format(1)],
        "bottle/extra/more": [message.format(3)],
        "untrained/test/good": [message.format(1)],
    }
    # Who takes a part of a dataset leaves the rest alone knowingly.
    assert noted(root, categories=["bottle"]) == {}  # type: ignore[arg-type]


def test_all_images_without_masks_are_named_at_once(tmp_path: Path) -> None:
    root = layouts.mvtec(tmp_path / "data")
    for i in (0, 2):
        (root / f"bottle/ground_truth/crack/00{i}_mask.png").unlink()
    with pytest.raises(DataError, match=r"crack/000\.png has no mask, nor have 002\.png beside it"):
        load(root)


def test_what_is_fatal_comes_with_its_category(tmp_path: Path) -> None:
    root = layouts.mvtec(tmp_path / "data")
    (root / "bottle/test/good/000.png").write_bytes(b"no image")
    (problem,) = find_problems(load(root))
    assert isinstance(problem, Problem)
    assert (problem.category, problem.fatal) == ("bottle", True)
