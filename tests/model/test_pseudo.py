"""Behavioural: pseudo-defects are shown, the clean image is rebuilt, and no other random stream moves."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from model.data.config import PseudoConfig
from model.data.pseudo import Copy
from model.data.samples import Sample
from model.pseudo import PseudoDefects
from model.student import Student
from model.training import Step, fit
from tests.model.tiny_model import RandomFeatures, tiny_config

COPIES = 3


class CopyFeatures:
    """Copy ``number`` of image i is the clean image i plus ``step`` times (number + 1)."""

    def __init__(self, clean: RandomFeatures, samples: list[Sample], config: PseudoConfig, step: float):
        self.shape = clean.shape
        # In another order than the clean ones, as contents order them.
        order = list(reversed(range(len(samples))))
        self.samples = tuple(
            Copy(samples[i], f"{i:016x}", number, config) for i in order for number in range(COPIES)
        )
        values = clean[torch.tensor(order)].repeat_interleave(COPIES, 0)
        self._values = values + step * (torch.arange(len(values)) % COPIES + 1).view(-1, 1, 1, 1)

    def __getitem__(self, indices: torch.Tensor) -> torch.Tensor:
        return self._values[indices]


def pseudo_of(features: RandomFeatures, step: float = 100.0, share: float = 0.5) -> PseudoDefects:
    samples = [Sample(Path(f"{i}.png"), None, 0, "c", "train", "good") for i in range(len(features))]
    config = PseudoConfig(kind="horizontal", copies=COPIES, share=share)
    rows = {sample: row for row, sample in enumerate(samples)}
    return PseudoDefects.of(config, rows, CopyFeatures(features, samples, config, step))


def train(
    pseudo: PseudoDefects | None, seed: int = 0, features: RandomFeatures | None = None
) -> list[Step]:
    features = features or RandomFeatures()
    student = Student(features.shape, tiny_config({"token_dropout.pattern": "segment"}))
    return fit(student, features, torch.arange(len(features)), seed, pseudo=pseudo)


def test_each_image_is_shown_as_itself_or_as_one_of_its_own_copies():
    features = RandomFeatures()
    pseudo, rows = pseudo_of(features), torch.tensor([7, 0, 11, 3])
    clean = features[rows]
    kept = clean.clone()
    counts = torch.zeros(COPIES + 1)
    for iteration in range(300):
        moved = (pseudo.shown(clean, rows, 0, iteration) - clean).mean((1, 2, 3)) / 100
        assert torch.allclose(moved, moved.round(), atol=1e-4)
        counts += torch.bincount(moved.round().long(), minlength=COPIES + 1)
    assert torch.equal(clean, kept)
    assert float(counts[0] / counts.sum()) == pytest.approx(0.5, abs=0.05)
    assert (counts[1:] / counts.sum()).tolist() == pytest.approx([0.5 / COPIES] * COPIES, abs=0.05)


def test_the_choice_depends_on_seed_and_iteration_alone():
    features = RandomFeatures()
    pseudo, rows = pseudo_of(features), torch.arange(8)
    first = pseudo.shown(features[rows], rows, 0, 5)
    assert torch.equal(first, pseudo.shown(features[rows], rows, 0, 5))
    assert not torch.equal(first, pseudo.shown(features[rows], rows, 0, 6))
    assert not torch.equal(first, pseudo.shown(features[rows], rows, 1, 5))


def test_copies_without_a_difference_train_bit_for_bit_as_none():
    features = RandomFeatures()
    assert train(pseudo_of(features, step=0.0), features=features) == train(None, features=features)
    assert train(pseudo_of(features), features=features) != train(None, features=features)


def test_the_targets_are_the_clean_images():
    features = RandomFeatures()
    student = Student(features.shape, tiny_config()).eval()
    rows = torch.arange(3)
    clean = features[rows]
    seen = pseudo_of(features, step=1.0, share=1.0).shown(clean, rows, 0, 0)
    assert (seen != clean).all()
    targets, x = student.targets_and_input(clean, seen)
    expected, _ = student.targets_and_input(clean)
    _, x_seen = student.targets_and_input(seen)
    assert all(torch.equal(a, b) for a, b in zip(targets, expected, strict=True))
    assert torch.equal(x, x_seen)
