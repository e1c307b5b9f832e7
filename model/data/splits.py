"""Deterministic subsets: by a hash of each image's name, so that adding one moves few others."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, TypeVar

from model.data.samples import Sample

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)
SplitName = Literal["train", "selection", "report"]


def ranked(names: Iterable[str], seed: int) -> list[str]:
    """Names in an order drawn by ``seed``, the same on every machine and for every listing order."""

    def rank(name: str) -> tuple[bytes, str]:
        return hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=16).digest(), name

    return sorted(names, key=rank)


def grouped(items: Iterable[T], key: Callable[[T], K]) -> dict[K, list[T]]:
    """Items by key, both in order of first appearance."""
    groups: dict[K, list[T]] = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return dict(groups)


def name_of(sample: Sample, root: Path) -> str:
    """A sample's name within its dataset: the path below ``root``, independent of where that lies."""
    return sample.image_path.relative_to(root).as_posix()


def hold_out(samples: Sequence[Sample], share: float, seed: int, root: Path) -> list[Sample]:
    """Normal test samples with a ``share`` of them turned into training samples.

    For layouts without an official split. Whole groups move (``Sample.group``), until the share is
    reached; at least one group stays on either side where there are two.
    """
    units = grouped(samples, lambda s: s.group or name_of(s, root))
    target = share * len(samples)
    chosen: set[str] = set()
    taken = 0
    for key in ranked(units, seed)[: max(len(units) - 1, 1)]:
        if taken >= target:
            break
        chosen.add(key)
        taken += len(units[key])
    return [
        replace(sample, split="train") if key in chosen else sample
        for key, members in units.items()
        for sample in members
    ]


def subsample(samples: Sequence[Sample], limit: int | None, seed: int, root: Path) -> list[Sample]:
    """At most ``limit`` of ``samples``, drawn by ``seed``; a larger limit keeps the smaller's."""
    if limit is None or len(samples) <= limit:
        return list(samples)
    kept = set(ranked((name_of(sample, root) for sample in samples), seed)[:limit])
    return [sample for sample in samples if name_of(sample, root) in kept]


def halves(samples: Sequence[Sample], seed: int, root: Path) -> dict[Sample, SplitName]:
    """Test samples halved into ``selection`` and ``report``.

    Within each category, label and defect type the two differ by at most one image, and so do they
    over all of a category's types of a label, because the odd ones even out. Groups stay whole
    (``Sample.group``), largest first, so they differ by at most the largest group; a group counts
    under its most telling member, its anomalous one if it has any. Ties go to the report half.
    """
    result: dict[Sample, SplitName] = {}
    for of_category in grouped(samples, lambda s: s.category).values():
        units = [
            (key, members, max((s.label, s.defect_type) for s in members))
            for key, members in grouped(of_category, lambda s: s.group or name_of(s, root)).items()
        ]
        rank = {key: place for place, key in enumerate(ranked((key for key, _, _ in units), seed))}
        # Anomalous groups first: the normal ones then even out normal images that came along.
        units.sort(key=lambda unit: (-unit[2][0], unit[2][1], -len(unit[1]), rank[unit[0]]))
        # How far the report half is ahead, in images.
        in_stratum: Counter[tuple[int, str]] = Counter()
        in_label: Counter[int] = Counter()
        for _, members, (label, defect_type) in units:
            ahead = in_stratum[label, defect_type] or in_label[label]
            side: SplitName = "selection" if ahead > 0 else "report"
            step = 1 if side == "report" else -1
            for member in members:
                in_stratum[member.label, member.defect_type] += step
                in_label[member.label] += step
            result.update(dict.fromkeys(members, side))
    return result
