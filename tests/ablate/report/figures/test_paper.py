"""Paper: venues' widths and fonts, as tueplots has them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from matplotlib import font_manager
from tueplots import bundles, figsizes

from ablate.evidence.judgement import Judgement
from ablate.report.figures.paper import PLAIN, paper_of
from ablate.report.figures.pictures import draw
from ablate.study.spec import VENUES
from tests.ablate.report_inputs import results


@pytest.mark.parametrize("venue", VENUES)
def test_a_venue_has_widths_and_installed_fonts(venue: str) -> None:
    paper = paper_of(venue)
    assert paper.column <= paper.page <= 7 and callable(getattr(bundles, venue))
    assert set(paper.families) <= set(font_manager.get_font_names())
    assert paper.width(2.0) == paper.column and paper.width(99.0) == paper.page


def test_widths_are_tueplots() -> None:
    cvpr, neurips = paper_of("cvpr2024"), paper_of("neurips2024")
    assert cvpr.page == figsizes.cvpr2024_full()["figure.figsize"][0]
    assert cvpr.column == figsizes.cvpr2024_half()["figure.figsize"][0]
    assert neurips.page == figsizes.neurips2024()["figure.figsize"][0] == 5.5
    assert paper_of("") is PLAIN


def test_figures_of_a_venue_are_a_column_or_a_page_wide() -> None:
    made = Judgement(replace(results(seeds=2, strata=False), venue="eccv2024"))
    pictures = [picture for section in draw(made).values() for picture in section]
    paper = paper_of("eccv2024")
    assert len(pictures) >= 2
    for picture in pictures:
        assert picture.inches in (pytest.approx(paper.column), pytest.approx(paper.page))
        assert b"STIXGeneral" in picture.pdf or b"Times" in picture.pdf
