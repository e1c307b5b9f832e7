"""Training curves: the loss and every knob that moves, as plain records, from the runs' histories."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ablate.evidence.results import Results, RunState
from ablate.evidence.stats import Floats

CURVE_POINTS = 100
"""Points of a training curve; longer histories are averaged in bins."""
FIXED_COLUMNS = ("iteration", "loss", "lr", "grad_norm")
"""Columns of history.csv that are not knobs."""


@dataclass(frozen=True)
class Curve:
    """One quantity of one variant over training; ``low`` and ``high`` are the extreme seeds."""

    variant: str
    iteration: Floats
    mean: Floats
    low: Floats
    high: Floats
    runs: int


@dataclass(frozen=True)
class CurvePanel:
    """All variants' curves of one column of history.csv."""

    column: str
    curves: tuple[Curve, ...]


def _histories(results: Results) -> Iterator[tuple[RunState, pd.DataFrame]]:
    """Readable histories of the runs, in the order of the plan."""
    seen: set[tuple[str, str]] = set()
    for run in results.runs:
        path = results.run_folder(run.key) / "history.csv"
        if (run.variant, run.key) in seen or not path.is_file():
            continue
        seen.add((run.variant, run.key))
        try:
            history = pd.read_csv(path)
        except (OSError, ValueError):
            continue
        if "iteration" in history and len(history):
            yield run, history


def _binned(values: Floats, iteration: Floats, edges: Floats) -> Floats:
    """Mean of ``values`` in each bin of ``iteration``; NaN where a bin is empty."""
    index = np.clip(np.searchsorted(edges, iteration, side="right") - 1, 0, len(edges) - 2)
    known = np.isfinite(values)
    count = np.bincount(index[known], minlength=len(edges) - 1)
    total = np.bincount(index[known], weights=values[known], minlength=len(edges) - 1)
    with np.errstate(invalid="ignore"):
        return np.asarray(total / np.where(count, count, np.nan), dtype=np.float64)


def training_curves(results: Results) -> list[CurvePanel]:
    """The loss, then every knob that moves during training in some variant.

    Runs of one variant (seeds, and categories where each has a model of its own) are one band.
    """
    histories = list(_histories(results))
    if not histories:
        return []
    last = max(float(h["iteration"].max()) for _, h in histories)
    longest = max(len(h) for _, h in histories)
    bins = min(CURVE_POINTS, longest)
    edges = np.linspace(0, last + 1, bins + 1)
    centres = (edges[:-1] + edges[1:]) / 2
    knobs = dict.fromkeys(str(c) for _, h in histories for c in h if c not in FIXED_COLUMNS)
    columns = ["loss", *knobs]
    panels: list[CurvePanel] = []
    for column in columns:
        by_variant: dict[str, list[Floats]] = {}
        for run, history in histories:
            if column in history and pd.api.types.is_numeric_dtype(history[column]):
                values = history[column].to_numpy(dtype=np.float64)
                line = _binned(values, history["iteration"].to_numpy(dtype=np.float64), edges)
                by_variant.setdefault(run.variant, []).append(line)
        if column != "loss" and not any(_moves(line) for lines in by_variant.values() for line in lines):
            continue
        curves = []
        for variant, lines in by_variant.items():
            block = np.stack(lines)
            known = np.isfinite(block).any(axis=0)
            if not known.any():
                continue
            part = block[:, known]
            curves.append(
                Curve(
                    variant,
                    centres[known],
                    np.nanmean(part, axis=0),
                    np.nanmin(part, axis=0),
                    np.nanmax(part, axis=0),
                    len(lines),
                )
            )
        if curves:
            panels.append(CurvePanel(column, tuple(curves)))
    return panels


def _moves(line: Floats) -> bool:
    known = line[np.isfinite(line)]
    return bool(len(known)) and float(np.ptp(known)) > 1e-9
