"""Checkpoints in the published implementation's naming."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from model.config import ModelConfig, build_config, dump_config
from model.dinomaly import Dinomaly
from model.encoders.timm_vit import TimmEncoder, build_vit_from_dinov2, load_strictly
from model.errors import CheckpointError
from model.student import Student
from model.teacher import Teacher

#: Blocks that the reference reconstructs, by encoder depth.
TARGET_BLOCKS = {12: (2, 3, 4, 5, 6, 7, 8, 9), 24: (4, 6, 8, 10, 12, 14, 16, 18)}


def _student_name(name: str) -> str:
    return name.replace("bottleneck.0.", "bottleneck.", 1)


def from_reference_state_dict(
    state_dict: dict[str, Tensor],
    *,
    image_size: int | tuple[int, int],
    patch_size: int,
    num_heads: int,
    attention: Literal["linear", "softmax"] = "linear",
    config: ModelConfig | None = None,
) -> Dinomaly:
    """A Dinomaly in eval mode from a state dict in the reference's naming.

    Parameters
    ----------
    state_dict: ``encoder.*`` (DINOv2 names), ``bottleneck.0.{fc1,fc2}``, ``decoder.i.*``.
    image_size: side S of the network's input, pixels (or height and width).
    patch_size: pixels. num_heads: of encoder and decoder.
    attention: of the decoder.
    config: scoring, training and grouping; the reference's where not given. Encoder blocks, decoder
        depth, heads and attention always follow the checkpoint.

    Raises
    ------
    CheckpointError: a tensor is missing, unknown or of the wrong shape (named).
    """
    size = (image_size, image_size) if isinstance(image_size, int) else image_size
    parts: dict[str, dict[str, Tensor]] = {"encoder": {}, "bottleneck": {}, "decoder": {}}
    for name, value in state_dict.items():
        part, _, rest = name.removeprefix("module.").partition(".")
        if part not in parts:
            raise CheckpointError(f"not a Dinomaly checkpoint of the reference: unknown tensor '{name}'")
        parts[part][rest] = value
    empty = [part for part, tensors in parts.items() if not tensors]
    if empty:
        raise CheckpointError(f"not a Dinomaly checkpoint of the reference: no tensors of {empty}")

    vit = build_vit_from_dinov2(
        parts["encoder"], image_size=size, patch_size=patch_size, num_heads=num_heads
    )
    depth = len(vit.blocks)
    if depth not in TARGET_BLOCKS:
        raise CheckpointError(f"encoder of {depth} blocks: the reference defines {list(TARGET_BLOCKS)}")
    encoder = TimmEncoder(vit, TARGET_BLOCKS[depth])

    values = dump_config(config or ModelConfig())
    values["encoder"]["blocks"] = list(TARGET_BLOCKS[depth])
    values["decoder"] |= {
        "depth": 1 + max(int(name.partition(".")[0]) for name in parts["decoder"]),
        "heads": num_heads,
        "attention": attention,
        "mlp_ratio": parts["decoder"]["0.mlp.fc1.weight"].shape[0] / encoder.dim,
    }
    values["bottleneck"]["mlp_ratio"] = parts["bottleneck"]["0.fc1.weight"].shape[0] / encoder.dim
    values["image"] = {
        "resize": [max(a, b) for a, b in zip(values["image"]["resize"], size, strict=True)],
        "crop": list(size),
    }
    student = Student(encoder.shape, build_config(values))
    own_names = {
        _student_name(f"{part}.{name}"): value
        for part in ("bottleneck", "decoder")
        for name, value in parts[part].items()
    }
    load_strictly(student, own_names, "checkpoint")
    return Dinomaly(Teacher(encoder, student.config), student).eval()
