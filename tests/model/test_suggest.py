"""Behavioural: the name that was meant, and the list of names where nothing is near."""

from __future__ import annotations

import pytest

from model.suggest import nearest, suggestion

NAMES = ("tail.q", "tail.alpha", "train.iterations", "AUPRO")


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("tail.qq", "tail.q"),
        ("q", "tail.q"),
        ("aupro", "AUPRO"),
        ("Iterations", "train.iterations"),
        ("train.iteration", "train.iterations"),
        ("zzz", None),
        (7, None),
    ],
)
def test_the_nearest_name(word: object, meant: str | None) -> None:
    assert nearest(word, NAMES) == meant


def test_a_hint_names_one_or_lists_all() -> None:
    assert suggestion("tail.alfa", NAMES) == "did you mean 'tail.alpha'?"
    assert suggestion("zzz", NAMES) == "known: tail.q, tail.alpha, train.iterations, AUPRO"
    assert suggestion("zzz", NAMES, list_all=False) is None
    assert suggestion("zzz", []) is None
