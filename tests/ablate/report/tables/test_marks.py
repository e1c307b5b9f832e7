"""Marks: only what is not noise is bold; every gap has a reason."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from ablate.evidence.judgement import Judgement
from ablate.report.tables.main import main_table
from tests.ablate.report_inputs import column, judged, results


def test_only_what_is_not_noise_is_bold() -> None:
    noise = results({"dinomaly": 0.0, "a": 0.0, "b": 0.0}, noise=0.01, rng_seed=5)
    assert not any(c.bold or c.underline for c in column(main_table(Judgement(noise)), "I-AUROC").values())
    real = column(main_table(judged({"dinomaly": 0.0, "a": 0.03, "b": -0.03})), "I-AUROC")
    assert {v for v, c in real.items() if c.bold} == {"a"}
    assert {v for v, c in real.items() if c.underline} == {"dinomaly"}


def test_ties_at_displayed_precision_are_marked_alike() -> None:
    made = results({"dinomaly": 0.0, "a": 0.03, "b": 0.0})
    twin = made.frame[made.frame["variant"] == "a"].assign(variant="c")
    twin["value"] -= 1e-5  # the same in every seed, so told apart by no test, and printed alike
    wide = replace(made, frame=pd.concat([made.frame, twin]), variants=(*made.variants, "c"))
    cells = column(main_table(Judgement(wide)), "I-AUROC")
    assert cells["a"].text == cells["c"].text and cells["a"].bold and cells["c"].bold


def test_one_seed_prints_no_spread_and_marks_nothing() -> None:
    table = main_table(judged(seeds=1))
    cells = [c for row in table.rows for c in row.cells]
    assert not any(c.spread or c.bold or c.underline for c in cells)
    assert "one seed" in table.caption


def test_missing_cells_are_dashes_with_a_reason() -> None:
    made = results()
    frame = made.frame[~((made.frame["variant"] == "control") | (made.frame["metric"] == "aupro"))]
    nans = made.frame["metric"] == "aupro"
    frame = pd.concat([frame, made.frame[nans & (made.frame["variant"] != "control")].assign(value=np.nan)])
    runs = tuple(
        replace(r, state="failed", reason="out of memory") if r.variant == "control" else r
        for r in made.runs
    )
    reasons = {("top-q", "aupro", c): "no masks" for c in made.categories}
    table = main_table(Judgement(replace(made, frame=frame, runs=runs, nan_reasons=reasons)))
    gone, undefined = column(table, "I-AUROC")["control"], column(table, "AUPRO")["top-q"]
    assert gone.text == undefined.text == "–"
    text = " ".join(table.notes)
    assert f"({gone.mark}) failed: out of memory" in text and f"({undefined.mark}) no masks" in text


def test_fewer_seeds_or_categories_are_said() -> None:
    made = results()
    f = made.frame
    late = (f["variant"] == "top-q") & (f["seed"] > 2)
    part = (f["variant"] == "control") & (f["category"] == "domain_b")
    table = main_table(Judgement(replace(made, frame=f[~(late | part)])))
    text = " ".join(table.notes)
    assert "3 of 5 seeds" in text and "mean over 2 of 3 categories" in text
    assert not column(table, "I-AUROC")["control"].bold
