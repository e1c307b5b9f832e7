"""The frozen half of Dinomaly: an encoder and the grouping of its layers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model.config import ModelConfig
from model.encoders.base import Encoder, EncoderShape
from model.encoders.build import build_encoder


class Teacher(nn.Module):
    """Images to group means: all that training and scoring read of the encoder.

    Parameters
    ----------
    encoder: frozen; its layers are split into G contiguous groups.
    config: how many groups.
    """

    def __init__(self, encoder: Encoder, config: ModelConfig) -> None:
        super().__init__()
        self.encoder = encoder
        self.layer_groups = config.splits(encoder.layers)
        if config.stored_count > config.group_count:
            self.layer_groups.append(list(range(encoder.layers)))

    @property
    def shape(self) -> EncoderShape:
        """What a student of this teacher is built on."""
        return self.encoder.shape

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """[B, 3, S, S] -> group means [B, G, T, C]; not recentred, the student does that.

        ``groups: sparse`` adds the mean of all layers to them, [B, G + 1, T, C].
        """
        layers = self.encoder(images)  # per layer [B, T, C]
        return torch.stack(
            [torch.stack([layers[i] for i in group]).mean(0) for group in self.layer_groups], dim=1
        )


def build_teacher(config: ModelConfig) -> Teacher:
    """The teacher of a configuration, in eval mode.

    Raises ConfigError or CheckpointError as :func:`model.encoders.build.build_encoder` does.
    """
    return Teacher(build_encoder(config.encoder, config.image.crop), config).eval()
