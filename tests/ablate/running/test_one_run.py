"""Behavioural: one run from configuration to files, in this process, on a few drawn images."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image, ImageOps
from safetensors.torch import load_file

from ablate.running.kept import pick
from ablate.running.one_run import execute_run
from ablate.study.code import run_modules
from ablate.study.plan import Run
from model.baselines import METHODS
from model.code_identity import combined
from model.config import build_config
from model.data.config import DataConfig, PseudoConfig, StripesConfig
from model.data.dataset import load_dataset
from model.data.samples import Sample
from model.decoder import DecoderBlock
from model.errors import DataError, InterruptedRun, StorageError
from model.score_histograms import load_histograms
from tests.ablate.runner_fakes import Listener

CATEGORIES = ("domain_a", "domain_c")
CONFIG = {
    "image": {"resize": 64, "crop": 64},
    "encoder": {"name": "test_vit", "pretrained": False, "blocks": [1, 2, 3, 4]},
    "decoder": {"depth": 4},
    "train": {"iterations": 30, "batch_size": 4, "warmup": 3},
    "tail": {"ramp": 10, "q": 0.1},
    "token_dropout": {"pattern": "segment", "rate": {"from": 0.0, "to": 0.3}},
    "score": {"map_size": 64},
}


def make_run(selection: str = "half", **changes: Any) -> Run:
    config = build_config({**CONFIG, **changes})
    stripes = StripesConfig(size=64, train=6, test_good=4, test_bad=6)
    return Run(
        key="0" * 20,
        variant="all",
        seed=0,
        category=None,
        categories=CATEGORIES,
        factors={},
        config=config,
        code_digest=combined(run_modules(config)),
        data=DataConfig(categories=CATEGORIES, selection=selection, stripes=stripes),
        keep_weights=True,
        keep_maps=4,
    )


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def finished(tmp_path_factory, cache: Path) -> Path:
    folder = tmp_path_factory.mktemp("run")
    execute_run(make_run(), folder, Listener(cache))
    return folder


def test_files(finished: Path):
    names = {path.name for path in finished.iterdir()}
    assert names == {
        "metrics.csv", "scores.csv", "history.csv", "maps.npz", "provenance.json", "weights.safetensors",
        "score_histograms",
    }  # fmt: skip


def test_histograms_hold_the_scored_images_and_give_the_metrics_again(finished: Path):
    scores, metrics = pd.read_csv(finished / "scores.csv"), pd.read_csv(finished / "metrics.csv")
    for category in CATEGORIES:
        own = scores[scores.category == category].reset_index(drop=True)
        counted = load_histograms(finished / "score_histograms" / f"{category}.npz")
        assert counted.images == len(own)
        part = counted.select(np.flatnonzero(own.split == "report"))
        rows = metrics.query(f"category == '{category}' and split == 'report' and stratum == 'all'")
        stored = rows.set_index("metric").value
        for name, (value,) in part.metrics().items():
            assert value == pytest.approx(stored[name], abs=2e-3), name


def test_metrics_cover_categories_splits_and_strata(finished: Path):
    metrics = pd.read_csv(finished / "metrics.csv")
    assert set(metrics.category) == set(CATEGORIES)
    assert set(metrics.split) == {"selection", "report"}
    assert {"all", "orientation=horizontal", "faint+broken+horizontal"} <= set(metrics.stratum)
    overall = metrics[metrics.stratum == "all"]
    assert overall[overall.metric == "image_auroc"].value.between(0, 1).all()
    missing = metrics[metrics.value.isna()]
    assert missing.reason.notna().all()
    assert not metrics.duplicated(["category", "split", "stratum", "metric"]).any()


def test_the_decoders_completion_is_measured(finished: Path):
    metrics = pd.read_csv(finished / "metrics.csv")
    overall = metrics[(metrics.stratum == "all") & metrics.metric.str.startswith("completion")]
    assert len(overall) == 2 * 2 * 6
    known = overall[~overall.metric.str.endswith("difference")].value.dropna()
    assert known.between(0, 1).all()


def test_every_test_image_is_scored_once_and_no_training_image(finished: Path):
    scores = pd.read_csv(finished / "scores.csv")
    assert len(scores) == 2 * (4 + 6)
    assert scores.image.is_unique
    assert np.isfinite(scores.score).all()
    assert not scores.image.str.contains("train").any()


def test_history_follows_the_schedule(finished: Path):
    history = pd.read_csv(finished / "history.csv")
    assert list(history.iteration) == list(range(30))
    assert history["token_dropout.rate"].iloc[15] == pytest.approx(0.15)
    assert history["tail.q"].iloc[[0, 10, 29]].tolist() == pytest.approx([1.0, 0.1, 0.1])


def test_kept_maps(finished: Path):
    with np.load(finished / "maps.npz") as maps:
        assert maps["image"].shape == (8, 64, 64, 3)
        assert maps["map"].shape == maps["mask"].shape == (8, 64, 64)
        assert sorted(set(maps["category"])) == sorted(CATEGORIES)
        normal = maps["label"] == 0
        assert normal.sum() == 2
        assert not maps["mask"][normal].any()
        assert maps["mask"][~normal].any()


def test_weights_hold_the_student_alone(finished: Path):
    names = set(load_file(finished / "weights.safetensors"))
    assert "decoder.3.mlp.fc2.bias" in names
    assert not any(name.startswith("encoder") for name in names)


def test_a_repeat_gives_the_same_numbers_and_encodes_nothing(finished: Path, cache: Path, tmp_path: Path):
    listener = Listener(cache)
    execute_run(make_run(), tmp_path, listener)
    assert not any("encoding" in note for note in listener.notes)
    for name in ("metrics.csv", "scores.csv", "history.csv"):
        assert (tmp_path / name).read_text() == (finished / name).read_text()


def test_another_split_of_the_same_images_encodes_nothing(cache: Path, finished: Path, tmp_path: Path):
    assert finished.exists()
    listener = Listener(cache)
    execute_run(make_run(selection="none"), tmp_path, listener)
    assert not any("encoding" in note for note in listener.notes)
    assert set(pd.read_csv(tmp_path / "metrics.csv").split) == {"report"}


def test_a_stopped_run_continues_to_the_same_result(finished: Path, cache: Path, tmp_path: Path):
    with pytest.raises(InterruptedRun):
        execute_run(make_run(), tmp_path, Listener(cache, stop=True))
    assert (tmp_path / "checkpoint.pt").exists()
    execute_run(make_run(), tmp_path, Listener(cache))
    assert not (tmp_path / "checkpoint.pt").exists()
    assert (tmp_path / "scores.csv").read_text() == (finished / "scores.csv").read_text()


def test_what_memory_does_not_hold_is_trained_in_micro_batches_and_recorded(
    finished: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    forward = DecoderBlock.forward

    def limited(self: DecoderBlock, x: torch.Tensor, *place: Any) -> torch.Tensor:
        if self.training and len(x) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(self, x, *place)

    monkeypatch.setattr(DecoderBlock, "forward", limited)
    with pytest.warns(UserWarning, match="micro-batches of size 2"):
        execute_run(make_run(), tmp_path, Listener(cache))
    assert json.loads((tmp_path / "provenance.json").read_text())["micro_batches"] == {"0": 2}
    assert "micro_batches" not in json.loads((finished / "provenance.json").read_text())
    ours, theirs = (pd.read_csv(folder / "history.csv")["loss"] for folder in (tmp_path, finished))
    np.testing.assert_allclose(ours, theirs, rtol=1e-3)
    np.testing.assert_allclose(ours[:3], theirs[:3], rtol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_a_reference_row_is_a_run_like_any_other(finished: Path, cache: Path, tmp_path: Path, method: str):
    run = make_run(method=method)
    listener = Listener(cache)
    execute_run(run, tmp_path, listener)
    assert not any("encoding" in note for note in listener.notes)
    assert not (tmp_path / "weights.safetensors").exists()
    assert pd.read_csv(tmp_path / "history.csv").empty
    mine, other = (pd.read_csv(folder / "metrics.csv") for folder in (tmp_path, finished))
    names = ["category", "split", "stratum", "metric"]
    assert mine[names].values.tolist() == other[names].values.tolist()
    overall = mine[(mine.stratum == "all") & (mine.metric == "image_auroc")]
    assert overall.value.between(0, 1).all()
    assert mine[mine.value.isna()].reason.notna().all()


@pytest.mark.usefixtures("finished")
def test_a_reference_row_stops_when_asked(cache: Path, tmp_path: Path):
    run = make_run(method="subspace")
    with pytest.raises(InterruptedRun, match="after 0 of 12 images"):
        execute_run(run, tmp_path, Listener(cache, stop=True))


@pytest.mark.usefixtures("finished")
def test_a_threshold_from_held_out_images_decides_on_every_test_image(cache: Path, tmp_path: Path):
    score = {**CONFIG["score"], "threshold": {"quantile": 0.5, "holdout": 0.5}}
    execute_run(make_run("none", method="subspace", score=score), tmp_path, Listener(cache))
    metrics = pd.read_csv(tmp_path / "metrics.csv").query("stratum == 'all'")
    scores = pd.read_csv(tmp_path / "scores.csv")
    for category in CATEGORIES:
        found = metrics[metrics.category == category].set_index("metric").value
        mine = scores[scores.category == category]
        called = mine.score > found["threshold"]
        assert found["true_ng"] == (called & (mine.label == 1)).sum()
        assert found["false_ng"] + found["true_ok"] == 4
        assert found["true_ng"] + found["false_ok"] == 6


@pytest.mark.usefixtures("finished")
def test_the_seed_draws_the_memory_bank(cache: Path, tmp_path: Path):
    run = make_run(method="knn", knn={"subsample": "random"})
    scores = []
    for seed in (0, 1, 1):
        folder = tmp_path / str(len(scores))
        folder.mkdir()
        execute_run(replace(run, seed=seed), folder, Listener(cache))
        scores.append((folder / "scores.csv").read_text())
    assert scores[0] != scores[1] == scores[2]


def test_pseudo_defects_are_trained_on_and_not_tested_on(finished: Path, cache: Path, tmp_path: Path):
    run = make_run()
    drawn = PseudoConfig(kind="horizontal", copies=2)
    execute_run(replace(run, data=replace(run.data, pseudo=drawn)), tmp_path, Listener(cache))
    plain, pseudo = (pd.read_csv(folder / "history.csv") for folder in (finished, tmp_path))
    assert (plain.loss != pseudo.loss).any()
    assert plain["token_dropout.rate"].equals(pseudo["token_dropout.rate"])
    images = [pd.read_csv(folder / "scores.csv").image for folder in (finished, tmp_path)]
    assert images[0].equals(images[1])


def test_encoding_stops_when_asked(tmp_path: Path):
    listener = Listener(tmp_path / "empty", stop=True)
    with pytest.raises(InterruptedRun, match="while encoding"):
        execute_run(make_run(), tmp_path, listener)
    assert len([note for note in listener.notes if "encoding" in note]) == 1


def sample(defect_type: str, number: int) -> Sample:
    label = int(defect_type != "good")
    return Sample(Path(f"{defect_type}{number}"), None, label, "c", "test", defect_type)


def test_kept_images_take_turns_over_defect_types():
    samples = [sample(kind, i) for kind in ("crack", "good", "stain") for i in range(5)]
    chosen = [samples[i].defect_type for i in pick(samples, 8)]
    assert chosen.count("good") == 2
    assert chosen.count("crack") == chosen.count("stain") == 3
    assert len(pick(samples[:2], 8)) == 2
    assert pick(samples, 0) == []


def with_own_data(cache: Path, folder: Path) -> tuple[Run, Listener, list[Path]]:
    """A run whose data and features are copies, planned with what they hold; and its training images."""
    shutil.copytree(cache, folder)
    run = make_run()
    dataset = load_dataset(run.data, cache_dir=folder)
    planned = replace(run, contents=dataset.fingerprint_of(run.categories))
    return planned, Listener(folder), [sample.image_path for sample in dataset.train("domain_a")]


def invert(path: Path) -> None:
    with Image.open(path) as image:
        changed = ImageOps.invert(image.convert("RGB"))
    changed.save(path)


@pytest.mark.usefixtures("finished")
def test_data_that_changed_since_planning_train_nothing(tmp_path: Path, cache: Path) -> None:
    run, listener, images = with_own_data(cache, tmp_path / "own")
    for path in images[:2]:
        invert(path)
    attempt = tmp_path / "attempt"
    attempt.mkdir()
    with pytest.raises(DataError, match="domain_a, domain_c have changed since the study was planned"):
        execute_run(run, attempt, listener)
    assert list(attempt.iterdir()) == []


@pytest.mark.usefixtures("finished")
def test_data_that_change_during_a_run_spoil_it(tmp_path: Path, cache: Path) -> None:
    run, listener, images = with_own_data(cache, tmp_path / "own")
    attempt = tmp_path / "attempt"
    attempt.mkdir()

    class Vandal(Listener):
        def progress(self, done: int, total: int, note: str = "") -> None:
            super().progress(done, total, note)
            if note.startswith("loss"):
                before = images[0].stat()
                images[0].write_bytes(images[1].read_bytes()[: before.st_size].ljust(before.st_size))
                os.utime(images[0], ns=(before.st_atime_ns, before.st_mtime_ns))

    with pytest.raises(DataError, match="have changed since the study was planned"):
        execute_run(run, attempt, Vandal(listener.cache))


def test_code_that_was_edited_since_planning_computes_nothing(tmp_path: Path, cache: Path) -> None:
    run = replace(make_run(), code_digest="of other code")
    with pytest.raises(StorageError, match="edited since"):
        execute_run(run, tmp_path, Listener(cache))
    assert list(tmp_path.iterdir()) == []
