"""The terminal's table: the few columns that fit."""

from __future__ import annotations

from dataclasses import replace

from ablate.evidence.judgement import Judgement
from ablate.report.tables.summary import summary_table
from tests.ablate.report_inputs import column, judged, results


def test_summary_has_the_primary_metric_its_verdict_and_three_others() -> None:
    table = summary_table(judged())
    assert [c.label for c in table.columns] == ["I-AUROC", "Δ [interval]", "verdict", "P-AP", "AUPRO"]
    assert column(table, "verdict")["dinomaly"].text == "baseline"
    assert column(table, "Δ [interval]")["directional"].text.startswith("+")
    other = summary_table(Judgement(replace(results(), primary="aupro")))
    assert [c.label for c in other.columns][::3] == ["AUPRO", "I-AUROC"]
