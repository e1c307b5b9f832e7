"""The gallery's figure: one colour scale, scores as numbers, the rule in the caption."""

from __future__ import annotations

from pathlib import Path

from ablate.evidence.gallery import galleries
from ablate.evidence.judgement import Judgement
from ablate.report.figures import gallery as figure
from ablate.report.figures.style import style
from tests.ablate.report_inputs import results, with_runs


def test_all_maps_share_a_scale_and_carry_their_scores(tmp_path: Path) -> None:
    made = with_runs(results({"dinomaly": 0.0, "top-q": 0.01}, seeds=1, strata=False), tmp_path)
    (data,) = galleries(made)
    with style():
        (drawing,) = figure.drawings(Judgement(made))
    axes = drawing.figure.axes
    maps = [ax.images[0] for ax in axes if ax.images and ax.images[0].get_cmap().name == "inferno"]
    assert len(maps) == 2 * len(data.rows)
    assert {m.get_clim() for m in maps} == {(data.low, data.high)}
    shown = {text.get_text() for ax in axes for text in ax.texts}
    assert {f"{score:.3f}" for row in data.rows for score in row.scores.values()} <= shown
    assert "that dinomaly (seed 0) gives" in drawing.caption
