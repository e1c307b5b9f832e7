"""Prior B's tail.

Reference-checked: alpha = 0 is the published rule, written out here (topk over the batch, k from p).
Behavioural: ties, scopes, borders, exact 90-degree invariance, streaks against blobs.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from scipy.stats import rankdata
from torch import Tensor

from model.config import TailConfig, build_config
from model.priors.tail import structure, tail_mask, tail_size
from tests.model.priors.listing import TAIL

STRUCTURES = ("box", "coherence")


def maps(batch: int = 3, height: int = 9, width: int = 7, seed: int = 0) -> Tensor:
    return torch.rand(batch, height, width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("p", [0.0, 0.1, 0.45, 0.5, 0.9, 0.95, 0.98, 0.99])
@pytest.mark.parametrize("shape", [(3, 9, 7), (4, 28, 28), (1, 6, 6), (1, 1, 1)])
def test_alpha_zero_is_the_reference_tail(p, shape):
    d = maps(*shape)
    k = max(1, int(d.numel() * (1 - p)))
    threshold = torch.topk(d.reshape(-1), k=k)[0][-1]
    config = TailConfig(structure="coherence", direction="both")
    assert torch.equal(tail_mask(d, 1 - p, 0.0, 1.0, config), ~(d < threshold))


def test_tail_size_has_the_reference_rounding():
    """p = 0.9 as a float keeps 0.0999... of the tokens: 99 of 1000, not 100; so does q = 0.1."""
    assert tail_size(1000, 0.1) == int(1000 * (1 - 0.9)) == 99
    assert tail_size(1000, 1.0) == 1000
    assert tail_size(10, 1e-6) == 1
    for i, count in itertools.product(range(0, 1001, 7), (784, 12_544)):
        p = 0.9 * i / 1000
        assert tail_size(count, 1 - p) == int(count * (1 - p))


def test_ties_with_the_threshold_are_in_the_tail():
    d = torch.tensor([[[3.0, 2.0, 2.0], [2.0, 1.0, 0.0]]])
    assert tail_mask(d, 2 / 6 + 1e-9, 0.0, 1.0, TailConfig()).tolist() == [
        [[True, True, True], [True, False, False]]
    ]
    constant = torch.ones(2, 3, 3)
    for alpha in (0.0, 0.5, 1.0):
        assert tail_mask(constant, 0.1, alpha, 1.0, TailConfig()).all()


def test_scope_image_gives_each_image_its_share():
    d = maps(4, 10, 10) + torch.arange(4).view(4, 1, 1)
    batch = tail_mask(d, 0.2, 0.0, 1.0, TailConfig(scope="batch"))
    image = tail_mask(d, 0.2, 0.0, 1.0, TailConfig(scope="image"))
    share = tail_size(100, 0.2)
    assert image.sum((1, 2)).tolist() == [share] * 4
    assert batch.sum() == tail_size(400, 0.2) and not batch[:3].any()
    for alpha in (0.5, 1.0):
        image = tail_mask(d, 0.2, alpha, 1.0, TailConfig(scope="image"))
        alone = [tail_mask(one[None], 0.2, alpha, 1.0, TailConfig()) for one in d]
        assert torch.equal(image, torch.cat(alone))


@pytest.mark.parametrize("name", STRUCTURES)
@pytest.mark.parametrize("alpha", [0.25, 0.5, 0.75])
def test_the_criterion_mixes_average_ranks(name, alpha):
    """Against scipy's ranks, on a map with many ties."""
    d = (maps(2, 8, 8) * 10).round() / 10
    config = TailConfig(structure=name)
    s = structure(d, config, 1.0)
    score = (1 - alpha) * rankdata(d.numpy().ravel()) + alpha * rankdata(s.numpy().ravel())
    threshold = np.sort(score)[-tail_size(128, 0.2)]
    expected = score >= threshold  # exact: alpha and ranks are binary fractions
    assert tail_mask(d, 0.2, alpha, 1.0, config).numpy().ravel().tolist() == expected.tolist()


@pytest.mark.parametrize("name", STRUCTURES)
def test_alpha_one_is_structure_alone(name):
    d = maps()
    config = TailConfig(structure=name)
    s = structure(d, config, 0.7)
    tail = tail_mask(d, 0.2, 1.0, 0.7, config)
    assert tail.sum() == tail_size(d.numel(), 0.2)
    assert s[tail].min() > s[~tail].max()
    # ... and the limit of the rank criterion.
    assert torch.equal(tail, tail_mask(d, 0.2, 1 - 1e-5, 0.7, config))


def test_box_structure_by_definition():
    """Means over the valid part of the window; a slow loop says which."""
    d, reach, beta = maps(2, 5, 6).double(), 2, 0.6
    expected = torch.empty_like(d)
    for b, y, x in itertools.product(range(2), range(5), range(6)):
        along = d[b, y, max(0, x - reach) : x + reach + 1].mean()
        across = d[b, max(0, y - reach) : y + reach + 1, x].mean()
        expected[b, y, x] = along - beta * across
    assert torch.allclose(structure(d, TailConfig(length=reach), beta), expected, rtol=0, atol=1e-14)


def test_coherence_by_definition():
    """Coherence x cos(2 theta) with both factors computed apart, from the full tensor."""
    d, reach = maps(2, 8, 9).double(), 2
    padded = torch.nn.functional.pad(d[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    gx = (padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]) / 2
    gy = (padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]) / 2

    def smooth(x: Tensor) -> Tensor:
        return torch.nn.functional.avg_pool2d(
            x[:, None], 2 * reach + 1, stride=1, padding=reach, count_include_pad=False
        )[:, 0]

    xx, yy, xy = smooth(gx * gx), smooth(gy * gy), smooth(gx * gy)
    root = ((xx - yy) ** 2 + 4 * xy**2).sqrt()
    expected = root / (xx + yy) * ((yy - xx) / root)
    actual = structure(d, TailConfig(structure="coherence", length=reach), 1.0)
    assert torch.allclose(actual, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", STRUCTURES)
@pytest.mark.parametrize("length", [1, 3, 20])
def test_turning_the_map_and_swapping_the_direction_turns_the_tail_exactly(name, length):
    d = maps(3, 9, 7)
    swapped = {"horizontal": "vertical", "vertical": "horizontal", "both": "both"}
    for (before, after), turns in itertools.product(swapped.items(), (1, 3)):
        config = TailConfig(structure=name, direction=before, length=length)
        turned = TailConfig(structure=name, direction=after, length=length)
        a = torch.rot90(structure(d, config, 0.8), turns, (1, 2))
        b = structure(torch.rot90(d, turns, (1, 2)), turned, 0.8)
        assert torch.equal(a, b)
        for alpha in (0.0, 0.5, 1.0):
            a = torch.rot90(tail_mask(d, 0.15, alpha, 0.8, config), turns, (1, 2))
            assert torch.equal(a, tail_mask(torch.rot90(d, turns, (1, 2)), 0.15, alpha, 0.8, turned))


def test_both_is_the_larger_of_the_two():
    d = maps()
    one, two, both = (
        structure(d, TailConfig(direction=x), 1.0) for x in ("horizontal", "vertical", "both")
    )
    assert torch.equal(both, torch.maximum(one, two))


def streak_and_blob(gap: int, amplitude: float, noise: float) -> tuple[Tensor, Tensor, Tensor]:
    """A horizontal streak broken by gaps, and a square blob with the same number of equal tokens."""
    d = 0.2 + noise * torch.rand(1, 28, 32, generator=torch.Generator().manual_seed(gap))
    streak, blob = (torch.zeros(1, 28, 32, dtype=torch.bool) for _ in range(2))
    x, left = 1, 16
    while left:
        run = min(4, left)
        streak[0, 6, x : x + run] = True
        x, left = x + run + gap, left - run
    blob[0, 16:20, 12:16] = True
    d[streak] = d[blob] = amplitude
    return d, streak, blob


@pytest.mark.parametrize("name", STRUCTURES)
@pytest.mark.parametrize("gap", [0, 2, 4])
def test_a_broken_streak_outranks_a_blob_of_equal_mean(name, gap):
    d, streak, blob = streak_and_blob(gap, amplitude=0.6, noise=0.02)
    assert streak.sum() == blob.sum() == 16
    horizontal = TailConfig(structure=name)
    s = structure(d, horizontal, 1.0)
    assert s[streak].mean() > s[blob].mean() + 0.05
    assert s[streak].min() > s[blob].median()
    # The vertical control ranks them the other way round.
    s = structure(d, TailConfig(structure=name, direction="vertical"), 1.0)
    assert s[streak].mean() < s[blob].mean()


@pytest.mark.parametrize("gap", [0, 2, 4])
def test_the_structural_tail_follows_the_streak_across_its_gaps(gap):
    d, streak, blob = streak_and_blob(gap, amplitude=0.6, noise=0.02)
    q = 16 / d[0].numel() + 1e-9
    tail = tail_mask(d, q, 1.0, 1.0, TailConfig())
    assert tail.sum() == 16
    assert tail[blob].sum() == 0
    # At gaps as long as the runs, the blob's flanks (bright along x, dark along y) come close.
    assert tail[0, 6].sum() >= (15 if gap < 4 else 12)
    if gap:  # gaps are averaged over, so they belong to the streak
        assert (tail & ~streak)[0, 6].any()
    pixel = tail_mask(d, 2 * q, 0.0, 1.0, TailConfig())
    assert torch.equal(pixel, streak | blob)  # the plain tail cannot tell them apart


def test_coherence_is_signed_and_blind_to_contrast():
    y = torch.arange(24.0)
    wave = torch.sin(2 * torch.pi * y / 6).view(1, 24, 1).expand(1, 24, 24)
    config = TailConfig(structure="coherence")
    assert structure(wave, config, 1.0).min() > 0.99
    assert structure(1e-3 * wave, config, 1.0).min() > 0.99
    assert structure(wave.mT, config, 1.0).max() < -0.99
    assert not structure(torch.full((1, 8, 8), 0.3), config, 1.0).any()  # flat: no orientation
    flat = structure(torch.zeros(1, 8, 8), config, 1.0)
    assert torch.isfinite(flat).all() and not flat.any()


@pytest.mark.parametrize("option", TAIL, ids=lambda option: option.name)
def test_every_option_on_narrow_grids(option):
    config = build_config(option.nested()).tail
    for shape in ((1, 1), (1, 9), (9, 1), (2, 2)):
        d = maps(2, *shape)
        assert torch.isfinite(structure(d, config, 1.0)).all()
        for alpha in (0.0, 0.5, 1.0):
            tail = tail_mask(d, 0.3, alpha, 1.0, config)
            assert tail.shape == d.shape and tail.dtype == torch.bool and tail.any()


def test_half_precision_is_ranked_in_float32():
    d = maps().bfloat16()
    for alpha in (0.0, 0.5, 1.0):
        assert torch.equal(
            tail_mask(d, 0.2, alpha, 1.0, TailConfig()), tail_mask(d.float(), 0.2, alpha, 1.0, TailConfig())
        )
    assert structure(d, TailConfig(), 1.0).dtype == torch.float32
