"""The style: looks that can be told apart, names that fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ablate.report.figures.style import GREY, looks, wrapped

if TYPE_CHECKING:
    pass


def test_looks_are_stable_and_distinct() -> None:
    look = looks(["a", "base", "b", "c", "d", "e", "f", "g", "h"], "base")
    assert look["base"].colour == GREY
    assert len({(at.colour, at.marker) for at in look.values()}) == 9


def test_names_wrap_behind_punctuation() -> None:
    assert wrapped("tail.q=0.02,bias.lambda=0.3", 12) == "tail.q=0.02,\nbias.lambda=\n0.3"
    assert wrapped("short", 12) == "short"
