"""The decoder's attentions: linear (Katharopoulos et al., 2020; Dinomaly's) and softmax.

Both take the direction bias of prior C. With lambda = 0 and nothing learned they run the plain code
path, hence the same bits. Unusual here: biased linear attention keeps patch and prefix tokens apart
and lays the patch tokens out line by line, so that the banded term needs no copy of its own.
"""

from __future__ import annotations

import math
from functools import reduce
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from model.config import BiasConfig
from model.priors.bias import (
    band_offsets,
    bias_mask,
    line_weakening,
    line_weights,
    log_mask,
    neighbour_mask,
    table_shape,
)
from model.priors.geometry import TRANSPOSED, Grid, check_tokens, oriented
from model.priors.schedule import value_at

INITIAL_STRENGTH = 0.1
"""lambda at which each head starts when it is learned: weak, yet where the sigmoid still moves."""
INITIAL_LOGIT = math.log(INITIAL_STRENGTH / (1 - INITIAL_STRENGTH))


class Attention(nn.Module):
    """What the two attentions share: projections, heads and the bias's strength.

    Attributes
    ----------
    qkv, proj: linear layers C -> 3 C and C -> C, with biases.
    lam: the current lambda; the trainer sets it each step where it is scheduled.
    lam_shift: how far the logit of each head's lambda has moved [heads], over ``lr_multiplier``;
        exists for ``lambda: learned`` only.
    tables: relative-position tables by axis of the direction, over ``lr_multiplier`` (``relative:
        learned`` only); see :func:`model.priors.bias.table_shape`.

    ``grid`` is needed for tables only: they are as long as its lines.
    """

    lam_shift: nn.Parameter
    tables: nn.ParameterList

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        bias: BiasConfig | None = None,
        eps: float = 0.0,
        neighbour_mask: int = 0,
        neighbour_mask_form: str = "zeroed",
        grid: Grid | None = None,
    ) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"{heads} heads do not divide {dim} channels")
        self.heads = heads
        self.bias = bias
        self.eps = eps
        self.neighbour_mask = neighbour_mask
        self.zeroed = bool(neighbour_mask) and neighbour_mask_form == "zeroed"
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.learned = bias is not None and bias.lambda_ == "learned"
        self.relative = bias is not None and bias.relative == "learned"
        self.lam = 0.0 if bias is None or self.learned else value_at(bias.lambda_, 1.0)
        if self.learned:
            self.lam_shift = nn.Parameter(torch.zeros(heads))
        if bias is not None and self.relative:
            if grid is None:
                raise ValueError("a relative-position table needs the grid")
            self.tables = nn.ParameterList(
                nn.Parameter(torch.zeros(table_shape(oriented(grid, transposed)[1], heads, bias)))
                for transposed in TRANSPOSED[bias.direction]
            )

    def reset_strength(self) -> None:
        """Put what the bias learns back to where training starts."""
        if self.learned:
            nn.init.zeros_(self.lam_shift)
        if self.relative:
            for table in self.tables:
                nn.init.zeros_(table)

    def strength(self) -> float | Tensor:
        """The current lambda: a number, or one per head [heads] if learned."""
        if not self.learned:
            return self.lam
        return torch.sigmoid(INITIAL_LOGIT + self._sped_up(self.lam_shift))

    def relative_tables(self) -> list[Tensor] | None:
        """The logarithmic factors t(dy, dx) per head, by axis; None where none are learned."""
        return [self._sped_up(table) for table in self.tables] if self.relative else None

    def _sped_up(self, parameter: Tensor) -> Tensor:
        """The parameter times ``lr_multiplier``, with the gradient of the parameter itself.

        An optimiser that normalises its steps then moves the product ``lr_multiplier`` times as fast
        as other parameters, and the norm that gradients are clipped by sees nothing of it.
        """
        assert self.bias is not None
        return parameter + (self.bias.lr_multiplier - 1) * parameter.detach()

    @property
    def biased(self) -> bool:
        """Whether the bias does anything at present."""
        return self.bias is not None and (self.learned or self.relative or self.lam != 0)

    def extra_repr(self) -> str:
        return f"heads={self.heads}, lam={'learned' if self.learned else format(self.lam, 'g')}"


class LinearAttention(Attention):
    """Linear attention with feature map phi(x) = elu(x) + 1, no scale.

        out_i = sum_j m_ij phi(q_i) . phi(k_j) v_j / (sum_j m_ij phi(q_i) . phi(k_j) + eps)

    in O(T C D) without the mask m and O((2 rows + 1) N W C) on top with it (``form: values``: without m
    in the denominator). The denominator is computed in
    float32 under autocast too; ``eps`` guards it against features that vanish in half precision.
    """

    def __init__(self, dim: int, heads: int, *, neighbour_mask: int = 0, **options: Any) -> None:
        if neighbour_mask:
            raise ValueError("linear attention has no neighbour mask")
        super().__init__(dim, heads, **options)

    def forward(self, x: Tensor, grid: Grid, prefix: int) -> Tensor:
        """[B, T, C] -> [B, T, C]; ``grid`` is (H, W), ``prefix`` is P."""
        check_tokens(x, grid, prefix)
        qkv = self.qkv(x).unflatten(-1, (3, self.heads, -1))
        return self.proj(self._biased(qkv, grid, prefix) if self.biased else self._plain(qkv))

    def _plain(self, qkv: Tensor) -> Tensor:
        """[B, T, 3, heads, D] -> [B, T, C]."""
        q, k, v = _features(qkv.permute(2, 0, 3, 1, 4))
        kv, k_sum = _summary(k, v)
        out = _ratio(q @ kv, _dot(q, k_sum) + self.eps)
        return out.transpose(1, 2).flatten(2).to(qkv.dtype)

    def _biased(self, qkv: Tensor, grid: Grid, prefix: int) -> Tensor:
        """[B, T, 3, heads, D] -> [B, T, C]: full attention minus the banded term of each line."""
        assert self.bias is not None
        axes = TRANSPOSED[self.bias.direction]
        # The full terms do not care for the order of tokens, so the grid lies along the first axis
        # of the bias from the start: q, k, v [B, heads, lines, tokens of a line, D].
        along = (1, 2) if not axes[0] else (2, 1)
        patches = qkv[:, prefix:].unflatten(1, grid)
        q, k, v = _features(patches.permute(3, 0, 4, *along, 5))
        kv, k_sum = _summary(k.flatten(2, 3), v.flatten(2, 3))
        before = _features(qkv[:, :prefix].permute(2, 0, 3, 1, 4))
        if prefix:
            kv_before, k_sum_before = _summary(*before[1:])
            kv, k_sum = kv + kv_before, k_sum + k_sum_before

        top = (q.flatten(2, 3) @ kv).view_as(v)
        bottom = _dot(q.flatten(2, 3), k_sum).view(q.shape[:-1])
        for axis, transposed in enumerate(axes):
            turned = transposed != axes[0]
            queries, keys, values = (t.transpose(2, 3) if turned else t for t in (q, k, v))
            band_top, band_bottom = self._band(queries, keys, values, axis)
            top = top - (band_top.transpose(2, 3) if turned else band_top)
            if self.bias.form == "weights":
                bottom = bottom - (band_bottom.transpose(2, 3) if turned else band_bottom)
        out = _ratio(top, bottom + self.eps)
        out = out.permute(0, *(axis + 1 for axis in along), 1, 4).flatten(1, 2)  # [B, N, heads, D]
        if prefix:
            plain = _ratio(before[0] @ kv, _dot(before[0], k_sum) + self.eps)
            out = torch.cat([plain.transpose(1, 2), out], dim=1)
        return out.flatten(2).to(qkv.dtype)

    def _band(self, q: Tensor, k: Tensor, v: Tensor, axis: int) -> tuple[Tensor, Tensor]:
        """Banded terms of numerator and denominator, of the shapes of ``v`` and ``v[..., 0]``.

        q, k, v: [B, heads, lines, tokens of a line, D]. axis: which of the direction's axes lines are.
        """
        assert self.bias is not None
        dtype, count = _accumulator(q), q.shape[2]
        strength, tables = self.strength(), self.relative_tables()
        tops, bottoms = [], []
        for offset in band_offsets(count, self.bias):
            first, last = max(0, -offset), min(count, count - offset)  # lines that have such a line
            queries, keys = slice(first, last), slice(first + offset, last + offset)
            weakening = line_weakening(
                strength,
                q.shape[3],
                self.bias,
                offset=offset,
                table=None if tables is None else tables[axis],
                device=q.device,
                dtype=dtype,
            )
            weights = line_weights(q[:, :, queries], k[:, :, keys], weakening)
            values = v[:, :, keys]
            band = torch.bmm(weights.to(v.dtype), values.flatten(0, 2)).view(values.shape)
            total = weights.sum(-1).view(values.shape[:-1])
            if offset:
                band = F.pad(band, (0, 0, 0, 0, first, count - last))
                total = F.pad(total, (0, 0, first, count - last))
            tops.append(band)
            bottoms.append(total)
        return reduce(torch.add, tops), reduce(torch.add, bottoms)


class SoftmaxAttention(Attention):
    """Scaled dot-product attention, with the bias as log m on the logits, or m on the weights after.

    ``neighbour_mask`` n additionally forbids each token its n x n neighbourhood, itself included
    (prefix tokens are always open): ``zeroed`` takes those weights away after the softmax, as the
    reference does, so that a token's weights sum to less than 1; ``masked`` leaves them out of it.
    """

    def forward(self, x: Tensor, grid: Grid, prefix: int) -> Tensor:
        """[B, T, C] -> [B, T, C]; ``grid`` is (H, W), ``prefix`` is P.

        Raises :class:`model.errors.ConfigError` if the neighbour mask leaves a token nothing.
        """
        check_tokens(x, grid, prefix)
        qkv = self.qkv(x).unflatten(-1, (3, self.heads, -1))
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # each [B, heads, T, D]
        before, after = self._masks(q, grid, prefix)
        if after is None:
            out = F.scaled_dot_product_attention(q, k, v, attn_mask=before)
        else:
            logits = (q * q.shape[-1] ** -0.5) @ k.mT
            if before is not None:
                logits = (
                    logits.masked_fill(~before, -math.inf)
                    if before.dtype == torch.bool
                    else (logits + before)
                )
            weights = logits.softmax(-1)
            out = (weights * after.to(weights.dtype)) @ v
        return self.proj(out.transpose(1, 2).flatten(2))

    def _masks(self, q: Tensor, grid: Grid, prefix: int) -> tuple[Tensor | None, Tensor | None]:
        """What acts before the softmax: bool or logits to add; and after it: factors. Each None,
        [T, T] or [heads, T, T]."""
        before: Tensor | None = None
        after: Tensor | None = None
        if self.bias is not None and self.biased:
            mask = bias_mask(
                self.strength(),
                self.bias,
                grid,
                prefix,
                tables=self.relative_tables(),
                device=q.device,
                dtype=_accumulator(q),
            )
            if self.bias.form == "values":
                after = mask
            else:
                before = log_mask(mask).to(q.dtype)
        if self.neighbour_mask:
            allowed = neighbour_mask(self.neighbour_mask, grid, prefix, device=q.device)
            if self.zeroed:
                after = allowed if after is None else after * allowed
            else:
                before = allowed if before is None else before.masked_fill(~allowed, -math.inf)
        return before, after


def feature_map(x: Tensor) -> Tensor:
    """phi(x) = elu(x) + 1 of linear attention, elementwise."""
    phi: Tensor = _FeatureMap.apply(x)
    return phi


class _FeatureMap(torch.autograd.Function):
    """phi(x) = elu(x) + 1, as exp(min(x, 0)) + max(x, 0).

    Equal to torch's up to rounding, about ten times as fast on a CPU, and positive where
    expm1(x) + 1 has already rounded to 0. Its derivative is min(phi(x), 1): one pass over what the
    forward pass keeps anyway.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        phi = (x.clamp_max(0).exp() + x.relu()).to(x.dtype)
        ctx.save_for_backward(phi)
        return phi

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (phi,) = ctx.saved_tensors
        return gradient * phi.clamp_max(1)


def _features(qkv: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """[3, ..., D] -> phi(q), phi(k), v, contiguous."""
    qkv = qkv.contiguous()
    q, k = feature_map(qkv[:2]).unbind(0)
    return q, k, qkv[2]


def _summary(k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """phi(k), v [..., T, D] -> sum of phi(k) v^T [..., D, D] and of phi(k) [..., D] over tokens."""
    return k.mT @ v, k.sum(-2, dtype=_accumulator(k))


def _dot(q: Tensor, k_sum: Tensor) -> Tensor:
    """phi(q) [..., T, D] . k_sum [..., D] -> [..., T]; no matrix product, lest autocast round it."""
    return (q.to(k_sum.dtype) * k_sum.unsqueeze(-2)).sum(-1)


def _ratio(top: Tensor, bottom: Tensor) -> Tensor:
    """top [..., D] / bottom [...], in the type of the denominator."""
    return top.to(bottom.dtype) * (1 / bottom).unsqueeze(-1)


def _accumulator(x: Tensor) -> torch.dtype:
    """float32 for half precision, else the type of ``x``."""
    return torch.float32 if x.dtype in (torch.bfloat16, torch.float16) else x.dtype
