"""What the published procedure does in a step and in an evaluation, written out from its description.

For comparison only: the encoder runs in every step, dropout draws a number per value, the loss keeps its
tail by a hook on the gradient, the optimiser goes through the tensors one by one, and metrics sweep 200
thresholds. Parameters bear the names of :class:`model.student.Student`, so that one state fits both.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score
from torch import Tensor, nn
from torch.nn import functional

from model.config import ModelConfig, TrainConfig
from model.encoders.base import EncoderShape

THRESHOLDS = 200
LIMIT = 0.3


class Mlp(nn.Module):
    """Two layers with GELU; dropout before, between and after, where a rate is given."""

    def __init__(self, dim: int, hidden: int, rate: float = 0.0) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(dim, hidden), nn.Linear(hidden, dim)
        self.drop = nn.Dropout(rate)

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, C] -> [B, T, C]."""
        return self.drop(self.fc2(self.drop(functional.gelu(self.fc1(self.drop(x))))))


class LinearAttention(nn.Module):
    """elu(x) + 1 as feature map, heads by reshaping, no bias of any kind."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, C] -> [B, T, C]."""
        batch, tokens, dim = x.shape
        shape = (batch, tokens, 3, self.heads, dim // self.heads)
        q, k, v = self.qkv(x).reshape(shape).permute(2, 0, 3, 1, 4)  # each [B, heads, T, D]
        q, k = functional.elu(q) + 1, functional.elu(k) + 1
        kv = torch.einsum("bhtd,bhte->bhde", k, v)
        norm = 1 / torch.einsum("bhtd,bhd->bht", q, k.sum(2))
        out = torch.einsum("bhtd,bhde,bht->bhte", q, kv, norm)
        return self.proj(out.transpose(1, 2).reshape(x.shape))


class Block(nn.Module):
    """Pre-norm Transformer block."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim, eps=1e-8), nn.LayerNorm(dim, eps=1e-8)
        self.attn, self.mlp = LinearAttention(dim, heads), Mlp(dim, 4 * dim)

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, C] -> [B, T, C]."""
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class PublishedStudent(nn.Module):
    """Bottleneck and decoder on the mean of the encoder's layers; groups as the configuration says."""

    def __init__(self, shape: EncoderShape, config: ModelConfig, rate: float) -> None:
        super().__init__()
        self.shape = shape
        self.groups = config.splits(config.decoder.depth)
        sizes = [len(group) for group in config.splits(shape.layers)]
        self.shares = [size / shape.layers for size in sizes]
        self.bottleneck = Mlp(shape.dim, 4 * shape.dim, rate)
        self.decoder = nn.ModuleList(Block(shape.dim, shape.heads) for _ in range(config.decoder.depth))

    def forward(self, groups: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Group means [B, G, T, C] -> encoder and decoder maps, G of [B, C, H, W] each."""
        shared = zip(self.shares, groups.unbind(1), strict=True)
        x = self.bottleneck(torch.stack([share * group for share, group in shared]).sum(0))
        outputs = []
        for block in self.decoder:
            x = block(x)
            outputs.append(x)
        outputs.reverse()
        rebuilt = [torch.stack([outputs[i] for i in group]).mean(0) for group in self.groups]
        return [self._map(g) for g in groups.unbind(1)], [self._map(g) for g in rebuilt]

    def _map(self, tokens: Tensor) -> Tensor:
        patches = tokens[:, self.shape.prefix :].permute(0, 2, 1)
        return patches.reshape(len(tokens), -1, *self.shape.grid).contiguous()


def loss_of(en: list[Tensor], de: list[Tensor], q: float, factor: float) -> Tensor:
    """Cosine of whole maps; a hook shrinks the gradient of all but the ``q`` farthest tokens."""
    total = torch.zeros(())
    for target, rebuilt in zip(en, de, strict=True):
        target = target.detach()
        with torch.no_grad():
            distance = 1 - functional.cosine_similarity(target, rebuilt).unsqueeze(1)
        threshold = torch.topk(distance.reshape(-1), int(distance.numel() * (1 - (1 - q))))[0][-1]
        cosine = functional.cosine_similarity(
            target.reshape(len(target), -1), rebuilt.reshape(len(target), -1)
        )
        total = total + (1 - cosine).mean()
        rebuilt.register_hook(partial(_shrink, easy=distance < threshold, factor=factor))
    return total / len(en)


def _shrink(gradient: Tensor, easy: Tensor, factor: float) -> Tensor:
    easy = easy.expand_as(gradient)
    gradient = gradient.clone()
    gradient[easy] = gradient[easy] * factor
    return gradient


class TensorwiseStableAdamW:
    """StableAdamW with amsgrad, tensor by tensor."""

    def __init__(self, params: Iterable[nn.Parameter], config: TrainConfig) -> None:
        self.params, self.config, self.steps = list(params), config, 0
        self.states: list[dict[str, Any]] = [
            {name: torch.zeros_like(p) for name in ("mean", "square", "largest")} for p in self.params
        ]

    @torch.no_grad()
    def step(self, lr: float) -> None:
        """One update at learning rate ``lr``."""
        self.steps += 1
        beta1, beta2 = self.config.betas
        for p, state in zip(self.params, self.states, strict=True):
            assert p.grad is not None
            p.mul_(1 - lr * self.config.weight_decay)
            state["mean"].mul_(beta1).add_(p.grad, alpha=1 - beta1)
            state["square"].mul_(beta2).addcmul_(p.grad, p.grad, value=1 - beta2)
            torch.maximum(state["largest"], state["square"], out=state["largest"])
            denominator = state["largest"].sqrt() / math.sqrt(1 - beta2**self.steps)
            denominator.add_(self.config.eps)
            rms = (p.grad / denominator).pow(2).mean().sqrt().item()
            size = lr / (1 - beta1**self.steps) / max(1.0, rms / self.config.update_clip)
            p.addcdiv_(state["mean"], denominator, value=-size)
            p.grad = None


def step(
    student: PublishedStudent, groups: Tensor, optimiser: TensorwiseStableAdamW, lr: float, q: float
) -> float:
    """One training step on group means [B, G, T, C]; the loss."""
    loss = loss_of(*student(groups), q, 0.1)
    loss.backward()
    nn.utils.clip_grad_norm_(student.parameters(), optimiser.config.grad_clip)
    optimiser.step(lr)
    return loss.item()


Floats = npt.NDArray[np.floating[Any]]


def metrics(maps: Floats, masks: npt.NDArray[np.uint8], labels: Floats, scores: Floats) -> list[float]:
    """AUROC, AP and F1-max of images and of pixels, AUPRO: the seven of published tables."""
    values = []
    for truth, found in ((labels, scores), (masks.ravel(), maps.ravel())):
        precision, recall, _ = precision_recall_curve(truth, found)
        f1 = (2 * precision * recall / (precision + recall + 1e-7)).max()
        values += [roc_auc_score(truth, found), average_precision_score(truth, found), float(f1)]
    return [*values, aupro(maps, masks)]


def aupro(maps: Floats, masks: npt.NDArray[np.uint8]) -> float:
    """Mean overlap of regions up to 30 % false positives, by a sweep of equally spaced thresholds."""
    labelled = [ndimage.label(mask, structure=np.ones((3, 3))) for mask in masks]
    points = []
    lowest, highest = maps.min(), maps.max()
    for threshold in np.arange(lowest, highest, (highest - lowest) / THRESHOLDS):
        found = maps > threshold
        overlaps = [
            found[i][labels == region].mean()
            for i, (labels, count) in enumerate(labelled)
            for region in range(1, count + 1)
        ]
        wrong = np.logical_and(found, masks == 0).sum() / (masks == 0).sum()
        points.append((wrong, np.mean(overlaps)))
    curve = np.array(sorted(p for p in points if p[0] < LIMIT))
    return float(np.trapezoid(curve[:, 1], curve[:, 0] / curve[:, 0].max()))
