"""Prior A: patch tokens are cut along a direction, in training only.

If normal appearance can be rebuilt with parts of a row missing, the decoder cannot lean on copying
along that row. The pattern is the proposal, the amount is not: every pattern drops the same expected
fraction at every grid position, borders and corners included (*matched budget*), so that a study
compares structure. To that end segments and blocks start before the border as well, and the
probability of a start is solved from the closed form of survival rather than tuned.

All randomness comes from one ``torch.Generator`` of its own and the number of values drawn depends
on neither rate nor fill: switching this prior on shifts no other stream, and variants that differ in
rate or fill have aligned draws.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from types import MappingProxyType

import numpy as np
import torch
from scipy.optimize import brentq
from torch import Tensor, nn

from model.config import TokenDropoutConfig
from model.priors.geometry import TRANSPOSED, Grid, check_tokens, oriented
from model.priors.schedule import value_at

Draw = Callable[[TokenDropoutConfig, float, int, Grid, torch.Generator], Tensor]
"""(config, rate, B, grid, generator) -> bool [B, H, W] for the horizontal direction."""

Fill = Callable[["TokenDropout", Tensor, Tensor, Tensor], Tensor]
"""(module, patches [B, N, C], dropped [B, N], uniform [B, N]) -> replacements, broadcastable."""


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


def _starts(
    config: TokenDropoutConfig,
    rate: float,
    shape: tuple[int, ...],
    dimensions: int,
    generator: torch.Generator,
) -> Tensor:
    """Lengths of the runs or squares that start at each position, 0 where none does; int64."""
    shortest, longest = config.length
    s = start_probability(rate, shortest, longest, dimensions)
    uniform = torch.rand(shape, generator=generator, device=generator.device)
    if s == 0:
        return torch.zeros(shape, dtype=torch.int64, device=generator.device)
    # Given u < s, u / s is uniform again and gives the length: one draw serves both.
    length = shortest + (uniform / s * (longest - shortest + 1)).long()
    return torch.where(uniform < s, length.clamp_max(longest), 0)


def _draw_token(
    _config: TokenDropoutConfig, rate: float, batch: int, grid: Grid, generator: torch.Generator
) -> Tensor:
    return torch.rand((batch, *grid), generator=generator, device=generator.device) < rate


def _draw_stripe(
    _config: TokenDropoutConfig, rate: float, batch: int, grid: Grid, generator: torch.Generator
) -> Tensor:
    rows = torch.rand((batch, grid[0], 1), generator=generator, device=generator.device) < rate
    return rows.expand(batch, *grid)


def _draw_segment(
    config: TokenDropoutConfig, rate: float, batch: int, grid: Grid, generator: torch.Generator
) -> Tensor:
    before = config.length[1] - 1  # positions left of the border whose runs can still reach in
    height, width = grid
    length = _starts(config, rate, (batch, height, before + width), 1, generator)
    position = torch.arange(before + width, device=length.device)
    # A token is dropped if any run up to it ends (exclusively) beyond it.
    end = torch.cummax(position + length, dim=-1).values
    return (end > position)[..., before:]


def _draw_block(
    config: TokenDropoutConfig, rate: float, batch: int, grid: Grid, generator: torch.Generator
) -> Tensor:
    shortest, longest = config.length
    before = longest - 1
    height, width = before + grid[0], before + grid[1]
    side = _starts(config, rate, (batch, height, width), 2, generator)
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


def sample_mask(
    config: TokenDropoutConfig, rate: float, batch: int, grid: Grid, generator: torch.Generator
) -> Tensor:
    """Draw which patch tokens are dropped.

    Parameters
    ----------
    config: pattern, direction and length; ``config.rate`` is not read (it may be a schedule).
    rate: expected dropped fraction, in [0, 1), the same at every grid position for every pattern.
    batch, grid: B and (H, W).
    generator: where all randomness comes from; its device is the mask's device.

    Returns
    -------
    bool [B, H, W], True where a token is dropped. ``direction: both`` draws one axis per image.
    """
    if not 0 <= rate < 1:
        raise ValueError(f"a dropout rate lies in [0, 1), got {rate}")
    if config.pattern == "none":
        return torch.zeros((batch, *grid), dtype=torch.bool, device=generator.device)
    if config.pattern in _ISOTROPIC:
        return _ISOTROPIC[config.pattern](config, rate, batch, grid, generator)
    draw = partial(_DIRECTIONAL[config.pattern], config, rate, batch)
    masks = [
        draw(oriented(grid, transposed), generator).mT if transposed else draw(grid, generator)
        for transposed in TRANSPOSED[config.direction]
    ]
    if len(masks) == 1:
        return masks[0]
    first = torch.rand((batch, 1, 1), generator=generator, device=generator.device) < 0.5
    return torch.where(first, masks[0], masks[1])


def _fill_zero(_module: TokenDropout, patches: Tensor, _dropped: Tensor, _uniform: Tensor) -> Tensor:
    return patches.new_zeros(())


def _fill_mean(_module: TokenDropout, patches: Tensor, _dropped: Tensor, _uniform: Tensor) -> Tensor:
    return patches.mean(dim=1, keepdim=True)


def _fill_neighbour(_module: TokenDropout, patches: Tensor, dropped: Tensor, uniform: Tensor) -> Tensor:
    """Each token's own random choice among the kept tokens of its image; zeros if there are none."""
    kept_first = torch.argsort(dropped.byte(), dim=1, stable=True)
    kept = (~dropped).sum(dim=1, keepdim=True)
    choice = (uniform * kept).long().minimum((kept - 1).clamp_min(0))
    source = kept_first.gather(1, choice)
    replacement = patches.gather(1, source.unsqueeze(-1).expand_as(patches))
    return torch.where((kept > 0).unsqueeze(-1), replacement, 0.0)


def _fill_learned(module: TokenDropout, patches: Tensor, _dropped: Tensor, _uniform: Tensor) -> Tensor:
    return module.learned.to(patches.dtype)


_FILLS: Mapping[str, Fill] = MappingProxyType(
    {"zero": _fill_zero, "mean": _fill_mean, "neighbour": _fill_neighbour, "learned": _fill_learned}
)


class TokenDropout(nn.Module):
    """Replace patch tokens by a fill, in training only; prefix tokens are never touched.

    Attributes
    ----------
    rate: the current expected dropped fraction; the trainer sets it each step where it is scheduled.
    generator: the token dropout stream; the trainer sets it before training. On the CPU, the same
        seed gives the same masks on every device.
    learned: the fill token [C] (``fill: learned`` only). It starts at zero, thus as ``fill: zero``,
        and takes nothing from the init stream.
    """

    learned: nn.Parameter

    def __init__(self, config: TokenDropoutConfig, channels: int) -> None:
        super().__init__()
        self.config = config
        self.rate: float = value_at(config.rate, 1.0)
        self.generator: torch.Generator | None = None
        if config.pattern != "none" and config.fill == "learned":
            self.learned = nn.Parameter(torch.zeros(channels))

    def reset_fill(self) -> None:
        """Put a learned fill back to where training starts."""
        if self.config.pattern != "none" and self.config.fill == "learned":
            nn.init.zeros_(self.learned)

    def extra_repr(self) -> str:
        c = self.config
        return f"pattern={c.pattern}, direction={c.direction}, rate={self.rate:g}, fill={c.fill}"

    def forward(self, x: Tensor, grid: Grid, prefix: int) -> Tensor:
        """[B, T, C] -> [B, T, C]; the same object in eval mode, for ``pattern: none`` or at rate 0.

        At rate 0 even an identity in the graph would change the order in which gradients are summed,
        hence their last bits. Only a learned fill, which needs its gradient, goes the long way.

        Raises ``RuntimeError`` when training without a generator: falling back on the global one
        would shift the other random streams unnoticed.
        """
        if not self.training or self.config.pattern == "none":
            return x
        if self.rate == 0 and self.config.fill != "learned":
            return x
        if self.generator is None:
            raise RuntimeError("TokenDropout.generator must be set before training")
        check_tokens(x, grid, prefix)
        batch = x.shape[0]
        dropped = sample_mask(self.config, self.rate, batch, grid, self.generator)
        dropped = dropped.reshape(batch, -1).to(x.device, non_blocking=True)  # [B, H, W] -> [B, N]
        # Drawn for every fill, so that variants that differ in the fill share all their masks.
        uniform = torch.rand(dropped.shape, generator=self.generator, device=self.generator.device)
        patches = x[:, prefix:]
        fill = _FILLS[self.config.fill](self, patches, dropped, uniform.to(x.device, non_blocking=True))
        if self.config.rescale:
            patches = patches / (1 - self.rate)
        patches = torch.where(dropped.unsqueeze(-1), fill, patches)  # [B, N, 1], .., [B, N, C]
        return torch.cat([x[:, :prefix], patches], dim=1) if prefix else patches
