"""A study's results as one tidy frame, ``runs.csv``: remade from committed folders at will."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from ablate.running.folder import Workspace
from ablate.running.locks import locked
from ablate.running.manifest import damage
from ablate.running.recorded import StoredPlan, load_plan
from ablate.running.scores import Score, read_scores
from ablate.study.plan import PlanRow
from model.errors import StorageError
from model.files import read_json, storage_errors, write_bytes, write_text

if TYPE_CHECKING:
    import pandas as pd

FRAME_TAIL = ("seed", "category", "split", "stratum", "metric", "value", "key")
"""Columns of the frame after study, variant and the factors."""


class FrameWriter:
    """Keeps ``runs.csv`` in step with ``runs/``; reads each committed folder once.

    Damaged runs are left out: who runs the study, repairs or verifies it is told of them.
    """

    def __init__(self, workspace: Workspace, plan: StoredPlan) -> None:
        self.workspace = workspace
        self.plan = plan
        self._scores: dict[str, list[Score]] = {}

    def frame(self) -> pd.DataFrame:
        """The tidy long frame: one row per cell, category, split, stratum and metric.

        Columns study, variant, <factors>, seed, category, split, stratum, metric, value, key, in the
        order of the plan. Cells that share a key each get their rows.
        """
        import pandas as pd

        factors = self.plan.factors
        rows = [
            (
                *(self.plan.study, row.variant, *(row.factors.get(name) for name in factors), row.seed),
                *(score.category, score.split, score.stratum, score.metric, score.value, row.key),
            )
            for row in self.plan.rows
            for score in self._read(row)
        ]
        return pd.DataFrame(rows, columns=["study", "variant", *factors, *FRAME_TAIL])

    def write(self) -> None:
        """Replace ``runs.csv`` in one step. Raises StorageError if the disk refuses."""
        # Under a lock, so that of two supervisors the one that has read more writes last.
        with locked(frame_lock(self.workspace.frame)):
            content = self.frame().to_csv(index=False).encode()
            remember_digest(self.workspace.frame, content)
            write_bytes(self.workspace.frame, content)

    def _read(self, row: PlanRow) -> list[Score]:
        if row.key not in self._scores:
            if not self.workspace.committed(row.key):
                return []
            folder = self.workspace.run_dir(row.key)
            if damage(folder, row.key):
                return []
            try:
                with storage_errors(folder):
                    self._scores[row.key] = list(read_scores(folder / "metrics.csv"))
            except (KeyError, TypeError, ValueError):  # changed since this process looked at the folder
                return []
        return self._scores[row.key]


def frame_lock(frame: Path) -> Path:
    """Lock of whoever writes the frame."""
    return frame.with_name(f".{frame.name}.lock")


def _digest_file(frame: Path) -> Path:
    return frame.with_name(f".{frame.name}.digest.json")


def remember_digest(frame: Path, content: bytes) -> None:
    """Note what the frame is about to be; and what it was, for a crash before it is replaced."""
    known = (read_json(_digest_file(frame)) or {}).get("sha256", [])
    new = hashlib.sha256(content).hexdigest()
    if not known or known[0] != new:
        write_text(_digest_file(frame), json.dumps({"sha256": [new, *known[:1]]}))


def frame_changed(frame: Path) -> bool:
    """Whether someone has changed the frame since we wrote it; a published one, without a note, counts as
    it is."""
    known = (read_json(_digest_file(frame)) or {}).get("sha256", [])
    try:
        return bool(known) and hashlib.sha256(frame.read_bytes()).hexdigest() not in known
    except OSError:
        return False


def collect(study_dir: Path, plan: StoredPlan | None = None) -> pd.DataFrame:
    """The tidy frame of a study's committed runs (see :meth:`FrameWriter.frame`), freshly read.

    Raises :class:`StorageError` if the study is missing or unreadable.
    """
    workspace = Workspace(study_dir)
    return FrameWriter(workspace, plan or load_plan(workspace)).frame()


def refresh_frame(study_dir: Path) -> None:
    """Bring ``runs.csv`` up to date with ``runs/``, if it lacks a run, is damaged or of an earlier plan.

    A supervisor that was killed may have left it behind, and one that runs a changed plan writes it last
    of all. Nothing is done where the folders cannot replace it: without a usable plan, in a published
    study without ``runs/``, on a read-only disk.
    """
    workspace = Workspace(study_dir)
    if frame_changed(workspace.frame):
        return  # its reader refuses it
    try:
        plan = load_plan(workspace)
        planned = {row.key for row in plan.rows}
        committed = {key for key in planned if workspace.committed(key)}
        known = _known_keys(workspace.frame)
        if known is not None and known <= planned and not (known < committed):
            return
        if committed or (known and workspace.runs.is_dir()):
            FrameWriter(workspace, plan).write()
    except (StorageError, OSError):
        return


def _known_keys(frame: Path) -> set[str] | None:
    """Keys of the runs that a frame holds; None if it is missing or no frame."""
    with contextlib.suppress(FileNotFoundError, UnicodeDecodeError, csv.Error):
        with frame.open(encoding="utf-8", newline="") as stream:
            known = {row.get("key") for row in csv.DictReader(stream)}
        return None if None in known else {str(key) for key in known}
    return None
