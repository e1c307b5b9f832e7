"""The readings of context recentring, each against its definition."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from model.config import RecentreConfig
from model.errors import ConfigError
from model.recentring import recentre

PREFIX = 3


def groups() -> torch.Tensor:
    return torch.randn(2, 2, PREFIX + 6, 8, generator=torch.Generator().manual_seed(0)) + 1


def test_off_is_the_identity():
    g = groups()
    targets, inputs, prefix = recentre(g, PREFIX, RecentreConfig())
    assert inputs is g
    assert prefix == PREFIX
    assert torch.equal(targets, g[:, :, PREFIX:])


def test_targets_are_recentred_and_normalised_and_inputs_are_left_alone():
    g = groups()
    targets, inputs, prefix = recentre(g, PREFIX, RecentreConfig(mode="targets", norm="layernorm"))
    centred = g[:, :, PREFIX:] - g[:, :, :1]
    mean, variance = centred.mean(-1, keepdim=True), centred.var(-1, correction=0, keepdim=True)
    assert torch.allclose(targets, (centred - mean) / torch.sqrt(variance + 1e-8), atol=1e-5)
    assert torch.equal(inputs, g)
    assert prefix == PREFIX


def test_inputs_alone():
    g = groups()
    targets, inputs, _ = recentre(g, PREFIX, RecentreConfig(mode="inputs"))
    assert torch.equal(targets, g[:, :, PREFIX:])
    assert torch.equal(inputs[:, :, PREFIX:], g[:, :, PREFIX:] - g[:, :, :1])
    assert torch.equal(inputs[:, :, :PREFIX], g[:, :, :PREFIX])


def test_both_with_and_without_the_prefix():
    g = groups()
    kept = recentre(g, PREFIX, RecentreConfig(mode="both"))
    dropped = recentre(g, PREFIX, RecentreConfig(mode="both", drop_prefix=True))
    assert torch.equal(kept.targets, g[:, :, PREFIX:] - g[:, :, :1])
    assert torch.equal(kept.inputs[:, :, PREFIX:], kept.targets)
    assert torch.equal(dropped.inputs, kept.targets)
    assert (kept.prefix, dropped.prefix) == (PREFIX, 0)


@pytest.mark.parametrize("mode", ["targets", "inputs", "both"])
def test_what_all_tokens_share_makes_no_difference(mode):
    g = groups()
    config = RecentreConfig(mode=mode, drop_prefix=True)
    shifted = recentre(g + torch.randn(8), PREFIX, config)
    plain = recentre(g, PREFIX, config)
    assert torch.allclose(shifted.targets, plain.targets, atol=1e-5) is (mode != "inputs")
    assert torch.allclose(shifted.inputs, plain.inputs, atol=1e-5) is (mode != "targets")


@pytest.mark.parametrize(("prefix", "class_token"), [(0, False), (PREFIX, False)])
def test_a_register_is_never_subtracted(prefix, class_token):
    with pytest.raises(ConfigError, match="needs a class token"):
        recentre(groups(), prefix, RecentreConfig(mode="both"), class_token=class_token)


@pytest.mark.parametrize("values", [{"mode": "inputs", "norm": "layernorm"}, {"drop_prefix": True}])
def test_knobs_that_would_do_nothing_are_refused(values):
    with pytest.raises(ValidationError, match="mode"):
        RecentreConfig(**values)
