"""The right to compute a run that a server has given: for a while, renewed, under a token."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from json import dumps
from pathlib import Path
from typing import Any

from ablate.running.folder import ATTEMPT, CHECKPOINT
from ablate.study.plan import Run
from model.files import drop_drafts, read_json, storage_errors, write_text


@dataclass(frozen=True)
class Timing:
    """Of leases, in seconds; common to all workers of a study."""

    lease: float = 60.0
    beat: float = 10.0
    grace: float = 60.0
    """After a start of the server."""

    @classmethod
    def of(cls, lease: float) -> Timing:
        """The usual proportions."""
        return cls(lease, lease / 6, lease)


@dataclass
class Lease:
    """The right to compute a run, for as long as it is renewed."""

    run: Run
    number: int
    token: int
    attempts: Path
    """The study's folder of attempts."""
    upkeep: Callable[[Lease], AbstractContextManager[Any]] = field(repr=False)
    _lost: threading.Event = field(default_factory=threading.Event, repr=False)

    @property
    def attempt_dir(self) -> Path:
        """Of this attempt alone."""
        return self.attempts / f"{self.run.key}.{self.token}"

    @property
    def lock(self) -> AbstractContextManager[Any]:
        """Renews the lease until it is left."""
        return self.upkeep(self)

    @property
    def lost(self) -> bool:
        """Whether the server has said that the run is another's."""
        return self._lost.is_set()

    def lose(self) -> None:
        """Take note of it."""
        self._lost.set()

    def begin(self) -> float:
        """Make the folder, with the newest checkpoint before this attempt; see :class:`Taken`."""
        folder, seconds = self.attempt_dir, 0.0
        with storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            drop_drafts(folder)
            earlier = [path for path in self.earlier() if (path / CHECKPOINT).is_file()]
            if earlier and not (folder / CHECKPOINT).exists():
                draft = folder / f".{CHECKPOINT}.tmp"
                shutil.copyfile(earlier[0] / CHECKPOINT, draft)
                draft.replace(folder / CHECKPOINT)
                note = read_json(earlier[0] / ATTEMPT) or {}
                seconds = float(note.get("seconds", 0.0))
        self.suspend(seconds)
        return seconds

    def suspend(self, seconds: float) -> None:
        """Remember the time spent."""
        text = dumps({"token": self.token, "seconds": round(seconds, 3)})
        write_text(self.attempt_dir / ATTEMPT, text, durable=False)

    def earlier(self) -> list[Path]:
        """Folders of attempts before this one, the newest first."""
        found = {int(p.suffix[1:]): p for p in self.attempts.glob(f"{self.run.key}.*") if _numbered(p)}
        return [found[token] for token in sorted(found, reverse=True) if token < self.token]


def _numbered(path: Path) -> bool:
    return path.suffix[1:].isdecimal()
