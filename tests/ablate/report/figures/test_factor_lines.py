"""Factor figures: one line per held combination, named as a reader sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ablate.evidence.figure_data import factor_lines
from ablate.evidence.judgement import Judgement
from ablate.report.figures.factor_lines import draw_factor
from ablate.report.figures.style import style
from tests.ablate.report_inputs import grid

if TYPE_CHECKING:
    pass


def test_lines_are_named_by_what_is_held() -> None:
    with style():
        data = {d.factor: d for d in factor_lines(Judgement(grid(seeds=2, strata=False)))}
        legend = draw_factor(data["tail.q"]).legends[0]
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels == ["dinomaly", "bias.lambda = 0", "bias.lambda = 0.3", "bias.lambda = 0.6"]
