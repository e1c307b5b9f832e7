"""Dinomaly2's bottleneck: its layers, where its noise is, its learning rates."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional

from model.config import BottleneckConfig
from model.low_rank import LowRankBottleneck
from model.noise import Noise


def build(**values: object) -> LowRankBottleneck:
    torch.manual_seed(0)
    return LowRankBottleneck(12, BottleneckConfig(rank=3, **values))  # type: ignore[arg-type]


def test_the_layers_are_c_rank_4c_c():
    bottleneck = build()
    shapes = {name: tuple(p.shape) for name, p in bottleneck.named_parameters() if "weight" in name}
    assert shapes == {"fc1.weight": (48, 3), "fc2.weight": (12, 48), "reduce.weight": (3, 12)}


def test_without_noise_it_is_their_composition():
    bottleneck, x = build().eval(), torch.randn(2, 5, 12)
    bottleneck.rate = 0.4
    low = x @ bottleneck.reduce.weight.T + bottleneck.reduce.bias
    expected = bottleneck.fc2(functional.gelu(bottleneck.fc1(low)))
    assert torch.allclose(bottleneck(x), expected, atol=1e-6)


def test_two_inputs_that_agree_on_the_low_rank_part_are_one():
    bottleneck, x = build().eval(), torch.randn(1, 4, 12)
    unseen = torch.linalg.svd(bottleneck.reduce.weight.detach()).Vh[3:]
    assert torch.allclose(bottleneck(x), bottleneck(x + 5 * unseen.sum(0)), atol=1e-5)


def test_noise_follows_each_layer_and_the_input_has_none():
    bottleneck = build().train()
    bottleneck.rate = 0.5
    seen: list[int] = []

    def draw(shapes: Sequence[torch.Size], rate: float, *_: object) -> Noise:
        def noise(x: torch.Tensor) -> torch.Tensor:
            assert x.shape == shapes[len(seen)]
            seen.append(x.shape[-1])
            return x * rate

        return noise

    bottleneck.noise = draw
    bottleneck(torch.randn(2, 5, 12))
    assert seen == [3, 48, 12]


def test_only_the_first_layer_has_a_rate_of_its_own():
    assert build().peak_rates() == {"reduce.weight": 2e-4, "reduce.bias": 2e-4}
    assert build(rank_lr=None).peak_rates() == {}
