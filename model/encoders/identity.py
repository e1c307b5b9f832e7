"""Which weights an encoder has: fingerprints and descriptions, without loading them (or torch).

One pair of functions per kind of encoder; ``model.encoders.build`` knows which name is of which kind.
"""

from __future__ import annotations

import functools
import glob
import hashlib
from pathlib import Path

from model.config import EncoderConfig
from model.data.hashing import content_hash
from model.errors import CheckpointError

TEXTURE_VERSION = 1
"""Raise it whenever the same constants would give other tokens."""
TEXTURE_CONSTANTS = Path(__file__).with_name("assets") / "texture.safetensors"
"""Means and whitening matrices, written by ``python -m model.encoders.texture_fit``."""


def file_digest(path: Path) -> str:
    """Hex digest of a weights file's contents. Raises CheckpointError if it cannot be read."""
    try:
        return content_hash(path)
    except OSError as error:
        raise CheckpointError(
            f"cannot read weights file {path}: {error.strerror}", hint="check encoder.weights"
        ) from error


def timm_fingerprint(config: EncoderConfig) -> str:
    """A local file counts by its contents, published weights by timm's name, random ones by their seed."""
    if config.weights:
        return f"file:{file_digest(Path(config.weights).expanduser())}"
    return f"timm:{config.name}" if config.pretrained else f"random:{config.seed}"


def weights_at_hand(config: EncoderConfig) -> bool:
    """Whether the weights that a timm encoder needs lie on this machine: the file, or timm's download.

    Looks at file names alone: no torch, no network. Which tag timm gives a name without one (``.lvd142m``)
    only timm knows, and asking it imports torch: there any tag counts.
    """
    if config.weights:
        return Path(config.weights).expanduser().is_file()
    if not config.pretrained:
        return True
    from huggingface_hub.constants import HF_HUB_CACHE

    repository = f"models--timm--{glob.escape(config.name)}"
    places = [repository] if "." in config.name else [repository, f"{repository}.*"]
    return any(
        any(Path(HF_HUB_CACHE).glob(f"{place}/snapshots/*/*.{kind}"))
        for place in places
        for kind in ("safetensors", "bin")
    )


def timm_description(config: EncoderConfig) -> str:
    """Name and origin of the weights; a warning where they are random."""
    if config.weights:
        return f"{config.name}, weights from {Path(config.weights).name}"
    if config.pretrained:
        return f"{config.name}, published weights"
    return (
        f"{config.name} with RANDOM weights (seed {config.seed}): Dinomaly cannot detect anomalies "
        "with random features, numbers are for checking the pipeline only"
    )


def constants_fingerprint(contents: bytes) -> str:
    """``texture:<version>:<digest of the constants' file>``."""
    return f"texture:{TEXTURE_VERSION}:{hashlib.blake2b(contents, digest_size=8).hexdigest()}"


@functools.cache
def _shipped_constants() -> str:
    return constants_fingerprint(TEXTURE_CONSTANTS.read_bytes())


def texture_fingerprint(_config: EncoderConfig) -> str:
    """The texture encoder counts by its version and constants; no setting changes its weights."""
    return _shipped_constants()


def texture_description(_config: EncoderConfig) -> str:
    """What it is, and what it is not."""
    return (
        "texture (built-in descriptor, no learned semantics; conclusions for research need "
        "DINOv2-class weights)"
    )
