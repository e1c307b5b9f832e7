"""Training features where they are trained on: copied to the device once, if they fit."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from model.features import Features

SHARE = 0.5
"""Of the device's free memory that features may take; the rest is the training step's."""


def free_memory(device: torch.device) -> int:
    """Free bytes of a CUDA device; 0 elsewhere: a CPU has the features, and others do not say."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0


def rows_on(
    device: torch.device,
    features: Features,
    indices: Tensor,
    free: Callable[[torch.device], int] = free_memory,
) -> Callable[[Tensor], Tensor]:
    """A function: positions [b] in ``indices`` [n] -> group means [b, G, T, C] on ``device``.

    If all n fit, they are copied now, and each batch is gathered there without waiting for the host; else
    each batch is copied when it is asked for.
    """
    room = SHARE * free(device)
    first = features[indices[:1]] if room else None
    if first is None or len(indices) * first.nbytes > room:
        return lambda positions: features[indices[positions]].to(device)
    resident = torch.empty((len(indices), *first.shape[1:]), dtype=first.dtype, device=device)
    for part in torch.arange(len(indices)).split(64):
        resident[part[0] : part[-1] + 1] = features[indices[part]].to(device)
    return lambda positions: resident[positions.to(device, non_blocking=True)]
