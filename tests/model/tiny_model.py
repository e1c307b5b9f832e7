"""A Dinomaly small enough to train in a blink, and images for it. Shared by the tests beside it."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from model.config import ModelConfig, build_config
from model.data.config import DataConfig
from model.data.dataset import Dataset
from model.data.hashing import hash_file
from model.data.samples import Sample
from model.encoders.base import EncoderShape

TINY: dict[str, Any] = {
    "image": {"resize": 72, "crop": [64, 80]},
    "encoder": {"name": "test_vit", "pretrained": False, "blocks": [1, 2, 3, 4]},
    "decoder": {"depth": 4},
    "train": {"iterations": 12, "batch_size": 4, "warmup": 3},
    "tail": {"ramp": 4},
    "score": {"map_size": 32},
}
"""4 x 5 patches, G = 2, C = 64, one class token."""


def tiny_config(dotted: Mapping[str, Any] | None = None) -> ModelConfig:
    """TINY with some dotted YAML paths changed."""
    values = copy.deepcopy(TINY)
    values["image"]["resize"] = [72, 96]
    for path, value in (dotted or {}).items():
        *parents, leaf = path.split(".")
        section = values
        for name in parents:
            section = section.setdefault(name, {})
        section[leaf] = value
    return build_config(values)


def dataset_of(samples: Sequence[Sample], root: Path, fingerprint: str = "contents") -> Dataset:
    """A dataset of samples made by hand; its test samples are reported on."""
    return Dataset(
        config=DataConfig(),
        root=root,
        samples=tuple(samples),
        splits={sample: "train" if sample.split == "train" else "report" for sample in samples},
        fingerprints={sample.category: fingerprint for sample in samples},
        content={sample: hash_file(sample.image_path) for sample in samples},
    )


def write_images(folder: Path, count: int, seed: int = 0, category: str = "things") -> tuple[Sample, ...]:
    """Random colour images of assorted sizes, to train on."""
    rng = np.random.default_rng(seed)
    samples = []
    for i in range(count):
        path = folder / f"{i:03d}.png"
        size = (int(rng.integers(60, 90)), int(rng.integers(60, 90)), 3)
        Image.fromarray(rng.integers(0, 256, size, dtype=np.uint8)).save(path)
        samples.append(Sample(path, None, 0, category, "train", "good"))
    return tuple(samples)


class RandomFeatures:
    """Group means drawn from a seed: :class:`model.features.Features` without images."""

    samples: tuple[Sample, ...] = ()

    def __init__(self, count: int = 12, prefix: int = 1, groups: int = 2, seed: int = 0) -> None:
        self.shape = EncoderShape(dim=64, heads=2, prefix=prefix, grid=(4, 5), layers=4)
        draw = torch.Generator().manual_seed(seed)
        self._groups = torch.randn(count, groups, self.shape.tokens, 64, generator=draw)

    def __len__(self) -> int:
        return len(self._groups)

    def __getitem__(self, indices: torch.Tensor) -> torch.Tensor:
        return self._groups[indices]
