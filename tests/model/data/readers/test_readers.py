"""Behavioural: each reader on a miniature of its layout, and the one-line errors of broken ones.

Expected samples are written down from the published layouts, not taken from the readers.
"""

from __future__ import annotations

import sys
import typing
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydantic import TypeAdapter

from model.data.config import DataConfig, DatasetName
from model.data.dataset import load_dataset
from model.data.images import open_mask
from model.data.readers import READERS
from model.data.samples import Sample
from model.errors import DataError
from tests.model.data import layouts

MAGNETIC_TILE = Path(__file__).parents[5] / "shared/datasets/magnetic_tile"


def read(root: Path, dataset: DatasetName, **values: typing.Any) -> list[Sample]:
    return READERS[dataset].read(root, DataConfig(dataset=dataset, root=str(root), **values))


def tally(samples: list[Sample]) -> dict[tuple[str, str, str], int]:
    return dict(Counter((s.category, s.split, s.defect_type) for s in samples))


def masks(samples: list[Sample], root: Path) -> list[str]:
    return sorted(s.mask_path.relative_to(root).as_posix() for s in samples if s.mask_path)


def test_every_dataset_name_has_a_described_reader() -> None:
    assert set(READERS) == set(TypeAdapter(DatasetName).json_schema()["enum"])
    for name, reader in READERS.items():
        assert reader.name == name
        assert reader.description
        assert reader.layout


MINIATURES: list[tuple[DatasetName, Callable[[Path], Path]]] = [
    ("mvtec", layouts.mvtec),
    ("mvtec_ad2", layouts.mvtec_ad2),
    ("loco", layouts.loco),
    ("btad", layouts.btad),
    ("visa", layouts.visa),
    ("realiad", layouts.realiad),
    ("magnetic_tile", layouts.magnetic_tile),
    ("folder", layouts.folder),
]


@pytest.mark.parametrize(("dataset", "build"), MINIATURES, ids=[name for name, _ in MINIATURES])
def test_samples_exist_and_train_on_normal_images_only(
    tmp_path: Path, dataset: DatasetName, build: Callable[[Path], Path]
) -> None:
    samples = read(build(tmp_path), dataset)
    assert len({s.image_path for s in samples}) == len(samples)
    for sample in samples:
        assert sample.image_path.is_file()
        assert sample.mask_path is None or sample.mask_path.exists()
        assert (sample.label == 0) == (sample.defect_type == "good")
        assert sample.label == 0 or sample.split == "test"
        assert sample.label == 1 or sample.mask_path is None


def test_mvtec(tmp_path: Path) -> None:
    layouts.mvtec(tmp_path)
    (tmp_path / "license.txt").write_text("no category")
    (tmp_path / "bottle/train/good/._000.png").write_text("no image")
    (tmp_path / "bottle/train/good/Thumbs.db").write_text("no image")
    samples = read(tmp_path, "mvtec")
    assert tally(samples) == {
        ("bottle", "train", "good"): 4,
        ("bottle", "test", "good"): 3,
        ("bottle", "test", "crack"): 3,
        ("bottle", "test", "dent"): 2,
    }
    assert masks(samples, tmp_path)[0] == "bottle/ground_truth/crack/000_mask.png"


def test_mvtec_with_visa_names_and_capital_suffix(tmp_path: Path) -> None:
    layouts.mvtec(tmp_path, "candle", suffix=".JPG", mask_suffix=".png")
    assert masks(read(tmp_path, "mvtec"), tmp_path)[-1] == "candle/ground_truth/dent/001.png"


def test_a_link_to_nowhere_is_named_not_passed_over(tmp_path: Path) -> None:
    layouts.mvtec(tmp_path, "candle")
    (tmp_path / "candle/train/good/zzz.png").symlink_to(tmp_path / "nowhere.png")
    config = DataConfig(dataset="mvtec", root=str(tmp_path))
    with pytest.raises(DataError, match=r"zzz\.png: No such file"):
        load_dataset(config, cache_dir=tmp_path / "cache")


def test_categories_are_chosen(tmp_path: Path) -> None:
    layouts.mvtec(tmp_path, "bottle")
    layouts.mvtec(tmp_path, "cable")
    layouts.mvtec(tmp_path, "wood")
    samples = read(tmp_path, "mvtec", categories=("wood", "cable"))
    assert {s.category for s in samples} == {"cable", "wood"}


def test_mvtec_ad2_takes_the_public_test_and_groups_lightings(tmp_path: Path) -> None:
    samples = read(layouts.mvtec_ad2(tmp_path), "mvtec_ad2")
    assert tally(samples) == {
        ("can", "train", "good"): 3,
        ("can", "test", "good"): 12,
        ("can", "test", "bad"): 12,
    }
    groups = Counter(s.group for s in samples if s.split == "test")
    assert set(groups.values()) == {3}
    assert len(groups) == 8


def test_loco_keeps_the_folder_of_masks(tmp_path: Path) -> None:
    samples = read(layouts.loco(tmp_path), "loco")
    assert tally(samples) == {
        ("juice_bottle", "train", "good"): 3,
        ("juice_bottle", "test", "good"): 3,
        ("juice_bottle", "test", "logical_anomalies"): 2,
        ("juice_bottle", "test", "structural_anomalies"): 2,
    }
    assert masks(samples, tmp_path)[0] == "juice_bottle/ground_truth/logical_anomalies/000"


def test_btad_finds_masks_of_any_suffix(tmp_path: Path) -> None:
    samples = read(layouts.btad(tmp_path), "btad")
    assert tally(samples)["03", "test", "ko"] == 3
    assert tally(samples)["01", "train", "good"] == 3
    assert masks(samples, tmp_path)[0] == "01/ground_truth/ko/0000.png"
    assert masks(samples, tmp_path)[-1] == "03/ground_truth/ko/0002.bmp"


@pytest.mark.skipif(sys.platform != "linux", reason="names are bytes on Linux only")
def test_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    layouts.mvtec(tmp_path)
    layouts.picture(tmp_path / "bottle/test/good/a.png").rename(tmp_path / "bottle/test/good/\udcff.png")
    with pytest.raises(DataError, match=r"the name b'\\xff\.png' in .*test/good is no text \(rename it\)"):
        read(tmp_path, "mvtec")


def test_visa(tmp_path: Path) -> None:
    layouts.visa(tmp_path, "candle")
    samples = read(tmp_path, "visa")
    assert tally(samples) == {
        ("candle", "train", "good"): 3,
        ("candle", "test", "good"): 2,
        ("candle", "test", "anomaly"): 3,
    }
    assert masks(samples, tmp_path) == [f"candle/Data/Masks/Anomaly/00{i}.png" for i in range(3)]
    found = [open_mask(sample) for sample in samples if sample.label]
    assert [(np.unique(m).tolist(), int((m > 0).sum())) for m in found] == [([0, 255], 12)] * 3


@pytest.mark.parametrize("nested", [True, False])
def test_realiad_all_views(tmp_path: Path, nested: bool) -> None:
    samples = read(layouts.realiad(tmp_path, nested=nested), "realiad")
    assert tally(samples) == {
        ("audiojack", "train", "good"): 5,
        ("audiojack", "test", "good"): 13,
        ("audiojack", "test", "AK"): 7,
    }
    assert set(Counter(s.group for s in samples).values()) == {5}


def test_realiad_single_view(tmp_path: Path) -> None:
    samples = read(layouts.realiad(tmp_path), "realiad", views="single")
    assert len(samples) == 5
    assert all("_C1" in s.image_path.name for s in samples)


def test_magnetic_tile_never_separates_a_tile(tmp_path: Path) -> None:
    samples = read(layouts.magnetic_tile(tmp_path), "magnetic_tile", train_share=0.6)
    assert tally(samples) == {
        ("magnetic_tile", "train", "good"): 12,
        ("magnetic_tile", "test", "good"): 9,
        ("magnetic_tile", "test", "crack"): 1,
        ("magnetic_tile", "test", "blowhole"): 1,
    }
    train = {s.group for s in samples if s.split == "train"}
    assert not train & {s.group for s in samples if s.split == "test"}
    # The free exposure of the cracked tile tests.
    assert {s.split for s in samples if s.image_path.stem == "exp1_num_50000"} == {"test"}


def test_magnetic_tile_split_follows_its_seed(tmp_path: Path) -> None:
    layouts.magnetic_tile(tmp_path)

    def trained(seed: int) -> set[Path]:
        samples = read(tmp_path, "magnetic_tile", split_seed=seed)
        return {s.image_path for s in samples if s.split == "train"}

    assert trained(0) == trained(0)
    assert len({frozenset(trained(seed)) for seed in range(5)}) > 1


@pytest.mark.skipif(not MAGNETIC_TILE.is_dir(), reason=f"the real images are not at {MAGNETIC_TILE}")
def test_magnetic_tile_as_downloaded() -> None:
    samples = read(MAGNETIC_TILE, "magnetic_tile", train_share=0.7)
    counts = tally(samples)
    assert len(samples) == 674
    assert counts["magnetic_tile", "test", "blowhole"] == 58
    assert counts["magnetic_tile", "test", "uneven"] == 52
    normal = counts["magnetic_tile", "train", "good"] + counts["magnetic_tile", "test", "good"]
    assert normal == 476
    assert 0.6 * normal < counts["magnetic_tile", "train", "good"] < 0.72 * normal


def test_folder_holds_out_a_share_of_normal(tmp_path: Path) -> None:
    root = layouts.folder(tmp_path / "plates")
    samples = read(root, "folder", train_share=0.6)
    assert tally(samples) == {
        ("plates", "train", "good"): 6,
        ("plates", "test", "good"): 4,
        ("plates", "test", "hole"): 3,
        ("plates", "test", "abnormal"): 1,
    }
    assert [s.image_path.name for s in samples if not s.has_truth] == ["odd.jpg"]


def test_folder_with_train_and_categories(tmp_path: Path) -> None:
    layouts.folder(tmp_path / "plates", train=True)
    layouts.folder(tmp_path / "rods", masks=False)
    counts = tally(read(tmp_path, "folder"))
    assert counts["plates", "train", "good"] == 4
    assert counts["plates", "test", "good"] == 10
    assert counts["rods", "train", "good"] == 7


# --- errors: one line, with the name of what is wrong ---------------------------------------------


def rename(path: Path, name: str) -> None:
    path.rename(path.with_name(name))


def defects_in_train(root: Path) -> None:
    layouts.picture(root / "bottle/train/crack/000.png")


def stray_in_train(root: Path) -> None:
    layouts.picture(root / "bottle/train/000.png")


def no_mask(root: Path) -> None:
    (root / "bottle/ground_truth/crack/001_mask.png").unlink()


def single_category(root: Path) -> None:
    for name in ("train", "test", "ground_truth"):
        (root / "bottle" / name).rename(root / name)
    (root / "bottle").rmdir()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (defects_in_train, "training folder .*bottle/train/crack is not"),
        (stray_in_train, "image .*bottle/train/000.png lies outside"),
        (no_mask, "defect image .*test/crack/001.png has no mask"),
        (single_category, "single category"),
        (lambda root: rename(root / "bottle/train", "training"), "no category found in"),
    ],
)
def test_broken_mvtec_is_named(tmp_path: Path, damage: Callable[[Path], None], message: str) -> None:
    layouts.mvtec(tmp_path)
    damage(tmp_path)
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path, "mvtec")
    assert "\n" not in str(caught.value)


def test_unknown_category_suggests_a_close_one(tmp_path: Path) -> None:
    layouts.mvtec(tmp_path)
    with pytest.raises(DataError, match="unknown category 'botle', did you mean 'bottle'"):
        read(tmp_path, "mvtec", categories=("botle",))


def test_loco_without_masks_is_named(tmp_path: Path) -> None:
    layouts.loco(tmp_path)
    folder = tmp_path / "juice_bottle/ground_truth/logical_anomalies/001"
    for path in folder.iterdir():
        path.unlink()
    with pytest.raises(DataError, match=r"logical_anomalies/001\.png has no mask"):
        read(tmp_path, "loco")


def test_realiad_errors_name_the_file(tmp_path: Path) -> None:
    layouts.realiad(tmp_path)
    image = tmp_path / "realiad_1024/audiojack/OK/S0002/audiojack_C3.jpg"
    image.unlink()
    with pytest.raises(DataError, match=r"S0002/audiojack_C3\.jpg does not exist"):
        read(tmp_path, "realiad")
    (tmp_path / "realiad_jsons/realiad_jsons/audiojack.json").write_text('{"train": [')
    with pytest.raises(DataError, match=r"cannot read .*audiojack\.json"):
        read(tmp_path, "realiad")
    (tmp_path / "realiad_jsons/realiad_jsons/audiojack.json").write_text('{"train": [{}]}')
    with pytest.raises(DataError, match=r"audiojack\.json: .*lacks 'image_path'"):
        read(tmp_path, "realiad")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("object,split", "object,splits", "1cls.csv has no column split"),
        ("candle,train", "candle,val", r"1cls.csv:2: 'val' is neither train nor test"),
        ("candle,test,anomaly", "candle,train,anomaly", r"1cls.csv:7: .*listed as a defect"),
        ("Data/Masks/Anomaly/000.png", "", r"1cls.csv:7: .*no mask"),
        ("Normal/0001.JPG", "Normal/1.JPG", r"1cls.csv:3: listed file .*Normal/1.JPG does not exist"),
        (
            "candle,train,normal,candle/Data/Images/Normal/0000.JPG,",
            "candle,train,normal",
            "does not exist",
        ),
    ],
    ids=["column", "split", "defect trains", "no mask", "no file", "short row"],
)
def test_visa_errors_name_the_line(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = layouts.visa(tmp_path) / "split_csv/1cls.csv"
    path.write_text(path.read_text().replace("candle/" + old if old.startswith("Data") else old, new, 1))
    with pytest.raises(DataError, match=said):
        read(tmp_path, "visa")
    path.unlink()
    with pytest.raises(DataError, match=r"no split_csv/1cls\.csv"):
        read(tmp_path, "visa")


def test_folder_refuses_defects_in_train_and_two_names_for_one_thing(tmp_path: Path) -> None:
    layouts.folder(tmp_path, train=True)
    layouts.picture(tmp_path / "good/0.png")
    with pytest.raises(DataError, match="has both 'good' and 'normal'"):
        read(tmp_path, "folder")
    (tmp_path / "good/0.png").unlink()
    (tmp_path / "good").rmdir()
    layouts.picture(tmp_path / "train/hole/0.png")
    with pytest.raises(DataError, match=r"training folder .*train/hole"):
        read(tmp_path, "folder")


def test_magnetic_tile_elsewhere(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no folder MT_Free"):
        read(tmp_path, "magnetic_tile")
