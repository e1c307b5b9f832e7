"""Behavioural: features are encoded once, shared, verified, and equal to encoding on the fly."""

from __future__ import annotations

import json
import multiprocessing
import shutil
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from model.config import ModelConfig
from model.data import config as data_config
from model.data.config import PseudoConfig
from model.data.samples import Sample
from model.encoders.build import build_encoder
from model.errors import DataError, StorageError
from model.features import (
    CachedFeatures,
    Features,
    StreamedFeatures,
    cache_bytes,
    encoder_id,
    load_batches,
    load_images,
    open_copies,
    open_features,
)
from model.student import Student
from model.training import fit
from tests.model.tiny_model import dataset_of, tiny_config, write_images

CPU = torch.device("cpu")


def opened(
    config: ModelConfig, parts: dict[str, tuple[Sample, ...]], cache: Path, verify: bool = False
) -> tuple[Features, list[tuple[int, int, str]]]:
    """The features, and what progress was reported while opening them."""
    told: list[tuple[int, int, str]] = []
    samples = [sample for part in parts.values() for sample in part]
    features = open_features(
        config,
        dataset_of(samples, cache.parent),
        tuple(parts),
        cache_dir=cache,
        device=CPU,
        progress=lambda done, total, note: told.append((done, total, note.partition(" (")[0])),
        verify=verify,
    )
    return features, told


@pytest.fixture
def parts(tmp_path: Path) -> dict[str, tuple[Sample, ...]]:
    folders = {name: tmp_path / name for name in ("a", "b")}
    for folder in folders.values():
        folder.mkdir()
    return {
        "a": write_images(folders["a"], 18, seed=1, category="a"),
        "b": write_images(folders["b"], 3, seed=2, category="b"),
    }


def test_cached_features_are_the_encoders_group_means(parts, tmp_path: Path):
    config = tiny_config()
    features, _ = opened(config, parts, tmp_path / "cache")
    assert isinstance(features, CachedFeatures)
    indices = torch.tensor([20, 0, 17])
    images = load_images([features.samples[int(i)] for i in indices], config.image)
    layers = build_encoder(config.encoder, config.image.crop)(images)
    wanted = torch.stack([(layers[0] + layers[1]) / 2, (layers[2] + layers[3]) / 2], dim=1)
    assert torch.allclose(features[indices], wanted, atol=1e-5)


def test_a_second_study_encodes_nothing_and_a_new_category_only_itself(parts, tmp_path: Path):
    cache = tmp_path / "cache"
    _, told = opened(tiny_config(), {"a": parts["a"]}, cache)
    assert told[-1] == (18, 18, "encoding a")
    _, told = opened(tiny_config({"train.lr": 1e-3}), parts, cache)
    assert {what for *_, what in told} == {"encoding b"}
    _, told = opened(tiny_config(), parts, cache)
    assert told == []


@pytest.mark.parametrize(
    "change",
    [{"encoder.seed": 1}, {"image.crop": [64, 64]}, {"groups": "dense"}, {"cache.dtype": "bfloat16"}],
)
def test_whatever_changes_the_numbers_changes_the_cache(change):
    assert encoder_id(tiny_config(change)) != encoder_id(tiny_config())


def test_training_on_cached_features_equals_training_through_the_encoder(parts, tmp_path: Path):
    cached, _ = opened(tiny_config(), parts, tmp_path / "cache")
    streamed, _ = opened(tiny_config({"cache.budget_gb": 0}), parts, tmp_path / "none")
    assert isinstance(streamed, StreamedFeatures)
    assert not list((tmp_path / "none").rglob("*.bin"))
    losses = []
    for features in (cached, streamed):
        student = Student(features.shape, tiny_config())
        history = fit(student, features, torch.arange(len(features.samples)), seed=0)
        losses.append([step.loss for step in history])
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)


def test_half_precision_halves_the_file_and_streaming_rounds_alike(parts, tmp_path: Path):
    config = tiny_config({"cache.dtype": "bfloat16"})
    cached, _ = opened(config, parts, tmp_path / "cache")
    size = sum(path.stat().st_size for path in (tmp_path / "cache").rglob("*.bin"))
    assert size == cache_bytes(config, cached.shape, 21) == 21 * 2 * 21 * 64 * 2
    streamed, _ = opened(
        tiny_config({"cache.dtype": "bfloat16", "cache.budget_gb": 0}), parts, tmp_path / "none"
    )
    indices = torch.arange(21)
    assert torch.allclose(cached[indices], streamed[indices], rtol=0.01)
    assert (cached[indices] == streamed[indices]).float().mean() > 0.999


def test_damage_is_found_and_encoded_again(parts, tmp_path: Path):
    cache = tmp_path / "cache"
    before, _ = opened(tiny_config(), parts, cache)
    values = before[torch.arange(21)]
    target = min(cache.rglob("*.bin"), key=lambda path: path.stat().st_size)  # of b
    content = bytearray(target.read_bytes())
    content[100] ^= 0xFF
    target.write_bytes(content)
    after, told = opened(tiny_config(), parts, cache, verify=True)
    assert {what for *_, what in told} == {"encoding b"}
    assert torch.allclose(after[torch.arange(21)], values, atol=1e-5)
    target.write_bytes(bytes(content[:50]))
    _, told = opened(tiny_config(), parts, cache)
    assert {what for *_, what in told} == {"encoding b"}


def test_images_that_change_while_they_are_encoded_leave_no_features(parts, tmp_path: Path):
    def change(*_: object) -> None:
        shutil.copyfile(parts["b"][0].image_path, parts["b"][1].image_path)

    cache = tmp_path / "cache"
    samples = [sample for part in parts.values() for sample in part]
    with pytest.raises(DataError, match="images of 'b' were changed while"):
        open_features(
            tiny_config(),
            dataset_of(samples, tmp_path),
            tuple(parts),
            cache_dir=cache,
            device=CPU,
            progress=change,
        )
    assert len(list(cache.rglob("*.json"))) == len(list(cache.rglob("*.bin"))) - 1 == 1


def test_copies_are_encoded_once_those_of_an_image_side_by_side(
    parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    dataset = dataset_of(parts["b"], tmp_path)
    ordered = sorted(parts["b"], key=dataset.content.__getitem__)
    told: list[str] = []

    def opened_copies(**values: object) -> Features:
        pseudo = PseudoConfig(kind="horizontal", copies=2, **values)
        drawn = replace(dataset, config=replace(dataset.config, pseudo=pseudo))
        return open_copies(
            tiny_config(),
            drawn,
            ["b"],
            cache_dir=tmp_path / "cache",
            device=CPU,
            progress=lambda *_: told.append("encoded"),
        )

    features = opened_copies()
    assert [(c.sample, c.number) for c in features.samples] == [(s, n) for s in ordered for n in (0, 1)]
    config = tiny_config()
    layers = build_encoder(config.encoder, config.image.crop)(load_images(features.samples, config.image))
    expected = torch.stack([(layers[0] + layers[1]) / 2, (layers[2] + layers[3]) / 2], dim=1)
    assert torch.allclose(features[torch.arange(6)], expected, atol=1e-5)
    batches = len(told)
    opened_copies(share=1.0)
    assert len(told) == batches
    opened_copies(strength=0.5)
    assert len(told) == 2 * batches
    monkeypatch.setattr(data_config, "GENERATOR_VERSION", 99)  # other code draws other streaks
    opened_copies()
    assert len(told) == 3 * batches


def test_an_unfinished_build_counts_as_none(parts, tmp_path: Path):
    cache = tmp_path / "cache"
    opened(tiny_config(), parts, cache)
    largest = max(cache.rglob("*.bin"), key=lambda path: path.stat().st_size)  # of a
    largest.with_suffix(".json").write_text(json.dumps({"shape": [1]}))
    _, told = opened(tiny_config(), parts, cache)
    assert {what for *_, what in told} == {"encoding a"}


def test_images_come_in_order_and_a_broken_one_is_named_in_its_turn(parts):
    image = tiny_config().image
    batches = [parts["a"][start : start + 5] for start in range(0, 18, 5)]
    loaded = list(load_batches(batches, image))
    assert [len(images) for images in loaded] == [5, 5, 5, 3]
    assert torch.equal(torch.cat(loaded), load_images(parts["a"], image))
    parts["a"][7].image_path.write_bytes(b"broken")
    reading = load_batches(batches, image)
    assert torch.equal(next(reading), loaded[0])
    with pytest.raises(DataError, match=parts["a"][7].image_path.name):
        next(reading)


def test_nothing_written_to_features_reaches_the_file(parts, tmp_path: Path):
    features, _ = opened(tiny_config(), parts, tmp_path / "cache")
    rows = features[torch.tensor([0])]
    rows.zero_()
    assert features[torch.tensor([0])].abs().sum() > 0


def test_a_full_disk_is_one_clear_line(parts, tmp_path: Path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10, 10, 0))
    with pytest.raises(StorageError, match=r"the features of 'a' need .* GB are free"):
        opened(tiny_config(), parts, tmp_path / "cache")


def test_an_unwritable_cache_is_one_clear_line(parts, tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write the feature cache"):
        opened(tiny_config(), parts, tmp_path / "file")


def build_in_process(parts, cache: Path, queue) -> None:
    torch.set_num_threads(1)
    _, told = opened(tiny_config(), parts, cache)
    queue.put(max((done for done, *_ in told), default=0) and sum(1 for _ in told))


@pytest.mark.slow
def test_two_processes_share_the_work(parts, tmp_path: Path):
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    workers = [
        context.Process(target=build_in_process, args=(parts, tmp_path / "cache", queue)) for _ in range(2)
    ]
    for worker in workers:
        worker.start()
    batches = sum(queue.get(timeout=120) for _ in workers)
    for worker in workers:
        worker.join()
    assert batches == 6  # ceil(18 / 4) + ceil(3 / 4): each batch was encoded once, by either
