"""One attempt at a run: its folder, its lock, and whether it still has the right to go on."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from json import dumps
from pathlib import Path
from typing import Literal

from ablate.running.folder import ATTEMPT
from ablate.running.locks import KernelLock
from ablate.study.plan import Run
from model.files import drop_drafts, read_json, storage_errors, write_text

Kind = Literal["error", "diverged", "memory", "disk", "timeout", "died", "lost", "withdrawn"]
"""Why an attempt failed; ``died`` and ``lost``: see :mod:`ablate.running.ledger`."""

NOT_ITS_FAULT: tuple[Kind, ...] = ("lost", "withdrawn", "disk")
"""What a run is tried again after, unasked, whenever its study is run: a disk is full today."""


@dataclass
class Attempt:
    """One attempt at a run: the right to compute it, for as long as ``lock`` is held."""

    run: Run
    trial_id: int
    number: int
    lock: KernelLock
    attempt_dir: Path
    token: str = field(default_factory=lambda: uuid.uuid4().hex)

    def begin(self) -> float:
        """Mark the attempt folder as ours; return the seconds that earlier attempts spent on it."""
        with storage_errors(self.attempt_dir):
            self.attempt_dir.mkdir(parents=True, exist_ok=True)
            drop_drafts(self.attempt_dir)
        before = read_json(self.attempt_dir / ATTEMPT) or {}
        seconds = float(before.get("seconds", 0.0))
        self._note(seconds)
        return seconds

    def suspend(self, seconds: float) -> None:
        """Remember the time spent, for the attempt that will continue this one."""
        if not self.fenced():
            self._note(seconds)

    def fenced(self) -> bool:
        """Whether another process has taken this run over."""
        owner = read_json(self.attempt_dir / ATTEMPT) or {}
        return not self.lock.valid() or owner.get("token") != self.token

    @property
    def lost(self) -> bool:
        """The same, as every engine's claims say it."""
        return self.fenced()

    def _note(self, seconds: float) -> None:
        text = dumps({"token": self.token, "seconds": round(seconds, 3)})
        write_text(self.attempt_dir / ATTEMPT, text, durable=False)


def run_label(variant: str, seed: int, category: str | None) -> str:
    """A run as people call it: ``variant, seed 3, category``."""
    return ", ".join([variant, f"seed {seed}", *([category] if category else [])])
