"""``budget: exact``. Behavioural: the count of every image, even positions, whole pieces."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import binom
from torch import Tensor

from model.config import TokenDropoutConfig
from model.priors.masks import exact_count, sample_mask

PATTERNS = [
    ("token", "horizontal"),
    ("block", "horizontal"),
    *((p, d) for p in ("segment", "stripe") for d in ("horizontal", "vertical", "both")),
]


def draw(pattern: str, rate: float, batch: int, grid: tuple[int, int], **values: object) -> Tensor:
    config = TokenDropoutConfig(pattern=pattern, budget="exact", **values)
    return sample_mask(config, rate, batch, grid, torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("pattern", "direction"), PATTERNS)
@pytest.mark.parametrize("rate", [0.0, 0.01, 0.2, 0.5, 0.95])
@pytest.mark.parametrize("grid", [(5, 9), (1, 6), (28, 28)])
def test_every_image_loses_exactly_its_count(pattern, direction, rate, grid):
    mask = draw(pattern, rate, 20, grid, direction=direction)
    assert mask.sum((1, 2)).unique().tolist() == [exact_count(rate, grid[0] * grid[1])]


def test_the_count_is_the_rate_rounded_halves_up():
    assert [exact_count(rate, 10) for rate in (0.0, 0.04, 0.05, 0.25, 0.2, 0.95)] == [0, 0, 1, 3, 2, 10]


@pytest.mark.parametrize(("pattern", "direction"), PATTERNS)
@pytest.mark.parametrize(("grid", "length"), [((5, 9), (2, 6)), ((4, 3), (3, 5))])
def test_every_position_is_cut_as_often(pattern, direction, grid, length):
    """Within the exact binomial bounds (Bonferroni, 1e-6) of the rate after rounding."""
    images = 20_000
    rate = exact_count(0.3, grid[0] * grid[1]) / (grid[0] * grid[1])
    counts = draw(pattern, 0.3, images, grid, direction=direction, length=length).sum(0)
    tail = 1e-6 / (2 * counts.numel())
    low, high = binom.ppf(tail, images, rate), binom.isf(tail, images, rate)
    assert low <= counts.min() and counts.max() <= high, counts / images


def test_pieces_stay_whole_but_for_the_last():
    """At a low rate runs rarely meet: all but one per image have the configured length."""
    mask = draw("segment", 0.03, 300, (16, 40), length=(4, 4))
    line = torch.cat([mask, mask[..., :1]], dim=2).int()
    ends = (line.diff(dim=2) == -1).sum((1, 2)).float()
    count = exact_count(0.03, 640)
    assert count == 19  # four runs of 4 and one of 3
    assert ends.median() == 5 and ends.min() >= 2 and ends.max() <= 5


def test_stripes_are_whole_but_for_one():
    mask = draw("stripe", 0.2, 50, (28, 28))
    per_row = mask.sum(2)
    assert ((per_row == 28).sum(1) == 5).all() and (per_row.sort(1).values[:, -6] == 157 - 140).all()


def test_masks_grow_with_the_rate():
    for pattern, direction in PATTERNS:
        small, large = (draw(pattern, r, 20, (6, 6), direction=direction) for r in (0.2, 0.4))
        assert not (small & ~large).any()


def test_the_amount_drawn_depends_on_neither_rate_nor_budget_of_the_image():
    for pattern, direction in PATTERNS:
        config = TokenDropoutConfig(pattern=pattern, direction=direction, budget="exact")
        states = []
        for rate in (0.0, 0.4):
            generator = torch.Generator().manual_seed(3)
            sample_mask(config, rate, 2, (4, 6), generator)
            states.append(generator.get_state())
        assert torch.equal(*states)
