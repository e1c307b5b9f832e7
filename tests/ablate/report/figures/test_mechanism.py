"""The mechanism's figure: a panel per stratum, a row per variant, the gap as a number."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from ablate.evidence.judgement import Judgement
from ablate.report.figures import mechanism as figure
from ablate.report.figures.style import style
from tests.ablate.report_inputs import judged, results


def test_every_stratum_has_a_panel_with_each_variants_gap() -> None:
    made = judged(seeds=2)
    with style():
        (drawing,) = figure.drawings(made)
    axes = drawing.figure.axes
    assert axes[0].get_title(loc="left") == "all defects"
    assert len(axes) == len(set(made.results.frame["stratum"]))
    gap = made.comparison("token_distance_gap").means["dinomaly"].estimate.mean
    texts = [text.get_text() for text in axes[0].texts]
    assert any(text.startswith(f"{gap:.3f} [") and text.endswith("]") for text in texts)
    said = drawing.figure.get_supxlabel()
    assert "the gap" in said and said.endswith("n = 2")
    assert [label.get_text() for label in axes[0].get_yticklabels()] == list(made.results.variants)


def test_a_variant_with_fewer_seeds_says_so() -> None:
    made = results(seeds=3)
    frame = made.frame[(made.frame["variant"] != "control") | (made.frame["seed"] < 2)]
    with style():
        (drawing,) = figure.drawings(Judgement(replace(made, frame=frame)))
    texts = [text.get_text() for text in drawing.figure.axes[0].texts]
    assert [text.endswith(", n 2") for text in texts] == [False, False, False, True]


def test_nothing_is_drawn_where_nothing_was_measured() -> None:
    assert list(figure.drawings(judged(strata=False, seeds=2))) == []


def test_completion_has_a_panel_for_normal_images_and_one_for_defects() -> None:
    made = judged(seeds=3).results
    rows = made.frame[(made.frame["metric"] == "token_distance_gap") & (made.frame["stratum"] == "all")]
    named = [
        rows.assign(metric=f"completion{where}_{what}", value=rows["value"] + shift)
        for where in ("", "_defect")
        for what, shift in (("horizontal", 0.4), ("vertical", 0.5), ("difference", -0.1))
    ]
    with style():
        drawings = list(figure.drawings(Judgement(replace(made, frame=pd.concat([made.frame, *named])))))
    assert [d.name for d in drawings] == ["mechanism", "completion"]
    axes = drawings[1].figure.axes
    assert [ax.get_title(loc="left") for ax in axes] == ["normal images", "defects"]
    mean = rows[rows["variant"] == "dinomaly"].groupby("seed")["value"].mean().mean() - 0.1
    assert any(text.get_text().startswith(f"{mean:.3f} [") for text in axes[0].texts)
    assert "rows − columns" in drawings[1].figure.get_supxlabel().replace("\n", " ")
