"""How many images a dataset has, of which kinds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from model.data.dataset import Dataset
from model.data.samples import Sample
from model.data.splits import grouped

StrataOf = Callable[[Sample], Iterable[str]]
"""Names of the strata a sample belongs to, such as ``horizontal`` and ``faint``."""


@dataclass(frozen=True)
class Count:
    """How many images one category has of one kind."""

    category: str
    split: str
    """``train`` or ``test``."""
    defect_type: str
    images: int
    selection: int
    """How many of them are in the selection split."""
    missing_masks: int
    """Anomalous images without a mask: they count for image metrics only."""


@dataclass(frozen=True)
class StratumCount:
    """How many anomalous images of one category belong to one stratum."""

    category: str
    stratum: str
    images: int


def count(dataset: Dataset) -> list[Count]:
    """Images per category, split and defect type: training first, then good, then the defects."""
    strata = grouped(dataset.samples, lambda s: (s.category, s.split == "test", s.label, s.defect_type))
    return [
        Count(
            members[0].category,
            members[0].split,
            members[0].defect_type,
            len(members),
            sum(dataset.split_of(sample) == "selection" for sample in members),
            sum(not sample.has_truth for sample in members),
        )
        for _, members in sorted(strata.items())
    ]


def count_strata(dataset: Dataset, strata_of: StrataOf) -> list[StratumCount]:
    """Anomalous test images with a mask per category and stratum; an image may be in several."""
    counts: Counter[tuple[str, str]] = Counter()
    for sample in dataset.test():
        if sample.label and sample.has_truth:
            counts.update((sample.category, stratum) for stratum in set(strata_of(sample)))
    return [StratumCount(category, stratum, n) for (category, stratum), n in sorted(counts.items())]
