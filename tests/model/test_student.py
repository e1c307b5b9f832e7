"""Behavioural: what a student asks of its teacher's shape, and what it recentres."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from model.errors import ConfigError
from model.student import Student
from tests.model.tiny_model import RandomFeatures, tiny_config


def test_a_register_is_not_subtracted() -> None:
    config = tiny_config({"recentre": True})
    shape = RandomFeatures(prefix=4).shape
    Student(shape, config)
    registers_only = replace(shape, class_token=False)
    for without in (registers_only, RandomFeatures(prefix=0).shape):
        with pytest.raises(ConfigError, match="recentre needs a class token"):
            Student(without, config)
    Student(registers_only, tiny_config())  # without recentring, any prefix will do


def test_recentring_subtracts_the_class_token_from_the_patches() -> None:
    features = RandomFeatures(prefix=3)
    student = Student(features.shape, tiny_config({"recentre": True})).eval()
    groups = features[torch.arange(2)]
    en, _ = student(groups)
    expected = (groups[:, 0, 3:] - groups[:, 0, :1]).mT.reshape(2, 64, 4, 5)
    assert torch.equal(en[0], expected)


def test_the_state_is_the_trainable_part_alone() -> None:
    student = Student(RandomFeatures(prefix=1).shape, tiny_config())
    assert all(parameter.requires_grad for parameter in student.parameters())
    assert set(student.state_dict()) == {name for name, _ in student.named_parameters()}
