"""From an encoder's name to the encoder, its fingerprint and its description.

A table of entries: the built-in names, those that plug-ins register, and timm for every other name.
No torch here until an encoder is built: planning a study asks for fingerprints only.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from model.code_identity import check_source
from model.config import EncoderConfig
from model.encoders.efficientnet_id import (
    EFFICIENTNET,
    efficientnet_description,
    efficientnet_fingerprint,
)
from model.encoders.identity import (
    texture_description,
    texture_fingerprint,
    timm_description,
    timm_fingerprint,
    weights_at_hand,
)
from model.errors import CheckpointError, ConfigError

if TYPE_CHECKING:
    from model.encoders.base import Encoder


@dataclass(frozen=True)
class EncoderEntry:
    """One kind of encoder. Its functions import torch, if they need it, when they are called."""

    build: Callable[[EncoderConfig, tuple[int, int]], Encoder]
    """(config, (height, width) of the input in pixels) -> the frozen encoder."""
    fingerprint: Callable[[EncoderConfig], str]
    """What identifies the weights in run keys and cache names; it must change whenever tokens do."""
    describe: Callable[[EncoderConfig], str]
    """One line for reports: which encoder, and what its features are good for."""
    own_weights: bool = False
    """It brings its weights along: ``pretrained``, ``weights`` and ``seed`` are not read."""

    def missing_weights(self, config: EncoderConfig) -> str:
        """What lacks on this machine, in a few words; empty if the weights are at hand.

        Quick: file names alone. Raises CheckpointError if a lacking file, or a lacking download where
        HF_HUB_OFFLINE forbids one, would stop every run.
        """
        if self.own_weights or weights_at_hand(config):
            return ""
        if config.weights:
            raise CheckpointError(
                f"weights file {config.weights} does not exist", hint="check encoder.weights"
            )
        if self.fingerprint is not timm_fingerprint:  # where a plug-in's download lies, only it knows
            return ""
        lacking = f"the published weights of {config.name} are not on this machine"
        if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
            raise CheckpointError(
                f"{lacking}, and HF_HUB_OFFLINE forbids to download them",
                hint="download them once where there is a network, or set encoder.weights: FILE "
                "(or encoder.pretrained: false for random weights, to check the pipeline only)",
            )
        return f"{lacking}: they are downloaded when they are first needed"


def _build_timm(config: EncoderConfig, image_size: tuple[int, int]) -> Encoder:
    from model.encoders.timm_vit import build_timm

    return build_timm(config, image_size)


def _build_texture(config: EncoderConfig, image_size: tuple[int, int]) -> Encoder:
    from model.encoders.texture import build_texture

    return build_texture(config, image_size)


def _build_efficientnet(config: EncoderConfig, image_size: tuple[int, int]) -> Encoder:
    from model.encoders.efficientnet import build_efficientnet

    return build_efficientnet(config, image_size)


_TIMM = EncoderEntry(_build_timm, timm_fingerprint, timm_description)
_ENTRIES: dict[str, EncoderEntry] = {
    "texture": EncoderEntry(_build_texture, texture_fingerprint, texture_description, own_weights=True),
    EFFICIENTNET: EncoderEntry(
        _build_efficientnet, efficientnet_fingerprint, efficientnet_description, own_weights=True
    ),
}


def register_encoder(name: str, entry: EncoderEntry) -> None:
    """Make ``encoder.name: <name>`` mean ``entry``, in this process.

    Raises ConfigError if the name is taken: two plug-ins that disagree would give one key two results.
    """
    if _ENTRIES.get(name) is entry:
        return
    if name in _ENTRIES:
        raise ConfigError(f"an encoder named '{name}' is registered already")
    check_source(entry.build, f"what builds encoder '{name}'")
    _ENTRIES[name] = entry


def entry_of(name: str) -> EncoderEntry:
    """The entry of a registered name, or timm's."""
    return _ENTRIES.get(name, _TIMM)


def build_encoder(config: EncoderConfig, image_size: tuple[int, int]) -> Encoder:
    """The frozen encoder for inputs of ``image_size`` (height, width) pixels.

    Raises ConfigError (unknown name, size not a multiple of the patch, missing blocks) or
    CheckpointError (weights missing or not fitting).
    """
    return entry_of(config.name).build(config, image_size)


def weights_fingerprint(config: EncoderConfig) -> str:
    """What identifies the encoder's weights in run keys and cache names."""
    return entry_of(config.name).fingerprint(config)


def describe(config: EncoderConfig) -> str:
    """One line for reports: which encoder, and what its features are good for."""
    return entry_of(config.name).describe(config)
