"""The loose loss.

Reference-checked: loss values on the reference's maps, and values and gradients against a slow
independent form of the published rule (backward hooks, boolean indexing, one token at a time).
Behavioural: the masked form, precision, what receives a gradient.
"""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from model.config import TailConfig, build_config
from model.losses import LooseLoss, distance
from model.priors.tail import tail_mask
from tests.model.priors.listing import TAIL

DATA = Path(__file__).parents[1] / "data"
REFERENCE = TailConfig(ramp=0)


def pairs(
    groups: int = 2, shape: tuple[int, ...] = (3, 8, 6, 5), seed: int = 0
) -> tuple[list[Tensor], ...]:
    draw = torch.Generator().manual_seed(seed)
    en = [torch.randn(shape, generator=draw) for _ in range(groups)]
    de = [(e + torch.randn(shape, generator=draw)).requires_grad_() for e in en]
    return en, de


def slow_loss(en: list[Tensor], de: list[Tensor], p: float, factor: float) -> Tensor:
    """The published rule with hooks: gradients of easy tokens are scaled as they arrive."""
    total = torch.zeros(())
    for a, b in zip(en, de, strict=True):
        batch, _, height, width = a.shape
        d = torch.empty(batch, height, width)
        for i in range(batch):
            for y in range(height):
                for x in range(width):
                    u, v = a[i, :, y, x], b[i, :, y, x].detach()
                    d[i, y, x] = 1 - (u @ v) / max(u.norm() * v.norm(), 1e-8)
        hardest = sorted(d.flatten().tolist(), reverse=True)[: max(1, int(d.numel() * (1 - p)))]
        easy = d < hardest[-1]

        def shrink(gradient: Tensor, easy: Tensor) -> Tensor:
            gradient = gradient.clone()
            for i, y, x in easy.nonzero().tolist():
                gradient[i, :, y, x] *= factor
            return gradient

        total = (
            total
            + torch.stack(
                [1 - (u.flatten() @ v.flatten()) / (u.norm() * v.norm()) for u, v in zip(a, b, strict=True)]
            ).mean()
        )
        b.register_hook(partial(shrink, easy=easy))
    return total / len(en)


@pytest.mark.parametrize("p", [0.0, 0.45, 0.9])
@pytest.mark.parametrize("factor", [0.0, 0.1, 1.0])
def test_value_and_gradient_of_the_published_rule(p, factor):
    en, de = pairs()
    slow_loss(en, de, p, factor).backward()
    expected = [d.grad for d in de]
    copies = [d.detach().clone().requires_grad_() for d in de]
    loss = LooseLoss(REFERENCE)(en, copies, q=1 - p, alpha=0.0, beta=1.0, factor=factor)
    loss.backward()
    assert loss.item() == pytest.approx(slow_loss(en, de, p, factor).item(), rel=1e-6)
    for a, b in zip(copies, expected, strict=True):
        assert torch.allclose(a.grad, b, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("p", ["0.0", "0.45", "0.9"])
def test_loss_on_the_reference_maps(p):
    reference = load_file(DATA / "reference_model.safetensors")
    en, de = ([reference[f"{side}{i}"] for i in range(2)] for side in ("en", "de"))
    loss = LooseLoss(REFERENCE)(en, de, q=1 - float(p), alpha=0.0, beta=1.0, factor=0.1)
    assert loss.item() == pytest.approx(reference[f"loss_p{p}"].item(), rel=1e-5)


def test_scaling_leaves_the_value_bit_for_bit():
    en, de = pairs(shape=(4, 16, 7, 7))
    plain = torch.stack(
        [
            (1 - torch.nn.functional.cosine_similarity(a.flatten(1), b.flatten(1))).mean()
            for a, b in zip(en, de, strict=True)
        ]
    ).mean()
    unscaled = LooseLoss(TailConfig())(en, de, q=0.1, alpha=0.5, beta=1.0, factor=1.0)
    assert unscaled.item() == pytest.approx(plain.item(), rel=1e-6)
    for option in TAIL:
        config = build_config(option.nested()).tail
        if config.form == "gradient":
            loss = LooseLoss(config)(en, de, q=0.1, alpha=0.5, beta=1.0, factor=0.1)
            assert torch.equal(loss, unscaled), option.name


WITHOUT_BACKGROUND = [option for option in TAIL if "tail.background" not in option.values]


@pytest.mark.parametrize("option", WITHOUT_BACKGROUND, ids=lambda option: option.name)
def test_every_option_trains_on_its_tail(option):
    """Outside the tail the gradient is the plain one times the factor, or nothing (masked)."""
    config = build_config(option.nested()).tail
    alpha = config.alpha if isinstance(config.alpha, float) else 0.5
    en, de = pairs(1)
    loss = LooseLoss(config)(en, de, q=0.2, alpha=alpha, beta=1.0, factor=0.1)
    (gradient,) = torch.autograd.grad(loss, de)
    inside = tail_mask(distance(en[0], de[0]).detach(), 0.2, alpha, 1.0, config)
    assert 0 < inside.sum() < inside.numel()
    outside = ~inside.unsqueeze(1).expand_as(gradient)
    plain_loss = LooseLoss(TailConfig(form=config.form))(en, de, q=1.0, alpha=0.0, beta=1.0, factor=1.0)
    (plain,) = torch.autograd.grad(plain_loss, de)
    if config.form == "gradient":
        assert torch.equal(gradient[~outside], plain[~outside])
        assert torch.equal(gradient[outside], plain[outside] * 0.1)
    else:
        assert not gradient[outside].any()
        share = inside.numel() / inside.sum().item()
        assert torch.allclose(gradient[~outside], plain[~outside] * share, rtol=1e-4, atol=1e-9)


def test_masked_form_is_the_mean_distance_of_the_tail():
    en, de = pairs(2)
    for scope in ("batch", "image"):
        config = TailConfig(form="masked", scope=scope)
        loss = LooseLoss(config)(en, de, q=0.3, alpha=0.0, beta=1.0, factor=0.1)
        expected = []
        for a, b in zip(en, de, strict=True):
            d = distance(a, b)
            expected.append(d[tail_mask(d, 0.3, 0.0, 1.0, config)].mean())
        assert loss.item() == pytest.approx((sum(expected) / 2).item(), rel=1e-6)
    whole = LooseLoss(TailConfig(form="masked"))(en, de, q=1.0, alpha=0.0, beta=1.0, factor=0.1)
    both = sum(distance(a, b).mean() for a, b in zip(en, de, strict=True)) / 2
    assert whole.item() == pytest.approx(both.item(), rel=1e-6)


def test_the_background_is_the_mean_over_all_tokens():
    en, de = pairs(1)
    loss_of = LooseLoss(TailConfig(form="masked"))
    knobs = {"q": 0.2, "alpha": 0.0, "beta": 1.0, "factor": 0.1}
    d = distance(en[0], de[0])
    tail = d[tail_mask(d.detach(), 0.2, 0.0, 1.0, TailConfig())].mean()
    for share in (0.0, 0.25, 1.0):
        loss = loss_of(en, de, **knobs, background=share)
        assert loss.item() == pytest.approx(((1 - share) * tail + share * d.mean()).item(), rel=1e-6)
        (gradient,) = torch.autograd.grad(loss, de)
        assert (gradient.abs().sum(1) > 0).float().mean().item() == pytest.approx(
            1.0 if share else 17 / 90, abs=1e-6
        )
    plain = loss_of(en, de, **knobs)
    assert torch.equal(loss_of(en, de, **knobs, background=0.0), plain)


def test_no_gradient_reaches_the_encoder():
    en, de = pairs()
    en = [e.requires_grad_() for e in en]
    for form in ("gradient", "masked"):
        LooseLoss(TailConfig(form=form))(en, de, q=0.1, alpha=0.5, beta=1.0, factor=0.1).backward()
    assert all(e.grad is None for e in en) and all(d.grad is not None for d in de)


def test_distance_on_hand_made_tokens():
    en = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 0.0]]).T.reshape(1, 2, 2, 2)
    de = torch.tensor([[2.0, 0.0], [0.0, 3.0], [-1.0, 0.0], [5.0, 5.0]]).T.reshape(1, 2, 2, 2)
    assert distance(en, de).flatten().tolist() == pytest.approx([0, 1, 2, 1], abs=1e-7)
    diagonal = distance(torch.ones(1, 2, 1, 1), torch.tensor([1.0, 0.0]).view(1, 2, 1, 1))
    assert diagonal.item() == pytest.approx(1 - math.sqrt(0.5))


@pytest.mark.parametrize("form", ["gradient", "masked"])
def test_half_precision_is_compared_in_float32(form):
    en, de = pairs(shape=(2, 32, 8, 8))
    loss_of = LooseLoss(TailConfig(form=form))
    knobs = {"q": 0.1, "alpha": 0.0, "beta": 1.0, "factor": 0.1}
    half_en, half_de = [[t.detach().bfloat16() for t in side] for side in (en, de)]
    half = loss_of(half_en, [d.requires_grad_() for d in half_de], **knobs)
    assert half.dtype == torch.float32
    rounded = loss_of([e.float() for e in half_en], [d.detach().float() for d in half_de], **knobs)
    assert torch.equal(half, rounded)
    half.backward()
    assert all(d.grad.dtype == torch.bfloat16 and torch.isfinite(d.grad).all() for d in half_de)
    assert distance(half_en[0], half_de[0]).dtype == torch.float32


def test_unpaired_maps_are_refused():
    en, de = pairs()
    for a, b in ((en, de[:1]), ([], [])):
        with pytest.raises(ValueError, match="maps"):
            LooseLoss(REFERENCE)(a, b, q=0.1, alpha=0.0, beta=1.0, factor=0.1)
