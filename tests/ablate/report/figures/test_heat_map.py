"""The heat map is centred at zero."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ablate.evidence.figure_data import heat_maps
from ablate.evidence.judgement import Judgement
from ablate.report.figures.heat_map import draw_heat_map
from ablate.report.figures.style import style
from tests.ablate.report_inputs import grid

if TYPE_CHECKING:
    pass


def test_heat_map_is_centred_at_zero() -> None:
    with style():
        (data,) = heat_maps(Judgement(grid(seeds=2, strata=False)))
        image = draw_heat_map(data).axes[0].images[0]
    assert image.get_clim()[0] == -(image.get_clim()[1] or 0) != 0
