"""The noisy bottleneck: an MLP whose noise stands in for anomalies (Dinomaly, section 3.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.config import BottleneckConfig
from model.noise import NOISES, Noise


class Bottleneck(nn.Module):
    """MLP C -> ratio*C -> C without residual, noise at input, hidden and output.

    ``rate`` is the current noise level and ``generator`` its random stream; the trainer sets both
    before each step. In eval mode there is no noise.
    """

    def __init__(self, dim: int, config: BottleneckConfig) -> None:
        super().__init__()
        hidden = int(dim * config.mlp_ratio)
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)
        self.noise = NOISES[config.noise]
        self.noisy_widths = (dim, hidden, dim)
        """Channels of what is given noise, in order."""
        self.rate = 0.0
        self.generator: torch.Generator | None = None

    def draw_noise(self, x: Tensor) -> Noise:
        """One step's noise for all layers of an input [B, T, C]."""
        if not self.training or self.rate == 0:
            return lambda values: values
        shapes = [torch.Size((*x.shape[:-1], width)) for width in self.noisy_widths]
        return self.noise(shapes, self.rate, self.generator, x.device)

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, C] -> [B, T, C]."""
        noisy = self.draw_noise(x)
        x = functional.gelu(self.fc1(noisy(x)))
        return noisy(self.fc2(noisy(x)))
