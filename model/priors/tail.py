"""Prior B: which tokens the loss's tail holds.

One mechanism covers the reference's hard mining (alpha = 0, q = 1 - p), a plain top-q, and the
directional proposal, in which a token competes by how much its distance map looks like a streak
around it. Everything here works on detached distances d = 1 - cosine, [B, H, W] per group.

Invariants: alpha = 0 is the reference bit for bit, ties with the threshold included. With alpha > 0
the tail holds exactly k tokens, and on distances without structure every position is chosen equally
often: all windows have the same number of tokens, and at a border they are moved inwards, not cut.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from types import MappingProxyType

import torch
from torch import Tensor

from model.config import TailConfig
from model.priors.geometry import TRANSPOSED, in_single_precision

Rule = Callable[[Tensor, int, float], Tensor]
"""(d [B, H, W], L, beta) -> horizontal structure [B, H, W]."""

Combine = Callable[[Tensor, Tensor, float, int], Tensor]
"""(d, s [scopes, n], alpha, k) -> the k tokens of the tail, bool [scopes, n]."""

FLANK = 1
"""Rows on either side that a line is compared with."""


def _symmetric_sum(parts: list[Tensor]) -> Tensor:
    """Sum of the parts that is the same, bit for bit, for the reversed list."""
    pairs = [a + b for a, b in zip(parts[: len(parts) // 2], reversed(parts), strict=False)]
    middle = parts[len(parts) // 2 : len(parts) // 2 + len(parts) % 2]
    return reduce(torch.add, [*middle, *reversed(pairs)])


def _window_mean(x: Tensor, size: int, half: int, count: int) -> Tensor:
    """Means of ``x`` over windows of ``size`` entries of the last axis, one for each of ``count`` tokens.

    Token i's window starts at i - half. Where it would reach beyond a border it is moved inwards, so
    that each mean is one of equally many entries; a shorter line is one window. Commutes with flips
    bit for bit.
    """
    size = min(size, x.shape[-1])
    places = x.shape[-1] - size + 1
    mean = _symmetric_sum([x[..., k : k + places] for k in range(size)]) / size
    return mean[..., (torch.arange(count, device=x.device) - half).clamp(0, places - 1)]


def _box_mean(x: Tensor, half: int) -> Tensor:
    """Mean of ``x`` [..., W] over the 2 half + 1 entries around each entry of the last axis."""
    return _window_mean(x, 2 * half + 1, half, x.shape[-1])


def _box(d: Tensor, half: int, beta: float) -> Tensor:
    """Box mean along x minus beta times the box mean along y: gaps of a streak are averaged over."""
    return _box_mean(d, half) - beta * _box_mean(d.mT, half).mT


def _line(d: Tensor, half: int, beta: float) -> Tensor:
    """Matched filter of a line: box mean along x minus beta times that of the rows beside it.

    The rows beside hold nothing of the token itself, so its own distance is never cancelled.
    """
    along = _box_mean(d, half)
    rows = min(2 * FLANK + 1, d.shape[-2])
    if rows == 1:
        return along
    beside = (rows * _box_mean(along.mT, FLANK).mT - along) / (rows - 1)
    return along - beta * beside


def _coherence(d: Tensor, half: int, _beta: float) -> Tensor:
    """Coherence of the structure tensor times its alignment with x, in [-1, 1].

    With J the tensor averaged over a window of (2 L + 1)^2 tokens, its coherence is
    sqrt((Jxx - Jyy)^2 + 4 Jxy^2) / (Jxx + Jyy) and the alignment of the structure (at right angles
    to the gradient) is cos(2 theta) = (Jyy - Jxx) / sqrt((Jxx - Jyy)^2 + 4 Jxy^2): in the product
    the root cancels. 1 is a horizontal streak however faint, -1 a vertical one, 0 neither.

    Gradients lie between the tokens, one per square of 2 x 2: each token, at a border too, then has
    the same part in both components, so that a large distance alone leans to no direction.
    """
    height, width = d.shape[-2:]
    if min(height, width) < 2:
        return torch.zeros_like(d)
    right, down = d[..., 1:] - d[..., :-1], d[..., 1:, :] - d[..., :-1, :]
    xx, yy = (
        _window_mean(_window_mean(g.square(), 2 * half, half, width).mT, 2 * half, half, height).mT
        for g in ((right[..., 1:, :] + right[..., :-1, :]) / 2, (down[..., 1:] + down[..., :-1]) / 2)
    )
    energy = xx + yy
    # Where the map is flat there is no orientation; the floor keeps rounding from inventing one.
    floor = 1e-6 * energy.amax(dim=(-2, -1), keepdim=True) + torch.finfo(energy.dtype).tiny
    return (yy - xx) / (energy + floor)


_RULES: Mapping[str, Rule] = MappingProxyType({"box": _box, "line": _line, "coherence": _coherence})


def structure(d: Tensor, config: TailConfig, beta: float) -> Tensor:
    """How much the map looks like a streak along ``config.direction`` around each token.

    Parameters
    ----------
    d: distances [B, H, W]; half precision is computed in float32.
    config: structure, direction and length L; ``config.beta`` is not read (it may be a schedule).
    beta: weight of what is subtracted: the box mean across the direction (``box``), or that of the
        rows beside (``line``).

    Returns
    -------
    [B, H, W]. ``vertical`` is the horizontal rule on the transposed map and ``both`` the larger of
    the two, so that turning the map by 90 degrees and swapping the direction turns the result,
    exactly.
    """
    d = in_single_precision(d)
    rule = _RULES[config.structure]
    values = (
        rule(d.mT, config.length, beta).mT if transposed else rule(d, config.length, beta)
        for transposed in TRANSPOSED[config.direction]
    )
    return reduce(torch.maximum, values)


def _ranks(values: Tensor) -> Tensor:
    """Twice the average ranks, from 0, of ``values`` [scopes, n] within each scope: whole numbers.

    Ties share their rank: breaking them by position would favour a part of the image. Dividing by
    2 (n - 1), which maps ranks to [0, 1], would not change which tokens are in the tail, but its
    rounding would separate tokens whose criteria are equal.
    """
    values = values.contiguous()
    ordered = values.sort(dim=1).values
    below = torch.searchsorted(ordered, values)
    not_above = torch.searchsorted(ordered, values, right=True)
    return (below + not_above - 1).to(values.dtype)


def tail_size(count: int, q: float) -> int:
    """Tokens in the tail of ``count`` tokens: int(count * (1 - p)) with p = 1 - q, at least 1.

    In that order, in double precision: q = 0.1 gives the number the reference's p = 0.9 gives.
    """
    return max(1, int(count * (1 - (1 - q))))


def _first(k: int, *keys: Tensor) -> Tensor:
    """The k tokens that come first by ``keys`` [scopes, n], the most significant first, largest first.

    Tokens that tie in all keys are taken in an order that is spread evenly over the map.
    """
    count = keys[0].shape[1]
    # Multiples of the golden ratio: any first k of them lie evenly in [0, 1).
    spread = torch.arange(count, device=keys[0].device) * 0.6180339887498949 % 1
    order = spread.argsort().expand(keys[0].shape)
    for key in reversed(keys):
        order = order.gather(1, key.gather(1, order).argsort(dim=1, descending=True, stable=True))
    mask = torch.zeros(keys[0].shape, dtype=torch.bool, device=keys[0].device)
    return mask.scatter_(1, order[:, :k], True)


def _blend(d: Tensor, s: Tensor, alpha: float, k: int) -> Tensor:
    """By (1 - alpha) rank(d) + alpha rank(s)."""
    if alpha == 1:  # ranks would only repeat the order that the values have already
        return _first(k, s, d)
    return _first(k, (1 - alpha) * _ranks(d) + alpha * _ranks(s), d)


def _product(d: Tensor, s: Tensor, alpha: float, k: int) -> Tensor:
    """By rank(d)^(1 - alpha) rank(s)^alpha, ranks from 1 / n to 1: a token must be high in both."""
    if alpha == 1:
        return _first(k, s, d)
    return _first(k, (1 - alpha) * (_ranks(d) + 2).log() + alpha * (_ranks(s) + 2).log(), d)


def _intersect(d: Tensor, s: Tensor, alpha: float, k: int) -> Tensor:
    """Structure proposes a region, the distance picks inside it.

    The region is the top n - alpha (n - k) tokens by structure: all at alpha = 0, the tail at 1.
    """
    count = d.shape[1]
    region = _first(count - round(alpha * (count - k)), s, d)
    return _first(k, region, d, s)


def _union(d: Tensor, s: Tensor, alpha: float, k: int) -> Tensor:
    """The top (1 - alpha) k by distance and, of the others, the top alpha k by structure."""
    by_distance = _first(k - round(alpha * k), d, s)
    return _first(k, by_distance, s, d)


_COMBINE: Mapping[str, Combine] = MappingProxyType(
    {"blend": _blend, "product": _product, "intersect": _intersect, "union": _union}
)


def tail_mask(d: Tensor, q: float, alpha: float, beta: float, config: TailConfig) -> Tensor:
    """Which tokens are in the tail.

    Parameters
    ----------
    d: distances [B, H, W].
    q: fraction of tokens in the tail, of the batch's or of each image's (``config.scope``).
    alpha: weight of structure in the criterion; 0 compares d itself, 1 structure alone.
    beta: see :func:`structure`.
    config: scope, combination, structure, direction, length. Its knobs q, alpha and beta are not read.

    Returns
    -------
    bool [B, H, W]. At alpha = 0: True where d is at least its k-th largest value in the scope, k from
    :func:`tail_size`, so a token that ties with the k-th is in the tail, as in the reference. At any
    other alpha: exactly k tokens; of those that tie, the larger distance wins.
    """
    d = in_single_precision(d)
    scopes = 1 if config.scope == "batch" else d.shape[0]
    flat = d.reshape(scopes, -1)
    k = tail_size(flat.shape[1], q)
    if alpha == 0:
        threshold = flat.topk(k, dim=1).values[:, -1:]
        return (flat >= threshold).reshape(d.shape)
    s = structure(d, config, beta).reshape(scopes, -1)
    return _COMBINE[config.combine](flat, s, alpha, k).reshape(d.shape)
