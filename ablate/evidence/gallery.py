"""The gallery: which test images are shown, by which rule, and what each variant makes of them.

Per category, by the score that the baseline gives: the defect with the median score, the defect with the
lowest score (the worst miss) and the normal image with the highest score (the worst false alarm), among
the images whose maps were kept. A rule, so that nobody has to trust the author's choice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ablate.evidence.results import Results
from ablate.evidence.stats import Floats

MAX_VARIANTS = 8
"""Most map columns in a gallery."""
MAX_ROWS = 12
"""Most images in a figure (one category's are never cut in two)."""


@dataclass(frozen=True)
class GalleryRow:
    """One test image and what the variants make of it."""

    path: str
    category: str
    defect_type: str
    label: int
    rule: str
    """Why this image: so that nobody has to trust the author's choice."""
    image: npt.NDArray[np.uint8]
    """[s, s, 3]"""
    mask: npt.NDArray[np.uint8]
    """[s, s]"""
    maps: Mapping[str, Floats]
    """By variant: [s, s]."""
    scores: Mapping[str, float]


@dataclass(frozen=True)
class Gallery:
    """Rows of one figure; all galleries of a study share ``low`` and ``high``."""

    variants: tuple[str, ...]
    rows: tuple[GalleryRow, ...]
    seed: int
    low: float
    high: float
    chosen_by: str
    """Whose scores the rule was applied to."""


@dataclass(frozen=True)
class _Maps:
    """maps.npz in memory."""

    image: npt.NDArray[np.uint8]
    mask: npt.NDArray[np.uint8]
    map: Floats
    path: tuple[str, ...]
    category: tuple[str, ...]
    label: tuple[int, ...]
    defect_type: tuple[str, ...]
    score: tuple[float, ...]


def _load_maps(results: Results, variant: str, seed: int) -> _Maps | None:
    """Kept maps of all committed runs of one variant and seed (several where trained per category)."""
    parts: list[dict[str, npt.NDArray[Any]]] = []
    for key in dict.fromkeys(r.key for r in results.runs if (r.variant, r.seed) == (variant, seed)):
        path = results.run_folder(key) / "maps.npz"
        try:
            with np.load(path, allow_pickle=False) as archive:
                parts.append({name: archive[name] for name in archive.files})
        except (OSError, ValueError, KeyError):
            continue
    parts = [p for p in parts if len(p.get("path", ()))]
    if not parts or len({p["map"].shape[1:] for p in parts}) > 1:
        return None
    joined = {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
    return _Maps(
        image=joined["image"],
        mask=joined["mask"],
        map=joined["map"].astype(np.float64),
        path=tuple(map(str, joined["path"])),
        category=tuple(map(str, joined["category"])),
        label=tuple(map(int, joined["label"])),
        defect_type=tuple(map(str, joined["defect_type"])),
        score=tuple(map(float, joined["score"])),
    )


def _choose(maps: _Maps, allowed: set[str], category: str) -> list[tuple[int, str]]:
    """Indices of the gallery's images in one category, with the rule that chose each."""
    here = [i for i in range(len(maps.path)) if maps.category[i] == category and maps.path[i] in allowed]
    defects = sorted((i for i in here if maps.label[i]), key=lambda i: maps.score[i])
    normals = sorted((i for i in here if not maps.label[i]), key=lambda i: maps.score[i])
    chosen: list[tuple[int, str]] = []
    if defects:
        chosen.append((defects[len(defects) // 2], "median defect"))
    if len(defects) > 1:
        chosen.append((defects[0], "worst miss"))
    if normals:
        chosen.append((normals[-1], "worst false alarm"))
    return chosen


def galleries(results: Results) -> list[Gallery]:
    """Figures of at most :data:`MAX_ROWS` images each, whole categories together.

    The seed is the first for which the baseline kept maps; images are those that every shown variant
    kept. The colour scale is common: 1st to 99.5th percentile of all shown maps.
    """
    for seed in results.seeds:
        loaded = {v: m for v in results.variants if (m := _load_maps(results, v, seed)) is not None}
        if results.baseline in loaded:
            break
    else:
        return []
    order = [results.baseline, *(v for v in loaded if v != results.baseline and v not in results.same_as)]
    variants = tuple(order[:MAX_VARIANTS])
    allowed = set.intersection(*(set(loaded[v].path) for v in variants))
    reference = loaded[results.baseline]
    at = {v: {path: i for i, path in enumerate(loaded[v].path)} for v in variants}
    by_category: list[list[GalleryRow]] = []
    for category in dict.fromkeys(reference.category):
        found = []
        for i, rule in _choose(reference, allowed, category):
            path = reference.path[i]
            found.append(
                GalleryRow(
                    path=path,
                    category=category,
                    defect_type=reference.defect_type[i],
                    label=reference.label[i],
                    rule=rule,
                    image=reference.image[i],
                    mask=reference.mask[i],
                    maps={v: loaded[v].map[at[v][path]] for v in variants},
                    scores={v: loaded[v].score[at[v][path]] for v in variants},
                )
            )
        if found:
            by_category.append(found)
    if not by_category:
        return []
    shown = np.stack([m for found in by_category for row in found for m in row.maps.values()])
    low, high = (float(x) for x in np.nanpercentile(shown, [1, 99.5]))
    high = max(high, low + 1e-6)
    return [
        Gallery(variants, tuple(page), int(seed), low, high, results.baseline)
        for page in _pages(by_category, MAX_ROWS)
    ]


def _pages(groups: Sequence[Sequence[GalleryRow]], rows: int) -> list[list[GalleryRow]]:
    """Groups joined into pages of at most ``rows``, none cut in two."""
    pages: list[list[GalleryRow]] = [[]]
    for group in groups:
        if pages[-1] and len(pages[-1]) + len(group) > rows:
            pages.append([])
        pages[-1].extend(group)
    return pages
