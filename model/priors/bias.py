"""Prior C: attention between tokens of one row (or column) is weakened.

One multiplicative mask, whatever the attention:

    m_ij = (1 - lambda * g(|dx|)) * exp(t(dy, dx))   if patches i != j lie in one line or its band,

that is |dy| <= rows, and 1 elsewhere and wherever a prefix token takes part. t is 0, or a learned
table. ``form: weights`` multiplies the attention weights: softmax attention adds log m to its logits,
linear attention multiplies phi(q_i) . phi(k_j) by m, in the numerator and the denominator alike.
``form: values`` leaves the normaliser alone. Linear attention needs no T x T matrix for either: it is
the full one minus a *banded term* over the tokens of each line, which costs O((2 rows + 1) N W C).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
    offset: int = 0,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """g between the tokens of two lines ``offset`` apart: [length, length], symmetric.

    Zero on the diagonal within a line: a token does not weaken itself. ``half_width: row`` is the
    length of the line less one, its largest distance.
    """
    half_width = max(length - 1, 1) if config.half_width == "row" else config.half_width
    position = torch.arange(length, device=device)
    profile = _KERNELS[config.kernel](position.to(dtype or torch.get_default_dtype()), half_width)
    if offset == 0:
        profile[0] = 0
    # One value per distance, looked up: exactly symmetric, whatever a vectorised exp2 rounds to.
    return profile[(position[:, None] - position).abs()]


def table_shape(length: int, heads: int, config: BiasConfig) -> tuple[int, int, int]:
    """[heads, 2 rows + 1, 2 length - 1]: a table's entry t(dy, dx) is at [rows + dy, length - 1 + dx]."""
    return heads, 2 * config.rows + 1, 2 * length - 1


def line_weakening(
    lam: Strength,
    length: int,
    config: BiasConfig,
    *,
    offset: int = 0,
    table: Tensor | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """1 - m between the queries of a line and the keys of the line ``offset`` further on.

    Parameters
    ----------
    lam: lambda, or one per head [heads].
    table: t, of :func:`table_shape`; 0 if not given.

    Returns
    -------
    [length, length], or [heads, 1, length, length] where something differs by head.
    """
    g = line_kernel(length, config, offset=offset, device=device, dtype=dtype)
    weakening = lam.to(g.dtype)[:, None, None, None] * g if isinstance(lam, Tensor) else lam * g
    if table is None:
        return weakening
    position = torch.arange(length, device=table.device)
    t = table[:, config.rows + offset, position - position[:, None] + length - 1].to(g.dtype)
    if offset == 0:
        t = t.masked_fill(position[:, None] == position, 0.0)
    return 1 - (1 - weakening) * t.exp().unsqueeze(1)


def band_offsets(lines: int, config: BiasConfig) -> range:
    """How many lines further on a token's keys may lie to be weakened."""
    reach = min(config.rows, lines - 1)
    return range(-reach, reach + 1)


def bias_mask(
    lam: Strength,
    config: BiasConfig,
    grid: Grid,
    prefix: int = 0,
    *,
    tables: Sequence[Tensor] | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """The dense mask m, entry (i, j) for query i and key j: the definition, and softmax's mask.

    Parameters
    ----------
    lam: strength in [0, 1], or one per head [heads].
    config: kernel, half-width, direction and rows; ``config.lambda_`` is not read.
    grid, prefix: (H, W) and P.
    tables: t of each axis of ``config.direction``, see :func:`table_shape`; 0 if not given.

    Returns
    -------
    [T, T], or [heads, T, T] where something differs by head. With ``direction: both``, row and column
    are weakened alike; no pair shares both, so nothing counts twice.
    """
    height, width = grid
    by_head = isinstance(lam, Tensor) or tables is not None
    heads = len(lam) if isinstance(lam, Tensor) else len(tables[0]) if tables is not None else 1
    taken = torch.zeros((heads, height, width, height, width), device=device, dtype=dtype)
    for axis, transposed in enumerate(TRANSPOSED[config.direction]):
        # View with the line's tokens last on either side: [heads, row, token, row, token].
        lines = taken.permute(0, 2, 1, 4, 3) if transposed else taken
        for offset in band_offsets(lines.shape[1], config):
            line = line_weakening(
                lam,
                lines.shape[2],
                config,
                offset=offset,
                table=tables[axis] if tables is not None else None,
                device=device,
                dtype=dtype,
            )
            line = line.reshape(-1, *line.shape[-2:]).unsqueeze(-1)
            lines.diagonal(offset=offset, dim1=1, dim2=3).add_(line)
    tokens, patches = prefix + height * width, height * width
    full = taken.new_zeros((heads, tokens, tokens))
    full[:, prefix:, prefix:] = taken.reshape(heads, patches, patches)
    return 1 - (full if by_head else full[0])


def log_mask(mask: Tensor) -> Tensor:
    """log of a mask >= 0, to be added to logits.

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
    forbidden = near[0][:, None, :, None] & near[1][None, :, None, :]
    tokens = prefix + height * width
    allowed = torch.ones((tokens, tokens), dtype=torch.bool, device=device)
    allowed[prefix:, prefix:] = ~forbidden.reshape(height * width, height * width)
    return allowed


def line_weights(q: Tensor, k: Tensor, weakening: Tensor) -> Tensor:
    """What the bias takes from the attention weights within each line.

    Parameters
    ----------
    q, k: features phi of the patch tokens [B, heads, H, W, D], lines along W.
    weakening: 1 - m, from :func:`line_weakening`.

    Returns
    -------
    [B * heads * H, W, W]: (1 - m_ij) phi(q_i) . phi(k_j) in the type of ``weakening``; its
    product with the line's values is the banded term of the numerator, its sum over keys that of
    the denominator.
    """
    batch, heads, height, width, _ = q.shape
    weights = torch.bmm(q.flatten(0, 2), k.flatten(0, 2).mT)
    weights = weights.view(batch, heads, height, width, width) * weakening
    return weights.flatten(0, 2)
