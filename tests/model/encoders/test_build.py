"""Behavioural: encoders by name; a registered one is built, fingerprinted and described as it says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from model.canonical import canonical
from model.config import EncoderConfig, ModelConfig, build_config
from model.encoders import build
from model.encoders.base import Encoder, EncoderShape
from model.encoders.build import (
    EncoderEntry,
    build_encoder,
    describe,
    entry_of,
    register_encoder,
    weights_fingerprint,
)
from model.encoders.identity import weights_at_hand
from model.errors import CheckpointError, ConfigError
from model.student import Student
from model.teacher import build_teacher


class Patches(Encoder):
    """The mean colour of each 8 x 8 patch, in two scales of grey."""

    dim, heads, prefix, layers = 3, 1, 0, 2

    def __init__(self, image_size: tuple[int, int]) -> None:
        super().__init__()
        self.grid = (image_size[0] // 8, image_size[1] // 8)

    def forward(self, images: Tensor) -> list[Tensor]:
        cells = torch.nn.functional.avg_pool2d(images, 8).flatten(2).transpose(1, 2)
        return [cells, 2 * cells]


ENTRY = EncoderEntry(
    build=lambda _config, size: Patches(size).freeze(),
    fingerprint=lambda _config: "patches:1",
    describe=lambda _config: "mean colours",
    own_weights=True,
)


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "_ENTRIES", dict(build._ENTRIES))
    register_encoder("patches", ENTRY)


def config_of(**encoder: object) -> ModelConfig:
    return build_config(
        {
            "image": {"resize": [32, 40], "crop": [32, 40]},
            "encoder": {"name": "patches", "blocks": [0, 1], **encoder},
            "decoder": {"depth": 2},
        }
    )


@pytest.mark.usefixtures("registered")
def test_a_registered_encoder_teaches() -> None:
    config = config_of()
    assert (weights_fingerprint(config.encoder), describe(config.encoder)) == ("patches:1", "mean colours")
    teacher = build_teacher(config)
    assert teacher.shape == EncoderShape(dim=3, heads=1, prefix=0, grid=(4, 5), layers=2)
    images = torch.rand(2, 3, 32, 40, generator=torch.Generator().manual_seed(0))
    groups = teacher(images)
    assert groups.shape == (2, 2, 20, 3)
    assert torch.equal(groups[:, 1], 2 * groups[:, 0])
    en, de = Student(teacher.shape, config)(groups)
    assert [m.shape for m in (*en, *de)] == [(2, 3, 4, 5)] * 4
    assert torch.equal(en[0], torch.nn.functional.avg_pool2d(images, 8))


@pytest.mark.usefixtures("registered")
def test_settings_that_it_does_not_read_give_the_same_run() -> None:
    assert canonical(config_of(seed=3, pretrained=False)) == canonical(config_of())


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("name", ["patches", "texture"])
def test_a_name_is_registered_once(name: str) -> None:
    with pytest.raises(ConfigError, match=f"'{name}' is registered already"):
        register_encoder(name, replace(ENTRY, own_weights=not ENTRY.own_weights))


@pytest.mark.usefixtures("registered")
def test_the_same_entry_may_be_registered_again() -> None:
    register_encoder("patches", ENTRY)
    assert entry_of("patches") is ENTRY


def test_without_it_the_name_is_unknown() -> None:
    with pytest.raises(ConfigError, match="unknown encoder 'patches'"):
        build_encoder(EncoderConfig(name="patches"), (32, 32))


def test_missing_weights_are_named_without_torch_or_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacking(config: EncoderConfig) -> str:
        return build.entry_of(config.name).missing_weights(config)

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    published = EncoderConfig(name="vit_base_patch14_reg4_dinov2", pretrained=True)
    assert "downloaded when they are first needed" in lacking(published)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(CheckpointError, match="not on this machine, and HF_HUB_OFFLINE forbids"):
        lacking(published)
    snapshot = tmp_path / f"models--timm--{published.name}" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").write_bytes(b"")
    assert lacking(published) == ""
    assert lacking(EncoderConfig(name="texture")) == ""
    with pytest.raises(CheckpointError, match=r"weights file nowhere\.pth does not exist"):
        lacking(EncoderConfig(name=published.name, weights="nowhere.pth"))


@pytest.mark.parametrize(
    ("name", "downloaded", "at_hand"),
    [
        ("vit_base_patch14_reg4_dinov2", "vit_base_patch14_reg4_dinov2.lvd142m", True),
        ("vit_base_patch14_reg4_dinov2", "vit_base_patch14_reg4_dinov2", True),
        ("vit_base_patch14_dinov2", "vit_base_patch14_reg4_dinov2.lvd142m", False),
        ("vit_base_patch16_224.dino", "vit_base_patch16_224.dino", True),
        ("vit_base_patch16_224.dino", "vit_base_patch16_224.mae", False),
        ("vit_base_patch16_224.dino", "vit_base_patch16_224", False),
    ],
)
def test_a_download_is_found_under_the_tag_that_timm_gives_it(
    name: str, downloaded: str, at_hand: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    snapshot = tmp_path / f"models--timm--{downloaded}" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").write_bytes(b"")
    assert weights_at_hand(EncoderConfig(name=name, pretrained=True)) is at_hand
