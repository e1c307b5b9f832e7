"""What figures are printed on: a venue's widths and fonts, as tueplots has them.

Sizes of text stay ours: the figures' layout rests on them, and venues ask for no less than 6 points.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

SERIF = ("STIXGeneral", "DejaVu Serif", "DejaVu Sans")
"""Where a venue's Times is not installed, and for glyphs that it lacks; matplotlib brings these."""


@dataclass(frozen=True)
class Paper:
    """Widths (inches) and fonts."""

    column: float = 3.4
    page: float = 6.9
    families: tuple[str, ...] = ("DejaVu Sans",)
    """In the order in which they are asked for a glyph."""
    leading: float = 1.2
    """Distance of lines, in heights of the font's own."""
    exact: bool = False
    """Whether a figure is either a column or the page wide."""

    def width(self, wanted: float) -> float:
        """The width of a figure whose content would fill ``wanted`` inches."""
        if not self.exact:
            return min(wanted, self.page)
        return self.column if wanted <= 1.2 * self.column else self.page


PLAIN = Paper()


@lru_cache(maxsize=32)
def paper_of(venue: str) -> Paper:
    """The paper of one of :data:`ablate.study.spec.VENUES`, :data:`PLAIN` for an empty name.

    Of a venue with one column, a column is as wide as two columns' venues have it.
    """
    if not venue:
        return PLAIN
    from matplotlib import font_manager
    from tueplots import figsizes, fonts

    halves = getattr(figsizes, f"{venue}_half", None)
    page = getattr(figsizes, venue if halves is None else f"{venue}_full")()["figure.figsize"][0]
    column = halves()["figure.figsize"][0] if halves else min(page, PLAIN.column)
    installed = set(font_manager.get_font_names())
    # Of some venues tueplots knows the LaTeX package alone.
    named: Mapping[str, Sequence[str]] = getattr(fonts, venue, dict)()
    wanted = named.get("font.serif", ())
    families = dict.fromkeys([*(name for name in wanted if name in installed), *SERIF])
    return Paper(float(column), float(page), tuple(families), leading=0.95, exact=True)
