"""Slopes: a panel per variant, worse pairs dashed, the mean where there are two seeds."""

from __future__ import annotations

from dataclasses import replace

from ablate.evidence.figure_data import Slopes, slopes
from ablate.evidence.judgement import Judgement
from ablate.report.figures import slopes as figure
from ablate.report.figures.style import BLUE, VERMILION, style
from tests.ablate.report_inputs import judged, results


def test_pairs_are_coloured_by_their_direction() -> None:
    panel = Slopes("new", "base", "image_auroc", {"a": ((90.0, 91.0), (92.0, 91.5))})
    with style():
        ax = figure.draw_slopes([panel]).axes[0]
    pairs = [line for line in ax.lines if len(line.get_xdata()) == 2]  # type: ignore[arg-type]
    assert [line.get_color() for line in pairs] == [BLUE, VERMILION, "black"]
    assert list(pairs[-1].get_ydata()) == [91.0, 91.25]  # type: ignore[arg-type]


def test_second_names_have_no_panel() -> None:
    made = Judgement(replace(results(seeds=2), same_as={"control": "top-q"}))
    with style():
        (drawing,) = figure.drawings(made)
        titles = [ax.get_title(loc="left") for ax in drawing.figure.axes]
    assert titles == ["top-q", "directional"]
    assert len(slopes(made)) == 3  # the data has it all the same


def test_one_variant_has_no_figure() -> None:
    assert list(figure.drawings(judged({"dinomaly": 0.0}, seeds=1))) == []
