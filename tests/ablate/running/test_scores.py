"""Behavioural: what counts as a run's results."""

from __future__ import annotations

from pathlib import Path

import pytest

from ablate.running.scores import check_scores, summarise
from model.errors import DivergedError


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("a,report,all,image_auroc,nan,", DivergedError),
        ("a,report,all,image_auroc,inf,", DivergedError),
        ("", ValueError),
        ("a,report,all,image_auroc,high,", ValueError),
    ],
)
def test_a_run_without_results_is_refused(tmp_path: Path, line: str, error: type[Exception]) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text(f"category,split,stratum,metric,value,reason\n{line}\n")
    with pytest.raises(error):
        check_scores(path)


def test_an_undefined_metric_with_a_reason_is_a_result(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text(
        "category,split,stratum,metric,value,reason\n"
        "a,report,all,m,,no defects\nb,report,all,m,0.5,\nb,selection,all,m,0.7,\nb,report,faint,m,0.1,\n"
    )
    check_scores(path)
    assert summarise(path, "m") == {"b": 0.5}
    assert summarise(path, "m", split="selection") == {"b": 0.7}
