"""Whether torch can compute where it is told to."""

from __future__ import annotations

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
