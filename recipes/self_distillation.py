"""Parts of self-distillation (DINO, Caron et al. 2021; iBOT, Zhou et al. 2022; Sinkhorn-Knopp centring
as in SwAV, Caron et al. 2020) and the watch over its collapse.

Shapes: M samples (images or masked tokens), K prototypes, C channels.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.errors import DivergedError


class PrototypeHead(nn.Module):
    """[..., C] -> cosines with K prototypes [..., K]; MLP and bottleneck as in DINO."""

    def __init__(self, dim: int, prototypes: int, hidden: int = 512, bottleneck: int = 128) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU(),
            nn.Linear(hidden, bottleneck),
        )  # fmt: skip
        self.prototypes = nn.Parameter(torch.randn(prototypes, bottleneck))

    def forward(self, features: Tensor) -> Tensor:
        """See the class."""
        return functional.linear(
            functional.normalize(self.mlp(features), dim=-1), functional.normalize(self.prototypes, dim=-1)
        )


@torch.no_grad()
def sinkhorn(logits: Tensor, temperature: float, iterations: int = 3) -> Tensor:
    """[M, K] -> assignments [M, K]: rows sum to 1, every prototype gets nearly the same total."""
    log_q = logits.float() / temperature
    for _ in range(iterations):
        log_q = log_q - log_q.logsumexp(dim=0, keepdim=True)
        log_q = log_q - log_q.logsumexp(dim=1, keepdim=True)
    return log_q.exp()


def cross_entropy(logits: Tensor, assignments: Tensor, temperature: float = 0.1) -> Tensor:
    """Scalar: of the student's softmax [M, K] under the teacher's assignments [M, K]."""
    return -(assignments * functional.log_softmax(logits.float() / temperature, dim=-1)).sum(dim=-1).mean()


@torch.no_grad()
def ema_update(teacher: nn.Module, student: nn.Module, momentum: float) -> None:
    """teacher <- momentum * teacher + (1 - momentum) * student, parameter by parameter."""
    for old, new in zip(teacher.parameters(), student.parameters(), strict=True):
        old.lerp_(new, 1 - momentum)


def blob_mask(generator: torch.Generator, count: int, grid: tuple[int, int], ratio: float) -> Tensor:
    """Bool [count, H*W], True = masked; the same number of tokens in each row, in connected blobs."""
    noise = torch.randn(count, 1, *grid, generator=generator, device=generator.device)
    smooth = functional.avg_pool2d(functional.pad(noise, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    chosen = smooth.flatten(1).topk(max(round(ratio * grid[0] * grid[1]), 1), dim=1).indices
    return torch.zeros(count, grid[0] * grid[1], dtype=torch.bool, device=chosen.device).scatter(
        1, chosen, True
    )


def effective_rank(features: Tensor) -> float:
    """exp of the entropy of the normalised singular values of the centred [M, C] (Roy & Vetterli 2007)."""
    values = torch.linalg.svdvals((features - features.mean(dim=0)).float())
    shares = values / values.sum().clamp(min=1e-12)
    return float(torch.special.entr(shares).sum().exp())


def spread(features: Tensor) -> float:
    """Share of the squared norm of [M, C] that is not the mean's, in [0, 1]; 0 = all alike."""
    features = features.float()
    deviation = (features - features.mean(dim=0)).square().sum()
    return float(deviation / features.square().sum().clamp(min=1e-12))


class Health(NamedTuple):
    """What ``CollapseMonitor`` looks at."""

    rank: float
    spread: float
    entropy: float
    """Mean entropy of the teacher's assignments, nats; log K = undecided."""
    information: float
    """Entropy of the mean assignment less the mean entropy, nats; 0 = the same for every image."""


def measure(features: Tensor, assignments: Tensor) -> Health:
    """Of the teacher's features [M, C] and assignments [M', K]."""
    entropy = float(torch.special.entr(assignments).sum(dim=1).mean())
    marginal = float(torch.special.entr(assignments.mean(dim=0)).sum())
    return Health(effective_rank(features), spread(features), entropy, marginal - entropy)


FLOORS = Health(rank=2.0, spread=0.003, entropy=0.0, information=0.01)


@dataclass
class CollapseMonitor:
    """Stops a training whose teacher has collapsed: below a floor in ``patience`` checks on end.

    The effective rank alone does not do: rounding noise around a constant is of full rank.
    """

    floors: Health = FLOORS
    patience: int = 3
    strikes: int = field(default=0, init=False)

    def check(self, step: int, health: Health) -> None:
        """Raises DivergedError, with what collapsed and what to try, or takes note."""
        below = [
            f"{name} {value:.4g} < {floor:g}"
            for name, value, floor in zip(Health._fields, health, self.floors, strict=True)
            if not value >= floor
        ]
        self.strikes = self.strikes + 1 if below else 0
        if self.strikes >= self.patience:
            raise DivergedError(
                f"collapsed at step {step}: {', '.join(below)} in {self.strikes} checks on end; "
                "try a lower --lr, a larger --batch or another --seed"
            )
