"""The mechanism's table: distances and completion side by side, nothing of it best."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from ablate.evidence.judgement import Judgement
from ablate.report.numbers import Style
from ablate.report.tables.differences import all_differences_table
from ablate.report.tables.main import main_table
from ablate.report.tables.mechanism import mechanism_table
from tests.ablate.report_inputs import judged


def test_completion_stands_beside_the_distances_unmarked() -> None:
    made = judged(seeds=3).results
    rows = made.frame[(made.frame["metric"] == "token_distance_gap") & (made.frame["stratum"] == "all")]
    measured = rows.assign(metric="completion_difference", value=rows["value"] - 0.4)
    measured.loc[measured["variant"] == made.variants[-1], "value"] = float("nan")
    judgement = Judgement(replace(made, frame=pd.concat([made.frame, measured])))
    table = mechanism_table(judgement)
    assert table is not None
    assert table.columns[-1].label == "rows − columns"
    mean = judgement.comparison("completion_difference").means[made.variants[0]].estimate.mean
    assert table.rows[0].cells[-1].text == f"{mean:.3f}".replace("-", "−")
    assert table.rows[-1].cells[-1].mark
    assert not any(cell.bold or cell.underline for row in table.rows for cell in row.cells)


def test_aupimo_stands_in_the_mechanism_table_and_among_all_differences() -> None:
    made = judged(seeds=3).results
    rows = made.frame[(made.frame["metric"] == "token_distance_gap") & (made.frame["stratum"] == "all")]
    more = [rows.assign(metric="completion_difference"), rows.assign(metric="aupimo")]
    judgement = Judgement(replace(made, frame=pd.concat([made.frame, *more])))
    table = mechanism_table(judgement)
    assert table is not None
    assert (table.columns[-1].label, table.columns[-1].group) == ("AUPIMO", "detection")
    assert "AUPIMO" in [c.label for c in all_differences_table(judgement).columns]
    chosen = main_table(judgement, Style(metrics=("aupimo",)))
    assert "AUPIMO" in [c.label for c in chosen.columns]


def test_no_table_where_no_completion_was_measured() -> None:
    assert mechanism_table(judged(seeds=2)) is None
