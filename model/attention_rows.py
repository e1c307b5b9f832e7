"""Where a token's reconstruction takes its information from: rows of the decoder's attention.

Recomputed beside the model from what its attentions read, so nothing here takes part in training or in a
score. Weights are those that the outputs are made with: prior C's mask and softmax's neighbour mask
included. Over blocks and heads they are averaged; what earlier blocks have mixed already is not unmixed.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from model.attention import Attention, LinearAttention, SoftmaxAttention, feature_map
from model.priors.bias import bias_mask
from model.priors.geometry import Grid
from model.student import Student


@torch.no_grad()
def attention_row(attention: Attention, x: Tensor, grid: Grid, prefix: int, token: int) -> Tensor:
    """Weights with which ``token``'s output sums the values of all tokens: [B, heads, T].

    x: [B, T, C], the attention's input; token: index among all T, prefix tokens first. For a softmax or
    linear attention that is normalised they sum to 1.
    """
    qkv = attention.qkv(x).unflatten(-1, (3, attention.heads, -1))
    q, k, _ = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # each [B, heads, T, D]
    if isinstance(attention, SoftmaxAttention):
        before, after = attention._masks(q, grid, prefix)
        logits = (q[:, :, [token]] * q.shape[-1] ** -0.5) @ k.mT  # [B, heads, 1, T]
        if before is not None:
            own = before[..., [token], :]
            logits = logits.masked_fill(~own, -torch.inf) if own.dtype == torch.bool else logits + own
        weights = logits.softmax(-1)
        return (weights if after is None else weights * after[..., [token], :]).squeeze(-2)
    assert isinstance(attention, LinearAttention)
    plain = (feature_map(q[:, :, [token]]) @ feature_map(k).mT).squeeze(-2)  # [B, heads, T]
    if not attention.biased:
        return plain / (plain.sum(-1, keepdim=True) + attention.eps)
    assert attention.bias is not None
    mask = bias_mask(
        attention.strength(),
        attention.bias,
        grid,
        prefix,
        tables=attention.relative_tables(),
        device=x.device,
        dtype=plain.dtype,
    )[..., token, :]
    total = plain * mask if attention.bias.form == "weights" else plain
    return plain * mask / (total.sum(-1, keepdim=True) + attention.eps)


@torch.no_grad()
def decoder_rows(student: Student, groups: Tensor, token: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Attention rows of one patch token, averaged over the decoder's blocks and their heads.

    Parameters
    ----------
    groups: group means [B, G, T, C] of images.
    token: row and column of the patch grid.

    Returns
    -------
    [B, H, W] weights of the patch tokens, and [B] the sum of those of the prefix tokens.

    Raises
    ------
    ValueError: the token lies outside the grid.
    """
    height, width = student.grid
    row, column = token
    if not (0 <= row < height and 0 <= column < width):
        raise ValueError(f"token {row},{column} lies outside the grid of {height} x {width}")
    index = student.prefix + row * width + column
    found: list[Tensor] = []

    def keep(attention: Any, inputs: tuple[Any, ...]) -> None:
        x, grid, prefix = inputs
        found.append(attention_row(attention, x, grid, prefix, index).mean(1))  # [B, T]

    hooks = [attention.register_forward_pre_hook(keep) for attention in student.attentions()]
    training = student.training
    try:
        student.eval()(groups)
    finally:
        student.train(training)
        for hook in hooks:
            hook.remove()
    weights = torch.stack(found).mean(0)
    patches = weights[:, student.prefix :].unflatten(1, student.grid)
    return patches, weights[:, : student.prefix].sum(1)
