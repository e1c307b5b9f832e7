"""A shipped study, made tiny, and a mistake in one, through the real command line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[3]


def ablate(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ablate", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_reference_rows_stand_in_the_same_tables(tmp_path: Path):
    methods = {"dinomaly", "knn", "patchcore", "anomalydino", "position-knn", "subspace"}
    where = ["--results", str(tmp_path / "results"), "--cache", str(tmp_path / "cache")]
    done = ablate("run", "studies/reference_rows.yaml", "--smoke", *where)
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "results").glob("*-smoke")
    frame = pd.read_csv(folder / "runs.csv")
    assert set(frame.variant) == methods
    overall = frame[frame.stratum == "all"]
    assert overall[overall.metric == "image_auroc"].value.between(0, 1).all()
    completion = overall[overall.metric == "completion_horizontal"].set_index("variant").value
    assert completion["subspace"].isna().all()
    page = (folder / "report" / "report.html").read_text()
    assert all(method in page for method in methods)


def test_a_setting_that_a_method_does_not_have_ends_in_one_line(tmp_path: Path):
    path = tmp_path / "s.yaml"
    path.write_text(
        "study: s\ndata: {dataset: stripes}\nvariants:\n  a: {}\n  row: {method: subspace, tail.q: 0.1}\n"
    )
    done = ablate("plan", str(path))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert f"{path}:5:27: 'tail.q' is not a setting of method subspace" in done.stderr
