"""StableAdamW and the warm-up + cosine learning rate of the reference recipe."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from model.config import TrainConfig


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
        grads: list[Tensor] = [p.grad for p in params if p.grad is not None]
        for p in params:
            if not self.state[p]:
                self.state[p].update(
                    step=0,
                    mean=torch.zeros_like(p),
                    square=torch.zeros_like(p),
                    max_square=torch.zeros_like(p),
                )
        states = [self.state[p] for p in params]
        means = [s["mean"] for s in states]
        squares = [s["square"] for s in states]
        max_squares = [s["max_square"] for s in states]
        beta1, beta2 = group["betas"]
        for s in states:
            s["step"] += 1
        # All parameters of a group start together, so one step count serves.
        step = states[0]["step"]
        correction1, correction2 = 1 - beta1**step, 1 - beta2**step

        # The fused "foreach" kernels: one launch per operation instead of one per tensor.
        torch._foreach_mul_(params, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_lerp_(means, grads, 1 - beta1)
        torch._foreach_mul_(squares, beta2)
        torch._foreach_addcmul_(squares, grads, grads, value=1 - beta2)
        if group["amsgrad"]:
            torch._foreach_maximum_(max_squares, squares)
        denominators = list(torch._foreach_sqrt(max_squares if group["amsgrad"] else squares))
        torch._foreach_div_(denominators, math.sqrt(correction2))
        torch._foreach_add_(denominators, group["eps"])

        ratios = torch._foreach_div(grads, denominators)
        norms = torch._foreach_norm(ratios)
        scales = [
            (norm / math.sqrt(p.numel()) / group["clip"]).clamp_(min=1)
            for norm, p in zip(norms, params, strict=True)
        ]
        torch._foreach_div_(denominators, [-1.0] * len(params))
        updates = torch._foreach_div(means, denominators)
        torch._foreach_mul_(updates, group["lr"] / correction1)
        torch._foreach_div_(updates, scales)
        torch._foreach_add_(params, updates)


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
