"""Behavioural: context recentring needs a class token; a register is none."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from model.dinomaly import Dinomaly, build_model
from model.errors import ConfigError
from model.features import AbsentEncoder, EncoderShape
from tests.model.tiny_model import RandomFeatures, tiny_config


@pytest.mark.parametrize(("encoder", "class_token"), [("test_vit", True), ("test_vit2", False)])
def test_an_encoder_says_whether_its_prefix_starts_with_a_class_token(encoder: str, class_token: bool):
    model = build_model(tiny_config({"encoder.name": encoder, "encoder.blocks": [0, 1]}))
    assert model.prefix == 1
    assert EncoderShape.of(model.encoder).class_token is class_token


def test_a_register_is_not_subtracted():
    config = tiny_config({"recentre": True})
    shape = RandomFeatures(prefix=4).shape
    Dinomaly(AbsentEncoder(shape), config)
    for without in (replace(shape, class_token=False), RandomFeatures(prefix=0).shape):
        with pytest.raises(ConfigError, match="recentre needs a class token"):
            Dinomaly(AbsentEncoder(without), config)
    registers = AbsentEncoder(replace(shape, class_token=False))
    Dinomaly(registers, tiny_config())  # without recentring, any prefix will do


def test_recentring_subtracts_the_class_token_from_the_patches():
    features = RandomFeatures(prefix=3)
    model = Dinomaly(AbsentEncoder(features.shape), tiny_config({"recentre": True})).eval()
    groups = features[torch.arange(2)]
    en, _ = model.reconstruct(groups)
    expected = (groups[:, 0, 3:] - groups[:, 0, :1]).mT.reshape(2, 64, 4, 5)
    assert torch.equal(en[0], expected)
