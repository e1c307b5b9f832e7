"""Dinomaly2's bottleneck: three layers, the first to a low rank and with a learning rate of its own."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from model.bottleneck import Bottleneck
from model.config import BottleneckConfig


class LowRankBottleneck(Bottleneck):
    """C -> rank (no activation) -> ratio*C, GELU -> C, noise after each, none at the input.

    The layer ``reduce`` comes before ``fc1`` and ``fc2`` of the plain bottleneck, whose first layer
    reads ``rank`` channels here.
    """

    def __init__(self, dim: int, config: BottleneckConfig) -> None:
        super().__init__(dim, config)
        if config.rank is None:
            raise ValueError("a low-rank bottleneck needs a rank")
        self.reduce = nn.Linear(dim, config.rank)
        self.fc1 = nn.Linear(config.rank, self.fc2.in_features)
        self.noisy_widths = (config.rank, self.fc2.in_features, dim)
        self.rank_lr = config.rank_lr

    def peak_rates(self) -> dict[str, float]:
        """Peak learning rates that differ from train.lr, by the parameter's name in this module.

        Each follows the common schedule, scaled: warm-up and cosine over its own peak.
        """
        if self.rank_lr is None:
            return {}
        return {f"reduce.{name}": self.rank_lr for name, _ in self.reduce.named_parameters()}

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, C] -> [B, T, C]."""
        noisy = self.draw_noise(x)
        x = noisy(self.reduce(x))
        x = noisy(functional.gelu(self.fc1(x)))
        return noisy(self.fc2(x))
