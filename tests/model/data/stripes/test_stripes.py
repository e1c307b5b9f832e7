"""Behavioural: the built-in dataset is reproducible, exact in its masks and has the defects it claims.

Defects are measured on twins: the same image drawn with and without its defect.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from model.data.config import DataConfig, StripesConfig
from model.data.dataset import load_dataset
from model.data.stripes import DOMAINS, domains, ensure_stripes, write, write_stripes
from model.data.stripes.defects import streak
from model.data.stripes.domains import draw
from model.errors import StorageError

SMALL = StripesConfig(size=64, train=3, test_good=2, test_bad=4)
TYPES = [(name, defect) for name, domain in DOMAINS.items() for defect in domain.defects]


def contents(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*.png")}


def difference(
    name: str, defect: str, config: StripesConfig, index: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Grey-level change [side, side] (of 1) by a defect, and its mask."""
    bad = draw(DOMAINS[name], config, 2, index, defect)
    good = draw(DOMAINS[name], config, 2, index, None)
    change = bad.pixels.astype(float) - good.pixels
    assert bad.mask is not None
    return (change if change.ndim == 2 else change.mean(-1)) / 255, bad.mask


def test_layout_and_counts(tmp_path: Path) -> None:
    write_stripes(tmp_path, SMALL)
    names = sorted(contents(tmp_path))
    assert len(names) == 3 * (3 + 2 + 4 + 4)
    assert "domain_a/ground_truth/blob/000_mask.png" in names
    assert "domain_b/test/oblique_streak/001.png" in names
    assert "domain_c/test/broken_streak/003.png" in names
    assert not list(tmp_path.glob(".*")), "no scratch folder stays"


def test_same_seed_same_bytes_and_a_larger_set_contains_a_smaller(tmp_path: Path) -> None:
    write_stripes(tmp_path / "a", SMALL, ["domain_c"])
    write_stripes(tmp_path / "b", SMALL, ["domain_c"])
    first = contents(tmp_path / "a")
    assert contents(tmp_path / "b") == first
    larger = StripesConfig(size=64, train=5, test_good=3, test_bad=6)
    write_stripes(tmp_path / "c", larger, ["domain_c"])
    assert first.items() <= contents(tmp_path / "c").items()
    other = StripesConfig(seed=1, size=64, train=3, test_good=2, test_bad=4)
    write_stripes(tmp_path / "d", other, ["domain_c"])
    assert not set(first.values()) & set(contents(tmp_path / "d").values())


@pytest.mark.parametrize(("name", "defect"), TYPES)
def test_masks_are_exact(name: str, defect: str) -> None:
    config = StripesConfig(size=128)
    for index in range(4):
        change, mask = difference(name, defect, config, index)
        assert mask.any()
        # Off the mask only an antialiased rim changes; on it, everything does.
        far = ~ndimage.binary_dilation(mask, iterations=5)
        assert np.abs(change[far]).max() == 0
        changed = np.abs(change[mask]) > 0.01
        crossing = 0.15 if name != "domain_c" else 0.05  # where a dark and a bright defect cross
        assert changed.mean() > 1 - crossing


def test_domain_c_is_faint_broken_and_horizontal() -> None:
    config = StripesConfig()
    for index in range(12):
        change, mask = difference("domain_c", "broken_streak", config, index)
        rows, columns = np.nonzero(mask)
        labels, pieces = ndimage.label(mask, np.ones((3, 3)))
        assert pieces >= 3, "broken"
        for box in ndimage.find_objects(labels):
            height, width = (side.stop - side.start for side in box)
            assert height <= 4 + 2 + 0.04 * width + 1, "no thicker than asked for, level within 2 degrees"
        assert np.ptp(columns) >= 0.3 * config.size
        # At most two streaks of at most the highest contrast; light may add a fifth.
        assert 0.02 < np.median(np.abs(change[mask])) < config.contrast[1] * 1.25
        assert len(rows) < 0.03 * mask.size


def test_domain_b_is_not_horizontal() -> None:
    config = StripesConfig()
    for defect in DOMAINS["domain_b"].defects:
        for index in range(6):
            _, mask = difference("domain_b", defect, config, index)
            labels, _ = ndimage.label(mask, np.ones((3, 3)))
            for box in ndimage.find_objects(labels):
                height, width = (side.stop - side.start for side in box)
                assert height > 0.4 * width


@pytest.mark.parametrize("surface", ["brushed", "woven"])
def test_domain_c_is_horizontal_where_it_is_normal(surface: str) -> None:
    def roughness(name: str) -> float:
        """Variance across rows over variance along them, of neighbouring pixels' differences."""
        config = StripesConfig(surface=surface)  # type: ignore[arg-type]
        pixels = [draw(DOMAINS[name], config, 0, index, None).pixels for index in range(3)]
        grey = [image if image.ndim == 2 else image[..., 0] for image in pixels]
        down, along = (np.mean([np.diff(g.astype(float), axis=a).var() for g in grey]) for a in (0, 1))
        return float(down / along)

    assert roughness("domain_c") > 2
    assert 0.7 < roughness("domain_a") < 1.4
    assert 0.7 < roughness("domain_b") < 1.4


def test_normal_images_vary() -> None:
    for domain in DOMAINS.values():
        means = [draw(domain, StripesConfig(size=64), 0, index, None).pixels.mean() for index in range(12)]
        assert np.std(means) > 2
        assert 60 < np.mean(means) < 200


@pytest.mark.parametrize("gap_ratio", [0.2, 0.5, 0.8])
def test_gap_ratio_is_met(gap_ratio: float) -> None:
    shares = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        made = streak(rng, 400, angle=0.0, length=360, thickness=3, amplitude=0.1, gap_ratio=gap_ratio)
        columns = np.nonzero(made.mask.any(axis=0))[0]
        assert np.ptp(columns) + 1 == pytest.approx(360, abs=2)
        shares.append(len(columns) / 360)
    assert np.mean(shares) == pytest.approx(1 - gap_ratio, abs=0.03)


def test_parameters_reach_the_drawing() -> None:
    def strength(**values: tuple[float, float]) -> tuple[float, float, float]:
        config = StripesConfig(size=128, **values)  # type: ignore[arg-type]
        drawn = [difference("domain_c", "broken_streak", config, index) for index in range(8)]
        contrast = np.mean([np.abs(change[mask]).mean() for change, mask in drawn])
        area = np.mean([mask.sum() for _, mask in drawn])
        width = np.mean([np.ptp(np.nonzero(mask)[1]) for _, mask in drawn])
        return float(contrast), float(area), float(width)

    plain = strength()
    assert strength(contrast=(0.3, 0.3))[0] > 2 * plain[0]
    assert strength(thickness=(9.0, 9.0))[1] > 2 * plain[1]
    assert strength(length=(0.2, 0.2))[2] < 0.7 * plain[2]
    assert strength(gap_ratio=(0.8, 0.8))[1] < 0.5 * plain[1]


def test_thinnest_streaks_of_small_images_are_not_empty() -> None:
    config = StripesConfig(size=64, thickness=(0.5, 0.5), contrast=(0.1, 0.1))
    for index in range(8):
        change, mask = difference("domain_c", "broken_streak", config, index)
        assert mask.sum() > 8
        assert np.abs(change[mask]).mean() > 0.04


def test_drawn_once_into_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = ensure_stripes(SMALL, tmp_path, ["domain_c"])
    assert [path.name for path in root.iterdir()] == ["domain_c"]
    stamp = (root / "domain_c/train/good/000.png").stat().st_mtime_ns
    assert ensure_stripes(SMALL, tmp_path, ["domain_a", "domain_c"]) == root
    assert (root / "domain_c/train/good/000.png").stat().st_mtime_ns == stamp
    assert (root / "domain_a").is_dir()
    assert ensure_stripes(StripesConfig(size=65, train=1), tmp_path, []) != root
    monkeypatch.setattr(write, "GENERATOR_VERSION", 2)
    assert ensure_stripes(SMALL, tmp_path, []) != root


def test_an_interrupted_drawing_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(write, "draw", stop)
        with pytest.raises(KeyboardInterrupt):
            ensure_stripes(SMALL, tmp_path, ["domain_a"])
    (root,) = (path for path in tmp_path.iterdir() if path.is_dir())
    assert list(root.iterdir()) == []
    ensure_stripes(SMALL, tmp_path, ["domain_a"])
    assert len(contents(root)) == 13


def test_unwritable_cache_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        ensure_stripes(SMALL, tmp_path / "file", ["domain_a"])


def test_loads_as_a_dataset(tmp_path: Path) -> None:
    config = DataConfig(stripes=SMALL, categories=("domain_c", "domain_a"), selection="half")
    dataset = load_dataset(config, cache_dir=tmp_path)
    assert dataset.categories == ("domain_a", "domain_c")
    assert len(dataset.train()) == 6
    assert {s.defect_type for s in dataset.test("domain_a")} == {"good", "blob", "scratch"}
    # A domain drawn earlier but not wanted now is not read.
    assert load_dataset(
        DataConfig(stripes=SMALL, categories=("domain_c",)), cache_dir=tmp_path
    ).categories == ("domain_c",)
    other = DataConfig(stripes=StripesConfig(seed=1, size=64, train=3, test_good=2, test_bad=4))
    assert load_dataset(other, cache_dir=tmp_path).fingerprint != dataset.fingerprint


def test_images_are_quick(tmp_path: Path) -> None:
    # 360 images of 256 px must take less than 20 s of one core: 55 ms each. Ten here, with slack.
    start = time.process_time()
    write_stripes(tmp_path, StripesConfig(train=2, test_good=2, test_bad=4))
    assert time.process_time() - start < 24 * 0.055
    assert Image.open(tmp_path / "domain_a/train/good/000.png").size == (256, 256)


def test_domain_streams_are_distinct() -> None:
    assert len({domain.index for domain in domains.DOMAINS.values()}) == len(DOMAINS)
