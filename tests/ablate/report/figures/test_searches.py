"""Figures of a search: what is drawn when, what it shows, and labels apart from each other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ablate.evidence.judgement import Judgement
from ablate.evidence.searched import Searched
from ablate.evidence.tried import Trial, winner_of
from ablate.report.figures.paper import paper_of
from ablate.report.figures.pictures import laid_out
from ablate.report.figures.searches import draw_front, draw_history, drawings
from ablate.report.figures.style import Drawing, style
from ablate.study.dimensions import Choices, Range, Space
from tests.ablate.report.figures.test_pictures import overlaps, visible_ticks_only
from tests.ablate.report_inputs import results

SPACE: Space = {
    "tail.q": Range(0.005, 0.2, log=True),
    "bias.direction": Choices(("horizontal", "vertical")),
    "bias.lambda": Range(0.0, 1.0, when={"bias.direction": ["horizontal"]}),
    "token_dropout.rate": Range(0.0, 0.4),
}


def tried(count: int = 30, *, two: bool = False) -> Searched:
    """A search whose seventh trial failed and whose every fifth breaks a constraint."""
    rng = np.random.default_rng(0)
    trials = []
    for i, (q, turn, strength, rate) in enumerate(rng.random((count, 4)).tolist()):
        params = {"tail.q": 0.005 * 40**q, "bias.direction": SPACE["bias.direction"].values[turn > 0.5]}  # type: ignore[union-attr]
        params |= {"bias.lambda": strength} if turn <= 0.5 else {}
        params["token_dropout.rate"] = rate * 0.4
        values = (0.9 + 0.05 * q, 0.8 - 0.05 * q + 0.01 * rate)[: 1 + two]
        if i == 6:
            trials.append(Trial(i, "fail", (), params))
        else:
            trials.append(Trial(i, "complete", values, params, broken=i % 5 == 4))
    objectives = ("image_auroc", "aupro") if two else ()
    return Searched(
        count, 1, 2, "image_auroc", "best", 1.0, 0.4,
        objectives=objectives, broken=count // 5, trials=tuple(trials), space=SPACE,
    )  # fmt: skip


def made(*searches: Searched, venue: str = "") -> list[Drawing]:
    judgement = Judgement(replace(results(), searched=searches, venue=venue))
    paper = paper_of(venue)
    with style(paper.families):
        return laid_out(drawings(judgement), paper.leading)


def test_a_search_is_drawn_as_far_as_it_says_anything() -> None:
    parts = ["search_history", "search_slices", "search_importances", "search_contour"]
    assert [drawing.name for drawing in made(tried())] == parts
    assert [drawing.name for drawing in made(tried(two=True))] == [parts[0], "search_front", *parts[1:]]
    assert [drawing.name for drawing in made(tried(8))] == parts[:2]
    assert made(tried(2)) == [] and made() == []


def test_every_arm_has_its_own() -> None:
    arms = (replace(tried(), winner="with bias"), replace(tried(), winner="without"))
    names = [drawing.name for drawing in made(*arms)]
    assert "search_history_with_bias" in names and "search_history_without" in names
    assert len(set(names)) == len(names) == 8


def test_captions_say_that_selecting_is_optimistic() -> None:
    for drawing in made(tried(two=True)):
        assert "On the images that select, 2 seeds each, hence optimistic." in drawing.caption
    assert "without an outcome. Star: the winner. Hollow: breaks a constraint." in made(tried())[0].caption


@pytest.mark.parametrize("venue", ["", "cvpr2024"])
def test_labels_never_meet(venue: str) -> None:
    for drawing in made(tried(two=True), venue=venue):
        visible_ticks_only(drawing.figure)
        assert overlaps(drawing.figure) == [], drawing.name
        assert drawing.figure.get_figwidth() <= paper_of(venue).page + 1e-9


def test_the_line_of_the_history_passes_by_what_cannot_win() -> None:
    params = {"tail.q": 0.1, "bias.direction": "vertical", "token_dropout.rate": 0.1}
    values = [(0.80, False), (0.95, True), (0.85, False), (0.82, False)]
    trials = tuple(Trial(i, "complete", (v,), params, broken=b) for i, (v, b) in enumerate(values))
    one = replace(tried(), trials=trials)
    with style():
        (ax,) = draw_history(one).axes
    step = next(line for line in ax.lines if line.get_drawstyle() == "steps-post")
    assert list(step.get_ydata()) == pytest.approx([80, 85, 85, 85])
    best = winner_of(trials)
    assert best is not None and best.number == 2


def test_the_front_is_a_staircase_through_what_nothing_beats() -> None:
    params = {"tail.q": 0.1}
    values = [(0.80, 0.70, True), (0.79, 0.60, False), (0.85, 0.65, True), (0.90, 0.50, True)]
    trials = tuple(Trial(i, "complete", (a, b), params, front=f) for i, (a, b, f) in enumerate(values))
    with style():
        (ax,) = draw_front(replace(tried(two=True), trials=trials)).axes
    (step,) = ax.lines
    assert list(step.get_xdata()) == pytest.approx([80, 85, 90])
    assert list(step.get_ydata()) == pytest.approx([70, 65, 50])
    assert step.get_drawstyle() == "steps-pre"
