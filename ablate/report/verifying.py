"""Whether a report says what its study's results say: everything that tables print, computed again.

From the stored frame and the ledger of claims; where the runs' folders are there, the frame is first held
against them. Nothing is written.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from ablate.evidence.gather import gather
from ablate.evidence.judgement import Judgement
from ablate.report.methods import NAME, methods_files
from ablate.report.numbers import STYLE, read_style
from ablate.report.rendering import rendered
from ablate.report.tables.every import all_tables
from ablate.running.folder import Workspace
from ablate.running.frame import collect
from ablate.running.manifest import damage
from ablate.running.recorded import load_plan
from ablate.running.seal import read_sealed
from model.errors import StorageError

_WORD = re.compile(r"[^\s|&,\[\]{}]+")


@dataclass(frozen=True)
class Verified:
    """What was compared, and the first thing that differs."""

    files: int
    numbers: int
    seal: str
    """Digest of what was declared; empty where nothing was sealed."""
    wrong: str = ""
    """Where it is, what is printed and what it should be; empty: all agree."""


def verify(study_dir: Path) -> Verified:
    """Recompute the tables of ``report/`` and compare them with what is there.

    Raises
    ------
    StorageError: no such study, no report of it, or a ledger of claims that was altered.
    """
    workspace = Workspace(study_dir)
    sealed = read_sealed(workspace)
    seal = sealed.first.digest if sealed.first else ""
    if wrong := _frame_differs(workspace):
        return Verified(0, 0, seal, wrong)
    files = numbers = 0
    style = read_style(study_dir / "report" / STYLE)
    judgement = Judgement(gather(study_dir))
    texts = {table.name: rendered(table, style) for table in all_tables(judgement, style)}
    for name, files_of in {**texts, NAME: methods_files(judgement)}.items():
        for suffix, made in files_of.items():
            path = study_dir / "report" / f"{name}{suffix}"
            try:
                printed = path.read_text(encoding="utf-8")
            except OSError as error:
                raise StorageError(
                    f"cannot be read: {error.strerror}", where=str(path), hint="make it with: ablate report"
                ) from error
            if wrong := first_difference(printed, made):
                return Verified(files, numbers, seal, f"{path}:{wrong}")
            files += 1
            numbers += sum(any(c.isdigit() for c in word) for word in _WORD.findall(made))
    return Verified(files, numbers, seal)


def _frame_differs(workspace: Workspace) -> str:
    """The first damaged run, or the first line of ``runs.csv`` that the runs' folders do not say; empty
    where they are not there."""
    if not workspace.runs.is_dir() or not workspace.frame.is_file():
        return ""
    plan = load_plan(workspace)
    keys = [key for key in dict.fromkeys(row.key for row in plan.rows) if workspace.committed(key)]
    if not keys:
        return ""
    for key in keys:
        if why := damage(workspace.run_dir(key), key):
            again = f"ablate run {workspace.study_dir.name} computes it again"
            return f"{workspace.run_dir(key)}: {why} ({again})"
    made = collect(workspace.study_dir, plan).to_csv(index=False)
    wrong = first_difference(workspace.frame.read_text(encoding="utf-8"), made)
    return wrong and f"{workspace.frame}:{wrong}"


def first_difference(printed: str, made: str) -> str:
    """``12: it says 2.1, recomputed 2.0``: line and word of the first difference, or empty."""
    for number, (ours, theirs) in enumerate(
        zip_longest(printed.splitlines(), made.splitlines(), fillvalue=""), 1
    ):
        if ours != theirs:
            words = zip_longest(_WORD.findall(ours), _WORD.findall(theirs), fillvalue="nothing")
            said, found = next(((a, b) for a, b in words if a != b), (ours.strip(), theirs.strip()))
            return f"{number}: it says {said}, recomputed {found}"
    return ""
