"""The decoder's attentions: linear (Katharopoulos et al., 2020; Dinomaly's) and softmax.

Both take the direction bias of prior C. With lambda = 0 (and not learned) they run the plain code
path, hence the same bits. Unusual here: biased linear attention keeps patch and prefix tokens apart
and lays the patch tokens out line by line, so that the banded term needs no copy of its own.

Shapes are those of the legend in ``model/__init__.py``; here R lines of M tokens each are rows or columns.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.config import BiasConfig
from model.priors.bias import bias_mask, line_weakening, line_weights, log_mask, neighbour_mask
from model.priors.geometry import TRANSPOSED, Grid, check_tokens
from model.priors.schedule import value_at

INITIAL_STRENGTH = 0.1
"""lambda at which each head starts when it is learned: weak, yet where the sigmoid still moves."""


class Attention(nn.Module):
    """What the two attentions share: projections, heads and the bias's strength.

    Attributes
    ----------
    qkv, proj: linear layers C -> 3 C and C -> C, with biases.
    lam: the current lambda; the trainer sets it each step where it is scheduled.
    lam_logit: logit of lambda per head [heads]; exists for ``lambda: learned`` only.
    """

    lam_logit: nn.Parameter

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        bias: BiasConfig | None = None,
        eps: float = 0.0,
        neighbour_mask: int = 0,
    ) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"{heads} heads do not divide {dim} channels")
        self.heads = heads
        self.bias = bias
        self.eps = eps
        self.neighbour_mask = neighbour_mask
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.learned = bias is not None and bias.lambda_ == "learned"
        self.lam = 0.0 if bias is None or self.learned else value_at(bias.lambda_, 1.0)
        if self.learned:
            self.lam_logit = nn.Parameter(torch.empty(heads))
            self.reset_strength()

    def reset_strength(self) -> None:
        """Put a learned lambda back to where training starts."""
        if self.learned:
            nn.init.constant_(self.lam_logit, math.log(INITIAL_STRENGTH / (1 - INITIAL_STRENGTH)))

    def strength(self) -> float | Tensor:
        """The current lambda: a number, or one per head [heads] if learned."""
        return torch.sigmoid(self.lam_logit) if self.learned else self.lam

    @property
    def biased(self) -> bool:
        """Whether the bias does anything at present."""
        return self.bias is not None and (self.learned or self.lam != 0)

    def extra_repr(self) -> str:
        return f"heads={self.heads}, lam={'learned' if self.learned else format(self.lam, 'g')}"


class LinearAttention(Attention):
    """Linear attention with feature map phi(x) = elu(x) + 1, no scale.

        out_i = sum_j m_ij phi(q_i) . phi(k_j) v_j / (sum_j m_ij phi(q_i) . phi(k_j) + eps)

    in O(T C D) without the mask m and O(N W C) on top with it. The denominator is computed in
    float32 under autocast too; ``eps`` guards it against features that vanish in half precision.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        bias: BiasConfig | None = None,
        eps: float = 0.0,
        neighbour_mask: int = 0,
    ) -> None:
        if neighbour_mask:
            raise ValueError("linear attention has no neighbour mask")
        super().__init__(dim, heads, bias=bias, eps=eps)

    def forward(self, x: Tensor, grid: Grid, prefix: int) -> Tensor:
        """[B, T, C] -> [B, T, C]; ``grid`` is (H, W), ``prefix`` is P."""
        check_tokens(x, grid, prefix)
        qkv = self.qkv(x).unflatten(-1, (3, self.heads, -1))  # [B, T, 3 C] -> [B, T, 3, heads, D]
        return self.proj(self._biased(qkv, grid, prefix) if self.biased else self._plain(qkv))

    def _plain(self, qkv: Tensor) -> Tensor:
        """[B, T, 3, heads, D] -> [B, T, C]."""
        q, k, v = _features(qkv.permute(2, 0, 3, 1, 4))  # each [B, heads, T, D]
        kv, k_sum = _summary(k, v)  # [B, heads, D, D], [B, heads, D]
        out = _ratio(q @ kv, _dot(q, k_sum) + self.eps)  # [B, heads, T, D]
        return out.transpose(1, 2).flatten(2).to(qkv.dtype)  # [B, T, heads, D] -> [B, T, C]

    def _biased(self, qkv: Tensor, grid: Grid, prefix: int) -> Tensor:
        """[B, T, 3, heads, D] -> [B, T, C]: full attention minus the banded term of each line."""
        assert self.bias is not None
        axes = TRANSPOSED[self.bias.direction]
        # The full terms do not care for the order of tokens, so the grid lies along the first axis
        # of the bias from the start.
        along = (1, 2) if not axes[0] else (2, 1)
        patches = qkv[:, prefix:].unflatten(1, grid)  # [B, N, 3, heads, D] -> [B, H, W, 3, heads, D]
        q, k, v = _features(patches.permute(3, 0, 4, *along, 5))  # each [B, heads, R, M, D]
        # Sums over all N patch tokens [B, heads, N, D]: [B, heads, D, D] and [B, heads, D].
        kv, k_sum = _summary(k.flatten(2, 3), v.flatten(2, 3))
        before = _features(qkv[:, :prefix].permute(2, 0, 3, 1, 4))  # each [B, heads, P, D]
        if prefix:
            kv_before, k_sum_before = _summary(*before[1:])
            kv, k_sum = kv + kv_before, k_sum + k_sum_before

        top = (q.flatten(2, 3) @ kv).view_as(v)  # [B, heads, N, D] -> [B, heads, R, M, D]
        bottom = _dot(q.flatten(2, 3), k_sum).view(q.shape[:-1])  # [B, heads, N] -> [B, heads, R, M]
        for turned in (transposed != axes[0] for transposed in axes):
            # The second axis of ``both``: [B, heads, R, M, D] -> [B, heads, M, R, D], and back below.
            lines = [t.transpose(2, 3) if turned else t for t in (q, k, v)]
            band_top, band_bottom = self._band(*lines)
            top = top - (band_top.transpose(2, 3) if turned else band_top)
            bottom = bottom - (band_bottom.transpose(2, 3) if turned else band_bottom)
        out = _ratio(top, bottom + self.eps)  # [B, heads, R, M, D]
        # -> [B, H, W, heads, D] -> [B, N, heads, D]
        out = out.permute(0, *(axis + 1 for axis in along), 1, 4).flatten(1, 2)
        if prefix:
            plain = _ratio(before[0] @ kv, _dot(before[0], k_sum) + self.eps)  # [B, heads, P, D]
            out = torch.cat([plain.transpose(1, 2), out], dim=1)  # [B, T, heads, D]
        return out.flatten(2).to(qkv.dtype)  # [B, T, C]

    def _band(self, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Banded terms of numerator and denominator, of the shapes of ``v`` and ``v[..., 0]``.

        q, k, v: [B, heads, R, M, D].
        """
        assert self.bias is not None
        dtype = _accumulator(q)
        weakening = line_weakening(self.strength(), q.shape[3], self.bias, device=q.device, dtype=dtype)
        weights = line_weights(q, k, weakening)  # [B * heads * R, M, M]
        band = torch.bmm(weights.to(v.dtype), v.flatten(0, 2))  # [B * heads * R, M, D]
        # [B, heads, R, M, D] and [B, heads, R, M]
        return band.view(v.shape), weights.sum(-1).view(v.shape[:-1])


class SoftmaxAttention(Attention):
    """Scaled dot-product attention, with the bias as log m on the logits.

    ``neighbour_mask`` n additionally forbids each token its n x n neighbourhood, itself included
    (prefix tokens are always open).
    """

    def forward(self, x: Tensor, grid: Grid, prefix: int) -> Tensor:
        """[B, T, C] -> [B, T, C]; ``grid`` is (H, W), ``prefix`` is P.

        Raises :class:`model.errors.ConfigError` if the neighbour mask leaves a token nothing.
        """
        check_tokens(x, grid, prefix)
        qkv = self.qkv(x).unflatten(-1, (3, self.heads, -1))  # [B, T, 3 C] -> [B, T, 3, heads, D]
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # each [B, heads, T, D]
        mask = self._mask(q, grid, prefix)
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.proj(out.transpose(1, 2).flatten(2))  # [B, heads, T, D] -> [B, T, C]

    def _mask(self, q: Tensor, grid: Grid, prefix: int) -> Tensor | None:
        """What SDPA takes: None, bool [T, T], or logits to add, [T, T] or [heads, T, T]."""
        allowed = (
            neighbour_mask(self.neighbour_mask, grid, prefix, device=q.device)
            if self.neighbour_mask
            else None
        )
        if self.bias is None or not self.biased:
            return allowed
        dtype = _accumulator(q)
        mask = bias_mask(self.strength(), self.bias, grid, prefix, device=q.device, dtype=dtype)
        logits = log_mask(mask).to(q.dtype)
        return logits if allowed is None else logits.masked_fill(~allowed, -math.inf)


def _feature_map(x: Tensor) -> Tensor:
    """phi(x) = elu(x) + 1, as exp(min(x, 0)) + max(x, 0).

    Equal to torch's up to rounding, about ten times as fast on a CPU, and positive where
    expm1(x) + 1 has already rounded to 0.
    """
    return (x.clamp_max(0).exp() + x.relu()).to(x.dtype)


def _features(qkv: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """[3, ..., D] -> phi(q), phi(k), v, contiguous."""
    qkv = qkv.contiguous()
    q, k = _feature_map(qkv[:2]).unbind(0)
    return q, k, qkv[2]


def _summary(k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """phi(k), v [..., T, D] -> sum of phi(k) v^T [..., D, D] and of phi(k) [..., D] over tokens."""
    return k.mT @ v, k.sum(-2, dtype=_accumulator(k))


def _dot(q: Tensor, k_sum: Tensor) -> Tensor:
    """phi(q) [..., T, D] . k_sum [..., D] -> [..., T]; no matrix product, lest autocast round it."""
    return (q.to(k_sum.dtype) * k_sum.unsqueeze(-2)).sum(-1)


def _ratio(top: Tensor, bottom: Tensor) -> Tensor:
    """top [..., D] / bottom [...] -> [..., D], in the type of the denominator."""
    return top.to(bottom.dtype) * (1 / bottom).unsqueeze(-1)


def _accumulator(x: Tensor) -> torch.dtype:
    """float32 for half precision, else the type of ``x``."""
    return torch.float32 if x.dtype in (torch.bfloat16, torch.float16) else x.dtype
