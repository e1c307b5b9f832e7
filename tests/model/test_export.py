"""ONNX export: onnxruntime gives torch's numbers, whatever the encoder and the attention."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
import torch
from torch import nn

from model import export as exporting
from model.config import ModelConfig
from model.dinomaly import Dinomaly, build_model
from model.errors import ConfigError, DivergedError, UserError
from model.export import ScoreGraph, deviation, export
from tests.model.tiny_model import tiny_config

pytest.importorskip("onnxscript")
ort = pytest.importorskip("onnxruntime")

TEXTURE = {
    "image.resize": 64,
    "image.crop": 64,
    "encoder.name": "texture",
    "encoder.blocks": [0, 1, 2, 3],
    "decoder.depth": 2,
}
BIASED = {"bias.lambda": 0.5, "bias.direction": "both", "bias.kernel": "gaussian", "bias.half_width": 2}


def trained(dotted: dict[str, object]) -> tuple[Dinomaly, ModelConfig]:
    """A model with weights large enough that every part of it shows in the scores."""
    config = tiny_config(dotted)
    model = build_model(config)
    model.student.initialise(0)
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.student.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=draw))
    model.student.set_progress(1.0)
    return model.eval(), config


@pytest.mark.slow
@pytest.mark.parametrize(
    "dotted",
    [TEXTURE | BIASED, BIASED | {"bias.lambda": "learned"}, {"decoder.attention": "softmax"}],
    ids=["texture, linear, bias", "vit, linear, learned bias", "vit, softmax"],
)
def test_onnxruntime_gives_torchs_scores(dotted, tmp_path):
    model, config = trained(dotted)
    path = tmp_path / "model.onnx"
    assert export(model, path, crop=config.image.crop, score=config.score, metadata={"study": "s"}) < 1e-4
    graph = ScoreGraph(model, config.image.crop, config.score).eval()
    one = torch.randn(1, 3, *config.image.crop, generator=torch.Generator().manual_seed(5))
    assert deviation(path, graph, one) < 1e-4
    assert [p.name for p in tmp_path.iterdir()] == ["model.onnx"]
    about = ort.InferenceSession(str(path)).get_modelmeta().custom_metadata_map
    assert json.loads(about["image_size"]) == list(config.image.crop)
    assert json.loads(about["score"])["map_size"] == config.score.map_size
    assert json.loads(about["study"]) == "s"


class Pixels(nn.Module):
    """The images against their scaled neighbours: a model without weights to speak of."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(scale))

    def forward(self, images: torch.Tensor) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        return [images], [self.scale * images.roll(1, 3) + images.mean()]


def export_pixels(path: Path, scale: float = 2.0, tolerance: float = 1e-4) -> float:
    return export(Pixels(scale), path, crop=(8, 8), score=tiny_config().score, tolerance=tolerance)


def test_a_graph_that_differs_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "deviation", lambda *_: 0.01)
    with pytest.raises(UserError, match=r"differs from the model by 0\.01, allowed is 0\.0001"):
        export_pixels(tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_a_model_that_diverged_is_not_exported(tmp_path):
    with pytest.raises(DivergedError, match="NaN or infinity"):
        export_pixels(tmp_path / "model.onnx", scale=float("nan"))
    assert not list(tmp_path.iterdir())


def test_a_missing_package_names_the_extra(tmp_path, monkeypatch):
    known = importlib.util.find_spec
    monkeypatch.setattr(exporting, "find_spec", lambda name: None if name == "onnx" else known(name))
    with pytest.raises(ConfigError, match=r"needs onnx, .*pip install 'ablate\[onnx\]'"):
        export_pixels(tmp_path / "model.onnx")
