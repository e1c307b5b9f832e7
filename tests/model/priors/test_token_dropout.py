"""Prior A. Behavioural: matched budget per grid position, shapes of the patterns, fills, isolation."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from scipy.stats import binom
from torch import Tensor

from model.config import Schedule, TokenDropoutConfig, build_config
from model.priors.token_dropout import TokenDropout, sample_mask, start_probability
from tests.model.priors.listing import TOKEN_DROPOUT, Option

PATTERNS = [
    ("token", "horizontal"),
    ("block", "horizontal"),
    *((p, d) for p in ("segment", "stripe") for d in ("horizontal", "vertical", "both")),
]


def draw(
    config: TokenDropoutConfig, rate: float, batch: int, grid: tuple[int, int], seed: int = 0
) -> Tensor:
    return sample_mask(config, rate, batch, grid, torch.Generator().manual_seed(seed))


def dropout(config: TokenDropoutConfig, channels: int = 3, seed: int = 0) -> TokenDropout:
    module = TokenDropout(config, channels).train()
    module.generator = torch.Generator().manual_seed(seed)
    return module


@pytest.mark.parametrize(("pattern", "direction"), PATTERNS)
@pytest.mark.parametrize(
    ("grid", "length", "rate"),
    [
        ((5, 9), (2, 6), 0.2),
        ((9, 5), (1, 1), 0.1),
        ((4, 4), (3, 3), 0.5),
        ((3, 7), (5, 9), 0.35),  # runs longer than the lines
        ((1, 6), (2, 4), 0.9),
    ],
)
def test_matched_budget_at_every_position(pattern, direction, grid, length, rate):
    """Each of the H x W dropped counts lies within its exact binomial bounds (Bonferroni, 1e-6)."""
    images = 20_000
    config = TokenDropoutConfig(pattern=pattern, direction=direction, length=length)
    counts = draw(config, rate, images, grid, seed=sum(map(ord, f"{pattern} {direction} {grid}"))).sum(0)
    assert counts.shape == grid
    tail = 1e-6 / (2 * counts.numel())
    low, high = binom.ppf(tail, images, rate), binom.isf(tail, images, rate)
    assert low <= counts.min() and counts.max() <= high, counts / images


def test_the_budget_test_would_notice_starts_only_inside_the_border():
    """The naive rule (no starts before the border) underdrops the first columns by far."""
    config = TokenDropoutConfig(pattern="segment", length=(2, 6))
    wide = draw(config, 0.2, 20_000, (1, 9), seed=1)[:, 0].float().mean(0)
    s = start_probability(0.2, 2, 6, 1)
    assert s < binom.ppf(1e-6, 20_000, 0.2) / 20_000 < wide[0]


@pytest.mark.parametrize("dimensions", [1, 2])
@pytest.mark.parametrize("length", [(1, 1), (2, 6), (3, 3), (1, 28)])
@pytest.mark.parametrize("rate", [1e-9, 1e-3, 0.2, 0.5, 0.95])
def test_start_probability_solves_the_survival_equation(dimensions, length, rate):
    shortest, longest = length
    s = start_probability(rate, shortest, longest, dimensions)
    log_survival = 0.0
    for k in range(longest):
        reach = sum(k < size for size in range(shortest, longest + 1)) / (longest - shortest + 1)
        log_survival += ((k + 1) ** dimensions - k**dimensions) * math.log1p(-s * reach)
    assert -math.expm1(log_survival) == pytest.approx(rate, rel=1e-9)


def test_segments_are_runs_of_the_configured_lengths():
    """At a low rate runs rarely touch: interior run lengths are U{2..4} and lie within single rows."""
    config = TokenDropoutConfig(pattern="segment", length=(2, 4))
    mask = draw(config, 0.004, 400, (16, 40))
    line = torch.nn.functional.pad(mask.flatten(0, 1).int(), (1, 1))
    step = line.diff(dim=1)
    starts, ends = (step == 1).nonzero(), (step == -1).nonzero()
    inside = (starts[:, 1] > 0) & (ends[:, 1] < 40)
    lengths = (ends - starts)[inside, 1]
    shares = torch.bincount(lengths, minlength=5)[2:5] / len(lengths)
    assert len(lengths) > 200
    assert lengths.min() == 2 and (lengths > 4).float().mean() < 0.05
    assert shares == pytest.approx([1 / 3] * 3, abs=0.1)


def test_blocks_are_squares():
    config = TokenDropoutConfig(pattern="block", length=(3, 3))
    mask = draw(config, 0.01, 200, (20, 20)).float()
    # Every dropped token of the interior lies in some fully dropped 3 x 3 square.
    full = torch.nn.functional.avg_pool2d(mask[:, None], 3, stride=1) > 0.999
    corners = torch.nn.functional.pad(full.float(), (2, 2, 2, 2))
    covered = torch.nn.functional.max_pool2d(corners, 3, stride=1)[:, 0]
    interior = (slice(None), slice(2, -2), slice(2, -2))
    assert mask[interior].sum() > 100
    assert torch.equal(covered[interior], mask[interior])


@pytest.mark.parametrize(("direction", "axis"), [("horizontal", 2), ("vertical", 1)])
def test_stripes_are_whole_lines(direction, axis):
    mask = draw(TokenDropoutConfig(pattern="stripe", direction=direction), 0.3, 50, (6, 8))
    assert torch.equal(mask.all(axis), mask.any(axis))
    assert mask.any() and not mask.all()


def test_both_draws_one_axis_per_image():
    mask = draw(TokenDropoutConfig(pattern="stripe", direction="both"), 0.3, 2000, (6, 8))
    mask = mask[mask.any((1, 2)) & ~mask.all((1, 2))]
    rows = (mask.all(2) == mask.any(2)).all(1)
    columns = (mask.all(1) == mask.any(1)).all(1)
    assert torch.equal(rows, ~columns)
    assert 0.42 < rows.float().mean() < 0.55  # fewer images with 8 columns are empty than with 6 rows


@pytest.mark.parametrize("pattern", ["segment", "stripe"])
def test_vertical_is_the_transposed_rule(pattern):
    horizontal = TokenDropoutConfig(pattern=pattern, direction="horizontal")
    vertical = TokenDropoutConfig(pattern=pattern, direction="vertical")
    assert torch.equal(draw(vertical, 0.3, 4, (5, 7)), draw(horizontal, 0.3, 4, (7, 5)).mT)


@pytest.mark.parametrize("pattern", ["none", "token", "segment", "stripe", "block"])
def test_rate_zero_drops_nothing_and_draws_as_much(pattern):
    """A rate that starts at 0 keeps its later masks aligned with those of a constant rate."""
    config = TokenDropoutConfig(pattern=pattern)
    a, b = (torch.Generator().manual_seed(3) for _ in range(2))
    assert not sample_mask(config, 0.0, 2, (4, 6), a).any()
    sample_mask(config, 0.4, 2, (4, 6), b)
    assert torch.equal(a.get_state(), b.get_state())


def test_masks_grow_with_the_rate():
    """Same draws, higher rate: single tokens and stripes only ever join (common random numbers)."""
    for pattern in ("token", "stripe"):
        config = TokenDropoutConfig(pattern=pattern)
        assert not (draw(config, 0.2, 20, (6, 6)) & ~draw(config, 0.4, 20, (6, 6))).any()


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_impossible_rates_are_refused(rate):
    with pytest.raises(ValueError, match="rate"):
        draw(TokenDropoutConfig(pattern="token"), rate, 1, (2, 2))


def option_config(option: Option) -> TokenDropoutConfig:
    return build_config(option.nested()).token_dropout


@pytest.mark.parametrize("option", TOKEN_DROPOUT, ids=lambda option: option.name)
def test_identity_in_eval_and_prefix_untouched_in_training(option):
    x = torch.randn(3, 2 + 20, 4)
    module = dropout(option_config(option), channels=4)
    module.rate = 0.5
    out = module(x, (4, 5), 2)
    assert out.shape == x.shape and out.dtype == x.dtype
    assert torch.equal(out[:, :2], x[:, :2])
    assert not torch.equal(out[:, 2:], x[:, 2:])
    state = module.generator.get_state()
    assert module.eval()(x, (4, 5), 2) is x
    assert torch.equal(module.generator.get_state(), state)


def test_pattern_none_is_the_identity_in_training():
    x = torch.randn(2, 6, 3)
    assert TokenDropout(TokenDropoutConfig(), 3).train()(x, (2, 3), 0) is x


@pytest.mark.parametrize("prefix", [0, 3])
@pytest.mark.parametrize("fill", ["zero", "mean", "neighbour", "learned"])
def test_fills(fill, prefix):
    config = TokenDropoutConfig(pattern="segment", rate=0.4, fill=fill)
    x = torch.randn(4, prefix + 30, 3, generator=torch.Generator().manual_seed(1))
    module = dropout(config)
    if fill == "learned":
        assert torch.equal(module.learned, torch.zeros(3))
        torch.nn.init.constant_(module.learned, 2.5)
    out = module(x, (5, 6), prefix)[:, prefix:]
    patches = x[:, prefix:]
    dropped = draw(config, 0.4, 4, (5, 6)).flatten(1)
    assert torch.equal(out[~dropped], patches[~dropped])
    for i in range(4):
        if fill == "neighbour":
            same = (out[i][dropped[i]][:, None] == patches[i][None]).all(-1)
            source = same.int().argmax(1)
            assert same.any(1).all() and not dropped[i][source].any()
            assert source.unique().numel() > 1
        else:
            expected = {"zero": 0.0, "mean": patches[i].mean(0), "learned": 2.5}[fill]
            assert torch.allclose(out[i][dropped[i]], torch.as_tensor(expected).expand(3))


def test_neighbours_are_drawn_evenly_among_kept_tokens():
    config = TokenDropoutConfig(pattern="token", rate=0.5, fill="neighbour")
    x = torch.arange(12.0).view(1, 12, 1).expand(4000, 12, 1)
    out = dropout(config, 1)(x, (3, 4), 0)[..., 0]
    counts = torch.bincount(out[out != x[..., 0]].long(), minlength=12)
    assert counts.min() / counts.max() > 0.85


def test_a_fully_dropped_image_has_no_neighbours_left():
    config = TokenDropoutConfig(pattern="stripe", rate=0.9, fill="neighbour")
    module = dropout(config)
    x = torch.randn(60, 4, 3)
    out = module(x, (1, 4), 0)
    dropped = draw(config, 0.9, 60, (1, 4)).all((1, 2))
    assert dropped.any() and not out[dropped].any()
    assert torch.equal(out[~dropped], x[~dropped])


def test_fills_share_their_masks_step_after_step():
    x = torch.rand(2, 30, 3) + 1
    modules = [
        dropout(TokenDropoutConfig(pattern="block", rate=0.3, fill=f))
        for f in ("zero", "neighbour", "mean")
    ]
    for _ in range(3):
        masks = [(m(x, (5, 6), 0) != x).all(-1) for m in modules]
        assert torch.equal(masks[0], masks[1]) and torch.equal(masks[0], masks[2])


def test_rescaling_keeps_the_expectation():
    config = TokenDropoutConfig(pattern="segment", rate=0.3, rescale=True)
    out = dropout(config, 1)(torch.ones(20_000, 2 + 6, 1), (2, 3), 2)
    assert torch.equal(out[:, :2], torch.ones(20_000, 2, 1))
    assert out[:, 2:].unique().tolist() == pytest.approx([0, 1 / 0.7])
    assert out[:, 2:].mean().item() == pytest.approx(1, abs=0.01)


def test_gradients_reach_kept_tokens_and_the_learned_token_only():
    x = torch.randn(2, 20, 3, requires_grad=True)
    config = TokenDropoutConfig(pattern="token", rate=0.5, fill="learned")
    module = dropout(config)
    module(x, (4, 5), 0).sum().backward()
    dropped = draw(config, 0.5, 2, (4, 5)).flatten(1)
    assert torch.equal(x.grad, (~dropped).float().unsqueeze(-1).expand(2, 20, 3))
    assert module.learned.grad == pytest.approx(dropped.sum().item())


def test_randomness_comes_from_its_own_generator_alone():
    before = torch.get_rng_state()
    module = dropout(TokenDropoutConfig(pattern="segment", direction="both", fill="neighbour", rate=0.4))
    x = torch.randn(4, 30, 3, generator=torch.Generator().manual_seed(0))
    first = module(x, (5, 6), 0)
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(module(x, (5, 6), 0), first)
    module.generator.manual_seed(0)
    assert torch.equal(module(x, (5, 6), 0), first)


def test_the_rate_follows_the_attribute():
    module = dropout(TokenDropoutConfig(pattern="token", rate=Schedule(from_=0.0, to=0.5)))
    assert module.rate == 0.5
    x = torch.ones(50, 100, 1)
    for rate in (0.0, 0.1, 0.6):
        module.rate = rate
        assert (module(x, (10, 10), 0) == 0).float().mean().item() == pytest.approx(rate, abs=0.03)


@pytest.mark.parametrize("fill", ["zero", "mean", "neighbour"])
def test_rate_zero_leaves_no_trace_in_the_graph(fill):
    """An identity in the graph changes the order in which gradients are summed."""
    module = dropout(TokenDropoutConfig(pattern="segment", fill=fill, rate=0.0))
    x = torch.ones(2, 9, 3, requires_grad=True)
    assert module(x, (3, 3), 0) is x


def test_training_without_a_generator_is_refused():
    module = TokenDropout(TokenDropoutConfig(pattern="token"), 3).train()
    with pytest.raises(RuntimeError, match="generator"):
        module(torch.zeros(1, 4, 3), (2, 2), 0)


def test_a_wrong_grid_is_refused():
    with pytest.raises(ValueError, match="1 prefix tokens"):
        dropout(TokenDropoutConfig(pattern="token"))(torch.zeros(1, 4, 3), (2, 2), 1)


def test_half_precision_keeps_its_type():
    for fill in ("zero", "mean", "neighbour", "learned"):
        module = dropout(TokenDropoutConfig(pattern="token", fill=fill, rate=0.5))
        assert module(torch.ones(2, 9, 3, dtype=torch.bfloat16), (3, 3), 0).dtype == torch.bfloat16


def test_module_without_generator_can_be_copied():
    copy.deepcopy(TokenDropout(TokenDropoutConfig(pattern="segment", fill="learned"), 3))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(("pattern", "direction"), PATTERNS)
def test_masks_on_cuda(pattern, direction):
    config = TokenDropoutConfig(pattern=pattern, direction=direction)
    mask = sample_mask(config, 0.3, 2000, (4, 6), torch.Generator("cuda").manual_seed(0))
    assert mask.is_cuda and mask.float().mean().item() == pytest.approx(0.3, abs=0.03)
