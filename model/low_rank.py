"""Dinomaly2's bottleneck: three layers, the first to a low rank and with a learning rate of its own."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn import functional

from model.bottleneck import Bottleneck
from model.config import SECTION, BottleneckConfig


@dataclass(frozen=True, config=SECTION)
class LowRankConfig(BottleneckConfig):
    """An MLP C -> rank -> ratio*C -> C with noise after each layer."""

    rank: Annotated[int, Field(ge=1)] = 256
    """Width after the first layer; narrower than C, it forgets detail before the noise does."""
    rank_lr: Annotated[float, Field(gt=0)] | None = 2e-4
    """Peak learning rate of the first layer; train.lr if null."""


class LowRankBottleneck(Bottleneck):
    """C -> rank (no activation) -> ratio*C, GELU -> C, noise after each, none at the input.

    The layer ``reduce`` comes before ``fc1`` and ``fc2`` of the plain bottleneck, whose first layer
    reads ``rank`` channels here.
    """

    def __init__(self, dim: int, config: LowRankConfig) -> None:
        super().__init__(dim, config)
        self.reduce = nn.Linear(dim, config.rank)
        self.fc1 = nn.Linear(config.rank, self.fc2.in_features)
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
        x = self._noisy(self.reduce(x))
        x = self._noisy(functional.gelu(self.fc1(x)))
        return self._noisy(self.fc2(x))
