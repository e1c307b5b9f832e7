"""The forest plot: filled is what was decided, and a row without pairs says so."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ablate.evidence.judgement import Judgement
from ablate.report.figures.forest import draw_forest
from ablate.report.figures.style import style
from tests.ablate.report_inputs import results

if TYPE_CHECKING:
    pass


def test_decided_rows_are_filled_and_empty_ones_say_so() -> None:
    made = results()
    gone = made.frame["variant"] == "control"
    primary = Judgement(replace(made, frame=made.frame[~gone])).primary
    with style():
        ax = draw_forest(list(primary.differences.values())).axes[0]
    fills = {line.get_ydata()[0]: line.get_mfc() for line in ax.lines if line.get_marker() in ("D", "o")}  # type: ignore[attr-defined,index]
    rows = {i: d.verdict for i, d in enumerate(primary.differences.values())}
    assert {i: fill != "white" for i, fill in fills.items()} == {0: False, 1: True}
    assert rows == {0: "undecided", 1: "better", 2: "missing"}
    assert "no data yet" in {text.get_text().strip() for text in ax.texts}
