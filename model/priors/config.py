"""Settings of the priors A, B and C: sections of :class:`model.config.ModelConfig`. No torch here."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from model.knobs import SECTION, Knob, Positive, Schedule, Share, within
from model.priors.schedule import lengths_at, scaled_to_mean

Direction = Literal["horizontal", "vertical", "both"]

Length = Annotated[Positive | Schedule, within(1, math.inf)]
"""A number of tokens; a schedule's values are rounded to whole tokens."""


@dataclass(frozen=True, config=SECTION)
class TokenDropoutConfig:
    """Prior A: patch tokens are cut along a direction, in training only."""

    pattern: Literal["none", "token", "segment", "stripe", "block"] = "none"
    """i.i.d. tokens, runs of random length (the proposal), whole lines, or squares (DropBlock)."""
    direction: Direction = "horizontal"
    """Along which axis segments and stripes run; ``both``: each image draws one axis."""
    rate: Annotated[Knob, within(0, 0.95)] = 0.2
    """Expected fraction dropped, the same at every grid position for every pattern."""
    mean_rate: Annotated[float, Field(gt=0, le=0.95)] | None = None
    """Scale a scheduled ``rate`` so that its mean over training is this; as written if not given."""
    budget: Literal["mean", "exact"] = "mean"
    """The rate holds in the mean over masks, or exactly: round(rate * N) tokens of every image."""
    length: tuple[Length, Length] = (2, 6)
    """Shortest and longest segment, or smallest and largest block side, in tokens; each a knob."""
    fill: Literal["zero", "mean", "neighbour", "learned", "noise", "donor", "swap"] = "zero"
    """What replaces a cut token: zeros, the image's mean token, shuffled kept tokens, a parameter, the
    token plus Gaussian noise of its own sd, another image's token, or one from elsewhere in the image."""
    strength: Annotated[Knob, within(0, 1, open_low=True)] = 1.0
    """Share of the fill in a cut token, in (0, 1]; the token itself keeps the rest."""
    rescale: bool = False
    """Inverted-dropout rescaling to the expected sum (``fill: zero`` only)."""
    site: Literal["bottleneck_input", "decoder_input", "decoder_blocks"] = "decoder_input"
    """Where the tokens are cut."""
    blocks: tuple[Annotated[int, Field(ge=0)], ...] = ()
    """For ``site: decoder_blocks``: before which decoder blocks (each draws its own mask)."""

    @model_validator(mode="after")
    def _check(self) -> TokenDropoutConfig:
        for progress in (0.0, 1.0):
            lengths = lengths_at(self.length, progress)
            if lengths[0] > lengths[1]:
                raise ValueError(f"length must be [shortest, longest], got {list(lengths)}")
        if self.mean_rate is not None and self.rate == 0:
            raise ValueError("mean_rate cannot scale a rate of 0")
        if self.rescale and self.fill != "zero":
            raise ValueError(f"rescale applies to fill: zero only, got fill: {self.fill}")
        if (self.site == "decoder_blocks") != bool(self.blocks):
            raise ValueError("site: decoder_blocks and a non-empty blocks list go together")
        return self

    def matched(self, iterations: int) -> TokenDropoutConfig:
        """The same with ``mean_rate`` worked into ``rate``, for a training of so many iterations."""
        if self.mean_rate is None:
            return self
        return replace(self, rate=scaled_to_mean(self.rate, self.mean_rate, iterations), mean_rate=None)


@dataclass(frozen=True, config=SECTION)
class TailConfig:
    """Prior B: which tokens the loss's tail holds, in training only."""

    q: Annotated[Knob, within(0, 1, open_low=True)] = 0.1
    """Fraction of tokens in the tail; the reference's p = 0.9 is q = 0.1; 1 = no mining."""
    ramp: Annotated[int, Field(ge=0)] = 1000
    """Iterations over which the tail shrinks linearly from all tokens to q."""
    scope: Literal["batch", "image"] = "batch"
    """Tokens compete within the batch (reference) or within their image."""
    alpha: Share = 0.0
    """Weight of directional structure in the criterion: 0 = pixel by pixel, 1 = structure only."""
    combine: Literal["blend", "product", "intersect", "union"] = "blend"
    """Distance and structure: mean of ranks, their product, distance inside a region that structure
    proposes, or a share of the tail for each."""
    structure: Literal["box", "line", "coherence"] = "box"
    """Box mean along minus beta * box mean across, along minus beta * the rows beside (matched line
    filter), or structure-tensor coherence x alignment."""
    direction: Direction = "horizontal"
    """Direction of the structure; vertical is the control; both takes the larger of the two."""
    length: Positive = 3
    """L: half-length of the box; it spans 2 L + 1 tokens."""
    beta: Annotated[Knob, within(0, 10)] = 0.5
    """Weight of what is subtracted: the box mean across, or the rows beside a line."""
    form: Literal["gradient", "masked"] = "gradient"
    """Scale gradients outside the tail (reference), or average the distance over the tail only."""
    factor: Share = 0.1
    """For ``form: gradient``: factor on gradients outside the tail."""
    background: Share = 0.0
    """For ``form: masked``: share of the loss that is the mean over all tokens; 0 = the tail alone."""

    @property
    def apart(self) -> bool:
        """Whether tokens in the tail are treated unlike the others at all."""
        return self.q != 1 and (self.background if self.form == "masked" else self.factor) != 1


@dataclass(frozen=True, config=SECTION)
class BiasConfig:
    """Prior C: attention between tokens of one row (or column) is weakened."""

    lambda_: Annotated[Knob | Literal["learned"], within(0, 1), Field(alias="lambda")] = 0.0
    """Strength in [0, 1], a schedule, or ``learned`` (one per head); 0 = the plain block."""
    kernel: Literal["box", "triangle", "gaussian"] = "box"
    """How the weakening falls off with distance along the line."""
    half_width: Positive | Literal["row"] = "row"
    """Reach w in tokens; ``row``: the whole line."""
    direction: Direction = "horizontal"
    """Which neighbours: of the row, of the column, or both (isotropic control)."""
    rows: Annotated[int, Field(ge=0)] = 0
    """Lines on either side that count as the token's own, for streaks thicker than a token."""
    relative: Literal["none", "learned"] = "none"
    """``learned``: a further factor per head and relative position within the lines, from 1."""
    form: Literal["weights", "values"] = "weights"
    """Attention weights are multiplied, or only the values they bring (the normaliser stays)."""
    lr_multiplier: Annotated[float, Field(gt=0)] = 50.0
    """Learning rate of a learned lambda or table, in logarithmic units, over the model's."""
    blocks: tuple[Annotated[int, Field(ge=0)], ...] | None = None
    """Decoder blocks it acts in; all if not given."""

    @model_validator(mode="after")
    def _check(self) -> BiasConfig:
        if self.rows and self.direction == "both":
            raise ValueError("rows needs one direction: near a token, bands of rows and columns overlap")
        return self
