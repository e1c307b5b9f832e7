"""Labels with mathematics between dollar signs: as plain text, as LaTeX, and as figures set them.

A label is plain text wherever nothing else is asked for, so no output can show raw markup by accident.
"""

from __future__ import annotations

import re
import unicodedata

from ablate.study.levels import MATH

_SIGNS = {
    "times": "×", "cdot": "·", "pm": "±", "leq": "≤", "le": "≤", "geq": "≥", "ge": "≥", "neq": "≠",
    "to": "→", "rightarrow": "→", "infty": "∞", "sim": "~", "approx": "≈", "sum": "∑", "sqrt": "√",
    "quad": " ", "mathrm": "", "mathbf": "", "mathit": "", "mathcal": "", "text": "",
    "left": "", "right": "",
}  # fmt: skip
_UPRIGHT = str.maketrans("0123456789+-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻")


class Label(str):
    """A name as readers see it: plain text that remembers how it was written.

    As a ``str`` it is the plain text; :attr:`source` may have mathematics, ``$q$``.
    """

    __slots__ = ("source",)
    source: str

    @staticmethod
    def of(source: str) -> Label:
        """A label as the study file writes it."""
        made = Label(MATH.sub(lambda found: _plain(found[1]), source))
        made.source = source
        return made


def _plain(math: str) -> str:
    """Mathematics as near to it as characters come: ``\\lambda^{2}`` is ``λ²``."""
    text = re.sub(r"\\([A-Za-z]+)\s*", lambda found: _sign(found[1]), math)
    text = re.sub(r"\\[,;:! ]", " ", text)
    text = re.sub(r"\^(?:\{([0-9+-]+)\}|([0-9]))", lambda f: (f[1] or f[2]).translate(_UPRIGHT), text)
    text = re.sub(r"\\([{}%_&#])", r"\1", re.sub(r"(?<!\\)[{}]", "", text))
    return text.strip()


def _sign(name: str) -> str:
    if name in _SIGNS:
        return _SIGNS[name]
    size = "CAPITAL" if name[0].isupper() else "SMALL"
    greek = {"lambda": "lamda"}.get(name.lower(), name.lower().removeprefix("var"))
    try:
        return unicodedata.lookup(f"GREEK {size} LETTER {greek}")
    except KeyError:
        return name


def pieces(text: str) -> list[tuple[bool, str]]:
    """A label's source taken apart: (is it mathematics, text); mathematics with its dollar signs.

    Text that is no :class:`Label` is one piece, whatever signs are in it.
    """
    source = getattr(text, "source", None)
    if source is None:
        return [(False, text)]
    found: list[tuple[bool, str]] = []
    end = 0
    for match in MATH.finditer(source):
        found += [(False, source[end : match.start()]), (True, match.group())]
        end = match.end()
    return [piece for piece in (*found, (False, source[end:])) if piece[1]]
