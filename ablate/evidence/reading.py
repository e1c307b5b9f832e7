"""The frame of a study as evidence reads it: checked, with names as text."""

from __future__ import annotations

import pandas as pd

from ablate.running.folder import Workspace
from ablate.running.frame import collect, frame_changed
from ablate.running.recorded import StoredPlan
from model.errors import StorageError

TEXT_COLUMNS = ("study", "variant", "category", "split", "stratum", "metric", "key")


def read_frame(workspace: Workspace, plan: StoredPlan | None = None) -> pd.DataFrame:
    """``runs.csv``, or the same from the run folders if it has not been written yet.

    Names stay text, whatever they look like (a category may be called 001 or NA).
    Raises :class:`StorageError` if there is neither, or the file is not one of ours.
    """
    if frame_changed(workspace.frame):
        raise StorageError(
            "changed since it was written; its numbers are not read",
            where=str(workspace.frame),
            hint=f"ablate repair {workspace.study_dir} remakes it from the runs",
        )
    try:
        frame = pd.read_csv(workspace.frame, dtype=str, keep_default_na=False)
    except FileNotFoundError:
        return _collected(workspace, plan)
    except (OSError, ValueError) as error:
        raise StorageError(f"unreadable: {error}", where=str(workspace.frame)) from error
    lacking = {*TEXT_COLUMNS, "seed", "value"} - set(frame.columns)
    if lacking:
        raise StorageError(
            f"column {', '.join(sorted(lacking))} is missing",
            where=str(workspace.frame),
            hint="delete it: it is remade from the runs",
        )
    try:
        frame["value"] = frame["value"].replace("", "nan").astype(float)
        frame["seed"] = frame["seed"].astype(int)
    except ValueError as error:
        raise StorageError(f"not a number: {error}", where=str(workspace.frame)) from error
    for factor in (c for c in frame.columns if c not in (*TEXT_COLUMNS, "seed", "value")):
        numbers = pd.to_numeric(frame[factor].replace("", "nan"), errors="coerce")
        blank = frame[factor].isin(["", "nan"])
        frame[factor] = numbers if numbers[~blank].notna().all() else frame[factor].where(~blank, None)
    return frame


def _collected(workspace: Workspace, plan: StoredPlan | None) -> pd.DataFrame:
    if plan is None:
        raise StorageError(
            "no such study, or nothing in it", where=str(workspace.study_dir), hint="ablate run STUDY.yaml"
        )
    return collect(workspace.study_dir, plan)
