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

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from model.config import RecentreConfig
from model.errors import ConfigError

NORM_EPS = 1e-8
"""Added to the variance in the parameterless LayerNorm of the targets."""


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
