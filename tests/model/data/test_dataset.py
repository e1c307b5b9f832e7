"""Behavioural: splits, subsets, fingerprints and their memory, and what loading may import."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.data import hashing
from model.data.config import DataConfig, StripesConfig
from model.data.dataset import Dataset, load_dataset
from model.data.samples import Sample
from model.data.splits import halves, hold_out, ranked, subsample
from model.errors import DataError, StorageError
from tests.model.data import layouts

ROOT = Path("/data")


def load(root: Path, cache: Path, **values: Any) -> Dataset:
    values.setdefault("dataset", "mvtec")
    return load_dataset(DataConfig(root=str(root), **values), cache_dir=cache)


def sample(name: str, label: int = 0, kind: str = "good", group: str | None = None) -> Sample:
    return Sample(ROOT / name, None, label, "c", "test", kind, group)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    layouts.mvtec(tmp_path / "data", "cable")
    return layouts.mvtec(tmp_path / "data", "bottle")


def test_samples_are_sorted_and_split(root: Path, tmp_path: Path) -> None:
    dataset = load(root, tmp_path / "cache")
    assert dataset.categories == ("bottle", "cable")
    keys = [(s.category, s.split, dataset.name_of(s)) for s in dataset.samples]
    assert keys == sorted(keys)
    assert len(dataset.train()) == 8
    assert len(dataset.test("cable")) == 8
    assert {dataset.split_of(s) for s in dataset.train()} == {"train"}
    assert dataset.test(split="report") == dataset.test()
    assert dataset.test(split="selection") == ()
    with pytest.raises(DataError, match="did you mean 'cable'"):
        dataset.test("cabel")


def test_half_is_stratified(root: Path, tmp_path: Path) -> None:
    dataset = load(root, tmp_path / "cache", selection="half")
    for category in dataset.categories:
        for split in ("selection", "report"):
            counts = Counter(s.defect_type for s in dataset.test(category, split))
            assert counts["dent"] == 1
            assert counts["crack"] in (1, 2)
            assert counts["good"] in (1, 2)
    assert set(dataset.test(split="selection")) | set(dataset.test(split="report")) == set(dataset.test())


@given(
    counts=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    normal=st.integers(1, 20),
    seed=st.integers(0, 5),
)
@settings(max_examples=60, deadline=None)
def test_halves_balance_within_and_over_types(counts: list[int], normal: int, seed: int) -> None:
    samples = [sample(f"good/{i}.png") for i in range(normal)]
    for kind, n in enumerate(counts):
        samples += [sample(f"{kind}/{i}.png", 1, str(kind)) for i in range(n)]
    sides = halves(samples, seed, ROOT)
    assert len(sides) == len(samples)

    def lead(chosen: list[Sample]) -> int:
        return sum(1 if sides[s] == "report" else -1 for s in chosen)

    for kind in {s.defect_type for s in samples}:
        assert abs(lead([s for s in samples if s.defect_type == kind])) <= 1
    for label in (0, 1):
        assert abs(lead([s for s in samples if s.label == label])) <= 1
    assert halves(samples[::-1], seed, ROOT) == sides, "the listing's order must not matter"


def test_halves_keep_groups_whole_and_depend_on_the_seed() -> None:
    samples = [sample(f"good/{i}.png", group=f"part{i // 5}") for i in range(40)]
    samples += [
        sample(f"bad/{i}.png", int(i % 5 < 3), "a" if i % 5 < 3 else "good", f"ng{i // 5}")
        for i in range(30)
    ]
    drawn = set()
    for seed in range(5):
        sides = halves(samples, seed, ROOT)
        for group in {s.group for s in samples}:
            assert len({sides[s] for s in samples if s.group == group}) == 1
        assert abs(sum(1 if side == "report" else -1 for side in sides.values())) <= 5
        drawn.add(frozenset(s for s, side in sides.items() if side == "report"))
    assert len(drawn) > 1


def test_hold_out_takes_whole_groups_up_to_the_share() -> None:
    samples = [sample(f"{i}.png", group=f"g{i // 3}") for i in range(30)]
    held = hold_out(samples, 0.7, 0, ROOT)
    train = [s for s in held if s.split == "train"]
    assert len(train) == 21
    assert not {s.group for s in train} & {s.group for s in held if s.split == "test"}
    # However large the share, something is left to test.
    assert {s.split for s in hold_out(samples[:6], 0.99, 0, ROOT)} == {"train", "test"}


def test_subsets_are_nested_and_of_the_right_size(root: Path, tmp_path: Path) -> None:
    samples = [sample(f"{i}.png") for i in range(20)]
    chosen = [set(subsample(samples, limit, 3, ROOT)) for limit in (2, 5, 20, None)]
    assert [len(c) for c in chosen] == [2, 5, 20, 20]
    assert chosen[0] < chosen[1] < chosen[2]
    dataset = load(root, tmp_path / "cache", max_train=3, max_test=1)
    assert len(dataset.train("bottle")) == 3
    assert Counter(s.defect_type for s in dataset.test("bottle")) == {"good": 1, "crack": 1, "dent": 1}


def test_ranking_is_the_same_everywhere() -> None:
    # Written down: a change would silently reshuffle every published split.
    assert ranked(["a", "b", "c", "d", "e"], 0) == ranked(["e", "d", "c", "b", "a"], 0)
    assert "".join(ranked("abcdefgh", 0)) == "hecfabgd"
    assert "".join(ranked("abcdefgh", 1)) == "bhgdaefc"


def test_fingerprint_follows_contents_not_place(root: Path, tmp_path: Path) -> None:
    first = load(root, tmp_path / "cache")
    moved = tmp_path / "elsewhere"
    shutil.copytree(root, moved)
    again = load(moved, tmp_path / "cache2")
    assert again.fingerprint == first.fingerprint
    # A category's own fingerprint does not depend on the others.
    alone = load(root, tmp_path / "cache", categories=("cable",))
    assert alone.fingerprints == {"cable": first.fingerprints["cable"]}
    assert alone.fingerprint == first.fingerprint_of(["cable"])


def edit_image(root: Path) -> None:
    layouts.picture(root / "cable/train/good/000.png", seed=9)


def edit_mask(root: Path) -> None:
    layouts.mask(root / "cable/ground_truth/dent/000_mask.png", box=(0, 0, 2, 2))


def remove_image(root: Path) -> None:
    (root / "cable/test/good/002.png").unlink()


def rename_defect(root: Path) -> None:
    for part in ("test", "ground_truth"):
        (root / "cable" / part / "dent").rename(root / "cable" / part / "dint")


@pytest.mark.parametrize("edit", [edit_image, edit_mask, remove_image, rename_defect])
def test_fingerprint_sees_every_change(root: Path, tmp_path: Path, edit: Any) -> None:
    before = load(root, tmp_path / "cache")
    edit(root)
    after = load(root, tmp_path / "cache")
    assert after.fingerprint != before.fingerprint
    assert after.fingerprints["bottle"] == before.fingerprints["bottle"]


def test_fingerprint_sees_splits_and_subsets(root: Path, tmp_path: Path) -> None:
    prints = {
        load(root, tmp_path / "cache", **values).fingerprint
        for values in ({}, {"selection": "half"}, {"max_train": 2}, {"selection": "half", "split_seed": 1})
    }
    assert len(prints) == 4


def test_each_mask_of_a_union_counts(tmp_path: Path) -> None:
    root = layouts.loco(tmp_path / "data")
    before = load(root, tmp_path / "cache", dataset="loco").fingerprint
    layouts.mask(root / "juice_bottle/ground_truth/logical_anomalies/000/001.png", box=(0, 0, 1, 1))
    assert load(root, tmp_path / "cache", dataset="loco").fingerprint != before


def test_only_new_and_changed_files_are_hashed(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    original = hashing.hash_file
    monkeypatch.setattr(hashing, "hash_file", lambda path: (read.append(path), original(path))[1])
    seen: list[tuple[int, int]] = []
    config = DataConfig(dataset="mvtec", root=str(root))
    first = load_dataset(config, cache_dir=tmp_path / "cache", progress=lambda *at: seen.append(at))
    assert len(read) == len(first.samples) + 10  # 10 masks
    assert seen[-1] == (len(read), len(read))
    read.clear()
    assert load_dataset(config, cache_dir=tmp_path / "cache").fingerprint == first.fingerprint
    assert read == []
    changed = root / "cable/train/good/000.png"
    os.utime(changed, ns=(1, 1))
    assert load_dataset(config, cache_dir=tmp_path / "cache").fingerprint == first.fingerprint
    assert read == [changed]


def test_a_damaged_memory_costs_time_only(root: Path, tmp_path: Path) -> None:
    first = load(root, tmp_path / "cache")
    (memory,) = (tmp_path / "cache/file-hashes-upright").iterdir()
    for content in ("{", "[]", '{"cable/train/good/000.png": 3}'):
        memory.write_text(content)
        assert load(root, tmp_path / "cache").fingerprint == first.fingerprint


def test_errors_name_what_is_wrong(root: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"dataset root .*nowhere does not exist"):
        load(tmp_path / "nowhere", tmp_path / "cache")
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(DataError, match=r"dataset root .*file is a file"):
        load(file, tmp_path / "cache")
    for path in (root / "cable/train/good").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="category 'cable' has no normal training images"):
        load(root, tmp_path / "cache")
    shutil.rmtree(root / "bottle/test")
    with pytest.raises(DataError, match="category 'bottle' has no test images"):
        load(root, tmp_path / "cache", categories=("bottle",))


def test_cache_folder_that_is_a_file(root: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "cache"
    blocked.write_text("")
    with pytest.raises(StorageError, match="cannot write to the cache folder"):
        load(root, blocked)


def test_loading_imports_no_torch(root: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from model.data.config import DataConfig\n"
        "from model.data.dataset import load_dataset; import model.data.counts, model.data.problems\n"
        f"config = DataConfig(dataset='mvtec', root={str(root)!r})\n"
        f"load_dataset(config, cache_dir=Path({str(tmp_path)!r}))\n"
        "sys.exit(' '.join({'torch', 'pandas', 'matplotlib'} & set(sys.modules)) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_contamination_moves_defects_from_test_to_training(tmp_path):
    stripes = StripesConfig(size=32, train=8, test_good=2, test_bad=6)
    plain, mixed = (
        load_dataset(
            DataConfig(categories=("domain_a",), stripes=stripes, contamination=share), cache_dir=tmp_path
        )
        for share in (0.0, 0.2)
    )
    added = [s for s in mixed.train("domain_a") if s.label]
    assert len(added) == 2 and len(mixed.train("domain_a")) == 10
    assert not {s.image_path for s in added} & {s.image_path for s in mixed.test("domain_a")}
    assert len(mixed.test("domain_a")) == len(plain.test("domain_a")) - 2
    assert mixed.fingerprint_of(("domain_a",)) != plain.fingerprint_of(("domain_a",))
    with pytest.raises(DataError, match="none would be left to test on"):
        load_dataset(DataConfig(stripes=stripes, contamination=0.5), cache_dir=tmp_path)


def test_rows_with_other_shares_of_defects_are_tested_on_the_same_images(tmp_path):
    stripes = StripesConfig(size=32, train=8, test_good=2, test_bad=8)
    levels = ((0.0, None), (0.2, None), (0.3, None), (0.3, 4))
    sets = [
        load_dataset(
            DataConfig(
                categories=("domain_a",),
                stripes=stripes,
                contamination=share,
                max_train=limit,
                reserve=levels,
            ),
            cache_dir=tmp_path,
        )
        for share, limit in levels
    ]
    tested = [{s.image_path for s in dataset.test()} for dataset in sets]
    assert all(images == tested[0] for images in tested)
    trained = [{s.image_path for s in dataset.train() if s.label} for dataset in sets]
    assert [len(images) for images in trained] == [0, 2, 3, 2]
    assert trained[0] <= trained[1] <= trained[2]
    assert not tested[0] & trained[2]
