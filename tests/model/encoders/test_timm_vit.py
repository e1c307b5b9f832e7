"""Behavioural: encoders of several families, weights in every accepted format, clear refusals.

Position embedding resampling is checked against the formula of DINOv2's code; token parity with the
reference is in test_reference.py.
"""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from model.config import EncoderConfig
from model.encoders.build import build_encoder, describe, weights_fingerprint
from model.encoders.timm_vit import (
    convert_dinov2,
    read_state_dict,
    resample_position_embedding,
)
from model.errors import CheckpointError, ConfigError


def random_encoder(name: str, blocks: tuple[int, ...] = (1, 3), **kwargs) -> EncoderConfig:
    return EncoderConfig(name=name, pretrained=False, blocks=blocks, **kwargs)


@pytest.mark.parametrize(
    ("name", "size", "prefix", "patch"),
    [
        ("vit_small_patch14_reg4_dinov2", (84, 98), 5, 14),
        ("vit_small_patch14_dinov2", (84, 84), 1, 14),
        ("vit_small_patch16_dinov3", (64, 96), 5, 16),
        ("vit_small_patch16_224.dino", (64, 64), 1, 16),
        ("vit_tiny_patch16_224", (64, 64), 1, 16),
    ],
)
def test_families_and_grids(name, size, prefix, patch):
    encoder = build_encoder(random_encoder(name), size)
    layers = encoder(torch.randn(1, 3, *size))
    assert encoder.grid == (size[0] // patch, size[1] // patch)
    assert encoder.prefix == prefix
    assert [tuple(layer.shape) for layer in layers] == [
        (1, prefix + encoder.grid[0] * encoder.grid[1], encoder.dim)
    ] * 2
    assert not encoder.training
    assert not encoder.train().training
    assert not any(p.requires_grad for p in encoder.parameters())


def test_random_weights_depend_on_their_seed_alone():
    image = torch.randn(1, 3, 64, 64)
    first, again, other = (
        build_encoder(random_encoder("test_vit", seed=seed), (64, 64))(image)[-1] for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)


def test_blocks_stop_after_the_last_one():
    image = torch.randn(1, 3, 64, 64)
    shallow = build_encoder(random_encoder("test_vit", blocks=(1,)), (64, 64))
    deep = build_encoder(random_encoder("test_vit", blocks=(1, 5)), (64, 64))
    assert torch.equal(shallow(image)[0], deep(image)[0])
    with pytest.raises(ConfigError, match=r"this encoder has blocks 0\.\.5"):
        build_encoder(random_encoder("test_vit", blocks=(6,)), (64, 64))


def test_position_embedding_is_resampled_by_scale_factor():
    grid, side, dim = (4, 9), 7, 6
    table = torch.randn(1, 1 + side * side, dim)
    maps = table[:, 1:].reshape(1, side, side, dim).permute(0, 3, 1, 2)
    scale = ((grid[0] + 0.1) / side, (grid[1] + 0.1) / side)
    wanted = torch.nn.functional.interpolate(maps, scale_factor=scale, mode="bicubic")
    actual = resample_position_embedding(table, grid, prefix=1)
    assert torch.equal(actual[:, 0], table[:, 0])
    assert torch.equal(actual[:, 1:], wanted.permute(0, 2, 3, 1).reshape(1, 36, dim))
    by_size = torch.nn.functional.interpolate(maps, size=grid, mode="bicubic")
    assert not torch.allclose(wanted, by_size, atol=1e-3)
    assert resample_position_embedding(table, (side, side), prefix=1) is table


def original_dinov2_names(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """timm's naming of a register ViT -> the naming of DINOv2's own checkpoints."""
    state = dict(state)
    position = state.pop("pos_embed")
    state["register_tokens"] = state.pop("reg_token")
    state["pos_embed"] = torch.cat([torch.full_like(position[:, :1], 0.25), position], dim=1)
    state["cls_token"] = state["cls_token"] - 0.25
    state["mask_token"] = torch.zeros(1, position.shape[-1])
    return state


def test_local_weights_in_both_formats_give_the_same_tokens(tmp_path: Path):
    name, size = "vit_small_patch14_reg4_dinov2", (84, 84)
    source = timm.create_model(name, num_classes=0)
    state = {key: value + 0.01 * torch.randn_like(value) for key, value in source.state_dict().items()}
    save_file(state, tmp_path / "timm.safetensors")
    torch.save(original_dinov2_names(state), tmp_path / "original.pth")
    image = torch.randn(1, 3, *size)
    tokens = []
    for file in ("timm.safetensors", "original.pth"):
        config = EncoderConfig(name=name, weights=str(tmp_path / file), blocks=(2, 9))
        tokens.append(build_encoder(config, size)(image)[-1])
        assert weights_fingerprint(config).startswith("file:")
    assert torch.allclose(tokens[0], tokens[1], atol=1e-4)
    random = build_encoder(random_encoder(name, blocks=(2, 9)), size)(image)[-1]
    assert not torch.allclose(tokens[0], random, atol=1e-2)


def test_swiglu_names_are_converted():
    state = {"blocks.0.mlp.w12.weight": torch.zeros(2), "blocks.0.mlp.w3.bias": torch.zeros(2)}
    assert set(convert_dinov2(state)) == {"blocks.0.mlp.fc1.weight", "blocks.0.mlp.fc2.bias"}


def test_weights_of_another_architecture_are_refused_by_tensor_name(tmp_path: Path):
    save_file(timm.create_model("test_vit2", num_classes=0).state_dict(), tmp_path / "other.safetensors")
    config = EncoderConfig(name="test_vit", weights=str(tmp_path / "other.safetensors"), blocks=(1,))
    with pytest.raises(CheckpointError, match=r"other\.safetensors does not fit the model"):
        build_encoder(config, (64, 64))


class Evil:
    def __reduce__(self):
        return (print, ("executed",))


def test_pickled_code_is_never_executed(tmp_path: Path, capsys):
    path = tmp_path / "evil.pth"
    path.write_bytes(pickle.dumps({"cls_token": Evil()}))
    with pytest.raises(CheckpointError, match=r"cannot read weights file .*evil\.pth"):
        read_state_dict(path)
    torch.save({"cls_token": Evil()}, path)
    with pytest.raises(CheckpointError, match=r"evil\.pth: it is damaged, or holds more") as caught:
        read_state_dict(path)
    assert "will likely succeed" not in str(caught.value)
    assert "executed" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("vit_small_patch14_dinov2", (90, 84), r"\[90, 84\] is not a multiple of the patch \[14, 14\]"),
        ("vit_smal_patch14", (84, 84), "unknown encoder 'vit_smal_patch14'"),
        ("resnet18", (64, 64), "not a plain Vision Transformer"),
    ],
)
def test_what_cannot_be_built_is_refused(name, size, message):
    with pytest.raises(ConfigError, match=message):
        build_encoder(random_encoder(name, blocks=(1,)), size)


def test_missing_weights_file_is_named():
    config = EncoderConfig(name="test_vit", weights="nowhere.pth", blocks=(1,))
    with pytest.raises(CheckpointError, match=r"nowhere\.pth"):
        build_encoder(config, (64, 64))
    with pytest.raises(CheckpointError, match=r"nowhere\.pth"):
        weights_fingerprint(config)


def test_a_random_encoder_is_described_as_such():
    assert "RANDOM" in describe(random_encoder("test_vit"))
    assert "RANDOM" not in describe(EncoderConfig())
