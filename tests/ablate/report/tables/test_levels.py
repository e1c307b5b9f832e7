"""Levels: each says which uncertainty it has, and no interval leaves the metric's range."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ablate.evidence.judgement import Judgement
from ablate.report.tables.levels import levels_table
from tests.ablate.evidence.test_claim_verdicts import study, write_scores
from tests.ablate.report_inputs import column, judged, results


def test_without_scores_there_is_one_interval_and_a_reason() -> None:
    table = levels_table(judged())
    assert column(table, "[seeds]")["dinomaly"].text.startswith("[")
    assert column(table, "[seeds, images]")["dinomaly"].text == "–"
    assert any("were not kept" in note for note in table.notes)


def test_new_images_widen_a_level(tmp_path: Path) -> None:
    made = write_scores(study([0.0] * 4, categories=("a",)), tmp_path, 40, 0.3, 0.5)
    raw = levels_table(Judgement(made)).raw.set_index("variant").loc["base"]
    assert raw["low_new_images"] < raw["low"] and raw["high"] < raw["high_new_images"] < 100
    assert raw["test_images"] == 40 and raw["image_share"] > 0.9


def test_no_interval_passes_a_hundred() -> None:
    made = results()
    f = made.frame
    near = f["value"].where(f["metric"] != "image_auroc", 1 - 10.0 ** -(3 + f["seed"] % 3))
    raw = levels_table(Judgement(replace(made, frame=f.assign(value=near)))).raw
    assert ((raw["high"] < 100) & (raw["high"] > raw["mean"]) & (raw["low"] < raw["mean"])).all()
