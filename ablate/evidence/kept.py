"""``evidence.json``: what a report was made of beside the frame, for a study whose ``runs/`` stay behind.

Runs' folders are large and are not published. What reports read from them is noted with every report: where
the runs come from, how long they took, why values are missing, and what the test images carry. With it a
published folder is reported again byte for byte, warnings included.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import TypeAdapter

from ablate.evidence.images import ImageVariance, Place
from ablate.evidence.results import Results
from model.files import write_text

FILE = "evidence.json"


class _Images(NamedTuple):
    """A line: of what, and what its test images carry (None: NaN)."""

    variant: str
    baseline: str | None
    metric: str
    categories: tuple[str, ...]
    seeds: tuple[int, ...]
    shared: float | None
    images: int


class _Missing(NamedTuple):
    """Why a variant has no value."""

    variant: str
    metric: str
    category: str
    reason: str


@dataclass(frozen=True)
class Kept:
    """Content of ``evidence.json``."""

    provenance: Mapping[str, Any] = field(default_factory=dict)
    """Of one committed run."""
    warnings: tuple[str, ...] = ()
    """About where the runs come from."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """By run key."""
    missing: tuple[_Missing, ...] = ()
    images: tuple[_Images, ...] = ()

    @property
    def nan_reasons(self) -> dict[tuple[str, str, str], str]:
        """As :class:`~ablate.evidence.results.Results` has them."""
        return {(m.variant, m.metric, m.category): m.reason for m in self.missing}

    @property
    def image_variances(self) -> dict[Place, ImageVariance | None]:
        """As :class:`~ablate.evidence.results.Results` has them."""
        return {
            (i.variant, i.baseline, i.metric, i.categories, i.seeds): ImageVariance(
                math.nan if i.shared is None else i.shared, i.images
            )
            for i in self.images
        }


_KEPT = TypeAdapter(Kept)


def read_kept(study_dir: Path) -> Kept | None:
    """What was noted, if the runs' folders are not there any more; else None."""
    if (study_dir / "runs").is_dir():
        return None
    try:
        return _KEPT.validate_json((study_dir / FILE).read_bytes())
    except (OSError, ValueError):
        return None


def keep(results: Results, images: Mapping[Place, ImageVariance | None]) -> None:
    """Note what a report was made of; nothing is done where the runs' folders are not there.

    Raises :class:`~model.errors.StorageError` if the folder cannot be written.
    """
    if not (results.folder / "runs").is_dir():
        return
    kept = Kept(
        provenance=results.provenance,
        warnings=results.origins,
        seconds={run.key: run.seconds for run in results.runs if math.isfinite(run.seconds)},
        missing=tuple(_Missing(*at, reason) for at, reason in results.nan_reasons.items()),
        images=tuple(
            _Images(*at, None if math.isnan(found.shared) else found.shared, found.images)
            for at, found in images.items()
            if found is not None
        ),
    )
    write_text(results.folder / FILE, _KEPT.dump_json(kept, indent=1).decode() + "\n")
