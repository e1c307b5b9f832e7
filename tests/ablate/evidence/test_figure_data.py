"""What the figures show, checked by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from ablate.evidence.figure_data import factor_lines, heat_maps, mechanism, slopes
from ablate.evidence.judgement import Judgement
from tests.ablate.report_inputs import grid, judged, results

if TYPE_CHECKING:
    pass


def test_factor_lines_hold_the_other_factor() -> None:
    made = grid(seeds=3, strata=False)
    by_factor = {d.factor: d for d in factor_lines(Judgement(made))}
    q = by_factor["tail.q"]
    assert [line.held for line in q.lines] == [(("bias.lambda", b),) for b in (0.0, 0.3, 0.6)]
    assert [p.level for p in q.lines[0].points] == [0.01, 0.02, 0.05, 0.1]
    rows = made.frame[made.frame["metric"] == "image_auroc"].groupby("variant")["value"].mean()
    effect = 100 * (rows["tail.q=0.02 bias.lambda=0.3"] - rows["dinomaly"])
    assert q.lines[1].points[1].estimate.mean == pytest.approx(effect)
    assert q.lines[1].points[1].estimate.n == 3 and q.baseline == "dinomaly"


def test_one_at_a_time_has_one_line_per_factor() -> None:
    levels = {
        "tail.q=0.02": {"tail.q": 0.02},
        "tail.q=0.1": {"tail.q": 0.1},
        "bias.lambda=0.3": {"bias.lambda": 0.3},
    }
    made = results(dict.fromkeys(["dinomaly", *levels], 0.0), strata=False)
    made = replace(made, levels=levels, factors={"tail.q": (0.02, 0.1), "bias.lambda": (0.3,)})
    (q,) = factor_lines(Judgement(made))  # a single level is no line
    assert q.factor == "tail.q" and [(line.named, line.held) for line in q.lines] == [("", ())]
    assert heat_maps(Judgement(made)) == []


def test_grid_crossed_with_variants_gives_one_line_and_map_each() -> None:
    levels = {
        f"{v},tail.q={q:g},bias.lambda={b:g}": {"tail.q": q, "bias.lambda": b}
        for v in ("dinomaly", "directional") for q in (0.02, 0.1) for b in (0.0, 0.3)
    }  # fmt: skip
    made = results(dict.fromkeys(["dinomaly", "directional", *levels], 0.0), strata=False)
    made = replace(made, levels=levels, factors={"tail.q": (0.02, 0.1), "bias.lambda": (0.0, 0.3)})
    assert [m.title for m in heat_maps(Judgement(made))] == ["dinomaly", "directional"]
    lines = [(line.named, line.held) for line in factor_lines(Judgement(made))[0].lines]
    assert lines[0] == ("dinomaly", (("bias.lambda", 0.0),)) and len(lines) == 4


def test_heat_map_holds_the_forest_plots_differences() -> None:
    made = grid(seeds=3, strata=False)
    (data,) = heat_maps(Judgement(made))
    forest = Judgement(made).primary.differences
    assert data.differences[0.02, 0.3] == forest["tail.q=0.02 bias.lambda=0.3"]
    assert len(data.differences) == 12


def test_slopes_hold_complete_pairs_only() -> None:
    made = results(seeds=2)
    f = made.frame
    gone = (f["variant"] == "top-q") & (f["seed"] == 1) & (f["category"] == "domain_b")
    panel = slopes(Judgement(replace(made, frame=f[~gone])))[0]
    assert panel.variant == "top-q"
    assert {c: len(p) for c, p in panel.pairs.items()} == {"domain_a": 2, "domain_b": 1, "domain_c": 2}


def test_mechanism_has_the_distances_of_each_stratum() -> None:
    made = judged(seeds=3)
    found = {(m.variant, m.stratum): m for m in mechanism(made)}
    assert {s for _, s in found} == set(made.results.frame["stratum"])
    rows = made.results.frame.query(
        "metric == 'token_distance_gap' and variant == 'top-q' and stratum == 'faintness=faint'"
    )
    here = found["top-q", "faintness=faint"]
    assert here.gap.mean == pytest.approx(rows["value"].mean()) and here.gap.n == 3
    assert mechanism(judged(strata=False)) == []
