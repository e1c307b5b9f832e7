"""Whether torch can compute where it is told to."""

from __future__ import annotations

import warnings
from typing import Literal

import torch

from model.errors import ConfigError


def check_device(name: str) -> str:
    """``name`` (torch's word for a device: ``cpu``, ``cuda``, ``cuda:1``, ``mps``), if torch can use it.

    Raises ConfigError, so that a mistyped or absent device stops a study before its first run instead
    of failing every run of it.
    """
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(
            f"--device: torch cannot use '{name}': {reason}",
            hint="ablate doctor lists the devices; --device cpu needs none",
        ) from error
    return name


def precision_on(precision: str, device: torch.device) -> Literal["float32", "bfloat16"]:
    """``train.precision`` as it is computed on ``device``: ``auto`` is bfloat16 where the hardware has it.

    By what the hardware says, not by a measurement: a busy moment would make repeats differ. Where CPUs
    have the instructions, a step at ViT-S takes about half the time.
    """
    if precision == "float32" or (precision == "auto" and not _native(device)):
        return "float32"
    return "bfloat16"


def _native(device: torch.device) -> bool:
    """Whether ``device`` multiplies bfloat16 matrices without detours."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and _has_bfloat16()


def warn_of_emulation(precision: str, device: torch.device) -> None:
    """Warn, in one line, where ``train.precision: bfloat16`` only costs time.

    A CPU without bfloat16 instructions computes the same numbers by detours, slower than in float32.
    """
    if precision != "bfloat16" or device.type != "cpu" or _has_bfloat16():
        return
    warnings.warn(
        "train.precision: bfloat16 on a CPU without bfloat16 instructions is slower than float32",
        stacklevel=2,
    )


def _has_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 matrices natively."""
    if torch.backends.cpu.get_cpu_capability() == "AVX512":
        return bool(torch.cpu._is_avx512_bf16_supported())
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
