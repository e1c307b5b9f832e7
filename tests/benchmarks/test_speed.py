"""Behavioural: the procedure that speed is compared with gives the same results as ours."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks import published, speed
from model.config import TrainConfig
from model.metrics import evaluate
from model.optim import StableAdamW


def test_the_quick_benchmark_finds_equal_results(capsys: pytest.CaptureFixture[str]) -> None:
    assert speed.main(["--quick"]) == 0
    printed = capsys.readouterr().out
    assert "equal results" in printed
    for work in ("step, pocket: ours", "step, pocket: published", "all that a run keeps"):
        assert work in printed


def test_results_that_differ_fail_the_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "step_costs", lambda *_: ({"ours": 1.0, "published": 2.0}, 0.01))
    monkeypatch.setattr(speed, "evaluation_costs", lambda *_: ({"ours": 1.0, "published": 2.0}, 0.0))
    assert speed.main(["--quick"]) == 1


def test_the_optimisers_take_the_same_steps() -> None:
    train = TrainConfig()
    ours = [torch.full((3, 4), 0.5, requires_grad=True), torch.zeros(5, requires_grad=True)]
    theirs = [torch.nn.Parameter(p.detach().clone()) for p in ours]
    stable = StableAdamW(ours, lr=1e-3, eps=train.eps)
    tensorwise = published.TensorwiseStableAdamW(theirs, train)
    draw = torch.Generator().manual_seed(0)
    for scale in (1e-3, 1e-3, 1.0, 0.1):
        for a, b in zip(ours, theirs, strict=True):
            a.grad = scale * torch.randn(a.shape, generator=draw)
            b.grad = a.grad.clone()
        stable.step()
        tensorwise.step(1e-3)
    assert all(torch.allclose(a, b, rtol=1e-5, atol=1e-8) for a, b in zip(ours, theirs, strict=True))


def test_the_swept_metrics_are_those_of_the_reference_recipe() -> None:
    rng = np.random.default_rng(0)
    masks = np.zeros((6, 32, 32), np.uint8)
    masks[0, 3:9, 4:20], masks[1, 20:22, :], masks[1, 5:8, 5:8] = 1, 1, 1
    maps = (rng.normal(size=masks.shape) + masks).astype(np.float32)
    labels, scores = masks.any(axis=(1, 2)).astype(int), maps.max(axis=(1, 2))
    found = evaluate(maps, masks, labels, scores, aupro="reference200")
    expected = [value for name, value in found.items() if name != "aupro_05"]
    assert published.metrics(maps, masks, labels, scores) == pytest.approx(expected, abs=1e-6)
