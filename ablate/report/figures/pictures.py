"""Every figure of a study, drawn and encoded: the only place where figures become files' contents."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ablate.evidence.judgement import Judgement
from ablate.report.figures import curves, factor_lines, forest, gallery, heat_map, mechanism, slopes
from ablate.report.figures.style import Drawing, style
from ablate.report.words import variant_label

SECTIONS: Mapping[str, Sequence[Callable[[Judgement], Iterator[Drawing]]]] = {
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
    """Every figure of the study, by section of the report."""
    found: dict[str, list[Picture]] = {}
    results = judgement.results
    labels = [variant_label(results, v) for v in results.variants]
    levels = [text for of in results.level_labels.values() for text in of.values()]
    with style([*labels, *results.variants, *results.categories, *levels]):
        for section, figures in SECTIONS.items():
            for drawing in (d for drawings in figures for d in drawings(judgement)):
                found.setdefault(section, []).append(_picture(drawing))
    return found


def _picture(drawing: Drawing) -> Picture:
    png, pdf = io.BytesIO(), io.BytesIO()
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
