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
from model.priors.tail import _blend, structure, tail_mask, tail_size
from tests.model.priors.listing import TAIL

STRUCTURES = ("box", "line", "coherence")
COMBINATIONS = ("blend", "product", "intersect", "union")


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
    assert tail_mask(torch.ones(2, 3, 3), 0.1, 0.0, 1.0, TailConfig()).all()


@pytest.mark.parametrize("scope", ["batch", "image"])
@pytest.mark.parametrize("combine", COMBINATIONS)
@pytest.mark.parametrize("name", STRUCTURES)
def test_with_structure_the_tail_holds_exactly_k(combine, name, scope):
    """Whatever ties: a constant map, few values, and maps whose structure ties."""
    config = TailConfig(combine=combine, structure=name, scope=scope)
    scopes = 1 if scope == "batch" else 3
    flat, steps = torch.ones(3, 9, 7), (maps() * 3).round()
    for d, q, alpha in itertools.product((flat, steps, maps()), (0.02, 0.1, 0.5), (0.3, 0.5, 1.0)):
        tail = tail_mask(d, q, alpha, 0.5, config)
        k = tail_size(d.numel() // scopes, q)
        assert tail.reshape(scopes, -1).sum(1).tolist() == [k] * scopes
    # Equal tokens are taken all over the map.
    tail = tail_mask(torch.ones(1, 28, 28), 0.1, 0.5, 0.5, config)[0].float()
    assert tail.view(4, 7, 28).mean((1, 2)).tolist() == pytest.approx([0.1] * 4, abs=0.03)
    assert tail.view(28, 4, 7).mean((0, 2)).tolist() == pytest.approx([0.1] * 4, abs=0.03)


def test_of_equal_criteria_the_larger_distance_wins():
    d = torch.tensor([[[0.9, 0.5, 0.1, 0.7]]])
    s = torch.tensor([[0.1, 0.5, 0.9, 0.3]])
    ranks = rankdata(d.numpy().ravel()) + rankdata(s.numpy().ravel())
    assert len(set(ranks)) == 1
    order = [_blend(d.view(1, -1), s, 0.5, k)[0].tolist() for k in (1, 2)]
    assert order == [[True, False, False, False], [True, False, False, True]]


@pytest.mark.parametrize("name", STRUCTURES)
@pytest.mark.parametrize("alpha", [0.5, 1.0])
def test_noise_is_chosen_everywhere_alike(name, alpha):
    """No border bias: corners, edges and the inside within 10 % of the mean rate, either way.

    Classes of positions that are mirror images are pooled, as the maps are independent.
    """
    side, images, batches = 14, 64, 220
    generator = torch.Generator().manual_seed(0)
    chosen = torch.zeros(side, side)
    for direction, _ in itertools.product(("horizontal", "vertical"), range(batches // 2)):
        d = torch.rand(images, side, side, generator=generator)
        mask = tail_mask(d, 0.02, alpha, 0.5, TailConfig(structure=name, direction=direction))
        chosen += mask.float().sum(0) if direction == "horizontal" else mask.mT.float().sum(0)
    rate = chosen / (images * batches)
    rate = (rate + rate.flip(0) + rate.flip(1) + rate.flip(0, 1)) / 4
    mean = rate.mean()
    assert mean == pytest.approx(0.02, rel=0.01)
    regions = {
        "corner": rate[:2, :2],
        "row's edge": rate[:2, 4:-4],
        "column's edge": rate[4:-4, :2],
        "very corner": rate[0, 0],
        "outer row": rate[0, 4:-4],
        "outer column": rate[4:-4, 0],
        "second row": rate[1, 4:-4],
        "inside": rate[4:-4, 4:-4],
    }
    assert {key: value.mean().item() / mean for key, value in regions.items()} == pytest.approx(
        dict.fromkeys(regions, 1.0), abs=0.1
    )


@pytest.mark.parametrize("scope", ["batch", "image"])
@pytest.mark.parametrize("name", STRUCTURES)
@pytest.mark.parametrize("combine", COMBINATIONS)
def test_combinations_run_from_the_pixel_tail_to_the_structural_one(combine, name, scope):
    d = maps(3, 12, 11)
    config = TailConfig(combine=combine, structure=name, scope=scope)
    blend = TailConfig(structure=name, scope=scope)
    for alpha in (0.0, 1.0):
        assert torch.equal(tail_mask(d, 0.1, alpha, 0.5, config), tail_mask(d, 0.1, alpha, 0.5, blend))


def test_combinations_by_definition():
    """On one image without ties: sets written out with sorted lists."""
    d = maps(1, 12, 11).double()
    flat, n, k, alpha = d.flatten(), 132, tail_size(132, 0.1), 0.6
    s = structure(d, TailConfig(structure="line"), 0.5).flatten()
    best = lambda values: sorted(range(n), key=lambda i: (-values[i], -flat[i]))  # noqa: E731
    by_d, by_s = best(flat.tolist()), best(s.tolist())
    region = set(by_s[: n - round(alpha * (n - k))])
    first = by_d[: k - round(alpha * k)]
    rank_d, rank_s = rankdata(flat), rankdata(s)
    product = best(((1 - alpha) * np.log(rank_d) + alpha * np.log(rank_s)).tolist())
    expected = {
        "intersect": {*[i for i in by_d if i in region][:k]},
        "union": {*first, *[i for i in by_s if i not in first][: k - len(first)]},
        "product": {*product[:k]},
    }
    for combine, tokens in expected.items():
        mask = tail_mask(d, 0.1, alpha, 0.5, TailConfig(structure="line", combine=combine))
        assert set(mask.flatten().nonzero().flatten().tolist()) == tokens, combine


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
    """Against scipy's ranks, on a map with many ties: all above the k-th, of its equals the largest d."""
    d = (maps(2, 8, 8) * 10).round() / 10
    config = TailConfig(structure=name)
    s = structure(d, config, 1.0)
    score = (1 - alpha) * rankdata(d.numpy().ravel()) + alpha * rankdata(s.numpy().ravel())
    k = tail_size(128, 0.2)  # exact: alpha and ranks are binary fractions
    threshold = np.sort(score)[-k]
    tail = tail_mask(d, 0.2, alpha, 1.0, config).numpy().ravel()
    assert tail.sum() == k
    assert tail[score > threshold].all() and not tail[score < threshold].any()
    equal = score == threshold
    assert d.numpy().ravel()[equal & tail].min() >= d.numpy().ravel()[equal & ~tail].max(initial=0)


@pytest.mark.parametrize("name", STRUCTURES)
def test_alpha_one_is_structure_alone(name):
    d = maps()
    config = TailConfig(structure=name)
    s = structure(d, config, 0.7)
    tail = tail_mask(d, 0.2, 1.0, 0.7, config)
    assert tail.sum() == tail_size(d.numel(), 0.2)
    assert s[tail].min() >= s[~tail].max()
    # ... and the limit of the rank criterion.
    assert torch.equal(tail, tail_mask(d, 0.2, 1 - 1e-5, 0.7, config))


def window(x: int, reach: int, width: int) -> slice:
    """The 2 reach + 1 entries around x, moved inwards where they would leave the line."""
    start = min(max(x - reach, 0), max(width - 2 * reach - 1, 0))
    return slice(start, min(start + 2 * reach + 1, width))


@pytest.mark.parametrize("shape", [(5, 6), (4, 9), (9, 3)])
def test_box_and_line_by_definition(shape):
    """A slow loop over tokens and their windows."""
    (height, width), reach, beta = shape, 2, 0.6
    d = maps(2, *shape).double()
    box, line = torch.empty_like(d), torch.empty_like(d)
    for b, y, x in itertools.product(range(2), range(height), range(width)):
        columns = window(x, reach, width)
        along = d[b, y, columns].mean()
        box[b, y, x] = along - beta * d[b, window(y, reach, height), x].mean()
        rows = window(y, 1, height)
        beside = [d[b, r, columns].mean() for r in range(rows.start, rows.stop) if r != y]
        line[b, y, x] = along - beta * sum(beside) / len(beside)
    for name, expected in (("box", box), ("line", line)):
        actual = structure(d, TailConfig(length=reach, structure=name), beta)
        assert torch.allclose(actual, expected, rtol=0, atol=1e-14)


def test_a_line_keeps_all_of_a_token_s_own_distance():
    d = torch.zeros(1, 15, 15)
    d[0, 7, 7] = 1.0
    own = {name: structure(d, TailConfig(structure=name), 1.0)[0, 7, 7].item() for name in ("box", "line")}
    assert own == pytest.approx({"box": 0, "line": 1 / 7})


def test_coherence_by_definition():
    """Coherence x cos(2 theta) with both factors computed apart, from the full tensor, token by token."""
    d, reach = maps(2, 8, 9).double(), 2
    a, b, c, e = d[:, :-1, :-1], d[:, :-1, 1:], d[:, 1:, :-1], d[:, 1:, 1:]
    gx, gy = (b - a + e - c) / 2, (c - a + e - b) / 2  # one per square of 2 x 2 tokens
    expected = torch.empty_like(d)
    for i, y, x in itertools.product(range(2), range(8), range(9)):
        rows, columns = window(y, reach, 8), window(x, reach, 9)
        cells = (i, slice(rows.start, rows.stop - 1), slice(columns.start, columns.stop - 1))
        xx, yy, xy = (gx[cells] ** 2).mean(), (gy[cells] ** 2).mean(), (gx[cells] * gy[cells]).mean()
        root = ((xx - yy) ** 2 + 4 * xy**2).sqrt()
        expected[i, y, x] = root / (xx + yy) * ((yy - xx) / root)
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
