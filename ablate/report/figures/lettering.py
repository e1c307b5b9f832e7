"""Names in figures: mathematics where a label has some, and only characters that some font can draw."""

from __future__ import annotations

import functools
from collections.abc import Mapping

from ablate.evidence.results import Results
from ablate.report.lettering import pieces
from ablate.report.words import level_label, variant_label

FONT = "DejaVu Sans"
"""matplotlib brings it along: Latin, Greek, Cyrillic and much else."""


def names(results: Results) -> Mapping[str, str]:
    """Variant -> its name in figures; a plainer one where no font here has a label's characters."""
    return {
        v: drawn(variant_label(results, v), v, f"variant {i}") for i, v in enumerate(results.variants, 1)
    }


def place_names(results: Results) -> Mapping[str, str]:
    """The same of categories."""
    return {c: drawn(c, f"category {i}") for i, c in enumerate(results.categories, 1)}


def level_name(results: Results | None, factor: str, level: object) -> str:
    """A factor's level on an axis."""
    return drawn(level_label(results, factor, level), str(level))


def drawn(*texts: str) -> str:
    """The first of these that can be drawn, as matplotlib takes it."""
    for text in texts:
        if all(_font_of(character) for character in text):
            return "".join(_mathematics(part) if math else _literal(part) for math, part in pieces(text))
    return "?"


def _literal(text: str) -> str:
    return text.replace("$", r"\$")


def _mathematics(part: str) -> str:
    """Mathematics if matplotlib can read it, else its characters."""
    from matplotlib.mathtext import MathTextParser

    try:
        MathTextParser("path").parse(part)
    except ValueError:
        return _literal(part)
    return part


@functools.cache
def _font_of(character: str) -> str:
    """The family that draws a character; empty if no font here does."""
    from matplotlib import font_manager

    if character.isspace() or _has(font_manager.findfont(FONT), character):
        return FONT
    others = {font.name: font.fname for font in font_manager.fontManager.ttflist}
    kept = (name for name in sorted(others) if not name.startswith(("Last Resort", "cm", "STIX")))
    return next((name for name in kept if _has(others[name], character)), "")


def _has(path: str, character: str) -> bool:
    return ord(character) in _characters(path)


@functools.cache
def _characters(path: str) -> frozenset[int]:
    from matplotlib.ft2font import FT2Font

    try:
        return frozenset(FT2Font(path).get_charmap())
    except (OSError, RuntimeError):
        return frozenset()
