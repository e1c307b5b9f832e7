"""Names in any script: a font that has the glyphs is found, or it is said that there is none."""

from __future__ import annotations

import unicodedata
import warnings

from matplotlib import font_manager
from matplotlib.figure import Figure

from ablate.report.figures import fonts
from ablate.report.figures.fonts import fonts_with, glyphs_lacking
from ablate.report.figures.pictures import draw
from tests.ablate.report_inputs import judged

NOWHERE = "\U0001e2ff"
"""A letter of a script whose fonts nobody installs by chance."""


def codes(family: str) -> set[int]:
    return set(font_manager.get_font(font_manager.findfont(family)).get_charmap())


def test_a_glyph_is_found_in_another_installed_font() -> None:
    elsewhere = codes("STIXGeneral") - codes("DejaVu Sans")
    letter = next(chr(c) for c in sorted(elsewhere) if unicodedata.category(chr(c)) != "Co")
    figure = Figure()
    figure.text(0, 0, f"top {letter}")
    assert glyphs_lacking([figure], ("DejaVu Sans",)) == {letter}
    families, homeless = fonts_with(frozenset(letter))
    assert not homeless and ord(letter) in codes(families[0])
    assert glyphs_lacking([figure], ("DejaVu Sans", *families)) == frozenset()


def test_what_no_font_has_is_not_drawn(monkeypatch) -> None:
    here = str(font_manager.findfont("DejaVu Sans"))
    monkeypatch.setattr(fonts, "_system_fonts", lambda: (here,))
    assert fonts_with(frozenset(NOWHERE)) == ((), frozenset(NOWHERE))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (forest,) = draw(judged({"base": 0.0, f"v{NOWHERE}": 0.01}, seeds=2, strata=False))["differences"]
    assert f"No installed font has {NOWHERE}" not in forest.caption  # its number stands there


def test_ordinary_names_cost_no_search(monkeypatch) -> None:
    def refuse(_: frozenset[str]) -> None:
        raise AssertionError("searched")

    monkeypatch.setattr("ablate.report.figures.pictures.fonts_with", refuse)
    assert draw(judged({"base": 0.0, "größer → ✓ Δ направление": 0.01}, seeds=2, strata=False))
