"""Fonts for names in any script: which glyphs are lacking, and which installed font has them.

matplotlib takes each glyph from the first of several families that has it; it draws an empty box where none
does. Only then are the system's fonts searched.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

UNPRINTED = frozenset(" \n\t\u00a0")
KINDS = (".ttf", ".ttc", ".otf")
"""Fonts that a PDF can embed."""


def glyphs_lacking(figures: Iterable[Figure], families: Sequence[str]) -> frozenset[str]:
    """Characters of the figures' texts, laid out already, that none of ``families`` has."""
    from matplotlib.text import Text

    texts = [text for figure in figures for text in figure.findobj(Text) if isinstance(text, Text)]
    used = {character for text in texts for character in text.get_text()} - UNPRINTED
    return frozenset(used - {chr(code) for family in families for code in _of_family(family)})


def fonts_with(characters: frozenset[str]) -> tuple[tuple[str, ...], frozenset[str]]:
    """The fewest families, about, that have ``characters``; and those that no installed font has."""
    from matplotlib import font_manager

    rest = {ord(character) for character in characters}
    chosen: list[str] = []
    while rest:
        path = max(_system_fonts(), key=lambda path: len(rest & _of_file(path)), default="")
        if not path or not rest & _of_file(path):
            break
        rest -= _of_file(path)
        name = font_manager.get_font(path).family_name
        if name not in font_manager.get_font_names():
            font_manager.fontManager.addfont(path)
        chosen.append(name)
    return tuple(chosen), frozenset(map(chr, rest))


@lru_cache(maxsize=1)
def _system_fonts() -> tuple[str, ...]:
    """Files of installed fonts; upright ones of normal weight first, which of equals are taken."""
    from matplotlib import font_manager

    found = {path for path in font_manager.findSystemFonts() if Path(path).suffix.lower() in KINDS}
    found |= {entry.fname for entry in font_manager.fontManager.ttflist}
    found = {path for path in found if "LastResort" not in path}  # boxes, for every character there is
    marked = ("bold", "italic", "oblique", "light", "thin", "black", "mono")

    def rank(path: str) -> tuple[int, str]:
        name = Path(path).name.lower()
        return sum(mark in name for mark in marked), name

    return tuple(sorted(found, key=rank))


@lru_cache(maxsize=32)
def _of_family(family: str) -> frozenset[int]:
    from matplotlib import font_manager

    return _of_file(str(font_manager.findfont(family)))


@lru_cache(maxsize=4096)
def _of_file(path: str) -> frozenset[int]:
    """Code points that a font file has; none of one that cannot be read."""
    from matplotlib import font_manager

    try:
        return frozenset(font_manager.get_font(path).get_charmap())
    except (OSError, RuntimeError):
        return frozenset()
