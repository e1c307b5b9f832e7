"""Linear and softmax attention with and without the direction bias.

Reference-checked: plain linear attention against the published einsums; everything biased against
the dense O(N^2) definition written out here, values and gradients, in both precisions.
Behavioural: lambda = 0 bit for bit, learned strength, precision, cost's growth.
"""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from model.attention import LinearAttention, SoftmaxAttention, _dot, _summary
from model.config import BiasConfig, build_config
from model.errors import ConfigError
from model.priors.bias import bias_mask, neighbour_mask
from tests.model.priors.listing import BIAS

DIM, HEADS = 24, 3
CASES = list(itertools.product([(5, 5), (4, 7), (6, 3)], [0, 5]))
SHAPES = {f"{grid[0]}x{grid[1]}-prefix{prefix}": (grid, prefix) for grid, prefix in CASES}
ATTENTIONS = {"linear": LinearAttention, "softmax": SoftmaxAttention}
OPTIONS = [option for option in BIAS if "decoder.neighbour_mask" not in option.values]


def make(
    kind: str, bias: BiasConfig | None, *, dtype: torch.dtype = torch.float32, **options: float
) -> nn.Module:
    torch.manual_seed(0)
    module = ATTENTIONS[kind](DIM, HEADS, bias=bias, **options).to(dtype)
    if module.learned:  # heads that differ
        nn.init.uniform_(module.lam_logit, -2, 2)
    return module


def tokens(grid: tuple[int, int], prefix: int, dtype: torch.dtype = torch.float32) -> Tensor:
    draw = torch.Generator().manual_seed(1)
    x = torch.randn(2, prefix + grid[0] * grid[1], DIM, generator=draw, dtype=torch.float64)
    return (3 * x).to(dtype).requires_grad_()


def dense(kind: str, module: nn.Module, x: Tensor, mask: Tensor) -> Tensor:
    """The definition: a T x T matrix of attention weights times the mask, normalised over keys."""
    batch, count, dim = x.shape
    qkv = F.linear(x, module.qkv.weight, module.qkv.bias)
    q, k, v = qkv.reshape(batch, count, 3, HEADS, dim // HEADS).permute(2, 0, 3, 1, 4)
    if kind == "linear":
        weights = torch.einsum("bhid,bhjd->bhij", F.elu(q) + 1, F.elu(k) + 1)
    else:
        logits = torch.einsum("bhid,bhjd->bhij", q, k) * (dim // HEADS) ** -0.5
        weights = (logits - logits.amax(-1, keepdim=True)).exp()
    weights = weights * mask
    out = (weights / weights.sum(-1, keepdim=True)) @ v
    out = out.transpose(1, 2).reshape(batch, count, dim)
    return F.linear(out, module.proj.weight, module.proj.bias)


def relative(actual: Tensor, expected: Tensor) -> float:
    return ((actual - expected).abs().max() / expected.abs().max().clamp_min(1e-30)).item()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_bias_equals_the_dense_definition(option, shape):
    """Output and all gradients: 1e-10 in float64, 1e-5 in float32."""
    grid, prefix = SHAPES[shape]
    config = build_config(option.nested())
    kind = config.decoder.attention
    expected: list[Tensor] = []
    for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 1e-5)):
        module = make(kind, config.bias).to(dtype)
        strength = torch.sigmoid(module.lam_logit) if module.learned else module.lam
        assert module.biased
        inputs = [tokens(grid, prefix, dtype), *module.parameters()]
        if not expected:
            mask = bias_mask(strength, config.bias, grid, prefix, dtype=dtype)
            out = dense(kind, module, inputs[0], mask)
            expected = [out, *torch.autograd.grad(out.square().sum(), inputs)]
        out = module(inputs[0], grid, prefix)
        actual = [out, *torch.autograd.grad(out.square().sum(), inputs)]
        for i, (a, b) in enumerate(zip(actual, expected, strict=True)):
            assert relative(a.double(), b) < tolerance, (dtype, i)


@pytest.mark.parametrize("kind", ATTENTIONS)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_bias_does_something(kind, shape):
    grid, prefix = SHAPES[shape]
    x = tokens(grid, prefix)
    plain, *others = (
        make(kind, BiasConfig(lambda_=lam, direction=direction))(x, grid, prefix)
        for lam, direction in ((0.0, "both"), (0.5, "horizontal"), (0.5, "vertical"), (0.5, "both"))
    )
    for a, b in itertools.combinations([plain, *others], 2):
        assert relative(a, b) > 1e-3
    if prefix:  # prefix queries see every key at weight 1
        for other in others:
            assert relative(other[:, :prefix], plain[:, :prefix]) < 1e-5


@pytest.mark.parametrize("kind", ATTENTIONS)
@pytest.mark.parametrize("kernel", ["box", "triangle", "gaussian"])
def test_lambda_zero_has_the_plain_bits(kind, kernel):
    grid, prefix = (4, 7), 5
    x = tokens(grid, prefix)
    plain = make(kind, None)
    expected = plain(x, grid, prefix)
    wanted = torch.autograd.grad(expected.square().sum(), [x, *plain.parameters()])
    module = make(kind, BiasConfig(lambda_=0.4, kernel=kernel))
    assert module.lam == 0.4
    module.lam = 0.0
    out = module(x, grid, prefix)
    assert torch.equal(out, expected)
    for a, b in zip(
        torch.autograd.grad(out.square().sum(), [x, *module.parameters()]), wanted, strict=True
    ):
        assert torch.equal(a, b)
    module.lam = 1e-9
    assert relative(module(x, grid, prefix), expected) < 1e-5


def test_plain_linear_attention_is_the_published_einsums():
    module = make("linear", None)
    x = tokens((4, 7), 5)
    q, k, v = module.qkv(x).reshape(2, 33, 3, HEADS, DIM // HEADS).permute(2, 0, 3, 1, 4)
    q, k = F.elu(q) + 1, F.elu(k) + 1
    kv = torch.einsum("...sd,...se->...de", k, v)
    z = 1 / torch.einsum("...sd,...d->...s", q, k.sum(-2))
    out = torch.einsum("...de,...sd,...s->...se", kv, q, z).transpose(1, 2).reshape(2, 33, DIM)
    expected = module.proj(out)
    actual = module(x, (4, 7), 5)
    assert relative(actual, expected) < 1e-6
    inputs = [x, *module.parameters()]
    for a, b in zip(
        torch.autograd.grad(actual.sin().sum(), inputs),
        torch.autograd.grad(expected.sin().sum(), inputs),
        strict=True,
    ):
        assert relative(a, b) < 1e-5


def test_eps_enters_the_denominator_once():
    grid, prefix = (3, 4), 2
    x = tokens(grid, prefix, torch.float64)
    for bias in (None, BiasConfig(lambda_=0.5, direction="both")):
        module = make("linear", bias, dtype=torch.float64, eps=0.7)
        mask = bias_mask(module.lam, bias or BiasConfig(), grid, prefix, dtype=torch.float64)
        q, k, v = module.qkv(x).reshape(2, 14, 3, HEADS, DIM // HEADS).permute(2, 0, 3, 1, 4)
        weights = (F.elu(q) + 1) @ (F.elu(k) + 1).mT * mask
        out = weights @ v / (weights.sum(-1, keepdim=True) + 0.7)
        expected = module.proj(out.transpose(1, 2).reshape(2, 14, DIM))
        assert relative(module(x, grid, prefix), expected) < 1e-12


@pytest.mark.parametrize("prefix", [0, 5])
@pytest.mark.parametrize("lam", [0.0, 0.6])
def test_neighbour_mask_equals_the_dense_definition(prefix, lam):
    grid = (6, 7)
    bias = BiasConfig(lambda_=lam, kernel="triangle")
    module = make("softmax", bias, dtype=torch.float64, neighbour_mask=3)
    x = tokens(grid, prefix, torch.float64)
    mask = bias_mask(lam, bias, grid, prefix, dtype=torch.float64) * neighbour_mask(3, grid, prefix)
    assert relative(module(x, grid, prefix), dense("softmax", module, x, mask)) < 1e-10


def test_impossible_arguments_are_refused():
    with pytest.raises(ValueError, match="heads"):
        LinearAttention(10, 3)
    with pytest.raises(ValueError, match="neighbour"):
        LinearAttention(24, 3, neighbour_mask=3)
    for kind in ATTENTIONS:
        with pytest.raises(ValueError, match="0 prefix tokens"):
            make(kind, None)(tokens((2, 3), 1), (2, 3), 0)
    with pytest.raises(ConfigError, match="neighbour_mask"):
        make("softmax", None, neighbour_mask=5)(tokens((4, 4), 0), (4, 4), 0)


@pytest.mark.parametrize("kind", ATTENTIONS)
def test_learned_strengths(kind):
    module = make(kind, BiasConfig(lambda_="learned"))
    plain = make(kind, None)
    assert set(module.state_dict()) - set(plain.state_dict()) == {"lam_logit"}
    fresh = ATTENTIONS[kind](DIM, HEADS, bias=BiasConfig(lambda_="learned"))
    assert fresh.strength().tolist() == pytest.approx([0.1] * HEADS)
    grid = (4, 5)
    module(tokens(grid, 2), grid, 2).square().sum().backward()
    assert module.lam_logit.grad.abs().min() > 0
    # ... and saturated ones still have finite gradients.
    module.zero_grad()
    nn.init.constant_(module.lam_logit, 40.0)
    x = tokens(grid, 2)
    module(x, grid, 2).square().sum().backward()
    assert torch.isfinite(module.lam_logit.grad).all() and torch.isfinite(x.grad).all()


@pytest.mark.parametrize("kind", ATTENTIONS)
def test_a_learned_strength_takes_nothing_from_the_random_stream(kind):
    states = []
    for bias in (None, BiasConfig(lambda_="learned"), BiasConfig(lambda_=0.5)):
        torch.manual_seed(0)
        ATTENTIONS[kind](DIM, HEADS, bias=bias)
        states.append(torch.get_rng_state())
    assert torch.equal(states[0], states[1]) and torch.equal(states[0], states[2])


@pytest.mark.parametrize("kind", ATTENTIONS)
@pytest.mark.parametrize("lam", [0.0, 0.5, 1.0, "learned"])
def test_autocast_to_bfloat16_stays_close(kind, lam):
    grid, prefix = (14, 14), 5
    module = make(kind, BiasConfig(lambda_=lam, kernel="triangle", direction="both"))
    x = tokens(grid, prefix)
    expected = module(x, grid, prefix)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = module(x, grid, prefix)
    assert out.dtype == torch.bfloat16
    assert relative(out.float(), expected) < 0.03
    (gradient,) = torch.autograd.grad(out.float().square().sum(), x)
    assert torch.isfinite(gradient).all()
    assert module.to(torch.bfloat16)(x.bfloat16(), grid, prefix).dtype == torch.bfloat16


def test_the_normaliser_stays_in_float32():
    """Sums of half-precision features, under autocast too; in bfloat16 they would be 4e-3 off."""
    draw = torch.Generator().manual_seed(0)
    q, k = (torch.rand(2, 3, 257, 8, generator=draw).bfloat16() for _ in range(2))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        _, k_sum = _summary(k, k)
        bottom = _dot(q, k_sum)
    expected = (q.double() @ k.double().sum(-2).unsqueeze(-1)).squeeze(-1)
    assert bottom.dtype == torch.float32
    assert relative(bottom.double(), expected) < 1e-6


@pytest.mark.parametrize("direction", ["horizontal", "vertical", "both"])
def test_memory_of_the_bias_is_linear_in_the_grid(direction):
    """Four times the rows: four times the largest tensor, never a T x T one."""

    class Largest(TorchDispatchMode):
        numel = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            if isinstance(out, Tensor):
                self.numel = max(self.numel, out.numel())
            return out

    module = make("linear", BiasConfig(lambda_=0.5, direction=direction))
    sizes = []
    for grid in ((16, 16), (32, 32)):
        with torch.no_grad(), Largest() as seen:
            module(torch.randn(1, grid[0] * grid[1], DIM), grid, 0)
        sizes.append(seen.numel)
    count = 32 * 32
    assert sizes[1] <= max(3 * count * DIM, HEADS * count * 32)
    assert sizes[1] <= 8 * sizes[0] < count * count
