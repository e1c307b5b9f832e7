"""What a run tells whoever started it, and asks it: between executors and workers, free of torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from ablate.study.plan import Run


class Reporter(Protocol):
    """Handed to whatever computes a run or prepares for it."""

    cache: Path
    """Where features, ground truth and drawn datasets are kept."""
    device: str
    """Where to compute, in torch's words: ``cpu``, ``cuda``."""

    def progress(self, done: int, total: int, note: str = "") -> None:
        """``done`` of ``total`` steps of the current phase; ``note``: what to show next to it."""
        ...

    def should_stop(self) -> bool:
        """Whether to checkpoint and raise :class:`~model.errors.InterruptedRun`; ask every few steps."""
        ...


Executor = Callable[[Run, Path, Reporter], None]
"""Computes a run into a folder."""


class HasRuns(Protocol):
    """A plan, stored or not."""

    @property
    def runs(self) -> tuple[Run, ...]:
        """What will be computed."""
        ...


Preparer = Callable[[HasRuns, Reporter], None]
"""Does once what a plan's runs share."""
