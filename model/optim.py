"""StableAdamW and the warm-up + cosine learning rate of the reference recipe."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.optim import Optimizer

from model.config import TrainConfig

BUNDLE = 1 << 16
"""Parameters that are worked on together on a CPU: with their moments and gradients 1.5 MB."""


class StableAdamW(Optimizer):
    """AdamW with amsgrad whose step is divided by max(1, RMS(gradient / denominator) / clip).

    Source: Wortsman et al., "Stable and low-precision training", 2023, algorithm 2, in the variant
    that Dinomaly trains with: amsgrad's denominator, bias-corrected, and the RMS per tensor.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        *,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-10,
        weight_decay: float = 1e-4,
        update_clip: float = 1.0,
        amsgrad: bool = True,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "clip": update_clip,
                "amsgrad": amsgrad,
                "scale": 1.0,  # of the common learning rate; a group may have its own
            },
        )

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update of every parameter that has a gradient; no closure."""
        assert closure is None, "StableAdamW takes no closure"
        for group in self.param_groups:
            self._step_group(group)

    def _step_group(self, group: dict[str, Any]) -> None:
        params: list[Tensor] = [p for p in group["params"] if p.grad is not None]
        if not params:
            return
        for p in params:
            if not self.state[p]:
                self.state[p].update(
                    step=0,
                    mean=torch.zeros_like(p),
                    square=torch.zeros_like(p),
                    max_square=torch.zeros_like(p),
                )
        states = [self.state[p] for p in params]
        for state in states:
            state["step"] += 1
        # All parameters of a group start together, so one step count serves.
        rule = _Rule.of(group, states[0]["step"])
        columns = [params, [p.grad for p in params if p.grad is not None]]
        columns += [[state[name] for state in states] for name in ("mean", "square", "max_square")]
        bundles = _bundles(columns)
        squares = params[0].new_zeros(len(params))
        for bundle in bundles:
            squares.index_add_(0, bundle.owners, rule.moments(bundle).square_())
        limits = torch.tensor([group["clip"] * math.sqrt(p.numel()) for p in params])
        # max(1, RMS / clip) of each tensor.
        scales = (squares.sqrt_() / limits.to(squares, non_blocking=True)).clamp_(min=1)
        for bundle in bundles:
            rule.update(bundle, scales[bundle.owners])


class _Bundle(NamedTuple):
    """Pieces of tensors that are worked on together, [k] each, flat."""

    params: list[Tensor]
    grads: list[Tensor]
    means: list[Tensor]
    squares: list[Tensor]
    max_squares: list[Tensor]
    owners: Tensor
    """int64 [k] which tensor each piece belongs to."""

    @classmethod
    def of(cls, columns: Sequence[Sequence[Tensor]], owners: Tensor) -> _Bundle:
        params, grads, means, squares, max_squares = map(list, columns)
        return cls(params, grads, means, squares, max_squares, owners)


def _bundles(columns: Sequence[Sequence[Tensor]]) -> list[_Bundle]:
    """Tensors cut and bundled: on a CPU into so few numbers that all their arrays stay in the cache.

    A dozen operations then cost one pass over memory. Elsewhere one bundle holds everything, so that each
    operation is one launch.
    """
    params = columns[0]
    device = params[0].device
    if device.type != "cpu":
        return [_Bundle.of(columns, torch.arange(len(params), device=device))]
    flat = [[t.reshape(-1) for t in column] for column in columns]
    bundles: list[list[tuple[int, int, int]]] = [[]]
    room = BUNDLE
    for index, param in enumerate(flat[0]):
        start = 0
        while start < len(param):
            if not room:
                bundles.append([])
                room = BUNDLE
            stop = min(start + room, len(param))
            bundles[-1].append((index, start, stop))
            room -= stop - start
            start = stop
    return [
        _Bundle.of(
            [[column[i][start:stop] for i, start, stop in pieces] for column in flat],
            torch.tensor([i for i, _, _ in pieces]),
        )
        for pieces in bundles
    ]


class _Rule(NamedTuple):
    """The numbers of one step, and what it does to a bundle.

    The denominator sqrt(v) / c + eps, c the bias correction, is kept as c times itself, which saves a pass.
    """

    beta1: float
    beta2: float
    eps: float
    """c eps."""
    decay: float
    amsgrad: bool
    step_size: float
    """Of mean over kept denominator, so with c."""
    correction: float
    """c."""

    @classmethod
    def of(cls, group: dict[str, Any], step: int) -> _Rule:
        beta1, beta2 = group["betas"]
        correction = math.sqrt(1 - beta2**step)
        return cls(
            beta1,
            beta2,
            group["eps"] * correction,
            1 - group["lr"] * group["weight_decay"],
            group["amsgrad"],
            group["lr"] / (1 - beta1**step) * correction,
            correction,
        )

    def moments(self, bundle: _Bundle) -> Tensor:
        """Move the moments; the norm of gradient / denominator over each piece [k]."""
        torch._foreach_lerp_(bundle.means, bundle.grads, 1 - self.beta1)
        torch._foreach_mul_(bundle.squares, self.beta2)
        torch._foreach_addcmul_(bundle.squares, bundle.grads, bundle.grads, value=1 - self.beta2)
        if self.amsgrad:
            torch._foreach_maximum_(bundle.max_squares, bundle.squares)
        ratios = torch._foreach_div(bundle.grads, self._denominators(bundle))
        return torch.stack(torch._foreach_norm(ratios)) * self.correction

    def update(self, bundle: _Bundle, scales: Tensor) -> None:
        """Decay the parameters and move them by mean / denominator, divided by ``scales`` [k]."""
        torch._foreach_mul_(bundle.params, self.decay)
        denominators = self._denominators(bundle)
        torch._foreach_mul_(denominators, list(scales.unbind()))
        torch._foreach_addcdiv_(bundle.params, bundle.means, denominators, value=-self.step_size)

    def _denominators(self, bundle: _Bundle) -> list[Tensor]:
        roots = list(torch._foreach_sqrt(bundle.max_squares if self.amsgrad else bundle.squares))
        torch._foreach_add_(roots, self.eps)
        return roots


def learning_rate(iteration: int, config: TrainConfig) -> float:
    """Learning rate of a 0-based iteration: ``warmup`` values from 0 to ``lr``, then a cosine.

    The warm-up includes both ends, as the reference's ``linspace`` does, so iteration 0 trains at
    rate 0 (if there is a warm-up) and iteration ``warmup - 1`` at the peak.
    """
    if iteration < config.warmup:
        return config.lr * iteration / max(config.warmup - 1, 1)
    span = max(config.iterations - config.warmup, 1)
    cosine = (1 + math.cos(math.pi * (iteration - config.warmup) / span)) / 2
    return config.final_lr + (config.lr - config.final_lr) * cosine
