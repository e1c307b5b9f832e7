"""Identity of the texture encoder's numbers, without torch: part of run keys and cache names."""

from __future__ import annotations

import hashlib
from pathlib import Path

VERSION = 1
"""Raise it whenever the same constants would give other tokens."""

CONSTANTS = Path(__file__).with_name("assets") / "texture.safetensors"
"""Means and whitening matrices, written by ``python -m model.encoders.texture_fit``."""


def fingerprint_of(contents: bytes) -> str:
    """``texture:<version>:<digest of the constants' file>``."""
    return f"texture:{VERSION}:{hashlib.blake2b(contents, digest_size=8).hexdigest()}"


TEXTURE_FINGERPRINT = fingerprint_of(CONSTANTS.read_bytes())
