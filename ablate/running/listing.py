"""What a results folder holds: each study's state, verdicts, age and size, from files alone."""

from __future__ import annotations

import csv
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ablate.running.files import file_stats
from ablate.running.status import StudyStatus
from ablate.running.status import status as read_status


@dataclass(frozen=True)
class Listing:
    """One study of a results folder."""

    study: str
    state: StudyStatus | None
    """None: a published frame without runs."""
    verdicts: Mapping[str, int]
    """Of its claims, as its last report has them; empty without claims or report."""
    age: float
    """Seconds since anything of it was written."""
    size: int
    """Bytes of all its files."""


def listed(folder: Path, now: float | None = None) -> Listing:
    """Read one study's folder. Raises :class:`~model.errors.StorageError` if its plan is damaged."""
    state = read_status(folder) if (folder / "plan.json").is_file() else None
    stats = list(file_stats(folder))
    newest = max((stat.st_mtime for stat in stats), default=folder.stat().st_mtime)
    age = max((time.time() if now is None else now) - newest, 0.0)
    return Listing(folder.name, state, _verdicts(folder), age, sum(stat.st_size for stat in stats))


def _verdicts(folder: Path) -> Mapping[str, int]:
    try:
        with (folder / "report" / "claims.csv").open(newline="", encoding="utf-8") as file:
            return Counter(row["verdict"] for row in csv.DictReader(file))
    except (OSError, KeyError):
        return {}
