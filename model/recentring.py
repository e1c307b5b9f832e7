"""Context recentring (Dinomaly2): what the class token says of an image is no anomaly of a patch.

One word, three public readings, which differ in *where* the class token is subtracted:

* ``targets``, with ``norm: layernorm``: the method's own released preview. The decoder's targets are
  patches less the class token, then normalised; bottleneck and decoder read plain tokens.
* ``both``: targets and inputs alike, the prefix tokens passed on as they are.
* ``both`` with ``drop_prefix``: anomalib's. Targets and inputs alike, and the decoder sees no prefix.

``inputs`` alone completes the square: without it, a study could not say which half matters. Pure
functions on group means: subtraction commutes with the mean over a group's layers.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from pydantic import model_validator
from pydantic.dataclasses import dataclass
from torch import Tensor
from torch.nn import functional

from model.config import SECTION
from model.errors import ConfigError

NORM_EPS = 1e-8
"""Added to the variance in the parameterless LayerNorm of the targets."""


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


class Recentred(NamedTuple):
    """What the student trains on."""

    targets: Tensor
    """[B, G, N, C] patches to rebuild."""
    inputs: Tensor
    """[B, G, P' + N, C] tokens that the bottleneck reads."""
    prefix: int
    """P', the prefix tokens among ``inputs``."""


def recentre(groups: Tensor, prefix: int, config: RecentreConfig, *, class_token: bool = True) -> Recentred:
    """Group means [B, G, T, C] -> targets and inputs.

    Parameters
    ----------
    prefix: P; the first of them is the class token if ``class_token``, else all are registers.

    Raises
    ------
    ConfigError: a mode other than ``none`` without a class token. A register is no summary of the
        image, so it is never subtracted in its place.
    """
    before, patches = groups[:, :, :prefix], groups[:, :, prefix:]
    if config.mode == "none":
        return Recentred(patches, groups, prefix)
    if not (prefix and class_token):
        raise ConfigError(
            f"recentre.mode: {config.mode} needs a class token, which this encoder does not have",
            hint="set recentre.mode: none, or choose an encoder with a class token",
        )
    centred = patches - before[:, :, :1]
    targets = centred if config.mode in ("targets", "both") else patches
    if config.norm == "layernorm":
        targets = functional.layer_norm(targets, targets.shape[-1:], eps=NORM_EPS)
    inputs = centred if config.mode in ("inputs", "both") else patches
    if config.drop_prefix:
        return Recentred(targets, inputs, 0)
    return Recentred(targets, torch.cat([before, inputs], dim=2), prefix)
