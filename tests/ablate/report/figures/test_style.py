"""The style: looks that can be told apart, names that fit."""

from __future__ import annotations

from ablate.evidence.stats import Estimate
from ablate.report.figures.style import GREY, looks, n_text, set_limits, wrapped


def test_looks_are_stable_and_distinct() -> None:
    look = looks(["a", "base", "b", "c", "d", "e", "f", "g", "h"], "base")
    assert look["base"].colour == GREY
    assert len({(at.colour, at.marker) for at in look.values()}) == 9


def test_names_wrap_behind_punctuation() -> None:
    assert wrapped("tail.q=0.02,bias.lambda=0.3", 12) == "tail.q=0.02,\nbias.lambda=\n0.3"
    assert wrapped("short", 12) == "short"


def test_no_number_is_broken_and_commas_come_first() -> None:
    name = "token_dropout.pattern=segment,tail.alpha=0.05,bias.lambda=1e-05,train.lr=-2.5"
    lines = wrapped(name, 30).split("\n")
    assert lines == [
        "token_dropout.pattern=segment,", "tail.alpha=0.05,", "bias.lambda=1e-05,", "train.lr=-2.5"
    ]  # fmt: skip
    for width in range(1, 40):
        broken = wrapped(name, width)
        assert broken.replace("\n", "") == name
        for number in ("0.05", "1e-05", "-2.5"):
            assert number in broken, width


def limits(points: list[float], estimates: list[tuple[float, float]]) -> tuple[float, float]:
    found: list[tuple[float, float]] = []
    made = [Estimate(0.0, 1.0, 2, low, high) for low, high in estimates]
    set_limits(lambda low, high: found.append((low, high)), points, made)
    return found[0]


def test_an_interval_is_cut_only_where_it_dwarfs_the_seeds() -> None:
    low, high = limits([0.0, 1.0], [(-3.0, 4.0)])
    assert low < -3 and high > 4
    low, high = limits([0.0, 1.0], [(-30.0, 40.0)])
    assert low > -2 and high < 3
    low, high = limits([0.0, 1.0], [(float("nan"), float("nan"))])
    assert low < 0 and high > 1


def test_n_is_told_in_words() -> None:
    assert n_text([5, 5]) == "n = 5 seeds" and n_text([1]) == "n = 1 seed"
    assert n_text([3, 5], "pair") == "n = 3–5 pairs"
