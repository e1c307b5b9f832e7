"""Names and fingerprints of encoder weights, without loading them (and without torch)."""

from __future__ import annotations

from pathlib import Path

from model.config import EncoderConfig
from model.data.hashing import content_hash
from model.encoders.efficientnet_id import EFFICIENTNET
from model.errors import CheckpointError

TEXTURE = "texture"


def file_digest(path: Path) -> str:
    """Hex digest of a weights file's contents. Raises CheckpointError if it cannot be read."""
    try:
        return content_hash(path)
    except OSError as error:
        raise CheckpointError(
            f"cannot read weights file {path}: {error.strerror}", hint="check encoder.weights"
        ) from error


def weights_fingerprint(config: EncoderConfig) -> str:
    """What identifies the encoder's weights in run keys and cache names.

    A local file counts by its contents, published weights by timm's name for them, random weights
    by their seed, the built-in encoders by version and constants (and published weights' digest).
    """
    if config.name == TEXTURE:
        from model.encoders.texture_id import TEXTURE_FINGERPRINT

        return TEXTURE_FINGERPRINT
    if config.name == EFFICIENTNET:
        from model.encoders.efficientnet_id import efficientnet_fingerprint

        return efficientnet_fingerprint()
    if config.weights:
        return f"file:{file_digest(Path(config.weights).expanduser())}"
    return f"timm:{config.name}" if config.pretrained else f"random:{config.seed}"


def describe(config: EncoderConfig) -> str:
    """One line for reports: which encoder, and what its features are good for."""
    if config.name == TEXTURE:
        return (
            "texture (built-in descriptor, no learned semantics; conclusions for research need "
            "DINOv2-class weights)"
        )
    if config.name == EFFICIENTNET:
        return (
            f"{config.name} (first stages of a small ImageNet network; conclusions for research need "
            "DINOv2-class weights)"
        )
    if config.weights:
        return f"{config.name}, weights from {Path(config.weights).name}"
    if config.pretrained:
        return f"{config.name}, published weights"
    return (
        f"{config.name} with RANDOM weights (seed {config.seed}): Dinomaly cannot detect anomalies "
        "with random features, numbers are for checking the pipeline only"
    )
