"""A sweep's table: levels in order, the baseline among them, crossed factors as a grid."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ablate.evidence.judgement import Judgement
from ablate.report.tables.factors import factor_tables
from tests.ablate.report_inputs import grid, judged, results


def test_a_swept_factor_has_a_row_per_level() -> None:
    made = results({"dinomaly": 0.0, "tail.q=0.02": 0.01, "tail.q=0.05": 0.004})
    levels = {"tail.q=0.02": {"tail.q": 0.02}, "tail.q=0.05": {"tail.q": 0.05}}
    study = replace(made, factors={"tail.q": (0.02, 0.05)}, levels=levels)
    (table,) = factor_tables(Judgement(study))
    assert [(row.label, row.cells[0].text) for row in table.rows] == [("tail.q", "0.02"), ("", "0.05")]
    d = Judgement(study).primary.differences["tail.q=0.02"]
    assert (
        float(table.rows[0].cells[2].text) == pytest.approx(d.estimate.mean, abs=0.05)
        and table.rows[0].cells[3].text == "better"
    )
    assert list(table.raw["level"]) == ["0.02", "0.05"]


def test_two_crossed_factors_are_a_grid() -> None:
    made = grid(q=(0.01, 0.05), lam=(0.0, 0.3, 0.6), seeds=3, strata=False)
    (table,) = factor_tables(Judgement(made))
    assert [row.label for row in table.rows] == ["0.01", "0.05"]
    assert [(c.group, c.label) for c in table.columns] == [("bias.lambda", x) for x in ("0", "0.3", "0.6")]
    mean = made.frame.query("variant == 'tail.q=0.05 bias.lambda=0.6' and metric == 'image_auroc'")[
        "value"
    ].mean()
    assert float(table.rows[1].cells[2].text) == pytest.approx(100 * mean, abs=0.06)
    assert not any(cell.bold for row in table.rows for cell in row.cells)


def test_without_factors_there_is_no_table() -> None:
    assert list(factor_tables(judged())) == []
