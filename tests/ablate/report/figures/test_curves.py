"""Training curves: bands over runs, and a logarithmic loss where it falls far."""

from __future__ import annotations

import numpy as np

from ablate.evidence.training_curves import Curve, CurvePanel
from ablate.report.figures.curves import draw_curves
from ablate.report.figures.style import looks, style


def curve(variant: str, values: list[float], runs: int = 2) -> Curve:
    """A curve whose band is a tenth of its values wide."""
    mean = np.array(values)
    return Curve(variant, np.arange(len(values), dtype=float), mean, 0.95 * mean, 1.05 * mean, runs)


def test_a_falling_loss_is_logarithmic_and_a_flat_one_is_not() -> None:
    look = looks(["base"], "base")
    with style():
        falling = draw_curves([CurvePanel("loss", (curve("base", [1.0, 0.3, 0.05]),))], look)
        flat = draw_curves([CurvePanel("loss", (curve("base", [1.0, 0.9, 0.8]),))], look)
    assert (falling.axes[0].get_yscale(), flat.axes[0].get_yscale()) == ("log", "linear")


def test_only_variants_with_a_look_are_drawn_and_one_run_has_no_band() -> None:
    curves = (curve("base", [1.0, 0.9]), curve("one run", [1.0, 0.8], runs=1), curve("other", [1.0, 0.7]))
    with style():
        figure = draw_curves([CurvePanel("loss", curves)], looks(["base", "one run"], "base"))
    (ax,) = figure.axes
    assert [line.get_label() for line in ax.lines] == ["base", "one run"]
    assert len(ax.collections) == 1


def test_short_names_share_a_row_of_the_legend() -> None:
    panels = [CurvePanel("loss", tuple(curve(name, [1.0, 0.9]) for name in ("base", "a", "b", "c")))]
    with style():
        one_row = draw_curves(panels, looks(["base", "a", "b", "c"], "base"))
        alone = draw_curves(panels, looks(["base"], "base"))
    assert one_row.get_figheight() == alone.get_figheight()
