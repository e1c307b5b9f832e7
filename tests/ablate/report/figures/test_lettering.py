"""Behavioural: figures set labels' mathematics and never draw a character that no font has."""

from __future__ import annotations

import warnings
from dataclasses import replace

import pytest

from ablate.evidence.judgement import Judgement
from ablate.report.figures.fonts import fonts_with
from ablate.report.figures.forest import draw_forest
from ablate.report.figures.lettering import drawn, names
from ablate.report.figures.paper import PLAIN
from ablate.report.figures.style import style, wrapped
from ablate.report.lettering import Label
from tests.ablate.report_inputs import results

NOWHERE = "\U000e0041"
"""A tag character: no font draws it."""


def test_mathematics_is_set_and_other_dollars_are_not():
    assert drawn(Label.of("$q$ costs $5")) == r"$q$ costs \$5"
    assert drawn("$q$") == r"\$q\$"
    assert drawn(Label.of(r"$\nosuchcommand$ x")) == r"\$\nosuchcommand\$ x"


def test_a_label_that_no_font_has_gives_way_to_the_name():
    made = replace(results(strata=False), labels={"top-q": NOWHERE, "control": "Größe, Ёж, λ"})
    found = names(made)
    assert found["top-q"] == "top-q" and found["control"] == "Größe, Ёж, λ"
    assert drawn(NOWHERE, NOWHERE * 2, "variant 2") == "variant 2"


def test_mathematics_is_never_broken():
    lines = wrapped("a-very-long-name-$q = 0.02 - x$-and-more", 10).split("\n")
    assert any("$q = 0.02 - x$" in line for line in lines) and len(lines) > 2


@pytest.mark.parametrize("label", [r"$q_\lambda$ (ours)", "対照", NOWHERE])
def test_a_forest_plot_of_any_label_has_no_missing_glyph(label: str):
    judgement = Judgement(replace(results(strata=False), labels={"top-q": label}))
    data = list(judgement.primary.differences.values())
    families = [*PLAIN.families, *fonts_with(frozenset(label) - set("$\\"))[0]]
    with warnings.catch_warnings(), style(families):
        warnings.simplefilter("error")
        figure = draw_forest(data, labels=names(judgement.results))
        figure.canvas.draw()
    ticks = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert len(set(ticks)) == len(data)
