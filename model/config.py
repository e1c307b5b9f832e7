"""Every number that can change a result, in one frozen dataclass per part of the model.

Unusual here: a *knob* is a number or a :class:`Schedule` over training progress (prior A2), so any
scalar may be annealed from the YAML file; and the field docstrings are the JSON schema's
descriptions, so an editor shows them. No torch here: planning a study must stay quick.

``build_config`` turns nested plain data into a :class:`ModelConfig`; ``dump_config`` is its exact
inverse (YAML names, e.g. ``lambda``), and what a run's key is hashed from.
"""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Mapping
from dataclasses import field, fields
from types import MappingProxyType
from typing import Annotated, Any, Literal, get_args, get_type_hints

from pydantic import BeforeValidator, Field, TypeAdapter, WithJsonSchema, model_validator
from pydantic.dataclasses import dataclass

from model.baselines.config import KnnConfig, PositionKnnConfig, SubspaceConfig
from model.knobs import SECTION, Knob, Positive, Schedule, Shape, within
from model.priors.config import BiasConfig, Direction, TailConfig, TokenDropoutConfig
from model.priors.entries import PluginSections

__all__ = [
    "BiasConfig",
    "BottleneckConfig",
    "CacheConfig",
    "DecoderConfig",
    "Direction",
    "EncoderConfig",
    "ImageConfig",
    "KnnConfig",
    "Knob",
    "ModelConfig",
    "PluginSections",
    "PositionKnnConfig",
    "RecentreConfig",
    "Schedule",
    "ScoreConfig",
    "Shape",
    "SubspaceConfig",
    "TailConfig",
    "ThresholdConfig",
    "TokenDropoutConfig",
    "TrainConfig",
    "build_config",
    "dump_config",
]


def _size(value: Any) -> Any:
    """An image size: one number for a square, or ``[height, width]``."""
    if isinstance(value, int) and not isinstance(value, bool):
        return (value, value)
    # After a function, pydantic's strict mode no longer takes JSON's lists for tuples.
    return tuple(value) if isinstance(value, list) else value


Size = Annotated[
    tuple[Positive, Positive],
    BeforeValidator(_size),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1},
                {
                    "type": "array",
                    "items": {"type": "integer", "minimum": 1},
                    "minItems": 2,
                    "maxItems": 2,
                },
            ]
        }
    ),
]


@dataclass(frozen=True, config=SECTION)
class ImageConfig:
    """Preprocessing: resize (PIL bilinear), to tensor, centre crop, ImageNet normalisation."""

    resize: Size = (448, 448)
    """Height and width after resizing, pixels; one number for a square."""
    crop: Size = (392, 392)
    """Height and width of the centre crop = the network's input, pixels."""

    @model_validator(mode="after")
    def _check(self) -> ImageConfig:
        if self.crop[0] > self.resize[0] or self.crop[1] > self.resize[1]:
            raise ValueError(f"crop {list(self.crop)} is larger than resize {list(self.resize)}")
        return self


@dataclass(frozen=True, config=SECTION)
class EncoderConfig:
    """The frozen encoder: whose tokens are reconstructed."""

    name: str = "vit_base_patch14_reg4_dinov2"
    """A timm Vision Transformer's name, or a built-in encoder: ``texture`` or ``efficientnet-lite0``."""
    pretrained: bool = True
    """Load the weights timm publishes for ``name`` (needs the network once)."""
    weights: str | None = None
    """A local file instead: timm-format .safetensors/.pth or the original DINOv2 .pth."""
    seed: int = 0
    """Seed of the random weights where neither ``pretrained`` nor ``weights`` gives any."""
    blocks: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = (
        2, 3, 4, 5, 6, 7, 8, 9,
    )  # fmt: skip
    """Indices of the blocks (layers) whose outputs are reconstructed, ascending."""

    @model_validator(mode="after")
    def _check(self) -> EncoderConfig:
        if list(self.blocks) != sorted(set(self.blocks)):
            raise ValueError(f"blocks must ascend without repeats, got {list(self.blocks)}")
        return self


@dataclass(frozen=True, config=SECTION)
class RecentreConfig:
    """Context recentring (Dinomaly2): subtract the class token from the patch tokens."""

    mode: Literal["none", "targets", "inputs", "both"] = "none"
    """Where: in what the decoder must rebuild, in what the bottleneck reads, or in both."""
    norm: Literal["none", "layernorm"] = "none"
    """What follows in the targets: nothing, or a LayerNorm without parameters (eps 1e-8)."""
    drop_prefix: bool = False
    """Keep class and register tokens from bottleneck and decoder."""

    @model_validator(mode="after")
    def _check(self) -> RecentreConfig:
        if self.norm != "none" and self.mode not in ("targets", "both"):
            raise ValueError(f"norm: {self.norm} follows recentred targets, which mode: {self.mode} lacks")
        if self.drop_prefix and self.mode == "none":
            raise ValueError("drop_prefix needs a mode other than none")
        return self


@dataclass(frozen=True, config=SECTION)
class BottleneckConfig:
    """The noisy bottleneck: an MLP C -> ratio*C -> C with noise at input, hidden and output."""

    dropout: Annotated[Knob, within(0, 0.99)] = 0.2
    """Dropout rate, or for ``noise: gaussian`` the noise's sd relative to the activations' sd."""
    noise: Literal["dropout", "gaussian"] = "dropout"
    """Kind of noise."""
    mlp_ratio: Annotated[float, Field(gt=0)] = 4.0
    """Hidden width over C."""
    rank: Positive | None = None
    """Dinomaly2's three layers: C -> rank -> ratio*C -> C, with noise after each and none at the
    input (256 there); null = the two layers of Dinomaly."""
    rank_lr: Annotated[float, Field(gt=0)] | None = 2e-4
    """Peak learning rate of the layer to ``rank``; train.lr if null."""


@dataclass(frozen=True, config=SECTION)
class DecoderConfig:
    """The decoder: pre-norm Transformer blocks that rebuild the encoder's layers."""

    depth: Positive = 8
    """Number of blocks."""
    heads: Positive | None = None
    """Attention heads; the encoder's number if not given."""
    attention: Literal["linear", "softmax"] = "linear"
    """Linear attention (elu + 1) is the paper's; softmax its alternative."""
    neighbour_mask: Annotated[int, Field(ge=0)] = 0
    """Forbid attention to the (odd) n x n neighbourhood of each token; 0 = off. Softmax only."""
    neighbour_mask_form: Literal["zeroed", "masked"] = "zeroed"
    """Forbidden weights are set to 0 after the softmax (the reference), or left out of it, so that
    the others sum to 1."""
    mlp_ratio: Annotated[float, Field(gt=0)] = 4.0
    """Hidden width of a block's MLP over C."""
    attention_eps: Annotated[float, Field(ge=0)] = 0.0
    """Added to linear attention's denominator (guards half precision against NaN)."""

    @model_validator(mode="after")
    def _check(self) -> DecoderConfig:
        if self.neighbour_mask and self.attention != "softmax":
            raise ValueError("neighbour_mask needs attention: softmax (a zeroed pair has no linear form)")
        if self.neighbour_mask and self.neighbour_mask % 2 == 0:
            raise ValueError(f"neighbour_mask must be odd, got {self.neighbour_mask}")
        return self


@dataclass(frozen=True, config=SECTION)
class TrainConfig:
    """Optimisation (StableAdamW, warm-up + cosine)."""

    iterations: Positive = 10_000
    """Optimiser steps."""
    batch_size: Positive = 16
    """Images per step."""
    lr: Annotated[float, Field(gt=0)] = 2e-3
    """Peak learning rate."""
    final_lr: Annotated[float, Field(ge=0)] = 2e-4
    """Learning rate at the end of the cosine."""
    warmup: Annotated[int, Field(ge=0)] = 100
    """Iterations of linear warm-up from 0."""
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (
        0.9,
        0.999,
    )
    """Decay rates of the moments."""
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    """Decoupled weight decay."""
    eps: Annotated[float, Field(gt=0)] = 1e-10
    """Optimiser eps (1e-8 in the per-category recipe)."""
    amsgrad: bool = True
    """Divide by the largest second moment so far (Dinomaly), or by the current one (Dinomaly2)."""
    update_clip: Annotated[float, Field(gt=0)] = 1.0
    """StableAdamW's clip on the update's RMS."""
    grad_clip: Annotated[float, Field(gt=0)] = 0.1
    """Clip on the gradient's norm."""
    precision: Literal["float32", "bfloat16", "auto"] = "float32"
    """Autocast type of the decoder's matrix products; auto = bfloat16 on hardware that has it, else
    float32, so for studies that run on one kind of machine."""
    until: Literal["iterations", "plateau"] = "iterations"
    """Train for all iterations, or stop where the loss has levelled off. Schedules still run over
    ``iterations``, so what stops early never sees their end: a thing to study, not a shortcut."""
    plateau_window: Positive = 500
    """Steps whose mean loss is compared with that of as many steps before (until: plateau)."""
    plateau_gain: Annotated[float, Field(ge=0, lt=1)] = 0.01
    """Least share by which it must have fallen for training to go on (until: plateau)."""
    deterministic: bool = True
    """Ask torch for deterministic kernels where it has them."""
    checkpoint_every: Annotated[int, Field(ge=0)] = 500
    """Iterations between resumable checkpoints; 0 = only when interrupted."""


@dataclass(frozen=True, config=SECTION)
class ThresholdConfig:
    """A decision threshold on image scores, set on normal training images that are held out."""

    quantile: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Share of normal images that shall pass: 0.95 lets one in twenty be called NG; null = no threshold."""
    holdout: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of each category's training images that is held out for it, so not trained on."""


@dataclass(frozen=True, config=SECTION)
class ScoreConfig:
    """Scoring at inference; the same for every variant of a fair study."""

    map_size: Positive = 256
    """Side to which anomaly maps and masks are brought before smoothing and metrics, pixels."""
    kernel: Positive = 5
    """Gaussian smoothing kernel, pixels."""
    sigma: Annotated[float, Field(gt=0)] = 4.0
    """Its standard deviation, pixels."""
    max_ratio: Annotated[float, Field(ge=0, le=1)] = 0.01
    """Image score = mean of this share of the highest pixels; 0 = the maximum."""
    mask_threshold: Literal["reference", "half"] = "reference"
    """Mask pixels count as defect where > 0 after resampling (reference), or > 0.5."""
    threshold: ThresholdConfig = field(default_factory=ThresholdConfig)
    """OK or NG, in counts and F1."""


@dataclass(frozen=True, config=SECTION)
class CacheConfig:
    """How the frozen encoder's features are kept."""

    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Type on disk; half precision halves the size and rounds the features."""
    budget_gb: Annotated[float, Field(ge=0)] = 50.0
    """Disk budget; above it, images stream through the encoder instead (same results
    up to rounding)."""


Method = Literal["dinomaly", "knn", "position-knn", "subspace"]
Groups = Literal["two", "one", "three", "four", "dense", "sparse"]

_COUNTS: Mapping[str, int] = MappingProxyType({"one": 1, "two": 2, "three": 3, "four": 4, "sparse": 2})


@dataclass(frozen=True, config=SECTION)
class ModelConfig:
    """One detector with its training and scoring: what a variant resolves to."""

    method: Method = "dinomaly"
    """What detects anomalies: Dinomaly, or a reference row without training on the same features."""
    image: ImageConfig = field(default_factory=ImageConfig)
    """Preprocessing."""
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    """Frozen encoder."""
    groups: Groups = "two"
    """Loose constraint: layers compared in two groups (default), one, three, four, or layer to layer
    (dense); sparse compares the last layers of two groups alone, while the bottleneck reads all."""
    recentre: RecentreConfig = field(default_factory=RecentreConfig)
    """Context recentring."""
    bottleneck: BottleneckConfig = field(default_factory=BottleneckConfig)
    """Noisy bottleneck."""
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    """Decoder."""
    token_dropout: TokenDropoutConfig = field(default_factory=TokenDropoutConfig)
    """Prior A."""
    tail: TailConfig = field(default_factory=TailConfig)
    """Prior B and the reference's hard mining."""
    bias: BiasConfig = field(default_factory=BiasConfig)
    """Prior C."""
    train: TrainConfig = field(default_factory=TrainConfig)
    """Optimisation."""
    knn: KnnConfig = field(default_factory=KnnConfig)
    """For method: knn."""
    position_knn: PositionKnnConfig = field(default_factory=PositionKnnConfig)
    """For method: position-knn."""
    subspace: SubspaceConfig = field(default_factory=SubspaceConfig)
    """For method: subspace."""
    score: ScoreConfig = field(default_factory=ScoreConfig)
    """Scoring."""
    cache: CacheConfig = field(default_factory=CacheConfig)
    """Feature cache."""
    plugins: PluginSections = field(default_factory=PluginSections)
    """Priors that plug-ins bring."""

    @model_validator(mode="after")
    def _check(self) -> ModelConfig:
        layers, groups = len(self.encoder.blocks), self.group_count
        if self.method != "dinomaly":
            if groups > layers:
                raise ValueError(f"groups: {self.groups} needs at least {groups} encoder blocks")
            return self
        depth = self.decoder.depth
        if groups > layers or groups > depth:
            raise ValueError(f"groups: {self.groups} needs at least {groups} encoder and decoder blocks")
        if self.groups == "dense" and layers != depth:
            raise ValueError(
                f"groups: dense pairs layers one to one, but encoder.blocks has {layers} "
                f"and decoder.depth is {depth}"
            )
        dropout = self.token_dropout
        try:
            dropout.matched(self.train.iterations)
        except ValueError as error:
            raise ValueError(f"token_dropout.mean_rate {dropout.mean_rate} scales rate too far") from error
        if dropout.pattern != "none" and dropout.fill == "donor" and self.train.batch_size == 1:
            raise ValueError(
                "token_dropout.fill: donor takes tokens of another image: train.batch_size > 1"
            )
        for path, blocks in (
            ("token_dropout.blocks", self.token_dropout.blocks),
            ("bias.blocks", self.bias.blocks or ()),
        ):
            if any(block >= depth for block in blocks):
                raise ValueError(f"{path} {list(blocks)}: the decoder has blocks 0..{depth - 1}")
        return self

    @property
    def group_count(self) -> int:
        """G, the number of groups that loss and score compare."""
        return len(self.encoder.blocks) if self.groups == "dense" else _COUNTS[self.groups]

    @property
    def stored_count(self) -> int:
        """Means per image that teacher and cache give: the groups, and for ``sparse`` then one of all
        layers, because no mean over its groups gives it."""
        return self.group_count + (self.groups == "sparse")

    def splits(self, count: int) -> list[list[int]]:
        """``range(count)`` cut into G contiguous parts, the first ones longer if it is uneven.

        ``sparse`` keeps the last of each part alone.
        """
        size, extra = divmod(count, self.group_count)
        starts = [i * size + min(i, extra) for i in range(self.group_count + 1)]
        parts = [list(range(a, b)) for a, b in itertools.pairwise(starts)]
        return [part[-1:] for part in parts] if self.groups == "sparse" else parts


_ADAPTER: TypeAdapter[ModelConfig] = TypeAdapter(ModelConfig)


def build_config(values: Mapping[str, Any]) -> ModelConfig:
    """Validate nested plain data (YAML names) into a :class:`ModelConfig`.

    Raises ``pydantic.ValidationError``, whose ``loc`` is the path of the offending value.
    """
    # By way of JSON: its strict mode takes lists for tuples, yet never "3" or true for a number.
    return _ADAPTER.validate_json(json.dumps(values), strict=True)


@functools.cache  # a plan asks thousands of times
def knobs_of(section: type) -> tuple[str, ...]:
    """Fields of a section's dataclass that may be schedules, in order: their annotations say so."""
    return tuple(name for name, hint in get_type_hints(section).items() if Schedule in get_args(hint))


def sections_of(method: str) -> tuple[str, ...]:
    """Parts of :class:`ModelConfig` that a method reads, in order; the others do nothing to it."""
    names = [part.name for part in fields(ModelConfig)]
    if method == "dinomaly":
        return tuple(name for name in names if name not in ("knn", "position_knn", "subspace"))
    common = ("method", "image", "encoder", "groups", "score", "cache")
    return tuple(name for name in names if name in (*common, method.replace("-", "_")))


def dump_config(config: ModelConfig) -> dict[str, Any]:
    """Nested plain data with YAML names; ``build_config(dump_config(c)) == c``.

    ``plugins`` stands in it only where a plug-in's prior acts: other configurations do not know of any.
    """
    dumped = _ADAPTER.dump_python(config, mode="json", by_alias=True)
    if not config.plugins:
        del dumped["plugins"]
    return dumped
