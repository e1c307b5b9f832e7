"""Tables of differences: tested on the primary metric, shown on all."""

from __future__ import annotations

from dataclasses import replace

from ablate.evidence.judgement import Judgement
from ablate.report.numbers import USUAL, ends
from ablate.report.tables.differences import all_differences_table, difference_table
from ablate.report.words import seeds_text
from model.metric_names import METRICS
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
    digits = USUAL.column(ends(d.estimate for d in made.comparison("aupro").differences.values()))
    assert cell.text == digits.text(d.estimate.mean, signed=True)
    assert cell.spread == digits.interval(d.estimate)
    assert d.apart and not any(c.bold or c.underline for row in table.rows for c in row.cells)
    assert not {"p", "p_holm", "verdict"} & set(table.raw.columns)


def test_what_hangs_on_one_seed_is_said() -> None:
    made = results()
    f = made.frame
    odd = (f["variant"] == "top-q") & (f["seed"] == 2) & (f["metric"] == "image_auroc")
    table = difference_table(Judgement(replace(made, frame=f.assign(value=f["value"] + 0.03 * odd))))
    assert column(table, "outlying seeds")["top-q"].text == "2"
    low, high = (float(p) for p in column(table, "p without a seed")["top-q"].text.split("–"))
    d = judged().primary.differences["directional"]
    assert low < high and high > 0.1
    assert column(table, "outlying seeds")["directional"].text == seeds_text(d.outliers)


def test_self_calibration_and_seal_stand_below() -> None:
    table = difference_table(Judgement(replace(results(seeds=6), seal="ab" * 32)))
    text = " ".join(table.notes)
    assert "verdicts false" in text and "SHA-256 abababababababab…" in text
    assert not any("verdicts false" in note for note in difference_table(judged(seeds=3)).notes)


def test_a_study_run_until_decided_prints_what_holds_at_every_look() -> None:
    fixed_n = difference_table(judged(seeds=7))
    table = difference_table(Judgement(replace(results(seeds=7), max_seeds=20, first_look=5)))
    for name in ("p (sign flip)", "detectable", "p without a seed"):
        assert {c.text for c in column(table, name).values()} == {"–"}
    ends, plain = (column(t, "Δ [interval]")["directional"].spread for t in (table, fixed_n))
    assert ends != plain and "repeated interval" in table.caption
    assert column(table, "looks")["directional"].text == "1: 7 of 20"
    assert table.raw["detectable_points"].isna().all() and table.raw["p_sign_flip"].isna().all()
