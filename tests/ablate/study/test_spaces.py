"""Behavioural: grids and conditions of a search's space, and what is refused of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ablate.study.dimensions import Choices, Range, here
from ablate.study.grids import count_values, grid, grid_values, most_points
from ablate.study.reading import parse_spec
from ablate.study.spec import SearchConfig
from model.errors import ConfigError


def read(space: str, rest: str = "", *, most_runs: int = 1000) -> SearchConfig:
    text = f"study: s\ndata: {{dataset: stripes}}\nsearch:\n  space:\n{space}\n{rest}"
    search = parse_spec(text, Path("s.yaml"), most_runs=most_runs).search
    assert search is not None
    return search


def refusal(space: str, rest: str = "") -> str:
    with pytest.raises(ConfigError) as caught:
        read(space, rest)
    return str(caught.value)


@pytest.mark.parametrize(
    ("dimension", "values"),
    [
        (Range(0.05, 0.25, step=0.1), (0.05, 0.15, 0.25)),
        (Range(0.05, 0.24, step=0.1), (0.05, 0.15)),
        (Range(0.0, 1.0, points=3), (0.0, 0.5, 1.0)),
        (Range(0.001, 0.1, log=True, points=3), (0.001, 0.01, 0.1)),
        (Range(2, 8, step=3, integer=True), (2, 5, 8)),
        (Range(1, 3, points=5, integer=True), (1, 2, 3)),
        (Choices(("a", None)), ("a", None)),
    ],
)
def test_the_values_that_a_grid_takes(dimension: Range | Choices, values: tuple[object, ...]) -> None:
    assert grid_values(dimension) == values
    assert count_values(dimension) >= len(values)


def test_a_grid_has_every_combination_once() -> None:
    space = {"a": Choices(("x", "y")), "b": Range(0.0, 1.0, points=3), "c": Choices((1, 2))}
    points = list(grid(space))
    assert points[:3] == [
        {"a": "x", "b": 0.0, "c": 1},
        {"a": "x", "b": 0.0, "c": 2},
        {"a": "x", "b": 0.5, "c": 1},
    ]
    assert len(points) == len({tuple(point.items()) for point in points}) == most_points(space) == 12


def test_a_grid_leaves_out_what_is_not_there() -> None:
    space = {
        "b": Range(0.0, 1.0, points=3, when={"a": ["y"]}),
        "a": Choices(("x", "y")),
        "c": Choices((1, 2), {"a": ["x", "y"]}),
    }
    points = list(grid(space))
    assert len(points) == 1 * 2 + 3 * 2
    assert {"a": "x", "c": 1} in points and {"b": 0.5, "a": "y", "c": 2} in points
    assert here(space, {"a": "x", "b": 7.0, "c": 2}) == {"a": "x", "c": 2}
    assert list(here(space, {"a": "y", "b": 7.0, "c": 2})) == ["b", "a", "c"]


def test_what_depends_on_something_absent_is_absent() -> None:
    space = {
        "a": Choices(("x", "y")),
        "b": Choices((1, 2), {"a": ["y"]}),
        "c": Range(0.0, 1.0, when={"b": [1]}),
    }
    assert here(space, {"a": "x", "b": 1, "c": 0.5}) == {"a": "x"}
    assert here({"a": Choices((True, 1)), "b": Choices((1, 2), {"a": [1]})}, {"a": True, "b": 1}) == {
        "a": True
    }


def test_a_condition_may_name_several_values() -> None:
    q = "    tail.q: {low: 0.1, high: 0.2, when: {tail.direction: [vertical, both]}}"
    search = read(f"    tail.direction: [horizontal, vertical, both]\n{q}")
    assert search.space["tail.q"] == Range(0.1, 0.2, when={"tail.direction": ["vertical", "both"]})


def test_an_arms_own_knob_may_depend_on_what_all_arms_have() -> None:
    own = "{b: {tail.q: {low: 0.1, high: 0.2, when: {tail.direction: both}}}}"
    rest = f"  arms: {own}\nvariants: {{a: {{}}, b: {{}}}}"
    search = read("    tail.direction: [vertical, both]", rest)
    assert search.arms["b"]["tail.q"] == Range(0.1, 0.2, when={"tail.direction": ["both"]})


CIRCLE = """\
    tail.direction: {choices: [vertical, both], when: {tail.form: masked}}
    tail.form: {choices: [gradient, masked], when: {tail.direction: both}}"""
CONDITIONAL = """\
    tail.direction: [vertical, both]
    tail.q: {low: 0.1, high: 0.2, when: {tail.direction: both}}"""


@pytest.mark.parametrize(
    ("space", "rest", "message"),
    [
        (
            CIRCLE,
            "",
            "s.yaml:5:5: search.space: the conditions of tail.direction, tail.form go round in a circle",
        ),
        (
            CONDITIONAL,
            "  sampler: gp",
            "s.yaml:7:12: search.sampler: a Gaussian process knows no conditions (sampler: tpe, or random)",
        ),
        (
            "    tail.q: {low: 0.1, high: 0.2, step: 0.05}",
            "  sampler: grid\n  trials: 3",
            "s.yaml:7:3: search.trials: a grid has as many as its values have combinations (leave it out)",
        ),
        (
            "    tail.q: {low: 0.1, high: 0.2, step: 1.0e-9}",
            "  sampler: grid",
            "s.yaml:4:3: this grid has 300,000,003 runs (--max-plan raises the limit)",
        ),
        (
            "    tail.q: {low: 0.1, high: 0.2, step: 0.05, points: 3}",
            "  sampler: grid",
            "s.yaml:5:47: search.space: tail.q cannot have both points and step",
        ),
        (
            "    tail.direction: {choices: both}",
            "",
            "s.yaml:5:31: search.space: tail.direction needs a list of choices, got 'both'",
        ),
    ],
)
def test_a_space_that_cannot_be_searched_is_refused(space: str, rest: str, message: str) -> None:
    assert refusal(space, rest) == message


def test_a_grid_is_the_same_for_every_arm() -> None:
    arms = "  sampler: grid\n  arms: {b: {tail.form: [gradient, masked]}}\nvariants: {a: {}, b: {}}"
    text = "    tail.q: {low: 0.1, high: 0.2, points: 3}"
    assert refusal(text, arms).startswith("s.yaml:6:12: search.sampler: arms have as many trials each")
    assert read(text, arms.replace("{b: {tail.form: [gradient, masked]}}", "{a: {}}")).trials == 3
