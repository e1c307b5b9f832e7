"""Which patch tokens prior A cuts: patterns of a matched budget.

The pattern is the proposal, the amount is not: every pattern drops the same expected fraction at
every grid position, borders and corners included, so that a study compares structure. The budget is
kept in one of two ways:

- ``mean``: segments and blocks start before the border as well, and the probability of a start is
  solved from the closed form of survival rather than tuned. Masks vary around the rate, patterns of
  large pieces more than others.
- ``exact``: every mask drops round(rate * N) of its N tokens (halves up). Pieces arrive in random
  order until the count is reached, the last one cut short to fit; they wrap around the borders, which
  makes all positions equal without a closed form.

All randomness comes from the generator that is handed in, and the number of values drawn depends on
the rate in neither.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from types import MappingProxyType

import numpy as np
import torch
from scipy.optimize import brentq
from torch import Tensor

from model.config import TokenDropoutConfig
from model.priors.geometry import TRANSPOSED, Grid, oriented
from model.priors.schedule import lengths_at

Lengths = tuple[int, int]
"""Shortest and longest run, or smallest and largest side, in tokens."""

Draw = Callable[[Lengths, float, int, Grid, torch.Generator], Tensor]
"""(lengths, rate, B, grid, generator) -> bool [B, H, W] for the horizontal direction."""

Arrivals = Callable[[Lengths, int, Grid, torch.Generator], tuple[Tensor, Tensor]]
"""(lengths, B, grid, generator) -> when each token is first covered, uniform in [0, 1), and its place
in the piece that covers it, from 0; both broadcastable to [B, H, W]."""


@lru_cache(maxsize=4096)
def start_probability(rate: float, shortest: int, longest: int, dimensions: int) -> float:
    """Probability s of a start that makes the expected dropped fraction ``rate`` everywhere.

    Runs (``dimensions`` = 1) or squares (2) of side L ~ U{shortest..longest} start independently at
    every position, also before the borders. The start that lies k tokens before a token (in 2-D: k
    in the larger coordinate, of which there are 2 k + 1) reaches it with probability s P(L > k), so
    that the token survives with probability

        prod_{k=0}^{longest-1} (1 - s P(L > k)) ^ multiplicity(k)  =  1 - rate,

    which is solved for s in [0, rate], in logarithms to keep tiny rates exact.
    """
    if rate == 0:
        return 0.0
    k = np.arange(longest)
    reach = np.minimum(1.0, (longest - k) / (longest - shortest + 1))  # P(L > k)
    multiplicity = (k + 1) ** dimensions - k**dimensions

    def excess(s: float) -> float:
        return float(multiplicity @ np.log1p(-s * reach) - np.log1p(-rate))

    # At s = rate the factor k = 0 alone accounts for the whole rate; at 0 nothing is dropped.
    return float(brentq(excess, 0.0, rate, xtol=1e-20, rtol=1e-14)) if excess(rate) < 0 else rate


def _uniform(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=generator, device=generator.device)


def _starts(
    lengths: Lengths, rate: float, shape: tuple[int, ...], dimensions: int, generator: torch.Generator
) -> Tensor:
    """Lengths of the runs or squares that start at each position, 0 where none does; int64."""
    shortest, longest = lengths
    s = start_probability(rate, shortest, longest, dimensions)
    uniform = _uniform(shape, generator)
    if s == 0:
        return torch.zeros(shape, dtype=torch.int64, device=generator.device)
    # Given u < s, u / s is uniform again and gives the length: one draw serves both.
    length = shortest + (uniform / s * (longest - shortest + 1)).long()
    return torch.where(uniform < s, length.clamp_max(longest), 0)


def _draw_token(
    _lengths: Lengths, rate: float, batch: int, grid: Grid, generator: torch.Generator
) -> Tensor:
    return _uniform((batch, *grid), generator) < rate


def _draw_stripe(
    _lengths: Lengths, rate: float, batch: int, grid: Grid, generator: torch.Generator
) -> Tensor:
    return (_uniform((batch, grid[0], 1), generator) < rate).expand(batch, *grid)


def _draw_segment(
    lengths: Lengths, rate: float, batch: int, grid: Grid, generator: torch.Generator
) -> Tensor:
    before = lengths[1] - 1  # positions left of the border whose runs can still reach in
    height, width = grid
    length = _starts(lengths, rate, (batch, height, before + width), 1, generator)
    position = torch.arange(before + width, device=length.device)
    # A token is dropped if any run up to it ends (exclusively) beyond it.
    end = torch.cummax(position + length, dim=-1).values
    return (end > position)[..., before:]


def _draw_block(
    lengths: Lengths, rate: float, batch: int, grid: Grid, generator: torch.Generator
) -> Tensor:
    shortest, longest = lengths
    before = longest - 1
    height, width = before + grid[0], before + grid[1]
    side = _starts(lengths, rate, (batch, height, width), 2, generator)
    # Corner differences of each square; their double cumulative sum counts the squares over a token.
    corners = side.new_zeros((batch, height + longest, width + longest))
    for length in range(shortest, longest + 1):
        start = (side == length).long()
        corners[:, :height, :width] += start
        corners[:, length : length + height, :width] -= start
        corners[:, :height, length : length + width] -= start
        corners[:, length : length + height, length : length + width] += start
    return (corners.cumsum(1).cumsum(2) > 0)[:, before:height, before:width]


_DIRECTIONAL: Mapping[str, Draw] = MappingProxyType({"segment": _draw_segment, "stripe": _draw_stripe})
_ISOTROPIC: Mapping[str, Draw] = MappingProxyType({"token": _draw_token, "block": _draw_block})


def _arrive_token(
    _lengths: Lengths, batch: int, grid: Grid, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    time = _uniform((batch, *grid), generator)
    return time, torch.zeros_like(time)


def _arrive_stripe(
    _lengths: Lengths, batch: int, grid: Grid, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    time = _uniform((batch, grid[0], 1), generator)
    start = (_uniform((batch, grid[0], 1), generator) * grid[1]).long()  # where a short line begins
    return time, (torch.arange(grid[1], device=time.device) - start) % grid[1]


def _arrive(axes: tuple[int, ...]) -> Arrivals:
    """Runs or squares that wrap around along ``axes``, each at its own time."""

    def draw(lengths: Lengths, batch: int, grid: Grid, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        shortest, longest = lengths
        time = _uniform((batch, *grid), generator)
        length = shortest + (_uniform(time.shape, generator) * (longest - shortest + 1)).long()
        first, place = torch.ones_like(time), torch.zeros_like(length)
        reaches = [range(min(longest, time.shape[axis])) for axis in axes]
        steps = torch.cartesian_prod(*(torch.tensor(reach) for reach in reaches)).reshape(-1, len(axes))
        for order, step in enumerate(steps.tolist()):
            # The piece that starts ``step`` tokens before, if it is long enough to reach here.
            arrival = torch.where(length > max(step), time, 1.0).roll(step, axes)
            place = torch.where(arrival < first, order, place)
            first = torch.minimum(first, arrival)
        return first, place

    return draw


_ARRIVALS: Mapping[str, Arrivals] = MappingProxyType(
    {
        "token": _arrive_token,
        "segment": _arrive((2,)),
        "stripe": _arrive_stripe,
        "block": _arrive((1, 2)),
    }
)


def exact_count(rate: float, tokens: int) -> int:
    """How many of ``tokens`` tokens ``budget: exact`` drops: rate * N to the nearest, halves up."""
    return math.floor(rate * tokens + 0.5)


def _draw_exactly(
    arrivals: Arrivals, lengths: Lengths, rate: float, batch: int, grid: Grid, generator: torch.Generator
) -> Tensor:
    """The tokens that are covered first; of the last piece, those nearest to its start."""
    time, place = arrivals(lengths, batch, grid, generator)
    time = time.expand(batch, *grid).flatten(1)
    order = place.expand(batch, *grid).flatten(1).argsort(dim=1, stable=True)
    order = order.gather(1, time.gather(1, order).argsort(dim=1, stable=True))
    mask = torch.zeros_like(time, dtype=torch.bool)
    mask.scatter_(1, order[:, : exact_count(rate, time.shape[1])], True)
    return mask.view(batch, *grid)


def sample_mask(
    config: TokenDropoutConfig,
    rate: float,
    batch: int,
    grid: Grid,
    generator: torch.Generator,
    *,
    lengths: Lengths | None = None,
) -> Tensor:
    """Draw which patch tokens are dropped.

    Parameters
    ----------
    config: pattern, direction and budget; ``config.rate`` is not read (it may be a schedule).
    rate: expected dropped fraction, in [0, 1), the same at every grid position for every pattern.
    batch, grid: B and (H, W).
    generator: where all randomness comes from; its device is the mask's device.
    lengths: shortest and longest run at present; the final ones of ``config`` if not given.

    Returns
    -------
    bool [B, H, W], True where a token is dropped. ``direction: both`` draws one axis per image.
    """
    if not 0 <= rate < 1:
        raise ValueError(f"a dropout rate lies in [0, 1), got {rate}")
    if config.pattern == "none":
        return torch.zeros((batch, *grid), dtype=torch.bool, device=generator.device)
    lengths = lengths or lengths_at(config.length, 1.0)
    rule = (
        partial(_draw_exactly, _ARRIVALS[config.pattern])
        if config.budget == "exact"
        else {**_ISOTROPIC, **_DIRECTIONAL}[config.pattern]
    )
    draw = partial(rule, lengths, rate, batch)
    if config.pattern in _ISOTROPIC:
        return draw(grid, generator)
    masks = [
        draw(oriented(grid, transposed), generator).mT if transposed else draw(grid, generator)
        for transposed in TRANSPOSED[config.direction]
    ]
    if len(masks) == 1:
        return masks[0]
    first = _uniform((batch, 1, 1), generator) < 0.5
    return torch.where(first, masks[0], masks[1])
