"""The loose loss: global cosine per group, with gradients concentrated on a tail of tokens.

Guo et al., CVPR 2025, section 3.5. The reference scales gradients by a hook on the decoder's maps;
here the cosine's own backward pass does, which needs no registration and lives and dies with the step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from model.config import TailConfig
from model.priors.geometry import in_single_precision
from model.priors.tail import tail_mask, tail_size

EPS = 1e-8
"""Least norm of a token or a map, as in ``torch.nn.CosineSimilarity``."""

Form = Callable[[Tensor, Tensor, Callable[[Tensor], Tensor], float, float], Tensor]
"""(en, de [B, C, H, W], tail of a distance map, factor, background) -> scalar loss of one group."""


def distance(en: Tensor, de: Tensor) -> Tensor:
    """1 - cosine similarity of the tokens of two maps [B, C, H, W] -> [B, H, W], at least float32.

    The norms' product is bounded below as in ``torch.nn.CosineSimilarity`` (eps 1e-8).
    """
    return 1 - F.cosine_similarity(in_single_precision(en), in_single_precision(de), dim=1)


class _WholeMapCosine(torch.autograd.Function):
    """Cosine per image of whole maps [B, C, H, W] -> [B], with a weight on the gradient of each token.

    Unusual here: it is put together from sums over channels, which the tail's distances need anyway, so
    the maps are read three times forward and three times backward; and the gradient is

        w (e / (|e| |d|) - cos d / |d|^2),        only to the decoder's map d.
    """

    @staticmethod
    def forward(ctx: Any, en: Tensor, de: Tensor, sums: _Sums, weight: Tensor | None) -> Tensor:
        en_norm, de_norm = (x.square().sum((1, 2)).sqrt().clamp_min(EPS) for x in (sums.en, sums.de))  # [B]
        cosine = sums.dot.sum((1, 2)) / (en_norm * de_norm)
        ctx.save_for_backward(en, de, cosine, en_norm, de_norm, weight)
        return cosine

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor, None, None]:
        en, de, cosine, en_norm, de_norm, weight = ctx.saved_tensors
        of_en = gradient / (en_norm * de_norm)
        of_de = -gradient * cosine / de_norm.square()
        result = (en * of_en.view(-1, 1, 1, 1)).addcmul_(de, of_de.view(-1, 1, 1, 1))
        return None, result if weight is None else result.mul_(weight), None, None


class _WeightGradient(torch.autograd.Function):
    """Identity, bit for bit, whose gradient is multiplied by a weight."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(weight)
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (weight,) = ctx.saved_tensors
        return gradient * weight, None


class _Sums(NamedTuple):
    """Of two maps, for each token: dot product and norms, [B, H, W] each."""

    dot: Tensor
    en: Tensor
    de: Tensor

    @classmethod
    def over_channels(cls, en: Tensor, de: Tensor) -> _Sums:
        return cls(
            (en * de).sum(1), torch.linalg.vector_norm(en, dim=1), torch.linalg.vector_norm(de, dim=1)
        )

    def distance(self) -> Tensor:
        return 1 - self.dot / (self.en.clamp_min(EPS) * self.de.clamp_min(EPS))


def _gradient_form(
    en: Tensor, de: Tensor, tail: Callable[[Tensor], Tensor], factor: float, _background: float
) -> Tensor:
    """The reference's: the cosine of whole maps; tokens outside the tail pull with ``factor``."""
    en, de = in_single_precision(en), in_single_precision(de)
    with torch.no_grad():
        sums = _Sums.over_channels(en, de)
        weight = None
        if factor != 1:
            inside = tail(sums.distance()).unsqueeze(1)  # [B, 1, H, W]
            weight = torch.where(inside, 1.0, factor).to(de.dtype)
    return (1 - _WholeMapCosine.apply(en, de, sums, weight)).mean()


def _masked_form(
    en: Tensor, de: Tensor, tail: Callable[[Tensor], Tensor], _factor: float, background: float
) -> Tensor:
    """Mean token distance: (1 - background) of it over the tail, ``background`` over all tokens."""
    d = distance(en, de)
    if background == 1:
        return d.mean()
    inside = tail(d.detach())
    of_tail = torch.where(inside, d, 0.0).sum() / inside.sum()
    return (1 - background) * of_tail + background * d.mean() if background else of_tail


_FORMS: Mapping[str, Form] = MappingProxyType({"gradient": _gradient_form, "masked": _masked_form})


class LooseLoss:
    """Mean over groups of the loss between encoder and decoder maps.

    For ``form: gradient`` the value does not depend on the tail at all, only the gradient does; it
    is not comparable with the value of ``form: masked``.
    """

    def __init__(self, config: TailConfig) -> None:
        self.config = config
        self._form = _FORMS[config.form]

    def __call__(
        self,
        en: Sequence[Tensor],
        de: Sequence[Tensor],
        *,
        q: float,
        alpha: float,
        beta: float,
        factor: float,
        background: float = 0.0,
        weights: Callable[[Tensor], Tensor | None] | None = None,
    ) -> Tensor:
        """Scalar loss of G pairs of maps [B, C, H, W]; no gradient reaches ``en``.

        q, alpha, beta: the tail's current values, see :func:`model.priors.tail.tail_mask`.
        factor: on the gradient at tokens outside the tail (``form: gradient`` only).
        background: share of the mean over all tokens (``form: masked`` only).
        weights: distances [B, H, W] of one group -> factors [B, H, W] on the gradient at its tokens, on
            top of the tail's, or None for none.
        Raises ``ValueError`` if the numbers of encoder and decoder maps differ or are zero.
        """
        if len(en) != len(de) or not en:
            raise ValueError(f"got {len(en)} encoder maps and {len(de)} decoder maps")

        def tail(d: Tensor) -> Tensor:
            if tail_size(d.numel(), q) == d.numel():  # q = 1: everything, no need to look
                return torch.ones_like(d, dtype=torch.bool)
            return tail_mask(d, q, alpha, beta, self.config)

        losses = [
            self._form(a.detach(), _weighted(a, b, weights), tail, factor, background)
            for a, b in zip(en, de, strict=True)
        ]
        return torch.stack(losses).mean()


def _weighted(en: Tensor, de: Tensor, weights: Callable[[Tensor], Tensor | None] | None) -> Tensor:
    """``de`` as it is, with factors on the gradient that it will receive."""
    if weights is None:
        return de
    with torch.no_grad():
        factors = weights(distance(en, de))
    return de if factors is None else _WeightGradient.apply(de, factors.unsqueeze(1).to(de.dtype))
