"""Behavioural: a teacher's groups are means of its layers; its shape says what the prefix opens with."""

from __future__ import annotations

import pytest
import torch

from model.teacher import build_teacher
from tests.model.tiny_model import tiny_config


@pytest.mark.parametrize(("encoder", "class_token"), [("test_vit", True), ("test_vit2", False)])
def test_a_shape_says_whether_the_prefix_starts_with_a_class_token(encoder: str, class_token: bool) -> None:
    teacher = build_teacher(tiny_config({"encoder.name": encoder, "encoder.blocks": [0, 1]}))
    assert teacher.shape.prefix == 1
    assert teacher.shape.class_token is class_token


def test_groups_are_means_of_layers() -> None:
    config = tiny_config({"encoder.name": "test_vit", "encoder.blocks": [0, 1, 2], "groups": "one"})
    teacher = build_teacher(config)
    images = torch.randn(2, 3, *config.image.crop, generator=torch.Generator().manual_seed(0))
    layers = teacher.encoder(images)
    torch.testing.assert_close(teacher(images)[:, 0], torch.stack(layers).mean(0))
    assert not any(parameter.requires_grad for parameter in teacher.parameters())


def test_sparse_groups_are_single_layers_and_the_mean_of_all_comes_with_them() -> None:
    config = tiny_config({"groups": "sparse"})
    teacher = build_teacher(config)
    images = torch.randn(2, 3, *config.image.crop, generator=torch.Generator().manual_seed(0))
    layers = teacher.encoder(images)
    found = teacher(images)
    torch.testing.assert_close(found, torch.stack([layers[1], layers[3], torch.stack(layers).mean(0)], 1))
