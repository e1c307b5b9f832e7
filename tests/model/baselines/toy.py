"""Group means drawn from a seed, for the tests beside it."""

from __future__ import annotations

import torch
from torch import Tensor

from model.baselines.patches import Layout

LAYOUT = Layout(grid=(4, 5), prefix=2, class_token=True)
GROUPS, CHANNELS = 2, 6


def features(count: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    """[count, 2, 22, 6]: normal deviates around a pattern of rank 3 that all images share."""
    fixed = torch.Generator().manual_seed(99)
    pattern = torch.randn(1, GROUPS, 22, 3, generator=fixed) @ torch.randn(3, CHANNELS, generator=fixed)
    noise = torch.randn(count, GROUPS, 22, CHANNELS, generator=torch.Generator().manual_seed(seed))
    return pattern + scale * noise
