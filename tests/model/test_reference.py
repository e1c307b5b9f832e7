"""Parity with the published Dinomaly implementation.

Reference-checked: every tensor below was produced by that implementation on random weights and
inputs (float32, CPU); tolerances are relative to the largest magnitude of the expected tensor.
Behavioural: wrong checkpoints end in one line naming what does not fit.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from model.config import ScoreConfig, TailConfig, TrainConfig, build_config
from model.dinomaly import Dinomaly
from model.errors import CheckpointError, ConfigError
from model.evaluation import anomaly_map, image_scores, smooth
from model.losses import LooseLoss, distance
from model.optim import StableAdamW, learning_rate
from model.reference import from_reference_state_dict
from model.training import tail_knobs, train_step

DATA = Path(__file__).parents[1] / "data"
TRAINED = (
    "bottleneck.0.fc1.weight",
    "decoder.0.attn.qkv.weight",
    "decoder.3.norm1.weight",
    "decoder.7.mlp.fc2.bias",
)


@pytest.fixture(scope="module")
def expected() -> dict[str, Tensor]:
    return load_file(DATA / "reference_model.safetensors")


@pytest.fixture(scope="module")
def facts() -> dict:
    return json.loads((DATA / "reference_model.json").read_text())


def load(expected: dict[str, Tensor], facts: dict, **kwargs) -> Dinomaly:
    state = {k.removeprefix("model."): v for k, v in expected.items() if k.startswith("model.")}
    return from_reference_state_dict(
        state,
        image_size=facts["image_size"],
        patch_size=facts["patch"],
        num_heads=facts["heads"],
        **kwargs,
    )


def off(actual: Tensor, wanted: Tensor) -> float:
    """Largest difference relative to the largest magnitude."""
    assert actual.shape == wanted.shape
    return float((actual.detach() - wanted).abs().max() / wanted.abs().max())


def parameter(model: Dinomaly, reference_name: str) -> torch.nn.Parameter:
    return dict(model.student.named_parameters())[reference_name.replace("bottleneck.0.", "bottleneck.")]


def test_encoder_tokens(expected, facts):
    layers = load(expected, facts).teacher.encoder(expected["images"])
    assert off(layers[0], expected["encoder_tokens_after_block2"]) < 1e-5
    assert off(layers[-1], expected["encoder_tokens_after_block9"]) < 1e-5


def test_group_maps(expected, facts):
    en, de = load(expected, facts)(expected["images"])
    assert len(en) == len(de) == 2
    for i in range(2):
        assert off(en[i], expected[f"en{i}"]) < 1e-5
        assert off(de[i], expected[f"de{i}"]) < 1e-5


def test_anomaly_map_and_score(expected, facts):
    en, de = load(expected, facts)(expected["images"])
    maps = anomaly_map([distance(e, d) for e, d in zip(en, de, strict=True)], (84, 84))
    smoothed = smooth(maps, ScoreConfig(map_size=facts["resize_mask"]))
    assert off(maps, expected["anomaly_map_input_res"]) < 1e-5
    assert off(smoothed, expected["anomaly_map_smoothed"]) < 1e-5
    assert off(image_scores(smoothed, facts["max_ratio"]), expected["image_score"]) < 1e-5


@pytest.mark.parametrize("p", [0.0, 0.45, 0.9])
def test_loss_and_gradients(expected, facts, p):
    model = load(expected, facts).train()
    model.student.bottleneck.rate = 0.0
    en, de = model(expected["images"])
    loss = LooseLoss(TailConfig())(en, de, q=1 - p, alpha=0.0, beta=1.0, factor=0.1)
    loss.backward()
    assert off(loss, expected[f"loss_p{p}"].squeeze()) < 1e-5
    for name in (TRAINED[0], TRAINED[1], TRAINED[3]):
        assert off(parameter(model, name).grad, expected[f"grad_p{p}.{name}"]) < 1e-4


def test_twelve_training_steps(expected, facts):
    recipe = facts["train"]
    train = TrainConfig(
        iterations=recipe["total_iters"],
        warmup=recipe["warmup_iters"],
        lr=facts["lr"],
        final_lr=recipe["final_lr"],
        grad_clip=recipe["clip"],
        betas=tuple(recipe["betas"]),
        weight_decay=recipe["weight_decay"],
        eps=recipe["eps"],
    )
    tail = TailConfig(q=1 - recipe["p_final"], ramp=recipe["p_ramp_iters"], factor=recipe["factor"])
    model = load(expected, facts, config=build_config({"bottleneck": {"dropout": 0.0}})).train()
    optimiser = StableAdamW(
        model.student.parameters(), lr=0.0, betas=train.betas, eps=train.eps,
        weight_decay=train.weight_decay,
    )  # fmt: skip
    images = torch.cat(
        [load_file(DATA / f"reference_train_{i}.safetensors")["train_images"] for i in (1, 2)]
    )
    losses, rates = [], []
    for i in range(recipe["steps"]):
        rates.append(learning_rate(i, train))
        knobs = tail_knobs(tail, i, i / train.iterations)
        loss, _ = train_step(
            model.student, model.teacher(images[i]), optimiser, LooseLoss(tail), rates[-1], knobs
        )
        losses.append(loss)
    assert off(torch.tensor(rates), expected["train_lrs"].float()) < 1e-6
    assert off(torch.stack(losses), expected["train_losses"].float()) < 1e-3
    for name in TRAINED:
        assert off(parameter(model, name).detach(), expected[f"after_training.{name}"]) < 1e-3


def test_prefixed_names_of_distributed_checkpoints_load(expected):
    state = {k.replace("model.", "module.", 1): v for k, v in expected.items() if k.startswith("model.")}
    model = from_reference_state_dict(state, image_size=84, patch_size=14, num_heads=3)
    assert off(model(expected["images"])[1][0], expected["de0"]) < 1e-5


def test_a_missing_tensor_is_named(expected):
    state = {k.removeprefix("model."): v for k, v in expected.items() if k.startswith("model.")}
    del state["decoder.3.attn.proj.bias"]
    with pytest.raises(CheckpointError, match=r"missing: decoder\.3\.attn\.proj\.bias"):
        from_reference_state_dict(state, image_size=84, patch_size=14, num_heads=3)


def test_an_image_size_between_patches_is_refused(expected):
    state = {k.removeprefix("model."): v for k, v in expected.items() if k.startswith("model.")}
    with pytest.raises(ConfigError, match=r"not a multiple of the patch \[14, 14\]"):
        from_reference_state_dict(state, image_size=90, patch_size=14, num_heads=3)


def test_a_foreign_state_dict_is_refused():
    with pytest.raises(CheckpointError, match=r"unknown tensor 'backbone\.weight'"):
        from_reference_state_dict(
            {"backbone.weight": torch.zeros(1)}, image_size=84, patch_size=14, num_heads=3
        )
