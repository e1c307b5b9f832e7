"""Behavioural: the command line scores a checkpoint in the published naming, in the true ViT-S.

That the loaded model is the published one is reference-checked in tests/model/test_reference.py.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch

from model.config import ModelConfig, build_config
from model.data.config import DataConfig, StripesConfig
from model.data.dataset import load_dataset
from model.dinomaly import Dinomaly, build_model
from model.evaluation import predict
from model.features import StreamedFeatures
from model.ground_truth import load_truth
from model.metrics import evaluate
from tests.ablate.cli.test_output import valid

SPEC = """
study: published
data:
  dataset: stripes
  categories: [domain_a]
  stripes: {size: 64, train: 2, test_good: 3, test_bad: 3}
base:
  preset: dinomaly-small
  image: {resize: 84, crop: 84}
  score: {map_size: 64}
variants: {dinomaly: {}}
seeds: 1
"""


def published_names(model: Dinomaly) -> dict[str, torch.Tensor]:
    """A model's state dict as the published implementation names it."""
    state = {}
    for name, value in model.state_dict().items():
        if name.startswith("teacher.encoder.vit."):
            state[name.replace("teacher.encoder.vit.", "encoder.")] = value
        else:
            own = name.removeprefix("student.")
            state[own.replace("bottleneck.", "bottleneck.0.")] = value
    position = state.pop("encoder.pos_embed")
    state["encoder.register_tokens"] = state.pop("encoder.reg_token")
    state["encoder.pos_embed"] = torch.cat([torch.zeros_like(position[:, :1]), position], dim=1)
    state["encoder.mask_token"] = torch.zeros(1, position.shape[-1])
    return state


def ablate(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ablate", *arguments, "--cache", str(cwd / "cache")],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def config() -> ModelConfig:
    return build_config(
        {
            "encoder": {"name": "vit_small_patch14_reg4_dinov2", "pretrained": False},
            "image": {"resize": 84, "crop": 84},
            "score": {"map_size": 64},
        }
    )


@pytest.mark.slow
def test_scores_equal_the_models_own(config: ModelConfig, tmp_path: Path):
    model = build_model(config)
    model.student.initialise(0)
    torch.save(published_names(model), tmp_path / "model.pth")
    (tmp_path / "study.yaml").write_text(SPEC)
    done = ablate(
        "evaluate", "study.yaml", "--reference-checkpoint", "model.pth", "--out", "scores.csv",
        "--set", "seeds=1", "--json", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr

    data = DataConfig(
        categories=("domain_a",), stripes=StripesConfig(size=64, train=2, test_good=3, test_bad=3)
    )
    dataset = load_dataset(data, cache_dir=tmp_path / "cache")
    samples = dataset.test()
    device = torch.device("cpu")
    features = StreamedFeatures(samples, model.teacher, config.image, torch.float32, device)
    own = predict(model.student, features, torch.arange(len(samples)), device=device)
    truth = load_truth(dataset, "domain_a", config, cache_dir=tmp_path / "cache")
    wanted = evaluate(own.maps, truth.masks, truth.labels, own.scores)
    found = pd.read_csv(tmp_path / "scores.csv").query("stratum == 'all'").set_index("metric").value
    for name, value in wanted.items():
        assert found[name] == pytest.approx(value, abs=1e-6), name

    printed = valid("evaluate", json.loads(done.stdout, parse_constant=pytest.fail))
    values = {row["metric"]: row["value"] for row in printed["values"] if row["stratum"] == "all"}
    for name, value in wanted.items():
        assert values[name] == pytest.approx(value, abs=1e-6), name


def test_a_wrong_checkpoint_is_one_line(tmp_path: Path):
    (tmp_path / "study.yaml").write_text(SPEC)
    torch.save({"encoder.cls_token": torch.zeros(1, 1, 768)}, tmp_path / "large.pth")
    (tmp_path / "text.pth").write_text("hello")
    for file, message in (
        ("large.pth", "has an encoder of width 768, vit_small_patch14_reg4_dinov2 has 384"),
        ("text.pth", "cannot read weights file text.pth"),
        ("none.pth", "weights file none.pth does not exist"),
    ):
        done = ablate("evaluate", "study.yaml", "--reference-checkpoint", file, cwd=tmp_path)
        assert done.returncode == 2
        assert message in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr
