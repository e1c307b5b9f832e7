"""How many workers a machine holds, where nobody says: one per GPU, else what cores and memory allow."""

from __future__ import annotations

import os

import psutil

from model.machine import available_cores

MEMORY_PER_WORKER = 1.5e9
"""Bytes that a worker without a GPU should find free: torch, a small model and its evaluation."""


def default_workers(device: str | None, gpus: tuple[str, ...], threads: int = 1) -> int:
    """Workers for ``device`` (None: whatever there is), which may use these GPUs; ``threads``: of a run."""
    if gpus:
        return len(gpus)
    if device in (None, "cpu"):
        return cpu_workers(available_cores() // threads, psutil.virtual_memory().available)
    return 1


def cpu_workers(cores: int, free: float) -> int:
    """As many as there are cores (shares of them), or as fit into so many free bytes; at least one."""
    return max(1, min(cores, int(free // MEMORY_PER_WORKER)))


def visible_gpus() -> tuple[str, ...]:
    """The GPUs that torch may use, by the names that CUDA_VISIBLE_DEVICES gives them."""
    import torch

    named = tuple(name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name)
    numbered = tuple(str(number) for number in range(torch.cuda.device_count()))
    return named[: len(numbered)] or numbered
