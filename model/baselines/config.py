"""Knobs of the reference rows, one frozen dataclass per method. No torch here: planning stays quick.

Each method has its own section of the configuration, so a knob that a method does not have is an
unknown key of its section, refused by its name and path like every other.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from model.knobs import SECTION, Positive


@dataclass(frozen=True, config=SECTION)
class KnnConfig:
    """Distance to the nearest patch of a memory bank (PatchCore, CVPR 2022; AnomalyDINO, WACV 2025).

    PatchCore is ``metric: euclidean, image_score: patchcore``; AnomalyDINO is
    ``subsample: none, image_score: top_patches``. The defaults score images as every other variant
    does, so that a table compares detectors and not ways of pooling.
    """

    method: ClassVar[str] = "knn"
    metric: Literal["cosine", "euclidean"] = "cosine"
    """Distance between patches: 1 - cosine averaged over groups, or Euclidean over all groups."""
    subsample: Literal["none", "random", "coreset"] = "coreset"
    """Which patches the bank keeps: all, a random share, or greedy k-centres (PatchCore's)."""
    share: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Share of the patches that ``random`` and ``coreset`` keep."""
    pool: Positive = 100_000
    """At most so many patches are looked at; of more, a random sample (bounds memory and time)."""
    image_score: Literal["map", "top_patches", "patchcore"] = "map"
    """Pool the map as all variants do, average the top 1 % patches, or PatchCore's weighted maximum."""
    support: Positive = 9
    """For ``image_score: patchcore``: neighbours of the nearest patch that weigh it; 1 = no weighting."""


@dataclass(frozen=True, config=SECTION)
class PositionKnnConfig:
    """Distance to the nearest patch at about the same place of similar images (RAD, arXiv 2601.22763)."""

    method: ClassVar[str] = "position-knn"
    images: Positive = 150
    """Normal images retrieved by the similarity of their class tokens (of mean patches without one)."""
    radius: Annotated[int, Field(ge=0)] = 1
    """How far from its own position a patch looks, in tokens, in each direction."""
    pool: Positive = 1000
    """At most so many normal images are kept; of more, a random sample (bounds memory)."""


@dataclass(frozen=True, config=SECTION)
class SubspaceConfig:
    """Squared residual outside the principal subspace of normal patches (SubspaceAD, CVPR 2026)."""

    method: ClassVar[str] = "subspace"
    variance: Annotated[float, Field(gt=0, lt=1)] = 0.99
    """Share of the variance that the kept components explain."""
    pool: Positive = 100_000
    """At most so many patches are analysed; of more, a random sample."""


Baseline = KnnConfig | PositionKnnConfig | SubspaceConfig

_INERT: Mapping[str, Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {"share": {"subsample": ("none",)}, "support": {"image_score": ("map", "top_patches")}}
)
"""Knob -> the knob and the values of it under which the first does nothing."""


def canonical(config: Baseline) -> Baseline:
    """The same run with every knob that does nothing at its default, so that equal runs are equal."""
    changes: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        for other, values in _INERT.get(field.name, {}).items():
            if getattr(config, other) in values:
                changes[field.name] = field.default
    return dataclasses.replace(config, **changes)
