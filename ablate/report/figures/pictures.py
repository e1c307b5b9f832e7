"""Every figure of a study, drawn and encoded: the only place where figures become files' contents."""

from __future__ import annotations

import base64
import functools
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ablate.evidence.judgement import Judgement
from ablate.report.figures import (
    curves,
    factor_lines,
    forest,
    gallery,
    heat_map,
    mechanism,
    slopes,
    specifications,
)
from ablate.report.figures.cores import shared_out
from ablate.report.figures.style import Drawing, style
from ablate.report.words import variant_label

SECTIONS: Mapping[str, Sequence[Callable[[Judgement], Iterator[Drawing]]]] = {
    "claims": (specifications.drawings,),
    "differences": (forest.drawings,),
    "categories": (slopes.drawings,),
    "strata": (mechanism.drawings,),
    "factors": (factor_lines.drawings, heat_map.drawings),
    "training": (curves.drawings,),
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
    for (section, _), pictures in zip(jobs, drawn, strict=True):
        if pictures:
            found.setdefault(section, []).extend(pictures)
    return found


def _pictures(drawings: Callable[[Judgement], Iterator[Drawing]], judgement: Judgement) -> list[Picture]:
    results = judgement.results
    labels = [variant_label(results, v) for v in results.variants]
    levels = [text for of in results.level_labels.values() for text in of.values()]
    with style([*labels, *results.variants, *results.categories, *levels]):
        return [_picture(drawing) for drawing in drawings(judgement)]


def _picture(drawing: Drawing) -> Picture:
    png, pdf = io.BytesIO(), io.BytesIO()
    drawing.figure.draw_without_rendering()
    # Everything has its place now: each file would otherwise compute it once more.
    drawing.figure.set_layout_engine("none")
    drawing.figure.savefig(png, format="png", dpi=drawing.dpi)
    # Without a date the same results give the same file.
    drawing.figure.savefig(pdf, format="pdf", metadata={"CreationDate": None})
    return Picture(
        drawing.name,
        drawing.title,
        drawing.caption,
        png.getvalue(),
        pdf.getvalue(),
        float(drawing.figure.get_figwidth()),
    )
