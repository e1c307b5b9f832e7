"""Named starting points; each opens with its paper, cost and expected score. No torch here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_VIT_LARGE_BLOCKS = [4, 6, 8, 10, 12, 14, 16, 18]


@dataclass(frozen=True)
class Preset:
    """A named set of values over :class:`model.config.ModelConfig`'s defaults."""

    name: str
    summary: str
    """Paper, cost and expected score (percent, I-AUROC / P-AUROC / AUPRO)."""
    values: dict[str, Any]
    """Nested plain data in YAML names."""


_ALL = [
    Preset(
        "dinomaly-small",
        "Dinomaly, CVPR 2025, ViT-S/14-reg, unified, 10k iterations; about half the base's cost.",
        {"encoder": {"name": "vit_small_patch14_reg4_dinov2"}},
    ),
    Preset(
        "dinomaly-base",
        "Dinomaly, CVPR 2025, ViT-B/14-reg, unified, 10k iterations; MVTec AD 99.6 / 98.4 / 94.8, "
        "VisA 98.7 / 98.7 / 94.5 in the paper.",
        {},
    ),
    Preset(
        "dinomaly-large",
        "Dinomaly, CVPR 2025, ViT-L/14-reg, every second block; about 3.5 times the base's cost.",
        {"encoder": {"name": "vit_large_patch14_reg4_dinov2", "blocks": _VIT_LARGE_BLOCKS}},
    ),
    Preset(
        "dinomaly-base-percategory",
        "Dinomaly, CVPR 2025, one model per category: 5k iterations, optimiser eps 1e-8. "
        "Set data.setting: per_category beside it.",
        {"train": {"iterations": 5000, "eps": 1e-8}},
    ),
    Preset(
        "dinomaly-base-realiad",
        "Dinomaly, CVPR 2025, Real-IAD unified: 50k iterations, dropout 0.4; 89.3 / 98.8 / 93.9 in "
        "the paper.",
        {"train": {"iterations": 50_000}, "bottleneck": {"dropout": 0.4}},
    ),
    Preset(
        "dinomaly2-base",
        "Dinomaly2, 2025, ViT-B/14-reg, unified, 40k iterations, after its public preview: targets "
        "recentred, low-rank bottleneck, dropout 0.4; MVTec AD 99.9, VisA 99.3 image AUROC in the paper.",
        {
            "recentre": {"mode": "targets", "norm": "layernorm"},
            "bottleneck": {"dropout": 0.4, "rank": 256, "rank_lr": 2e-4},
            "decoder": {"attention_eps": 1e-8},
            "train": {"iterations": 40_000, "final_lr": 2e-3, "amsgrad": False},
        },
    ),
    Preset(
        "pocket",
        "For two CPU cores and no download: the built-in texture encoder and a small decoder; under half "
        "a minute a run, see docs/encoders.md for its numbers. For trying things out; conclusions for "
        "research need DINOv2-class weights.",
        {
            "image": {"resize": 224, "crop": 224},
            "encoder": {"name": "texture", "pretrained": False, "blocks": [0, 1, 2, 3]},
            "decoder": {"depth": 2},
            "train": {"iterations": 100, "batch_size": 4, "warmup": 10},
            "tail": {"ramp": 50},
        },
    ),
    Preset(
        "pocket-real",
        "For two CPU cores and real images: EfficientNet-Lite0's first stages, trained on ImageNet and "
        "installed with this package, and a small decoder; about 15 s a run. Magnetic Tile "
        "76.7 / 71.1 / 67.5; pocket is better on faint horizontal streaks, see docs/encoders.md. "
        "For trying things out; conclusions for research need DINOv2-class weights.",
        {
            "image": {"resize": 320, "crop": 320},
            "encoder": {"name": "efficientnet-lite0", "pretrained": False, "blocks": [0, 1]},
            "decoder": {"depth": 2},
            "train": {"iterations": 100, "batch_size": 4, "warmup": 10},
            "tail": {"ramp": 50},
        },
    ),
]

PRESETS: dict[str, Preset] = {preset.name: preset for preset in _ALL}
