"""A plug-in as a user would write it, with one of each kind: a prior, an encoder, a reader, a metric."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
from pydantic.dataclasses import dataclass

from model.config import EncoderConfig
from model.data.config import DataConfig
from model.data.readers.reader import Reader
from model.data.samples import GOOD, Sample
from model.encoders.base import Encoder
from model.encoders.build import EncoderEntry
from model.knobs import SECTION, Knob, Share
from model.metric_names import MetricEntry
from model.plugins import Plugin
from model.priors.entries import PriorEntry
from model.priors.plugged import Context, Prior

# --- a prior: Gaussian noise on random rows of the decoder's input, and a stronger pull at their tokens


@dataclass(frozen=True, config=SECTION)
class RowNoiseConfig:
    """Gaussian noise on whole rows of tokens."""

    strength: Knob = 0.0
    """Standard deviation relative to the tokens' own; 0 = off."""
    share: Share = 0.25
    """Share of the rows that get it."""
    pull: float = 1.0
    """Factor on the gradient at tokens that are badly rebuilt; 1 = off."""


def build_row_noise(config: RowNoiseConfig) -> Prior:
    """The prior of a configuration."""
    import torch

    class RowNoise(Prior):
        def decoder_input(self, tokens: Any, context: Context) -> Any:
            strength, share = context.knobs["strength"], context.knobs["share"]
            if strength == 0 or share == 0:
                return tokens
            rows, columns = context.grid
            chosen = torch.rand(len(tokens), rows, 1, 1, generator=context.random) < share
            noise = torch.randn(len(tokens), rows, columns, tokens.shape[2], generator=context.random)
            added = (noise * chosen * strength * tokens.detach().std()).flatten(1, 2)
            return torch.cat(
                (tokens[:, : context.prefix], tokens[:, context.prefix :] + added.to(tokens)), dim=1
            )

        def token_weights(self, distances: Any, context: Context) -> Any:
            if config.pull == 1:
                return None
            worse = distances > distances.mean(dim=(1, 2), keepdim=True)
            return torch.where(worse, context.knobs["pull"], 1.0)

    return RowNoise()


# --- an encoder: the mean colours of a patch's quarters


def build_quarters(config: EncoderConfig, image_size: tuple[int, int]) -> Encoder:  # noqa: ARG001
    """Patches of 16 pixels; C = 12 + 4 constants."""
    import torch
    from torch.nn.functional import avg_pool2d, pixel_unshuffle

    class Quarters(Encoder):
        def __init__(self) -> None:
            super().__init__()
            self.dim, self.heads, self.prefix, self.layers = 16, 4, 0, 2
            self.class_token = False
            self.grid = (image_size[0] // 16, image_size[1] // 16)

        def forward(self, images: Any) -> list[Any]:
            fine = pixel_unshuffle(avg_pool2d(images, 8), 2)  # [B, 12, H, W]
            tokens = fine.flatten(2).transpose(1, 2)  # [B, N, 12]
            tokens = torch.cat((tokens, torch.ones_like(tokens[..., :4])), dim=2)
            return [tokens, tokens * 0.5 + tokens.mean(1, keepdim=True) * 0.5]

    return Quarters().freeze()


# --- a reader: one list of images


def read_list(root: Path, config: DataConfig) -> list[Sample]:
    """``list.csv`` with columns image, split, label, mask."""
    with (root / "list.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    samples = [
        Sample(
            root / row["image"],
            root / row["mask"] if row["mask"] else None,
            int(row["label"]),
            "listed",
            "train" if row["split"] == "train" else "test",
            GOOD if row["label"] == "0" else "defect",
        )
        for row in rows
    ]
    wanted = config.categories
    return [sample for sample in samples if wanted is None or sample.category in wanted]


# --- a metric: the pointing game


def pointing(maps: Any, masks: Any, labels: Any, scores: Any) -> float | str:  # noqa: ARG001
    """Share of the defective images whose highest pixel lies in the defect."""
    shown = [(m, t) for m, t in zip(maps, masks, strict=True) if t.any()]
    if not shown:
        return "no image has a defect"
    return float(np.mean([t.flat[m.argmax()] for m, t in shown]))


PLUGIN = Plugin(
    priors=(PriorEntry("row_noise", RowNoiseConfig, build_row_noise),),
    encoders={
        "quarters": EncoderEntry(
            build_quarters, lambda _: "quarters-1", lambda _: "quarters (colours)", own_weights=True
        )
    },
    readers=(Reader("listed", "images of a list", "list.csv: image, split, label, mask", read_list),),
    metrics=(MetricEntry("pointing", "Pointing", pointing),),
)
