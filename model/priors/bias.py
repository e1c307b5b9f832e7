"""Prior C: attention between tokens of one row (or column) is weakened.

One multiplicative mask on attention weights, whatever the attention:

    m_ij = 1 - lambda * g(|i - j|)   if patches i != j share a line, else 1,

and 1 wherever a prefix token takes part. Softmax attention adds log m to its logits; linear attention
multiplies its weights phi(q_i) . phi(k_j) by m, in the numerator and the denominator alike. The
second is exact without any T x T matrix: the full linear attention minus a *banded term* over the
tokens of each line, which costs O(N W C).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from model.config import BiasConfig
from model.errors import ConfigError
from model.priors.geometry import TRANSPOSED, Grid

Strength = float | Tensor
"""lambda: one number, or one per head [heads]."""

Kernel = Callable[[Tensor, float], Tensor]
"""(distances in tokens >= 0, half-width w) -> weakening g in [0, 1]."""


def _box(distance: Tensor, half_width: float) -> Tensor:
    """1 up to w."""
    return (distance <= half_width).to(distance.dtype)


def _triangle(distance: Tensor, half_width: float) -> Tensor:
    """1 - dx / (w + 1): w is the last distance that is still weakened."""
    return (1 - distance / (half_width + 1)).clamp_min(0)


def _gaussian(distance: Tensor, half_width: float) -> Tensor:
    """2 ^ -(dx / w)^2: w is the half width at half maximum."""
    return torch.exp2(-(distance / half_width).square())


_KERNELS: Mapping[str, Kernel] = MappingProxyType(
    {"box": _box, "triangle": _triangle, "gaussian": _gaussian}
)


def line_kernel(
    length: int,
    config: BiasConfig,
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """g between the tokens of one line: [length, length], symmetric, zero on the diagonal.

    ``half_width: row`` is the length of the line less one, its largest distance.
    """
    half_width = max(length - 1, 1) if config.half_width == "row" else config.half_width
    position = torch.arange(length, device=device)
    # [length]: one value per distance.
    profile = _KERNELS[config.kernel](position.to(dtype or torch.get_default_dtype()), half_width)
    profile[0] = 0
    # Looked up [length, length]: exactly symmetric, whatever a vectorised exp2 rounds to.
    return profile[(position[:, None] - position).abs()]


def line_weakening(
    lam: Strength, length: int, config: BiasConfig, *, device: torch.device, dtype: torch.dtype
) -> Tensor:
    """lambda * g for one line: [M, M] with M = ``length``, or [heads, 1, M, M] for a lambda per head."""
    g = line_kernel(length, config, device=device, dtype=dtype)
    # [heads] -> [heads, 1, 1, 1], to go with weights [B, heads, R, M, M].
    return lam.to(dtype)[:, None, None, None] * g if isinstance(lam, Tensor) else lam * g


def bias_mask(
    lam: Strength,
    config: BiasConfig,
    grid: Grid,
    prefix: int = 0,
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """The dense mask m, entry (i, j) for query i and key j: the definition, and softmax's mask.

    Parameters
    ----------
    lam: strength in [0, 1], or one per head [heads].
    config: kernel, half-width and direction; ``config.lambda_`` is not read.
    grid, prefix: (H, W) and P.

    Returns
    -------
    [T, T], or [heads, T, T] for a strength per head. With ``direction: both``, row and column are
    weakened alike; no pair shares both, so nothing counts twice.
    """
    height, width = grid
    g = torch.zeros((height, width, height, width), device=device, dtype=dtype)
    for transposed in TRANSPOSED[config.direction]:
        # View with the line's tokens last on either side: [R, M, R, M].
        lines = g.permute(1, 0, 3, 2) if transposed else g
        line = line_kernel(lines.shape[1], config, device=device, dtype=dtype)  # [M, M]
        # Both tokens in one line: the diagonal over the two R, a view [M, M, R].
        lines.diagonal(dim1=0, dim2=2).add_(line.unsqueeze(-1))
    tokens = prefix + height * width
    full = g.new_zeros((tokens, tokens))
    full[prefix:, prefix:] = g.reshape(height * width, height * width)  # [H, W, H, W] -> [N, N]
    # [T, T], or [heads, 1, 1] * [T, T] -> [heads, T, T]
    return 1 - (lam.to(full.dtype)[:, None, None] * full if isinstance(lam, Tensor) else lam * full)


def log_mask(mask: Tensor) -> Tensor:
    """log of a mask in [0, 1], to be added to logits.

    Zeros become the logarithm of the smallest normal number rather than -inf: their weight still
    vanishes, but a learned lambda near 1 keeps a finite gradient.
    """
    return mask.clamp_min(torch.finfo(mask.dtype).tiny).log()


def neighbour_mask(
    size: int, grid: Grid, prefix: int, *, device: torch.device | str | None = None
) -> Tensor:
    """Which keys a query may attend to: bool [T, T], False in its ``size`` x ``size`` neighbourhood.

    A token's neighbourhood holds the token itself, as in the reference; prefix tokens attend, and are
    attended to, freely. Raises :class:`ConfigError` if some token could attend to nothing.
    """
    height, width = grid
    reach = size // 2
    if not prefix and reach >= max(height // 2, width // 2):
        raise ConfigError(
            f"decoder.neighbour_mask {size} leaves tokens of a {height} x {width} grid nothing to attend to"
        )
    near = [
        (torch.arange(n, device=device)[:, None] - torch.arange(n, device=device)).abs() <= reach
        for n in (height, width)
    ]
    # Rows [H, H] and columns [W, W] both near -> [H, W, H, W].
    forbidden = near[0][:, None, :, None] & near[1][None, :, None, :]
    tokens = prefix + height * width
    allowed = torch.ones((tokens, tokens), dtype=torch.bool, device=device)
    allowed[prefix:, prefix:] = ~forbidden.reshape(height * width, height * width)  # [N, N]
    return allowed


def line_weights(q: Tensor, k: Tensor, weakening: Tensor) -> Tensor:
    """What the bias takes from the attention weights within each line.

    Parameters
    ----------
    q, k: features phi of the patch tokens [B, heads, R, M, D]: R lines of M tokens.
    weakening: lambda * g, from :func:`line_weakening`.

    Returns
    -------
    [B * heads * R, M, M]: lambda g(|i - j|) phi(q_i) . phi(k_j) in the type of ``weakening``; its
    product with the line's values is the banded term of the numerator, its sum over keys that of
    the denominator.
    """
    batch, heads, lines, length, _ = q.shape
    weights = torch.bmm(q.flatten(0, 2), k.flatten(0, 2).mT)  # [B * heads * R, M, D] -> [.., M, M]
    weights = weights.view(batch, heads, lines, length, length) * weakening  # [B, heads, R, M, M]
    return weights.flatten(0, 2)
