"""The gallery: which test images are shown, by which rule, and what each variant makes of them.

Per category, by the score that the baseline gives: the defect with the median score, the defect with the
lowest score (the worst miss) and the normal image with the highest score (the worst false alarm), among
the images whose maps were kept. A rule, so that nobody has to trust the author's choice.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.metrics import precision_recall_curve

from ablate.evidence.results import Results
from ablate.evidence.stats import Floats
from model.strata import STRATA, stratify

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


@dataclass(frozen=True)
class _Loaded:
    """One seed's kept maps, of the baseline first."""

    maps: Mapping[str, _Maps]
    seed: int
    baseline: str

    @cached_property
    def common(self) -> set[str]:
        """The images that every shown variant kept."""
        return set.intersection(*(set(maps.path) for maps in self.maps.values()))

    @cached_property
    def _at(self) -> dict[str, dict[str, int]]:
        return {v: {path: i for i, path in enumerate(maps.path)} for v, maps in self.maps.items()}

    def row(self, i: int, rule: str) -> GalleryRow:
        """The ``i``-th image that the baseline kept."""
        reference = self.maps[self.baseline]
        path = reference.path[i]
        return GalleryRow(
            path=path,
            category=reference.category[i],
            defect_type=reference.defect_type[i],
            label=reference.label[i],
            rule=rule,
            image=reference.image[i],
            mask=reference.mask[i],
            maps={v: maps.map[self._at[v][path]] for v, maps in self.maps.items()},
            scores={v: maps.score[self._at[v][path]] for v, maps in self.maps.items()},
        )


def _loaded(results: Results, variants: int) -> _Loaded | None:
    """Maps of the first seed for which the baseline kept some, of at most so many variants."""
    names = [results.baseline]
    names += [v for v in results.variants if v != results.baseline and v not in results.same_as]
    for seed in results.seeds:
        found: dict[str, _Maps] = {}
        for variant in names:
            maps = _load_maps(results, variant, seed) if len(found) < variants else None
            if maps is not None:
                found[variant] = maps
            elif variant == results.baseline:
                break
        if found:
            return _Loaded(found, int(seed), results.baseline)
    return None


def _scale(rows: Sequence[GalleryRow]) -> tuple[float, float]:
    """The common colour scale: 1st to 99.5th percentile of all shown maps."""
    shown = np.stack([m for row in rows for m in row.maps.values()])
    low, high = (float(x) for x in np.nanpercentile(shown, [1, 99.5]))
    return low, max(high, low + 1e-6)


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
    loaded = _loaded(results, MAX_VARIANTS)
    if loaded is None:
        return []
    reference = loaded.maps[results.baseline]
    by_category: list[list[GalleryRow]] = []
    for category in dict.fromkeys(reference.category):
        found = [loaded.row(i, rule) for i, rule in _choose(reference, loaded.common, category)]
        if found:
            by_category.append(found)
    if not by_category:
        return []
    low, high = _scale([row for found in by_category for row in found])
    return [
        Gallery(tuple(loaded.maps), tuple(page), loaded.seed, low, high, results.baseline)
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


# ---------------------------------------------------------------------------------- all kept images

Outcome = Literal["found", "missed", "quiet", "false alarm"]
"""Of a defect, and of a normal image."""
MAX_KEPT = 1200
"""Maps (images times variants) that a page carries."""


@dataclass(frozen=True)
class Kept:
    """Every kept image and what the variants make of it."""

    variants: tuple[str, ...]
    rows: tuple[GalleryRow, ...]
    seed: int
    low: float
    high: float
    strata: Mapping[str, tuple[str, ...]]
    """By path: the strata that most of an image's defect area belongs to."""
    outcomes: Mapping[tuple[str, str], Outcome]
    """By path and variant."""
    wrong: Mapping[tuple[str, str], float]
    """By path and variant: how far the score lies on the wrong side of the threshold, in ranks of the
    category's images (negative: on the right side)."""


def kept_images(results: Results) -> Kept | None:
    """All images that every shown variant kept, with outcomes; None where nothing was kept.

    A variant's threshold is the one with the best F1 on its scores, per category: of all images of the
    reported split where the run kept them, else of the images shown.
    """
    loaded = _loaded(results, 2 * MAX_VARIANTS)
    if loaded is None:
        return None
    reference = loaded.maps[results.baseline]
    here: dict[str, list[int]] = {}
    for i, path in enumerate(reference.path):
        if path in loaded.common:
            here.setdefault(reference.category[i], []).append(i)
    each = max(2, MAX_KEPT // len(loaded.maps) // max(len(here), 1))
    rows = [loaded.row(i, "") for indices in here.values() for i in indices[:each]]
    if not rows:
        return None
    outcomes: dict[tuple[str, str], Outcome] = {}
    wrong: dict[tuple[str, str], float] = {}
    for variant in loaded.maps:
        scores = _scores(results, variant, loaded.seed)
        for category in here:
            part = [row for row in rows if row.category == category]
            known = scores[scores["category"] == category]
            if known["label"].nunique() != 2:
                known = pd.DataFrame(
                    {"label": [r.label for r in part], "score": [r.scores[variant] for r in part]}
                )
            every = np.sort(known["score"].to_numpy(dtype=np.float64))
            threshold = _threshold(known["label"].to_numpy(), known["score"].to_numpy(dtype=np.float64))
            for row in part:
                at = row.path, variant
                alarm = row.scores[variant] >= threshold
                outcomes[at] = (
                    ("found" if alarm else "missed") if row.label else ("false alarm" if alarm else "quiet")
                )
                ranks = np.searchsorted(every, [threshold, row.scores[variant]]) / max(len(every), 1)
                wrong[at] = float((ranks[0] - ranks[1]) * (1 if row.label else -1))
    low, high = _scale(rows)
    strata = stratify((row.image.mean(axis=2) / 255 for row in rows), np.stack([row.mask for row in rows]))
    labels = {name: strata.images(name) for name in STRATA}
    return Kept(
        variants=tuple(loaded.maps),
        rows=tuple(rows),
        seed=loaded.seed,
        low=low,
        high=high,
        strata={
            row.path: tuple(n for n, inside in labels.items() if inside[i]) for i, row in enumerate(rows)
        },
        outcomes=outcomes,
        wrong=wrong,
    )


def _scores(results: Results, variant: str, seed: int) -> pd.DataFrame:
    """Image scores of one variant and seed on the reported split: category, label, score."""
    columns = ["category", "split", "label", "score"]
    parts = [pd.DataFrame(columns=columns)]
    for key in dict.fromkeys(r.key for r in results.runs if (r.variant, r.seed) == (variant, seed)):
        with contextlib.suppress(OSError, ValueError):
            part = pd.read_csv(
                results.run_folder(key) / "scores.csv",
                usecols=columns,
                dtype={"category": str},
                keep_default_na=False,
            )
            parts.append(part[part["split"] == results.split])
    known = [p for p in parts if len(p)]
    return pd.concat(known) if known else parts[0]


def _threshold(labels: npt.NDArray[Any], scores: Floats) -> float:
    """The score from which on an image counts as a defect: best F1; infinite without defects."""
    if not labels.any():
        return float("inf")
    precision, recall, thresholds = precision_recall_curve(labels.astype(int), scores)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    return float(thresholds[int(np.argmax(f1[:-1]))])
