"""What a search has tried, read back; the forest's effects against functions whose effects are known."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ablate.evidence.tried import Surface, Trial, enough, read_trials
from ablate.study.dimensions import Choices, Range, Space
from ablate.study.spec import SearchConfig

SPACE: Space = {
    "tail.direction": Choices(("both", None, {"from": 1.0})),
    "tail.q": Range(0.01, 1.0, log=True, when={"tail.direction": ["both"]}),
    "tail.alpha": Range(0.0, 1.0),
}


def search(*metrics: str) -> SearchConfig:
    return SearchConfig(space=SPACE, objective=metrics[0], objectives=metrics)


def test_trials_are_read_with_what_is_there(tmp_path: Path) -> None:
    table = tmp_path / "search.csv"
    table.write_text(
        "trial,state,objective,seconds,reason,aupro,front,broken,tail.direction,tail.q,tail.alpha\n"
        "0,complete,0.9,1,,0.5,yes,,both,0.1,0.5\n"
        "1,complete,0.8,1,,0.4,,aupro >= 50 by 2,,,0.25\n"
        '2,fail,,,NaN loss,,,,"{""from"": 1.0}",,1\n'
        "3,running,,,,,,,both,,\n"
        "4,pruned,0.99,1,,0.9,,,both,0.1,0.5\n"
    )
    assert read_trials(table, search("image_auroc", "aupro")) == (
        Trial(0, "complete", (0.9, 0.5), {"tail.direction": "both", "tail.q": 0.1, "tail.alpha": 0.5},
              front=True),
        Trial(1, "complete", (0.8, 0.4), {"tail.direction": None, "tail.alpha": 0.25}, broken=True),
        Trial(2, "fail", (), {"tail.direction": {"from": 1.0}, "tail.alpha": 1.0}),
        Trial(3, "running", (), {"tail.direction": "both"}),
        # What it had is a mean of the runs before it was stopped: it is no rival of the others.
        Trial(4, "pruned", (), {"tail.direction": "both", "tail.q": 0.1, "tail.alpha": 0.5}),
    )  # fmt: skip
    with pytest.raises(KeyError):
        read_trials(table, search("image_auroc", "pixel_ap"))


def drawn(value: Any, count: int = 150) -> tuple[Space, tuple[Trial, ...]]:
    """Trials over two ranges and a choice; ``value``: their objective."""
    space: Space = {"a": Range(0.0, 1.0), "b": Range(0.001, 1.0, log=True), "c": Choices(("x", "y"))}
    rng = np.random.default_rng(3)
    params = [
        {"a": a, "b": 10 ** (-3 * b), "c": "xy"[int(c * 2)]} for a, b, c in rng.random((count, 3)).tolist()
    ]
    return space, tuple(Trial(i, "complete", (value(p),), p) for i, p in enumerate(params))


def test_importance_is_the_share_of_variance_by_itself() -> None:
    """f = 2 a + log10 b / 3 + 0 c: main effects 4/12 and 1/12 of a unit, hence 80 % and 20 %."""
    surface = Surface(*drawn(lambda p: 2 * p["a"] + math.log10(p["b"]) / 3))
    found = surface.importances()
    assert list(found) == ["a", "b", "c"]
    assert found["a"] == pytest.approx(0.8, abs=0.08)
    assert found["b"] == pytest.approx(0.2, abs=0.08)
    assert found["c"] < 0.02
    assert found == Surface(*drawn(lambda p: 2 * p["a"] + math.log10(p["b"]) / 3)).importances()


def test_an_interaction_is_nobodys_own() -> None:
    surface = Surface(*drawn(lambda p: (p["a"] - 0.5) * (1 if p["c"] == "x" else -1)))
    assert max(surface.importances().values()) < 0.2
    both = surface.surface("a", "c")
    assert both.shape == (2, 15)
    assert both[0, -1] - both[0, 0] > 0.5 and both[1, -1] - both[1, 0] < -0.5


def test_an_effect_follows_the_function() -> None:
    effect = Surface(*drawn(lambda p: -((p["a"] - 0.3) ** 2))).effect("a")
    assert effect.levels[int(np.argmax(effect.means))] == pytest.approx(0.3, abs=0.15)
    logarithmic = Surface(*drawn(lambda p: -abs(math.log10(p["b"]) + 2))).effect("b")
    assert math.log10(logarithmic.levels[int(np.argmax(logarithmic.means))]) == pytest.approx(-2, abs=0.4)


def test_a_condition_leaves_no_effect_where_it_does_not_hold() -> None:
    space: Space = {"c": Choices(("x", "y")), "a": Range(0.0, 1.0, when={"c": ["x"]})}
    rng = np.random.default_rng(0)
    trials = []
    for i, a in enumerate(rng.random(120).tolist()):
        params = {"c": "x", "a": a} if i % 2 else {"c": "y"}
        trials.append(Trial(i, "complete", (params.get("a", 3.0),), params))
    surface = Surface(space, trials)
    x, y = surface.effect("c").means
    assert x == pytest.approx(0.5, abs=0.1) and y == pytest.approx(3.0, abs=0.05)
    assert surface.importances()["c"] > surface.importances()["a"] > 0
    both = surface.surface("a", "c")
    assert np.isnan(both[1]).all() and both[0, -1] - both[0, 0] > 0.7


def test_few_or_equal_trials_say_nothing() -> None:
    assert not enough(drawn(lambda p: p["a"], 9)[1])
    assert enough(drawn(lambda p: p["a"], 10)[1])
    assert not enough(drawn(lambda _: 0.5, 50)[1])
