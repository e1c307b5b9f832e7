"""What the figures show, as plain records: computed and tested without a pixel being drawn."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ablate.evidence.results import Results, RunState
from ablate.evidence.stats import (
    POINTS,
    Difference,
    Estimate,
    against_baseline,
    cell_matrix,
    interval,
    of_variant,
    seed_means,
    summarise,
)

Floats = npt.NDArray[np.float64]

CURVE_POINTS = 100
"""Points of a training curve; longer histories are averaged in bins."""
FIXED_COLUMNS = ("iteration", "loss", "lr", "grad_norm")
"""Columns of history.csv that are not knobs."""
GALLERY_VARIANTS = 8
"""Most map columns in a gallery."""


# ---------------------------------------------------------------------------------- factors


@dataclass(frozen=True)
class LevelPoint:
    """A factor's level and what came out there (percent)."""

    level: Any
    estimate: Estimate
    per_seed: tuple[float, ...]


@dataclass(frozen=True)
class FactorLine:
    """One line over a factor's levels; the other factors held at ``held``."""

    label: str
    points: tuple[LevelPoint, ...]


@dataclass(frozen=True)
class FactorLines:
    """All lines over one factor, and the baseline to hold them against."""

    factor: str
    metric: str
    lines: tuple[FactorLine, ...]
    baseline: str
    reference: Estimate


def _named_part(variant: str, levels: Mapping[str, Any]) -> str:
    """The named variant that a grid row belongs to (its name before the levels); empty if none."""
    first = next(iter(levels))
    return variant.split(f"{first}=", 1)[0].rstrip(", ")


def level_text(level: Any) -> str:
    """A factor's level as an axis label."""
    return f"{level:g}" if isinstance(level, (int, float)) and not isinstance(level, bool) else str(level)


def factor_lines(results: Results, metric: str | None = None) -> list[FactorLines]:
    """Per factor with two or more levels: the metric over its levels."""
    metric = metric or results.primary
    cells = cell_matrix(results.frame, metric)
    reference = summarise(of_variant(cells, results.baseline), results.alpha).scaled(POINTS)
    found: list[FactorLines] = []
    for factor, levels in results.factors.items():
        groups: dict[str, dict[Any, str]] = {}
        for variant, at in results.levels.items():
            if factor not in at:
                continue
            others = [f"{k} = {level_text(v)}" for k, v in at.items() if k != factor]
            label = ", ".join(p for p in (_named_part(variant, at), *others) if p)
            groups.setdefault(label, {})[at[factor]] = variant
        lines = []
        for label, by_level in groups.items():
            points = []
            for level in levels:
                if level not in by_level:
                    continue
                values = seed_means(of_variant(cells, by_level[level])).values
                percent = tuple(POINTS * v for v in values)
                points.append(LevelPoint(level, interval(percent, results.alpha), percent))
            if sum(p.estimate.n > 0 for p in points) >= 2:
                lines.append(FactorLine(label, tuple(points)))
        if lines:
            found.append(FactorLines(factor, metric, tuple(lines), results.baseline, reference))
    return found


@dataclass(frozen=True)
class HeatMap:
    """Differences to the baseline over two crossed factors (points)."""

    title: str
    metric: str
    baseline: str
    rows: tuple[Any, ...]
    columns: tuple[Any, ...]
    row_factor: str
    column_factor: str
    cells: Mapping[tuple[Any, Any], Difference]
    """By (row level, column level)."""


def heat_maps(results: Results, metric: str | None = None) -> list[HeatMap]:
    """One map per named variant and pair of factors where exactly two factors are crossed."""
    metric = metric or results.primary
    if len(results.factors) != 2:
        return []
    a, b = results.factors
    # The family is all variants, as in the forest plot: a cell is as real there as here.
    found = {d.variant: d for d in forest(results, metric)}
    groups: dict[str, dict[tuple[Any, Any], Difference]] = {}
    for variant, at in results.levels.items():
        if set(at) == {a, b} and variant in found:
            groups.setdefault(_named_part(variant, at), {})[at[a], at[b]] = found[variant]
    return [
        HeatMap(
            title=name,
            metric=metric,
            baseline=results.baseline,
            rows=tuple(results.factors[a]),
            columns=tuple(results.factors[b]),
            row_factor=a,
            column_factor=b,
            cells=by_levels,
        )
        for name, by_levels in groups.items()
    ]


# ---------------------------------------------------------------------------------- differences


def forest(results: Results, metric: str | None = None) -> list[Difference]:
    """Rows of the forest plot: every variant against the baseline, mean over categories."""
    return against_baseline(
        results.frame,
        results.variants,
        results.baseline,
        metric or results.primary,
        alpha=results.alpha,
        same_as=results.same_as,
    )


@dataclass(frozen=True)
class Slopes:
    """One variant beside the baseline, every seed in every category (percent)."""

    variant: str
    baseline: str
    metric: str
    pairs: Mapping[str, tuple[tuple[float, float], ...]]
    """By category: (baseline, variant) per seed."""


def slopes(results: Results, metric: str | None = None) -> list[Slopes]:
    """One panel per variant other than the baseline; complete pairs only."""
    metric = metric or results.primary
    cells = cell_matrix(results.frame, metric)
    theirs = of_variant(cells, results.baseline)
    panels: list[Slopes] = []
    for variant in results.variants:
        if variant == results.baseline:
            continue
        ours = of_variant(cells, variant)
        seeds = [s for s in ours.index if s in theirs.index]
        pairs: dict[str, tuple[tuple[float, float], ...]] = {}
        for category in cells.columns:
            both = np.stack(
                [part.loc[seeds, category].to_numpy(dtype=np.float64) * POINTS for part in (theirs, ours)],
                1,
            )
            whole = tuple((float(b), float(v)) for b, v in both if math.isfinite(b + v))
            if whole:
                pairs[str(category)] = whole
        if pairs:
            panels.append(Slopes(variant, results.baseline, metric, pairs))
    return panels


# ---------------------------------------------------------------------------------- strata


@dataclass(frozen=True)
class Mechanism:
    """Token distances of one variant in one stratum (1 - cosine)."""

    variant: str
    stratum: str
    normal: Estimate
    defect: Estimate
    gap: Estimate


def mechanism(results: Results) -> list[Mechanism]:
    """Distances on normal and on defect tokens per variant and stratum, where they were measured."""
    names = ("token_distance_normal", "token_distance_defect", "token_distance_gap")
    rows = results.frame[results.frame["metric"].isin(names)].dropna(subset=["value"])
    found: list[Mechanism] = []
    for stratum in dict.fromkeys(rows["stratum"]):
        cells = [cell_matrix(results.frame, name, stratum=stratum) for name in names]
        for variant in results.variants:
            normal, defect, gap = (summarise(of_variant(c, variant), results.alpha) for c in cells)
            if gap.n:
                found.append(Mechanism(variant, str(stratum), normal, defect, gap))
    return found


# ---------------------------------------------------------------------------------- training curves


@dataclass(frozen=True)
class Curve:
    """One quantity of one variant over training; ``low`` and ``high`` are the extreme seeds."""

    variant: str
    iteration: Floats
    mean: Floats
    low: Floats
    high: Floats
    runs: int


@dataclass(frozen=True)
class CurvePanel:
    """All variants' curves of one column of history.csv."""

    column: str
    curves: tuple[Curve, ...]


def _histories(results: Results) -> Iterator[tuple[RunState, pd.DataFrame]]:
    """Readable histories of the runs, in the order of the plan."""
    seen: set[tuple[str, str]] = set()
    for run in results.runs:
        path = results.run_folder(run.key) / "history.csv"
        if (run.variant, run.key) in seen or not path.is_file():
            continue
        seen.add((run.variant, run.key))
        try:
            history = pd.read_csv(path)
        except (OSError, ValueError):
            continue
        if "iteration" in history and len(history):
            yield run, history


def _binned(values: Floats, iteration: Floats, edges: Floats) -> Floats:
    """Mean of ``values`` in each bin of ``iteration``; NaN where a bin is empty."""
    index = np.clip(np.searchsorted(edges, iteration, side="right") - 1, 0, len(edges) - 2)
    known = np.isfinite(values)
    count = np.bincount(index[known], minlength=len(edges) - 1)
    total = np.bincount(index[known], weights=values[known], minlength=len(edges) - 1)
    with np.errstate(invalid="ignore"):
        return np.asarray(total / np.where(count, count, np.nan), dtype=np.float64)


def training_curves(results: Results) -> list[CurvePanel]:
    """The loss, then every knob that moves during training in some variant.

    Runs of one variant (seeds, and categories where each has a model of its own) are one band.
    """
    histories = list(_histories(results))
    if not histories:
        return []
    last = max(float(h["iteration"].max()) for _, h in histories)
    longest = max(len(h) for _, h in histories)
    bins = min(CURVE_POINTS, longest)
    edges = np.linspace(0, last + 1, bins + 1)
    centres = (edges[:-1] + edges[1:]) / 2
    knobs = dict.fromkeys(str(c) for _, h in histories for c in h if c not in FIXED_COLUMNS)
    columns = ["loss", *knobs]
    panels: list[CurvePanel] = []
    for column in columns:
        by_variant: dict[str, list[Floats]] = {}
        for run, history in histories:
            if column in history and pd.api.types.is_numeric_dtype(history[column]):
                values = history[column].to_numpy(dtype=np.float64)
                line = _binned(values, history["iteration"].to_numpy(dtype=np.float64), edges)
                by_variant.setdefault(run.variant, []).append(line)
        if column != "loss" and not any(_moves(line) for lines in by_variant.values() for line in lines):
            continue
        curves = []
        for variant, lines in by_variant.items():
            block = np.stack(lines)
            known = np.isfinite(block).any(axis=0)
            if not known.any():
                continue
            part = block[:, known]
            curves.append(
                Curve(
                    variant,
                    centres[known],
                    np.nanmean(part, axis=0),
                    np.nanmin(part, axis=0),
                    np.nanmax(part, axis=0),
                    len(lines),
                )
            )
        if curves:
            panels.append(CurvePanel(column, tuple(curves)))
    return panels


def _moves(line: Floats) -> bool:
    known = line[np.isfinite(line)]
    return bool(len(known)) and float(np.ptp(known)) > 1e-9


# ---------------------------------------------------------------------------------- gallery


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


GALLERY_RULE = (
    "Per category, by the score that {variant} (seed {seed}) gives: the defect with the median score, the "
    "defect with the lowest score (the worst miss) and the normal image with the highest score (the worst "
    "false alarm), among the images whose maps were kept."
)


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


def galleries(results: Results, *, rows: int = 12) -> list[Gallery]:
    """Figures of at most ``rows`` images each, whole categories together.

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
    variants = tuple(order[:GALLERY_VARIANTS])
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
        for page in _pages(by_category, rows)
    ]


def _pages(groups: Sequence[Sequence[GalleryRow]], rows: int) -> list[list[GalleryRow]]:
    """Groups joined into pages of at most ``rows``, none cut in two."""
    pages: list[list[GalleryRow]] = [[]]
    for group in groups:
        if pages[-1] and len(pages[-1]) + len(group) > rows:
            pages.append([])
        pages[-1].extend(group)
    return pages
