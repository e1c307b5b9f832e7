"""Common random numbers: named random streams that a prior cannot shift (DESIGN section 7).

Each draw's seed is derived from (seed, stream name, index) alone. A stream is re-seeded for every
training step, so the noise of step i depends neither on what other streams consumed nor on the
steps before it; resuming needs no generator state.
"""

from __future__ import annotations

import hashlib
from typing import Literal

import torch

Stream = Literal[
    "init", "data order", "bottleneck noise", "token dropout", "threshold holdout", "pseudo-defects"
]


def derive_seed(seed: int, stream: str, index: int | str = 0) -> int:
    """A 63-bit seed from (seed, stream, index); equal on every platform."""
    digest = hashlib.blake2b(f"{seed}/{stream}/{index}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generator(
    seed: int, stream: Stream, index: int | str = 0, device: torch.device | str = "cpu"
) -> torch.Generator:
    """A fresh generator on ``device`` for one draw (a step, an epoch, a parameter's name)."""
    return torch.Generator(device=device).manual_seed(derive_seed(seed, stream, index))
