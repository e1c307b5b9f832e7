"""The specification curve as a figure: what is marked, what the caption says."""

from __future__ import annotations

from dataclasses import replace

from ablate.evidence.judgement import Judgement
from ablate.report.figures.specifications import drawings
from ablate.report.figures.style import style
from ablate.study.claims import Claim
from tests.ablate.report_inputs import results


def test_choices_are_rows_and_the_declared_analysis_is_marked() -> None:
    claim = Claim("directional", "dinomaly", None, "image_auroc", ">")
    with style():
        (drawing,) = drawings(Judgement(replace(results(), claims=(claim,))))
        top, below = drawing.figure.axes
        labels = [label.get_text() for label in below.get_yticklabels()]
    assert len(labels) == 8 + 4 + 9 and {"I-AUROC", "mean of categories", "faint"} <= set(labels)
    (diamond,) = (line for line in top.lines if line.get_marker() == "D")
    assert len(diamond.get_xdata()) == 1  # type: ignore[arg-type]
    ticks = sum(len(line.get_xdata()) for line in below.lines if line.get_marker() == "|")  # type: ignore[arg-type]
    assert ticks == 3 * 64
    assert "64 analyses" in drawing.caption and "no p below 0.062 is possible" in drawing.caption


def test_without_claims_there_is_no_curve() -> None:
    assert list(drawings(Judgement(results()))) == []
