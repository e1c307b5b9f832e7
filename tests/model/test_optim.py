"""StableAdamW against torch's AdamW where they agree, and against the definition where they do not.

The whole recipe is checked against the reference's twelve training steps in test_reference.py.
"""

from __future__ import annotations

import math

import pytest
import torch

from model.config import TrainConfig
from model.optim import StableAdamW, learning_rate

SETTINGS = {"lr": 0.01, "betas": (0.9, 0.99), "eps": 1e-8, "weight_decay": 0.1}


def gradients(steps: int, shape: tuple[int, ...]) -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=draw) for _ in range(steps)]


def test_equals_adamw_with_amsgrad_when_nothing_is_clipped():
    ours, theirs = torch.ones(4, 3, requires_grad=True), torch.ones(4, 3, requires_grad=True)
    stable = StableAdamW([ours], update_clip=math.inf, **SETTINGS)
    adamw = torch.optim.AdamW([theirs], amsgrad=True, **SETTINGS)
    for gradient in gradients(10, (4, 3)):
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        stable.step()
        adamw.step()
    assert torch.allclose(ours, theirs, atol=1e-6)


def test_a_sudden_gradient_is_clipped_by_the_rms_of_its_update():
    """After small gradients, one 1000 times larger moves AdamW far and StableAdamW by a clipped step."""
    p = torch.zeros(5, requires_grad=True)
    optimiser = StableAdamW([p], lr=0.1, betas=(0.9, 0.999), eps=1e-12, weight_decay=0.0)
    mean, square, largest = torch.zeros(5), torch.zeros(5), torch.zeros(5)
    expected = torch.zeros(5)
    for step, scale in enumerate([1e-3, 1e-3, 1.0], start=1):
        gradient = scale * torch.arange(1.0, 6.0)
        p.grad = gradient.clone()
        optimiser.step()
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        largest = torch.maximum(largest, square)
        denominator = largest.sqrt() / math.sqrt(1 - 0.999**step) + 1e-12
        rms = (gradient / denominator).pow(2).mean().sqrt()
        expected -= 0.1 / (1 - 0.9**step) / max(1.0, float(rms)) * mean / denominator
    assert float(rms) > 1  # the case is one in which clipping acts
    assert torch.allclose(p, expected, rtol=1e-5)


def test_parameters_without_gradient_stay():
    p, q = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    optimiser = StableAdamW([p, q], **SETTINGS)
    p.grad = torch.ones(2)
    optimiser.step()
    assert torch.equal(q, torch.ones(2))
    assert not torch.equal(p, torch.ones(2))


def test_learning_rate_warms_up_to_the_peak_and_ends_at_the_final_value():
    train = TrainConfig(iterations=1000, warmup=100, lr=2e-3, final_lr=2e-4)
    assert learning_rate(0, train) == 0
    assert learning_rate(99, train) == pytest.approx(2e-3)
    assert learning_rate(100, train) == pytest.approx(2e-3)
    assert learning_rate(550, train) == pytest.approx(1.1e-3)
    assert learning_rate(999, train) == pytest.approx(2e-4, rel=1e-2)
    assert learning_rate(0, TrainConfig(iterations=10, warmup=0)) == pytest.approx(2e-3)


@pytest.mark.parametrize("bundle", [5, 16, 1000])
def test_how_tensors_are_bundled_changes_nothing_but_rounding(bundle: int, monkeypatch: pytest.MonkeyPatch):
    """Bundles that cut through tensors, hold several of them, or all; the RMS stays that of a tensor."""
    shapes = [(4, 3), (7,), (1,), (5, 5)]
    scales = [1e-3, 1.0, 10.0, 1.0]

    def trained() -> list[torch.Tensor]:
        params = [torch.ones(shape, requires_grad=True) for shape in shapes]
        optimiser = StableAdamW(params, update_clip=0.5, **SETTINGS)
        draw = torch.Generator().manual_seed(0)
        for step in range(4):
            for p, scale in zip(params, scales, strict=True):
                p.grad = scale * 10**step * torch.randn(p.shape, generator=draw)
            optimiser.step()
        return [p.detach() for p in params]

    whole = trained()
    monkeypatch.setattr("model.optim.BUNDLE", bundle)
    assert all(torch.allclose(a, b, rtol=1e-5) for a, b in zip(trained(), whole, strict=True))


def test_without_amsgrad_a_large_gradient_is_forgotten():
    def steps(amsgrad: bool) -> list[float]:
        p = torch.nn.Parameter(torch.zeros(1))
        optimiser = StableAdamW([p], **{**SETTINGS, "betas": (0.0, 0.5)}, amsgrad=amsgrad)
        moved = []
        for gradient in (100.0, *[1.0] * 20):
            before = p.item()
            p.grad = torch.full((1,), gradient)
            optimiser.step()
            moved.append(abs(p.item() - before))
        return moved

    assert steps(amsgrad=False)[-1] > 10 * steps(amsgrad=True)[-1]
