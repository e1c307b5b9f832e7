"""Behavioural: what is dropped and how often, that one draw serves all layers, and where noise acts."""

from __future__ import annotations

import pytest
import torch

from model.bottleneck import Bottleneck
from model.config import BottleneckConfig
from model.noise import NOISES, dropout, random_integers

CPU = torch.device("cpu")
MANY = torch.Size((200_000,))


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def dropped(rate: float, *shapes: torch.Size, seed: int = 0) -> list[torch.Tensor]:
    noise = dropout(shapes, rate, stream(seed), CPU)
    return [noise(torch.ones(shape)) for shape in shapes]


def test_every_lane_of_the_integers_is_uniform():
    """A quarter of the range holds a quarter of the numbers (sd .001), wherever they stood in a word."""
    lanes = random_integers(4 * 200_000, stream(), CPU).view(-1, 4)
    quarter = torch.div(lanes.int() + 2**15, 2**14, rounding_mode="floor")
    for lane in quarter.unbind(1):
        shares = torch.bincount(lane, minlength=4) / len(lane)
        assert torch.allclose(shares, torch.full((4,), 0.25), atol=0.005)


@pytest.mark.parametrize("rate", [0.05, 0.2, 0.5, 0.99])
def test_dropout_zeroes_its_share_and_keeps_the_mean(rate: float):
    (values,) = dropped(rate, MANY)
    assert float((values == 0).float().mean()) == pytest.approx(rate, abs=0.005)
    kept = values[values != 0]
    assert torch.equal(kept, kept[0].expand_as(kept))
    assert float(kept[0]) == pytest.approx(1 / (1 - rate), rel=1e-3)
    assert float(kept[0]) * float((values != 0).float().mean()) == pytest.approx(1, rel=0.05)


def test_the_mean_holds_in_half_precision():
    noise = dropout([MANY], 0.4, stream(), CPU)
    values = noise(torch.full(MANY, 3.0, dtype=torch.bfloat16))
    assert values.dtype == torch.bfloat16
    assert float(values.float().mean()) == pytest.approx(3, rel=0.01)


def test_what_a_lower_rate_drops_a_higher_one_drops_too():
    (little,), (much,) = dropped(0.1, MANY), dropped(0.4, MANY)
    assert bool((much[little == 0] == 0).all())


def test_layers_share_one_draw_and_overlap_nowhere():
    parts = [torch.Size((3, 10)), torch.Size((3, 40)), torch.Size((3, 7))]
    together = torch.cat([part.flatten() for part in dropped(0.5, *parts)])
    assert torch.equal(together, dropped(0.5, torch.Size((3 * 57,)))[0])
    assert not torch.equal(together, dropped(0.5, torch.Size((3 * 57,)), seed=1)[0])


def test_the_gradient_passes_where_the_value_did():
    x = torch.ones(50, requires_grad=True)
    y = dropout([x.shape], 0.5, stream(), CPU)(x)
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())


@pytest.mark.parametrize("kind", NOISES)
def test_noise_acts_at_input_hidden_layer_and_output_and_nowhere_in_eval_mode(kind: str):
    bottleneck = Bottleneck(6, BottleneckConfig(noise=kind))
    bottleneck.rate, bottleneck.generator = 0.5, stream()
    x = torch.randn(2, 5, 6, generator=stream(1))
    inputs: dict[str, torch.Tensor] = {}
    outputs: dict[str, torch.Tensor] = {}

    def watch(name: str) -> None:
        def hook(_module: object, given: tuple[torch.Tensor], out: torch.Tensor) -> None:
            inputs[name], outputs[name] = given[0], out

        bottleneck.get_submodule(name).register_forward_hook(hook)

    watch("fc1")
    watch("fc2")
    result = bottleneck.train()(x)
    assert not torch.equal(inputs["fc1"], x)
    assert not torch.equal(inputs["fc2"], torch.nn.functional.gelu(outputs["fc1"]))
    assert not torch.equal(result, outputs["fc2"])
    result = bottleneck.eval()(x)
    assert torch.equal(inputs["fc1"], x)
    assert torch.equal(inputs["fc2"], torch.nn.functional.gelu(outputs["fc1"]))
    assert torch.equal(result, outputs["fc2"])


def test_gaussian_noise_has_the_asked_sd_relative_to_the_activations():
    x = 3 * torch.randn(MANY, generator=stream(1))
    noise = NOISES["gaussian"]([MANY], 0.2, stream(), CPU)
    assert float((noise(x) - x).std() / x.std()) == pytest.approx(0.2, rel=0.02)
