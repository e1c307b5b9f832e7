"""Every figure at every size: labels are legible, inside the canvas and apart from each other.

Pictures are not compared with stored ones.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ablate.evidence.judgement import Judgement
from ablate.evidence.results import Results
from ablate.report.figures.paper import PLAIN, paper_of
from ablate.report.figures.pictures import SECTIONS, draw, laid_out
from ablate.report.figures.style import style
from ablate.study.claims import Claim
from tests.ablate.report_inputs import MVTEC, grid, judged, results, with_runs

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.text import Text


def drawn(made: Results) -> dict[str, Figure]:
    """All figures of a study by name, laid out."""
    paper, judgement = paper_of(made.venue), Judgement(made)
    with style(paper.families):
        return {
            drawing.name: drawing.figure
            for drawings in (d for section in SECTIONS.values() for d in section)
            for drawing in laid_out(drawings(judgement), paper.leading)
        }


def overlaps(figure: Figure) -> list[tuple[str, str]]:
    """Pairs of texts that cover each other, and texts that leave the canvas."""
    from matplotlib.text import Text

    texts = [t for t in figure.findobj(Text) if isinstance(t, Text)]
    texts = [t for t in texts if t.get_visible() and t.get_text().strip()]
    boxes = {t: t.get_window_extent().shrunk(0.9, 0.8) for t in texts}
    width, height = figure.get_size_inches() * figure.dpi
    outside = [
        (t.get_text(), "outside")
        for t, b in boxes.items()
        if b.x0 < -2 or b.y0 < -2 or b.x1 > width + 2 or b.y1 > height + 2
    ]
    return outside + [
        (s.get_text(), t.get_text())
        for (s, a), (t, b) in combinations(boxes.items(), 2)
        if a.overlaps(b) and not side_by_side(s, t, figure.dpi)
    ]


def side_by_side(a: Text, b: Text, dpi: float) -> bool:
    """Whether two slanted texts run in parallel, apart (their upright boxes overlap all the same)."""
    angle = np.deg2rad(a.get_rotation())
    if not angle or a.get_rotation() != b.get_rotation():
        return False
    (ax, ay), (bx, by) = (t.get_transform().transform(t.get_position()) for t in (a, b))
    return abs((bx - ax) * np.sin(angle) - (by - ay) * np.cos(angle)) > float(a.get_fontsize()) / 72 * dpi


def visible_ticks_only(figure: Figure) -> None:
    """matplotlib keeps tick labels beyond the limits as invisible-but-laid-out texts: hide them."""
    for ax in figure.axes:
        for axis in (ax.xaxis, ax.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
                if not low <= tick.get_loc() <= high:
                    tick.label1.set_visible(False)


EIGHT = {"dinomaly": 0.0, **{f"variant_number_{i}": 0.002 * i for i in range(8)}}
LONG = {
    "dinomaly": 0.0,
    **{f"horizontal,token_dropout.pattern=segment,tail.q={q / 100}": 0.001 * q for q in range(1, 17)},
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("effects", "categories", "seeds", "runs"),
    [
        ({"dinomaly": 0.0}, ["bottle"], 1, True),
        ({"dinomaly": 0.0, "top-q": 0.01}, ["bottle", "cable"], 1, True),
        ({"dinomaly": 0.0, "top-q": 0.01}, ["bottle", "cable"], 2, False),
        (EIGHT, MVTEC[:3], 2, True),
        (EIGHT, MVTEC, 5, False),
    ],
    ids=["1x1x1", "2x2x1", "2x2x2", "9x3x2", "9x15x5"],
)
def test_labels_never_meet(
    effects: dict[str, float], categories: list[str], seeds: int, runs: bool, tmp_path: Path
) -> None:
    made = replace(results(effects, seeds=seeds, categories=categories), folder=tmp_path)
    if runs:
        made = with_runs(made, tmp_path)
    found = drawn(made)
    if len(effects) > 1:
        assert {"forest", "slopes", "mechanism"} <= set(found)
    for name, figure in found.items():
        visible_ticks_only(figure)
        assert overlaps(figure) == [], name
        assert figure.get_figwidth() <= PLAIN.page + 1e-9


@pytest.mark.slow
@pytest.mark.parametrize("venue", ["", "eccv2024", "cvpr2024"])
def test_labels_never_meet_with_long_names_on_a_venues_paper(venue: str) -> None:
    claim = Claim(list(LONG)[-1], "dinomaly", None, "image_auroc", ">")
    made = replace(results(LONG, seeds=3), venue=venue, claims=(claim,))
    found = drawn(made)
    assert len(found) == 4  # forest, slopes, mechanism, specification curve
    for name, figure in found.items():
        visible_ticks_only(figure)
        assert overlaps(figure) == [], name
        assert figure.get_figwidth() <= paper_of(venue).page + 1e-9


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [1, 2, 5])
def test_factor_figures_draw(seeds: int) -> None:
    found = drawn(grid(seeds=seeds, strata=False))
    assert {"factor_tail_q", "factor_bias_lambda", "heatmap", "forest"} <= set(found)
    for name in ("factor_tail_q", "heatmap", "forest"):
        visible_ticks_only(found[name])
        assert overlaps(found[name]) == [], name


def test_importing_the_report_does_not_import_matplotlib() -> None:
    code = "import sys, ablate.report.page; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_pictures_are_files_of_their_kind() -> None:
    found = draw(judged(seeds=2, strata=False))
    assert [p.name for p in found["differences"]] == ["forest"] and "factors" not in found
    (forest,) = found["differences"]
    assert forest.png.startswith(b"\x89PNG") and forest.pdf.startswith(b"%PDF")
    assert forest.source.startswith("data:image/png;base64,")


def test_figures_whose_names_look_alike_as_files_are_kept_apart() -> None:
    effects = {"dinomaly": 0.0, "a+b": 0.01, "a-b": 0.01, "方向": 0.01}
    claims = tuple(Claim(v, "dinomaly", None, "image_auroc", ">") for v in list(effects)[1:])
    found = draw(Judgement(replace(results(effects, seeds=3, strata=False), claims=claims)))["claims"]
    assert [p.name.removeprefix("specifications_") for p in found] == [
        "a_b_dinomaly", "a_b_dinomaly_2", "方向_dinomaly"
    ]  # fmt: skip
