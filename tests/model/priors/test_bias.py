"""Prior C's mask. Behavioural: the dense mask against a loop over all pairs, kernels, both masks."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from model.config import BiasConfig
from model.errors import ConfigError
from model.priors.bias import bias_mask, line_kernel, log_mask, neighbour_mask, table_shape

GRIDS = [(4, 4), (3, 5), (6, 2), (1, 4), (4, 1), (1, 1)]


def weakening(kernel: str, half_width: int | str, distance: int, length: int) -> float:
    reach = max(length - 1, 1) if half_width == "row" else int(half_width)
    if distance == 0:
        return 0.0
    if kernel == "box":
        return float(distance <= reach)
    if kernel == "triangle":
        return max(0.0, 1 - distance / (reach + 1))
    return 2.0 ** -((distance / reach) ** 2)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("prefix", [0, 3])
@pytest.mark.parametrize("kernel", ["box", "triangle", "gaussian"])
@pytest.mark.parametrize("half_width", [1, 2, "row"])
def test_mask_by_definition(grid, prefix, kernel, half_width):
    """m_ij pair by pair, for the three directions; prefix tokens weigh 1 either way."""
    height, width = grid
    tokens = list(itertools.product(range(height), range(width)))
    for direction in ("horizontal", "vertical", "both"):
        config = BiasConfig(kernel=kernel, half_width=half_width, direction=direction)
        expected = torch.ones(prefix + len(tokens), prefix + len(tokens), dtype=torch.float64)
        for (i, a), (j, b) in itertools.product(enumerate(tokens), repeat=2):
            taken = 0.0
            if direction != "vertical" and a[0] == b[0]:
                taken += weakening(kernel, half_width, abs(a[1] - b[1]), width)
            if direction != "horizontal" and a[1] == b[1]:
                taken += weakening(kernel, half_width, abs(a[0] - b[0]), height)
            expected[prefix + i, prefix + j] = 1 - 0.7 * taken
        actual = bias_mask(0.7, config, grid, prefix, dtype=torch.float64)
        assert torch.allclose(actual, expected, rtol=0, atol=1e-15)
        assert torch.equal(actual, actual.mT) and (actual.diagonal() == 1).all()


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("direction", ["horizontal", "vertical"])
@pytest.mark.parametrize("rows", [0, 1, 2])
def test_band_and_table_by_definition(grid, direction, rows):
    """(1 - lambda_h g(|dx|)) exp(t_h(dy, dx)), pair by pair; a token keeps its own weight."""
    length = grid[1] if direction == "horizontal" else grid[0]
    config = BiasConfig(kernel="triangle", half_width=2, direction=direction, rows=rows)
    lam = torch.tensor([0.2, 0.9], dtype=torch.float64)
    draw = torch.Generator().manual_seed(0)
    table = torch.randn(table_shape(length, 2, config), generator=draw, dtype=torch.float64)
    tokens = list(itertools.product(range(grid[0]), range(grid[1])))
    expected = torch.ones(2, 1 + len(tokens), 1 + len(tokens), dtype=torch.float64)
    for (i, a), (j, b) in itertools.product(enumerate(tokens), repeat=2):
        dy, dx = b[0] - a[0], b[1] - a[1]
        across, along = (dy, dx) if direction == "horizontal" else (dx, dy)
        if i == j or abs(across) > rows:
            continue
        g = max(0.0, 1 - abs(along) / 3)
        for head in range(2):
            t = table[head, rows + across, length - 1 + along].item()
            expected[head, 1 + i, 1 + j] = (1 - lam[head].item() * g) * math.exp(t)
    actual = bias_mask(lam, config, grid, 1, tables=[table], dtype=torch.float64)
    assert torch.allclose(actual, expected, rtol=1e-14, atol=1e-15)
    plain = bias_mask(0.7, config, grid, 1, dtype=torch.float64)
    zero = bias_mask(0.7, config, grid, 1, tables=[torch.zeros_like(table)], dtype=torch.float64)
    assert torch.allclose(zero, plain.expand_as(zero), rtol=0, atol=1e-15)


def test_kernels_fall_off_to_their_half_width():
    profiles = {
        kernel: line_kernel(6, BiasConfig(kernel=kernel, half_width=3))[0].tolist()
        for kernel in ("box", "triangle", "gaussian")
    }
    assert profiles["box"] == [0, 1, 1, 1, 0, 0]
    assert profiles["triangle"] == pytest.approx([0, 3 / 4, 2 / 4, 1 / 4, 0, 0])
    assert profiles["gaussian"][3] == 0.5


def test_row_reaches_the_whole_line():
    row = BiasConfig(half_width="row")
    assert torch.equal(line_kernel(5, row), 1 - torch.eye(5))
    mask = bias_mask(1.0, row, (2, 3))
    assert mask.tolist()[0] == [1, 0, 0, 1, 1, 1]
    # On a grid that is not square the line's own length counts.
    triangle = BiasConfig(kernel="triangle", direction="vertical")
    assert bias_mask(1.0, triangle, (4, 2))[0, 6] == pytest.approx(1 - 1 / 4)


def test_a_strength_per_head():
    config = BiasConfig(kernel="triangle", direction="both")
    lam = torch.tensor([0.0, 0.3, 1.0])
    masks = bias_mask(lam, config, (3, 4), 2)
    assert masks.shape == (3, 14, 14)
    for one, mask in zip(lam.tolist(), masks, strict=True):
        assert torch.allclose(mask, bias_mask(one, config, (3, 4), 2))


def test_masks_stay_within_0_and_1():
    for direction in ("horizontal", "vertical", "both"):
        mask = bias_mask(1.0, BiasConfig(direction=direction), (4, 5), 1)
        assert mask.min() == 0 and mask.max() == 1
        assert (mask.sum(1) > 0).all()


def test_log_of_zero_is_finite_and_weighs_nothing():
    mask = torch.tensor([0.0, 0.5, 1.0], requires_grad=True)
    logits = log_mask(mask)
    weights = logits.softmax(0)
    assert torch.isfinite(logits).all() and logits[1].item() == pytest.approx(math.log(0.5))
    assert weights[0] < 1e-37
    weights[1].backward()
    assert torch.isfinite(mask.grad).all()


@pytest.mark.parametrize("prefix", [0, 2])
@pytest.mark.parametrize("size", [1, 3, 5])
def test_neighbour_mask_by_definition(size, prefix):
    grid = (7, 6)
    allowed = neighbour_mask(size, grid, prefix)
    tokens = list(itertools.product(range(grid[0]), range(grid[1])))
    assert allowed[:prefix].all() and allowed[:, :prefix].all()
    for (i, a), (j, b) in itertools.product(enumerate(tokens), repeat=2):
        near = max(abs(a[0] - b[0]), abs(a[1] - b[1])) <= size // 2
        assert allowed[prefix + i, prefix + j].item() is not near
    assert not allowed.diagonal()[prefix:].any()  # a token may not copy itself either


def test_a_neighbour_mask_that_leaves_nothing_is_refused():
    with pytest.raises(ConfigError, match="neighbour_mask 5 leaves tokens of a 5 x 4 grid nothing"):
        neighbour_mask(5, (5, 4), 0)
    assert neighbour_mask(5, (5, 4), 1).any(1).all()
    assert neighbour_mask(3, (5, 4), 0).any(1).all()
    assert neighbour_mask(5, (2, 7), 0).any(1).all()
