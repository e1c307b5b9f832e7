"""ONNX export: encoder, student and score path in one graph, checked against torch before it counts.

Needs the optional extra ``onnx``. The image size is fixed by the model, the number of images is not.
Resizing, cropping and normalising stay outside: an image must be decoded and resampled by the very
library that training used, and the file's metadata says to what.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from model import __version__
from model.config import ScoreConfig
from model.errors import ConfigError, DivergedError, StorageError, UserError
from model.evaluation import anomaly_map, image_scores, smooth
from model.losses import distance

TOLERANCE = 1e-4
"""Largest absolute difference that maps and scores may have from torch's."""
PACKAGES = ("onnx", "onnxscript", "onnxruntime")
INPUT, OUTPUTS = "images", ("maps", "scores")


class ScoreGraph(nn.Module):
    """Images [B, 3, h, w] -> smoothed maps [B, s, s] and image scores [B].

    Parameters
    ----------
    model: images -> (en, de), G maps [B, C, H, W] each.
    crop: (height, width) of the images. score: resampling, smoothing and pooling.
    """

    def __init__(self, model: nn.Module, crop: tuple[int, int], score: ScoreConfig) -> None:
        super().__init__()
        self.model, self.crop, self.score = model, crop, score

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        en, de = self.model(images)
        distances = [distance(e, d) for e, d in zip(en, de, strict=True)]
        maps = smooth(anomaly_map(distances, self.crop), self.score)
        return maps.squeeze(1), image_scores(maps, self.score.max_ratio)


def export(
    model: nn.Module,
    path: Path,
    *,
    crop: tuple[int, int],
    score: ScoreConfig,
    metadata: dict[str, Any] | None = None,
    tolerance: float = TOLERANCE,
) -> float:
    """Write a trained model as ONNX, and return its largest difference from torch.

    Inputs ``images`` [B, 3, crop] float32, as the network sees them; outputs ``maps`` [B, s, s] and
    ``scores`` [B]. The file appears only once onnxruntime has reproduced torch's numbers on random
    images, with another batch size than the graph was traced with.

    Parameters
    ----------
    model: images -> (en, de); on the CPU. Left in eval mode.
    metadata: JSON values to keep in the file beside version, image size and score configuration.

    Raises
    ------
    ConfigError: a package of the extra ``onnx`` is missing.
    UserError: the graph differs from torch by more than ``tolerance``.
    DivergedError: the model's own scores are not finite.
    StorageError: the file cannot be written.
    """
    _require(PACKAGES)
    graph = ScoreGraph(model, crop, score).eval()
    example = _images(2, crop, seed=0)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the exporter's notes on its own internals
        program = torch.onnx.export(
            graph,
            (example,),
            dynamo=True,
            verbose=False,
            input_names=[INPUT],
            output_names=list(OUTPUTS),
            dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
        )
    assert program is not None
    about = {
        "ablate": __version__,
        "image_size": list(crop),
        "score": {name: getattr(score, name) for name in ("map_size", "kernel", "sigma", "max_ratio")},
    }
    values = about | (metadata or {})
    program.model.metadata_props.update({name: json.dumps(value) for name, value in values.items()})
    partial = path.with_name(f"{path.name}.partial")
    try:
        program.save(partial)
        difference = deviation(partial, graph, _images(3, crop, seed=1))
        if not difference <= tolerance:
            raise UserError(
                f"the ONNX graph differs from the model by {difference:.2g}, allowed is {tolerance:g}",
                hint="other versions of torch and onnxruntime may translate it better; nothing was written",
            )
        partial.replace(path)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)
    return difference


def deviation(path: Path, graph: nn.Module, images: Tensor) -> float:
    """Largest absolute difference between onnxruntime's outputs and torch's on ``images``.

    Raises ConfigError without onnxruntime, DivergedError where torch's outputs are not finite.
    """
    _require(("onnxruntime",))
    session = import_module("onnxruntime").InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found = session.run(list(OUTPUTS), {INPUT: images.numpy()})
    with torch.no_grad():
        expected = [output.numpy() for output in graph(images)]
    if not all(np.isfinite(output).all() for output in expected):
        raise DivergedError("the model's anomaly maps hold NaN or infinity")
    return max(float(np.abs(a - b).max()) for a, b in zip(found, expected, strict=True))


def _images(count: int, crop: tuple[int, int], seed: int) -> Tensor:
    """Standard normal images: the statistics that normalisation gives photographs."""
    return torch.randn(count, 3, *crop, generator=torch.Generator().manual_seed(seed))


def _require(packages: Sequence[str]) -> None:
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"ONNX export needs {', '.join(missing)}, which is not installed",
            hint="pip install 'ablate[onnx]'",
        )
