"""Every figure of a study, drawn and encoded: the only place where figures become files' contents."""

from __future__ import annotations

import base64
import functools
import io
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ablate.evidence.judgement import Judgement
from ablate.report.figures import (
    curves,
    factor_lines,
    forest,
    gallery,
    heat_map,
    mechanism,
    searches,
    slopes,
    specifications,
)
from ablate.report.figures.cores import shared_out
from ablate.report.figures.fonts import fonts_with, glyphs_lacking
from ablate.report.figures.paper import PLAIN, paper_of
from ablate.report.figures.style import Drawing, style

SECTIONS: Mapping[str, Sequence[Callable[[Judgement], Iterator[Drawing]]]] = {
    "claims": (specifications.drawings,),
    "differences": (forest.drawings,),
    "categories": (slopes.drawings,),
    "strata": (mechanism.drawings,),
    "factors": (factor_lines.drawings, heat_map.drawings),
    "training": (curves.drawings,),
    "search": (searches.drawings,),
    "gallery": (gallery.drawings,),
}
"""The report's sections and what is drawn for each."""


@dataclass(frozen=True)
class Picture:
    """A drawn figure, ready for the page."""

    name: str
    title: str
    caption: str
    png: bytes
    pdf: bytes
    inches: float
    """Width on paper."""

    @property
    def source(self) -> str:
        """As an ``img`` tag takes it."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode("ascii")


def draw(judgement: Judgement) -> dict[str, list[Picture]]:
    """Every figure of the study, by section of the report; on several cores where there are any."""
    jobs = [(section, drawings) for section, figures in SECTIONS.items() for drawings in figures]
    drawn = shared_out([functools.partial(_pictures, drawings, judgement) for _, drawings in jobs])
    found: dict[str, list[Picture]] = {}
    taken: Counter[str] = Counter()
    for (section, _), pictures in zip(jobs, drawn, strict=True):
        for picture in pictures:
            taken[picture.name] += 1
            again = taken[picture.name]
            name = picture.name if again == 1 else f"{picture.name}_{again}"
            found.setdefault(section, []).append(replace(picture, name=name))
    return found


def _pictures(drawings: Callable[[Judgement], Iterator[Drawing]], judgement: Judgement) -> list[Picture]:
    """The figures of one kind; in fonts that have the glyphs of the study's names."""
    paper = paper_of(judgement.results.venue)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)  # mended here, or said
        with style(paper.families):
            made = laid_out(drawings(judgement), paper.leading)
            lacking = glyphs_lacking((drawing.figure for drawing in made), paper.families)
            if not lacking:
                return [_picture(drawing) for drawing in made]
        others, homeless = fonts_with(lacking)
        with style((*paper.families, *others)):
            made = laid_out(drawings(judgement), paper.leading)
            return [_picture(drawing, _homeless_note(homeless)) for drawing in made]


def laid_out(drawings: Iterable[Drawing], leading: float = PLAIN.leading) -> list[Drawing]:
    """The drawings with everything in its place, which each file would otherwise compute once more."""
    from matplotlib.text import Text

    made = list(drawings)
    for drawing in made:
        texts = [text for text in drawing.figure.findobj(Text) if isinstance(text, Text)]
        for ax in drawing.figure.axes:
            texts += [*ax.get_xticklabels(), *ax.get_yticklabels()]  # made when they are asked for
        for text in texts:
            text.set_linespacing(leading)
        drawing.figure.draw_without_rendering()
        drawing.figure.set_layout_engine("none")
    return made


def _homeless_note(characters: frozenset[str]) -> str:
    if not characters:
        return ""
    return (
        f" No installed font has {' '.join(sorted(characters))}: install one (Noto has most scripts), or "
        "use other names."
    )


def _picture(drawing: Drawing, note: str = "") -> Picture:
    png, pdf = io.BytesIO(), io.BytesIO()
    drawing.figure.savefig(png, format="png", dpi=drawing.dpi)
    # Without a date the same results give the same file.
    drawing.figure.savefig(pdf, format="pdf", metadata={"CreationDate": None})
    return Picture(
        drawing.name,
        drawing.title,
        drawing.caption + note,
        png.getvalue(),
        pdf.getvalue(),
        float(drawing.figure.get_figwidth()),
    )
