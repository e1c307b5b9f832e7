"""A run's metrics.csv, read without pandas: the worker and the journal need only a few numbers."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from model.errors import DivergedError

WHOLE = "all"
"""The stratum that holds every image."""
COLUMNS = ("category", "split", "stratum", "metric", "value", "reason")


@dataclass(frozen=True)
class Score:
    """One line of metrics.csv."""

    category: str
    split: str
    stratum: str
    metric: str
    value: float
    reason: str


def read_scores(path: Path) -> Iterator[Score]:
    """The lines of a metrics.csv. Raises OSError, KeyError or ValueError if it is not one."""
    with path.open(encoding="utf-8", newline="") as stream:
        for line in csv.DictReader(stream):
            if line["value"] is None:
                raise ValueError("a line is cut off")
            value = float(line["value"]) if line["value"] else math.nan
            yield Score(
                line["category"],
                line["split"],
                line["stratum"],
                line["metric"],
                value,
                line.get("reason") or "",
            )


def check_scores(path: Path) -> None:
    """Refuse a run without results: no metrics, or a number missing without a stated reason.

    Raises :class:`DivergedError` for an unexplained NaN or infinity, ``ValueError`` for a metrics.csv
    that is missing, empty or of another shape.
    """
    try:
        scores = list(read_scores(path))
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise ValueError(f"no usable metrics.csv ({error})") from error
    if not scores:
        raise ValueError("metrics.csv is empty")
    for score in scores:
        if not math.isfinite(score.value) and not score.reason:
            raise DivergedError(
                f"{score.metric} of {score.category} ({score.split}, {score.stratum}) is {score.value}"
            )


def reporting_split(splits: set[str]) -> str:
    """The split that tables read: ``report`` where test images were halved, else the only one."""
    return "report" if "report" in splits or not splits else min(splits)


def summarise(
    path: Path, metric: str, *, split: str | None = None, stratum: str = WHOLE
) -> dict[str, float]:
    """``metric`` per category on ``split`` (default: what tables read) and ``stratum``.

    Categories in which it is undefined are left out; a folder without metrics gives nothing.
    """
    try:
        scores = [s for s in read_scores(path) if s.metric == metric and s.stratum == stratum]
    except (OSError, KeyError, ValueError, TypeError):
        return {}
    chosen = split or reporting_split({score.split for score in scores})
    return {s.category: s.value for s in scores if s.split == chosen and math.isfinite(s.value)}
