"""Tables of differences: tested on the primary metric, shown on all."""

from __future__ import annotations

from dataclasses import replace

from ablate.evidence.judgement import Judgement
from ablate.report.tables.differences import all_differences_table, difference_table
from ablate.report.words import fixed, interval_text
from ablate.study.claims import METRICS
from tests.ablate.report_inputs import column, judged, results


def test_difference_table_says_what_five_seeds_cannot() -> None:
    table = difference_table(judged())
    assert [row.label for row in table.rows] == ["top-q", "directional", "control"]
    assert column(table, "verdict")["directional"].text == "better"
    assert column(table, "seeds needed")["directional"].text == ""
    assert any("0.0625 at 5 seeds" in note for note in table.notes)
    assert "Holm over 3 comparisons" in table.caption
    seven = difference_table(judged(seeds=7))
    assert column(seven, "p (sign flip)")["directional"].text == "0.016"
    assert not any("sign-flip" in note for note in seven.notes)


def test_same_configuration_is_said_and_not_counted() -> None:
    made = replace(results(), same_as={"control": "dinomaly"})
    table = difference_table(Judgement(made))
    assert "Holm over 2 comparisons" in table.caption
    assert any("control is dinomaly" in note for note in table.notes)


def test_all_metrics_are_shown_without_tests() -> None:
    made = judged()
    table = all_differences_table(made)
    assert len(table.columns) == len(METRICS)
    assert not any(column.label.startswith("p") for column in table.columns)
    d = made.comparison("aupro").differences["directional"]
    cell = column(table, "AUPRO")["directional"]
    assert cell.text == fixed(d.estimate.mean, signed=True) and cell.spread == interval_text(d.estimate)
    assert cell.bold is d.apart
