"""The main table: order, numbers, what is marked, what is said of gaps."""

from __future__ import annotations

from dataclasses import replace

from ablate.evidence.judgement import Judgement
from ablate.evidence.results import RunState
from ablate.report.tables.main import main_table
from tests.ablate.report_inputs import column, judged, results


def test_main_table_has_the_papers_order_and_the_baseline_grey() -> None:
    table = main_table(judged())
    labels = [c.label for c in table.columns if c.group in ("image", "pixel")]
    assert labels == ["I-AUROC", "I-AP", "I-F1", "P-AUROC", "P-AP", "P-F1", "AUPRO"]
    assert [row.label for row in table.rows if row.baseline] == ["dinomaly"]
    assert "5 seeds" in table.caption and any("Split: report" in note for note in table.notes)


def test_numbers_are_mean_and_sd_over_seeds() -> None:
    made = results()
    rows = made.frame.query("metric == 'image_auroc' and variant == 'top-q' and stratum == 'all'")
    seeds = rows.groupby("seed")["value"].mean() * 100
    cell = column(main_table(Judgement(made)), "I-AUROC")["top-q"]
    assert cell.text == f"{seeds.mean():.1f}"
    assert cell.spread == f"± {seeds.std():.1f}"


def test_a_study_without_any_result_still_has_a_table() -> None:
    made = results()
    empty = replace(
        made,
        frame=made.frame.iloc[:0],
        runs=tuple(RunState("k", v, 0, None, "waiting") for v in made.variants),
    )
    assert main_table(Judgement(empty)).rows
