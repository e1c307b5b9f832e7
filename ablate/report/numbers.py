"""How a report prints its numbers: unit, decimals, metrics, and the page that LaTeX tables are for.

Nothing that is computed depends on it. In a table every column has one number of decimals, chosen for the
column: one more than usual where a spread, or an end of an interval, would otherwise print as zero.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import TypeAdapter

from ablate.report.words import DASH, fixed
from ablate.study.spec import VENUES as FIGURE_VENUES
from model.errors import ConfigError
from model.files import write_text
from model.metric_names import AUPIMO, all_metrics, metric_of
from model.suggest import suggestion

if TYPE_CHECKING:
    from ablate.evidence.images import SeedsAndImages
    from ablate.evidence.stats import Estimate

Layout = Literal["wide", "column"]
"""Width of a LaTeX table: of the page, or of one of its columns."""

STYLE = ".style.json"
"""Beside a report: how it was printed."""
FRACTION_DECIMALS = 2
"""Further decimals of a fraction: 97.2 % is 0.972."""


@dataclass(frozen=True)
class Venue:
    """The page that tables are for, in points (72.27 to the inch)."""

    page: float
    """Width of the text block."""
    column: float
    """Width of one of its columns."""


VENUES: Mapping[str, Venue] = {
    "article": Venue(345.0, 345.0),
    "cvpr": Venue(496.9, 237.1),
    "icml": Venue(487.8, 234.9),
    "neurips": Venue(397.5, 397.5),
    "iclr": Venue(397.5, 397.5),
    "eccv": Venue(347.1, 347.1),
    "ieee": Venue(516.0, 252.0),
    "aaai": Venue(505.9, 238.5),
    "aistats": Venue(487.8, 234.9),
    "uai": Venue(487.8, 234.9),
    "jmlr": Venue(433.6, 433.6),
    "tmlr": Venue(469.8, 469.8),
}
"""Text widths of usual styles, without their years; ``article``: LaTeX's own."""
GENERAL = "cvpr"
"""The page of tables whose study names no venue."""


def family(venue: str) -> str:
    """A venue without its year: ``cvpr2024`` -> ``cvpr``."""
    return venue.rstrip("0123456789")


def figures_venue(venue: str) -> str:
    """The venue whose widths and fonts figures have; empty: a general two-column page."""
    return next((known for known in FIGURE_VENUES if family(known) == family(venue)), "")


@dataclass(frozen=True)
class Digits:
    """How one column prints: points times ``scale`` with ``decimals``."""

    scale: float
    decimals: int

    def text(self, points: float, *, signed: bool = False) -> str:
        """A number; a dash for NaN."""
        return fixed(points * self.scale, self.decimals, signed=signed)

    def spread(self, sd: float) -> str:
        """``± 0.3``, or nothing where there is none."""
        return f"± {self.text(sd)}" if math.isfinite(sd) else ""

    def interval(self, made: Estimate | SeedsAndImages | None) -> str:
        """``[−0.3, 2.7]``, or nothing where there is none."""
        if made is None or not math.isfinite(made.low):
            return ""
        return f"[{self.text(made.low)}, {self.text(made.high)}]"


@dataclass(frozen=True)
class Style:
    """See the module's header.

    Raises :class:`~model.errors.ConfigError` for decimals, metrics or a venue that do not exist.
    """

    decimals: int | None = None
    """Of a percentage, in every column; None: one, or two where the column needs them."""
    percent: bool = True
    """Levels in percent and differences in points; else both as fractions."""
    metrics: tuple[str, ...] = ()
    """Those of the main table and of the table of all differences; empty: the usual ones."""
    layout: Layout = "wide"
    venue: str = ""
    """Whose pages tables and figures are for; empty: as the study file says, or a general one."""

    def __post_init__(self) -> None:
        if self.decimals is not None and not 0 <= self.decimals <= 6:
            raise ConfigError(f"--decimals must be 0 to 6, got {self.decimals}")
        for name, known, option in (
            *((m, (*all_metrics(), AUPIMO), "--metrics") for m in self.metrics),
            (family(self.venue) or GENERAL, tuple(VENUES), "--venue"),
        ):
            if name not in known:
                raise ConfigError(
                    f"{option}: {name!r} is not known",
                    hint=suggestion(name, known) or f"choose from {', '.join(known)}",
                )

    @property
    def unit(self) -> str:
        """Of levels."""
        return "percent" if self.percent else "fractions"

    @property
    def points(self) -> str:
        """Of differences."""
        return "points" if self.percent else "fractions"

    @property
    def width(self) -> float:
        """Of a table, in points of LaTeX."""
        venue = VENUES[family(self.venue) or GENERAL]
        return venue.page if self.layout == "wide" else venue.column

    def chosen(self, usual: Iterable[str]) -> tuple[str, ...]:
        """``metrics``, or the usual ones."""
        return self.metrics or tuple(usual)

    def column(self, telling: Iterable[float] = (), *, decimals: int = 1) -> Digits:
        """The digits of a column (points); none of ``telling`` but 0 itself may print as zero."""
        least = decimals if self.decimals is None else self.decimals
        if self.decimals is None and any(_vanishes(value, least) for value in telling):
            least += 1
        return Digits(1.0, least) if self.percent else Digits(0.01, least + FRACTION_DECIMALS)


def style_of(decimals: int | None, percent: bool, metrics: str, layout: str, venue: str) -> Style:
    """From a command line; ``metrics``: names or labels with commas. Raises ConfigError as
    :class:`Style`."""
    names = [name.strip() for name in metrics.split(",") if name.strip()]
    checked = Style(decimals, percent, tuple(str(metric_of(name)) for name in names), "wide", venue)
    if layout not in ("wide", "column"):
        raise ConfigError(f"--layout must be wide or column, got {layout!r}")
    return replace(checked, layout="wide" if layout == "wide" else "column")


def _vanishes(value: float, decimals: int) -> bool:
    return math.isfinite(value) and abs(value) > 1e-9 and float(f"{abs(value):.{decimals}f}") == 0


def ends(made: Iterable[Estimate | SeedsAndImages | None]) -> list[float]:
    """Ends of intervals: on which side of 0 they lie must be seen."""
    return [end for one in made if one is not None for end in (one.low, one.high)]


def dash(text: str) -> str:
    """The text, or a dash for none."""
    return text or DASH


USUAL = Style()
_STYLE = TypeAdapter(Style)


def write_style(path: Path, style: Style) -> None:
    """Note how a report was printed, for :mod:`ablate.report.verifying`."""
    write_text(path, _STYLE.dump_json(style).decode() + "\n", durable=False)


def read_style(path: Path) -> Style:
    """How a report was printed; the usual style where nothing was noted."""
    try:
        return _STYLE.validate_json(path.read_bytes())
    except (OSError, ValueError):
        return Style()
