"""Prior B: which tokens the loss's tail holds.

One mechanism covers the reference's hard mining (alpha = 0, q = 1 - p), a plain top-q, and the
directional proposal, in which a token competes by how much its distance map looks like a streak
around it. Everything here works on detached distances d = 1 - cosine, [B, H, W] per group.

The criterion is (1 - alpha) * rank(d) + alpha * rank(structure(d)): ranks, because the two have
unrelated scales, so that alpha means the same for each dataset and at each point of training.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from types import MappingProxyType

import torch
import torch.nn.functional as F
from torch import Tensor

from model.config import TailConfig
from model.priors.geometry import TRANSPOSED, in_single_precision

Rule = Callable[[Tensor, int, float], Tensor]
"""(d [B, H, W], L, beta) -> horizontal structure [B, H, W]."""


def _box_sum(x: Tensor, half: int) -> Tensor:
    """Sum of ``x`` [..., W] over the 2 half + 1 nearest entries of the last axis, those that exist.

    Mirror images are added pairwise: the result commutes with flips bit for bit, which a running
    sum would not.
    """
    width = x.shape[-1]
    half = min(half, width - 1)
    padded = F.pad(x, (half, half))
    total = x
    for k in range(1, half + 1):
        left, right = padded[..., half - k :], padded[..., half + k :]
        total = total + (left[..., :width] + right[..., :width])
    return total


def _box_mean(x: Tensor, half: int) -> Tensor:
    """Mean of ``x`` [..., W] over the valid part of a window of 2 half + 1 along the last axis."""
    return _box_sum(x, half) / _box_sum(torch.ones_like(x[:1, :1]), half)


def _box(d: Tensor, half: int, beta: float) -> Tensor:
    """Box mean along x minus beta times the box mean along y: gaps of a streak are averaged over."""
    return _box_mean(d, half) - beta * _box_mean(d.mT, half).mT


def _central_difference(x: Tensor) -> Tensor:
    """Half the difference of the two neighbours along the last axis; borders are replicated."""
    padded = torch.cat([x[..., :1], x, x[..., -1:]], dim=-1)
    return (padded[..., 2:] - padded[..., :-2]) / 2


def _coherence(d: Tensor, half: int, _beta: float) -> Tensor:
    """Coherence of the structure tensor times its alignment with x, in [-1, 1].

    With J the tensor averaged over a (2 L + 1)^2 window, its coherence is
    sqrt((Jxx - Jyy)^2 + 4 Jxy^2) / (Jxx + Jyy) and the alignment of the structure (at right angles
    to the gradient) is cos(2 theta) = (Jyy - Jxx) / sqrt((Jxx - Jyy)^2 + 4 Jxy^2): in the product
    the root cancels. 1 is a horizontal streak however faint, -1 a vertical one, 0 neither.
    """
    xx, yy = (
        _box_mean(_box_mean(gradient.square(), half).mT, half).mT
        for gradient in (_central_difference(d), _central_difference(d.mT).mT)
    )
    energy = xx + yy
    # Where the map is flat there is no orientation; the floor keeps rounding from inventing one.
    floor = 1e-6 * energy.amax(dim=(-2, -1), keepdim=True) + torch.finfo(energy.dtype).tiny
    return (yy - xx) / (energy + floor)


_RULES: Mapping[str, Rule] = MappingProxyType({"box": _box, "coherence": _coherence})


def structure(d: Tensor, config: TailConfig, beta: float) -> Tensor:
    """How much the map looks like a streak along ``config.direction`` around each token.

    Parameters
    ----------
    d: distances [B, H, W]; half precision is computed in float32.
    config: structure, direction and length L; ``config.beta`` is not read (it may be a schedule).
    beta: weight of the box mean across the direction (``box`` only).

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


def tail_mask(d: Tensor, q: float, alpha: float, beta: float, config: TailConfig) -> Tensor:
    """Which tokens are in the tail.

    Parameters
    ----------
    d: distances [B, H, W].
    q: fraction of tokens in the tail, of the batch's or of each image's (``config.scope``).
    alpha: weight of structure in the criterion; 0 compares d itself, 1 structure alone.
    beta: see :func:`structure`.
    config: scope, structure, direction, length. Its knobs q, alpha and beta are not read.

    Returns
    -------
    bool [B, H, W]: True where the criterion is at least its k-th largest value in the scope, k from
    :func:`tail_size`. So a token that ties with the k-th is in the tail, as in the reference, and
    the tail holds k tokens or, with ties, more.
    """
    d = in_single_precision(d)
    scopes = 1 if config.scope == "batch" else d.shape[0]
    # Below, maps [B, H, W] are laid out by scope: [1, B * N] or [B, N].
    # At the two ends of alpha ranks would only repeat the order that the values have already.
    if alpha == 0:
        score = d.reshape(scopes, -1)
    elif alpha == 1:
        score = structure(d, config, beta).reshape(scopes, -1)
    else:
        of_distance = _ranks(d.reshape(scopes, -1))
        of_structure = _ranks(structure(d, config, beta).reshape(scopes, -1))
        score = (1 - alpha) * of_distance + alpha * of_structure
    k = tail_size(score.shape[1], q)
    threshold = score.topk(k, dim=1).values[:, -1:]  # [scopes, 1]
    return (score >= threshold).reshape(d.shape)  # [B, H, W]
