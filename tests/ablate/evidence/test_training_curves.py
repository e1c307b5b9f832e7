"""Training curves: averages over runs, and only the knobs that move."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ablate.evidence.training_curves import training_curves
from ablate.running.manifest import seal
from tests.ablate.report_inputs import results

if TYPE_CHECKING:
    pass


def test_training_curves_average_runs_and_show_moving_knobs_only(tmp_path: Path) -> None:
    made = replace(results({"dinomaly": 0.0}, seeds=2, strata=False), folder=tmp_path)
    for seed, level in enumerate((1.0, 3.0)):
        folder = tmp_path / "runs" / f"dinomaly-{seed}"
        folder.mkdir(parents=True)
        history = {
            "iteration": [0, 1, 2],
            "loss": [level] * 3,
            "lr": [1, 2, 3],
            "tail.q": [1.0, 0.5, 0.1],
            "x": [1] * 3,
        }
        pd.DataFrame(history).to_csv(folder / "history.csv", index=False)
        seal(folder, folder.name)
    loss, q = training_curves(made)
    assert (loss.column, q.column) == ("loss", "tail.q")  # lr is no knob, x does not move
    (curve,) = loss.curves
    assert curve.runs == 2
    assert np.allclose(curve.mean, 2) and np.allclose(curve.low, 1) and np.allclose(curve.high, 3)
    assert np.allclose(q.curves[0].mean, [1.0, 0.5, 0.1])


def test_broken_histories_are_passed_over(tmp_path: Path) -> None:
    made = replace(results({"dinomaly": 0.0}, seeds=1, strata=False), folder=tmp_path)
    folder = tmp_path / "runs" / "dinomaly-0"
    folder.mkdir(parents=True)
    (folder / "history.csv").write_text("")
    assert training_curves(made) == []
