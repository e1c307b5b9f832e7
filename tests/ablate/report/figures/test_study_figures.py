"""Figures: the data behind them by hand, and that drawing works at every size without overlaps.

Behavioural. Pictures are not compared with stored ones; what is checked of a drawing is that labels
are legible, inside the canvas and apart from each other.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from ablate.evidence import figure_data
from ablate.evidence.results import Results
from ablate.report.figures import study as figures
from tests.ablate.report_inputs import grid, results, write_histories, write_maps

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.text import Text

MVTEC = [
    "bottle", "cable", "capsule", "carpet", "grid", "hazelnut", "leather", "metal_nut", "pill", "screw",
    "tile", "toothbrush", "transistor", "wood", "zipper",
]  # fmt: skip


def drawn(made: Results) -> dict[str, Figure]:
    """All figures of a study by name, laid out."""
    found = {}
    with figures.style():
        for section in figures.SECTIONS.values():
            for drawing in section(made):
                drawing.figure.draw_without_rendering()
                found[drawing.name] = drawing.figure
    return found


def with_runs(made: Results, folder: Path) -> Results:
    """The study with histories and maps in ``folder``."""
    made = replace(made, folder=folder)
    write_histories(folder, made, steps=60)
    write_maps(folder, made, side=24)
    return made


# ---------------------------------------------------------------------------------- data


def test_importing_figures_does_not_import_matplotlib() -> None:
    code = "import sys, ablate.report.figures.study; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_factor_lines_hold_the_other_factor() -> None:
    made = grid(seeds=3, strata=False)
    by_factor = {d.factor: d for d in figure_data.factor_lines(made)}
    q = by_factor["tail.q"]
    assert [line.label for line in q.lines] == ["bias.lambda = 0", "bias.lambda = 0.3", "bias.lambda = 0.6"]
    assert [p.level for p in q.lines[0].points] == [0.01, 0.02, 0.05, 0.1]
    rows = made.frame.query("variant == 'tail.q=0.02 bias.lambda=0.3' and metric == 'image_auroc'")
    assert q.lines[1].points[1].estimate.mean == pytest.approx(100 * rows["value"].mean())
    assert q.reference.n == 3 and q.baseline == "dinomaly"


def test_one_at_a_time_has_one_line_per_factor() -> None:
    levels = {
        "tail.q=0.02": {"tail.q": 0.02},
        "tail.q=0.1": {"tail.q": 0.1},
        "bias.lambda=0.3": {"bias.lambda": 0.3},
    }
    made = results(dict.fromkeys(["dinomaly", *levels], 0.0), strata=False)
    made = replace(made, levels=levels, factors={"tail.q": (0.02, 0.1), "bias.lambda": (0.3,)})
    (q,) = figure_data.factor_lines(made)  # a single level is no line
    assert q.factor == "tail.q" and [line.label for line in q.lines] == [""]
    assert figure_data.heat_maps(made) == []


def test_grid_crossed_with_variants_gives_one_line_and_map_each() -> None:
    levels = {
        f"{v},tail.q={q:g},bias.lambda={b:g}": {"tail.q": q, "bias.lambda": b}
        for v in ("dinomaly", "directional") for q in (0.02, 0.1) for b in (0.0, 0.3)
    }  # fmt: skip
    made = results(dict.fromkeys(["dinomaly", "directional", *levels], 0.0), strata=False)
    made = replace(made, levels=levels, factors={"tail.q": (0.02, 0.1), "bias.lambda": (0.0, 0.3)})
    assert [m.title for m in figure_data.heat_maps(made)] == ["dinomaly", "directional"]
    labels = [line.label for line in figure_data.factor_lines(made)[0].lines]
    assert labels[0] == "dinomaly, bias.lambda = 0" and len(labels) == 4


def test_heat_map_holds_the_forest_plots_differences() -> None:
    made = grid(seeds=3, strata=False)
    (data,) = figure_data.heat_maps(made)
    forest = {d.variant: d for d in figure_data.forest(made)}
    assert data.cells[0.02, 0.3] == forest["tail.q=0.02 bias.lambda=0.3"]
    assert len(data.cells) == 12


def test_slopes_hold_complete_pairs_only() -> None:
    made = results(seeds=2)
    f = made.frame
    gone = (f["variant"] == "top-q") & (f["seed"] == 1) & (f["category"] == "domain_b")
    panel = figure_data.slopes(replace(made, frame=f[~gone]))[0]
    assert panel.variant == "top-q"
    assert {c: len(p) for c, p in panel.pairs.items()} == {"domain_a": 2, "domain_b": 1, "domain_c": 2}


def test_training_curves_average_runs_and_show_moving_knobs_only(tmp_path: Path) -> None:
    made = replace(results({"dinomaly": 0.0}, seeds=2, strata=False), folder=tmp_path)
    for seed, level in enumerate((1.0, 3.0)):
        folder = tmp_path / "runs" / f"dinomaly-{seed}"
        folder.mkdir(parents=True)
        history = {
            "iteration": [0, 1, 2],
            "loss": [level] * 3,
            "lr": [1, 2, 3],
            "tail.q": [1.0, 0.5, 0.1],
            "x": [1] * 3,
        }
        pd.DataFrame(history).to_csv(folder / "history.csv", index=False)
    loss, q = figure_data.training_curves(made)
    assert (loss.column, q.column) == ("loss", "tail.q")  # lr is no knob, x does not move
    (curve,) = loss.curves
    assert curve.runs == 2
    assert np.allclose(curve.mean, 2) and np.allclose(curve.low, 1) and np.allclose(curve.high, 3)
    assert np.allclose(q.curves[0].mean, [1.0, 0.5, 0.1])


def test_broken_histories_and_maps_are_passed_over(tmp_path: Path) -> None:
    made = replace(results({"dinomaly": 0.0}, seeds=1, strata=False), folder=tmp_path)
    folder = tmp_path / "runs" / "dinomaly-0"
    folder.mkdir(parents=True)
    (folder / "history.csv").write_text("")
    (folder / "maps.npz").write_bytes(b"no archive")
    assert figure_data.training_curves(made) == []
    assert figure_data.galleries(made) == []


def test_gallery_follows_its_rule(tmp_path: Path) -> None:
    made = with_runs(results(seeds=2, strata=False), tmp_path)
    (gallery,) = figure_data.galleries(made)
    assert gallery.variants == made.variants and gallery.seed == 0
    reference = np.load(tmp_path / "runs" / "dinomaly-0" / "maps.npz")
    here = reference["category"] == "domain_a"
    rows = {row.rule: row for row in gallery.rows if row.category == "domain_a"}
    defects, normals = here & (reference["label"] == 1), here & (reference["label"] == 0)
    assert rows["worst miss"].scores["dinomaly"] == reference["score"][defects].min()
    assert rows["worst false alarm"].scores["dinomaly"] == reference["score"][normals].max()
    assert rows["worst false alarm"].label == 0
    # The same image in every column, each with its own variant's map.
    other = np.load(tmp_path / "runs" / "control-0" / "maps.npz")
    i = list(other["path"]).index(rows["worst miss"].path)
    assert np.array_equal(rows["worst miss"].maps["control"], other["map"][i].astype(float))


def test_gallery_pages_keep_categories_whole(tmp_path: Path) -> None:
    made = with_runs(
        results({"dinomaly": 0.0, "top-q": 0.01}, seeds=1, categories=MVTEC, strata=False), tmp_path
    )
    pages = figure_data.galleries(made)
    assert [len(page.rows) for page in pages] == [12, 12, 12, 9]
    assert len({(page.low, page.high) for page in pages}) == 1


# ---------------------------------------------------------------------------------- drawing


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


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [1, 2, 5])
@pytest.mark.parametrize(
    ("effects", "categories"),
    [
        ({"dinomaly": 0.0}, ["bottle"]),
        ({"dinomaly": 0.0, "top-q": 0.01}, ["bottle", "cable"]),
        (EIGHT, MVTEC),
    ],
    ids=["1x1", "2x2", "9x15"],
)
def test_labels_never_meet(
    effects: dict[str, float], categories: list[str], seeds: int, tmp_path: Path
) -> None:
    made = results(effects, seeds=seeds, categories=categories)
    made = replace(made, folder=tmp_path)
    if seeds < 5:  # runs' pictures do not depend on the number of seeds
        made = with_runs(made, tmp_path)
    found = drawn(made)
    if len(effects) > 1:
        assert {"forest", "slopes", "mechanism"} <= set(found)
    for name, figure in found.items():
        visible_ticks_only(figure)
        assert overlaps(figure) == [], name
        assert figure.get_figwidth() <= figures.PAGE + 1e-9


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [1, 2, 5])
def test_factor_figures_draw(seeds: int) -> None:
    found = drawn(grid(seeds=seeds, strata=False))
    assert {"factor_tail_q", "factor_bias_lambda", "heatmap", "forest"} <= set(found)
    for name in ("factor_tail_q", "heatmap", "forest"):
        visible_ticks_only(found[name])
        assert overlaps(found[name]) == [], name


def test_heat_map_is_centred_at_zero() -> None:
    with figures.style():
        (data,) = figure_data.heat_maps(grid(seeds=2, strata=False))
        image = figures.draw_heat_map(data).axes[0].images[0]
    assert image.get_clim()[0] == -(image.get_clim()[1] or 0) != 0


def test_looks_are_stable_and_distinct() -> None:
    look = figures.looks(["a", "base", "b", "c", "d", "e", "f", "g", "h"], "base")
    assert look["base"].colour == figures.GREY
    assert len({(at.colour, at.marker) for at in look.values()}) == 9


def test_names_wrap_behind_punctuation() -> None:
    assert figures.wrapped("tail.q=0.02,bias.lambda=0.3", 12) == "tail.q=0.02,\nbias.lambda=\n0.3"
    assert figures.wrapped("short", 12) == "short"
