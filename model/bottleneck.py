"""The noisy bottleneck: an MLP whose noise stands in for anomalies (Dinomaly, section 3.2)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.config import BottleneckConfig


def _dropout(x: Tensor, rate: float, generator: torch.Generator | None) -> Tensor:
    """Inverted dropout drawn from ``generator`` (torch's own takes none)."""
    keep = torch.empty_like(x).bernoulli_(1 - rate, generator=generator)
    return x * keep / (1 - rate)


def _gaussian(x: Tensor, rate: float, generator: torch.Generator | None) -> Tensor:
    """Additive noise of sd ``rate`` times the activations' own sd, per batch."""
    noise = torch.empty_like(x).normal_(generator=generator)
    return x + rate * x.detach().std() * noise


NOISES: dict[str, Callable[[Tensor, float, torch.Generator | None], Tensor]] = {
    "dropout": _dropout,
    "gaussian": _gaussian,
}


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
        self.rate = 0.0
        self.generator: torch.Generator | None = None

    def _noisy(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return x
        return self.noise(x, self.rate, self.generator)

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, C] -> [B, T, C]."""
        x = functional.gelu(self.fc1(self._noisy(x)))
        return self._noisy(self.fc2(self._noisy(x)))
