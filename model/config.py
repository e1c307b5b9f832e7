"""Every number that can change a result, in one frozen dataclass per part of the model.

Unusual here: a *knob* is a number or a :class:`Schedule` over training progress (prior A2), so any
scalar may be annealed from the YAML file; and the field docstrings are the JSON schema's
descriptions, so an editor shows them. No torch here: planning a study must stay quick.

``build_config`` turns nested plain data into a :class:`ModelConfig`; ``dump_config`` is its exact
inverse (YAML names, e.g. ``lambda``), and what a run's key is hashed from.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import field
from typing import Annotated, Any, Literal, get_args, get_type_hints

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    WithJsonSchema,
    model_validator,
)
from pydantic.dataclasses import dataclass

SECTION = ConfigDict(
    extra="forbid", use_attribute_docstrings=True, populate_by_name=True, allow_inf_nan=False
)

Direction = Literal["horizontal", "vertical", "both"]
Shape = Literal["constant", "linear", "cosine", "exponential", "step"]


@dataclass(frozen=True, config=SECTION)
class Schedule:
    """A knob's value over training progress in [0, 1] (prior A2); inference uses the final value."""

    from_: Annotated[float, Field(alias="from")]
    """Value up to ``begin``."""
    to: float
    """Value from ``end`` on."""
    shape: Shape = "linear"
    """How it moves between: ``step`` jumps half-way; ``constant`` is ``to`` throughout."""
    begin: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Progress at which it starts to move."""
    end: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Progress at which it has arrived."""

    @model_validator(mode="after")
    def _check(self) -> Schedule:
        if self.end < self.begin:
            raise ValueError(f"schedule ends ({self.end}) before it begins ({self.begin})")
        if self.shape == "exponential" and (self.from_ <= 0 or self.to <= 0):
            raise ValueError(f"an exponential schedule needs positive ends, got {self.from_} and {self.to}")
        return self


def _within(low: float, high: float, *, open_low: bool = False) -> Any:
    """Validator of a knob: each value it can take lies in [low, high] (or (low, high])."""
    bracket = "(" if open_low else "["

    def check(value: Any) -> Any:
        ends = (value.from_, value.to) if isinstance(value, Schedule) else (value,)
        for end in ends:
            if isinstance(end, (int, float)) and not (
                (low < end if open_low else low <= end) and end <= high
            ):
                raise ValueError(f"{end:g} is outside the allowed range {bracket}{low:g}, {high:g}]")
        return value

    return AfterValidator(check)


def _size(value: Any) -> Any:
    """An image size: one number for a square, or ``[height, width]``."""
    if isinstance(value, int) and not isinstance(value, bool):
        return (value, value)
    # After a function, pydantic's strict mode no longer takes JSON's lists for tuples.
    return tuple(value) if isinstance(value, list) else value


Knob = float | Schedule
Share = Annotated[Knob, _within(0, 1)]
Positive = Annotated[int, Field(ge=1)]
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
    """A timm Vision Transformer's name, or a built-in encoder: ``texture``."""
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
class BottleneckConfig:
    """The noisy bottleneck: an MLP C -> ratio*C -> C with noise at input, hidden and output."""

    dropout: Annotated[Knob, _within(0, 0.99)] = 0.2
    """Dropout rate, or for ``noise: gaussian`` the noise's sd relative to the activations' sd."""
    noise: Literal["dropout", "gaussian"] = "dropout"
    """Kind of noise."""
    mlp_ratio: Annotated[float, Field(gt=0)] = 4.0
    """Hidden width over C."""


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
class TokenDropoutConfig:
    """Prior A: patch tokens are cut along a direction, in training only."""

    pattern: Literal["none", "token", "segment", "stripe", "block"] = "none"
    """i.i.d. tokens, runs of random length (the proposal), whole lines, or squares (DropBlock)."""
    direction: Direction = "horizontal"
    """Along which axis segments and stripes run; ``both``: each image draws one axis."""
    rate: Annotated[Knob, _within(0, 0.95)] = 0.2
    """Expected fraction dropped, the same at every grid position for every pattern."""
    length: tuple[Positive, Positive] = (2, 6)
    """Shortest and longest segment, or smallest and largest block side, in tokens."""
    fill: Literal["zero", "mean", "neighbour", "learned"] = "zero"
    """What replaces a cut token: zeros, the image's mean token, shuffled kept tokens, a parameter."""
    rescale: bool = False
    """Inverted-dropout rescaling of kept tokens (``fill: zero`` only)."""
    site: Literal["bottleneck_input", "decoder_input", "decoder_blocks"] = "decoder_input"
    """Where the tokens are cut."""
    blocks: tuple[Annotated[int, Field(ge=0)], ...] = ()
    """For ``site: decoder_blocks``: before which decoder blocks (each draws its own mask)."""

    @model_validator(mode="after")
    def _check(self) -> TokenDropoutConfig:
        if self.length[0] > self.length[1]:
            raise ValueError(f"length must be [shortest, longest], got {list(self.length)}")
        if self.rescale and self.fill != "zero":
            raise ValueError(f"rescale applies to fill: zero only, got fill: {self.fill}")
        if (self.site == "decoder_blocks") != bool(self.blocks):
            raise ValueError("site: decoder_blocks and a non-empty blocks list go together")
        return self


@dataclass(frozen=True, config=SECTION)
class TailConfig:
    """Prior B: which tokens the loss's tail holds, in training only."""

    q: Annotated[Knob, _within(0, 1, open_low=True)] = 0.1
    """Fraction of tokens in the tail; the reference's p = 0.9 is q = 0.1; 1 = no mining."""
    ramp: Annotated[int, Field(ge=0)] = 1000
    """Iterations over which the tail shrinks linearly from all tokens to q."""
    scope: Literal["batch", "image"] = "batch"
    """Tokens compete within the batch (reference) or within their image."""
    alpha: Share = 0.0
    """Weight of directional structure in the criterion: 0 = pixel by pixel, 1 = structure only."""
    structure: Literal["box", "coherence"] = "box"
    """Box mean along minus beta * box mean across, or structure-tensor coherence x alignment."""
    direction: Direction = "horizontal"
    """Direction of the structure; vertical is the control; both takes the larger of the two."""
    length: Positive = 3
    """L: half-length of the box; it spans 2 L + 1 tokens."""
    beta: Annotated[Knob, _within(0, 10)] = 1.0
    """Weight of the box mean across the direction."""
    form: Literal["gradient", "masked"] = "gradient"
    """Scale gradients outside the tail (reference), or average the distance over the tail only."""
    factor: Share = 0.1
    """For ``form: gradient``: factor on gradients outside the tail."""


@dataclass(frozen=True, config=SECTION)
class BiasConfig:
    """Prior C: attention between tokens of one row (or column) is weakened."""

    lambda_: Annotated[Knob | Literal["learned"], _within(0, 1), Field(alias="lambda")] = 0.0
    """Strength in [0, 1], a schedule, or ``learned`` (one per head); 0 = the plain block."""
    kernel: Literal["box", "triangle", "gaussian"] = "box"
    """How the weakening falls off with distance along the line."""
    half_width: Positive | Literal["row"] = "row"
    """Reach w in tokens; ``row``: the whole line."""
    direction: Direction = "horizontal"
    """Which neighbours: of the row, of the column, or both (isotropic control)."""
    blocks: tuple[Annotated[int, Field(ge=0)], ...] | None = None
    """Decoder blocks it acts in; all if not given."""


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
    update_clip: Annotated[float, Field(gt=0)] = 1.0
    """StableAdamW's clip on the update's RMS."""
    grad_clip: Annotated[float, Field(gt=0)] = 0.1
    """Clip on the gradient's norm."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Autocast type of the decoder's matrix products."""
    deterministic: bool = True
    """Ask torch for deterministic kernels where it has them."""
    checkpoint_every: Annotated[int, Field(ge=0)] = 500
    """Iterations between resumable checkpoints; 0 = only when interrupted."""


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


@dataclass(frozen=True, config=SECTION)
class CacheConfig:
    """How the frozen encoder's features are kept."""

    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Type on disk; half precision halves the size and rounds the features."""
    budget_gb: Annotated[float, Field(ge=0)] = 50.0
    """Disk budget; above it, images stream through the encoder instead (same results
    up to rounding)."""


@dataclass(frozen=True, config=SECTION)
class ModelConfig:
    """One Dinomaly with its training and scoring: what a variant resolves to."""

    image: ImageConfig = field(default_factory=ImageConfig)
    """Preprocessing."""
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    """Frozen encoder."""
    groups: Literal["two", "one", "dense"] = "two"
    """Loose constraint: layers compared in two groups (default), one, or layer to layer."""
    recentre: bool = False
    """Context recentring (Dinomaly2): subtract the class token from the patch tokens."""
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
    score: ScoreConfig = field(default_factory=ScoreConfig)
    """Scoring."""
    cache: CacheConfig = field(default_factory=CacheConfig)
    """Feature cache."""

    @model_validator(mode="after")
    def _check(self) -> ModelConfig:
        layers, depth = len(self.encoder.blocks), self.decoder.depth
        groups = self.group_count
        if groups > layers or groups > depth:
            raise ValueError(f"groups: {self.groups} needs at least {groups} encoder and decoder blocks")
        if self.groups == "dense" and layers != depth:
            raise ValueError(
                f"groups: dense pairs layers one to one, but encoder.blocks has {layers} "
                f"and decoder.depth is {depth}"
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
        return {"one": 1, "two": 2, "dense": len(self.encoder.blocks)}[self.groups]

    def splits(self, count: int) -> list[list[int]]:
        """``range(count)`` cut into G contiguous parts, the first ones longer if it is uneven."""
        size, extra = divmod(count, self.group_count)
        starts = [i * size + min(i, extra) for i in range(self.group_count + 1)]
        return [list(range(a, b)) for a, b in itertools.pairwise(starts)]


_ADAPTER: TypeAdapter[ModelConfig] = TypeAdapter(ModelConfig)


def build_config(values: Mapping[str, Any]) -> ModelConfig:
    """Validate nested plain data (YAML names) into a :class:`ModelConfig`.

    Raises ``pydantic.ValidationError``, whose ``loc`` is the path of the offending value.
    """
    # By way of JSON: its strict mode takes lists for tuples, yet never "3" or true for a number.
    return _ADAPTER.validate_json(json.dumps(values), strict=True)


def knobs_of(section: type) -> tuple[str, ...]:
    """Fields of a section's dataclass that may be schedules, in order: their annotations say so."""
    return tuple(name for name, hint in get_type_hints(section).items() if Schedule in get_args(hint))


def dump_config(config: ModelConfig) -> dict[str, Any]:
    """Nested plain data with YAML names; ``build_config(dump_config(c)) == c``."""
    return _ADAPTER.dump_python(config, mode="json", by_alias=True)
