"""What the figures of a study's values show, as plain records: computed and tested without drawing.

Training curves and the gallery have modules of their own: they read the runs' folders, this does not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ablate.evidence.differences import Difference
from ablate.evidence.judgement import Judgement
from ablate.evidence.stats import POINTS, Estimate
from model.metric_names import COMPLETIONS, DEFECT_COMPLETIONS, DISTANCES

# ---------------------------------------------------------------------------------- factors


@dataclass(frozen=True)
class LevelPoint:
    """A factor's level and the paired difference to the baseline there (points)."""

    level: Any
    estimate: Estimate
    per_seed: tuple[float, ...]


@dataclass(frozen=True)
class FactorLine:
    """One line over a factor's levels: of one named variant, the other factors held."""

    named: str
    """The named variant that the levels were crossed with; empty if none."""
    held: tuple[tuple[str, Any], ...]
    """The other factors and their levels."""
    points: tuple[LevelPoint, ...]


@dataclass(frozen=True)
class FactorLines:
    """All lines over one factor, and the baseline to hold them against."""

    factor: str
    metric: str
    lines: tuple[FactorLine, ...]
    baseline: str


def _named_part(variant: str, levels: Mapping[str, Any]) -> str:
    """The named variant that a grid row belongs to (its name before the levels); empty if none."""
    first = next(iter(levels))
    return variant.split(f"{first}=", 1)[0].rstrip(", ")


def _level_point(judgement: Judgement, level: Any, variant: str) -> LevelPoint:
    """The difference at one level; the baseline itself lies at zero, without a spread."""
    d = judgement.primary.differences.get(variant)
    if d is not None:
        return LevelPoint(level, d.estimate, d.per_seed)
    n = judgement.primary.means[variant].estimate.n
    return LevelPoint(level, Estimate(0.0, 0.0, n, 0.0, 0.0), (0.0,) * n)


@dataclass(frozen=True)
class FactorSweep:
    """The variants over one factor's levels: of one named variant, the other factors held."""

    factor: str
    named: str
    held: tuple[tuple[str, Any], ...]
    variants: Mapping[Any, str]
    """By level, in the factor's order."""


def factor_sweeps(judgement: Judgement) -> list[FactorSweep]:
    """All sweeps of a study, factor by factor."""
    found = []
    for factor, levels in judgement.results.factors.items():
        groups: dict[tuple[str, tuple[tuple[str, Any], ...]], dict[Any, str]] = {}
        for variant, at in judgement.results.levels.items():
            if factor not in at:
                continue
            held = tuple((name, level) for name, level in at.items() if name != factor)
            groups.setdefault((_named_part(variant, at), held), {})[at[factor]] = variant
        for (named, held), by_level in groups.items():
            ordered = {level: by_level[level] for level in levels if level in by_level}
            found.append(FactorSweep(factor, named, held, ordered))
    return found


def factor_lines(judgement: Judgement) -> list[FactorLines]:
    """Per factor with two or more levels: paired differences on the primary metric over its levels."""
    results, primary = judgement.results, judgement.primary
    found: list[FactorLines] = []
    sweeps = factor_sweeps(judgement)
    for factor in results.factors:
        lines = []
        for sweep in (s for s in sweeps if s.factor == factor):
            points = [_level_point(judgement, level, v) for level, v in sweep.variants.items()]
            if sum(p.estimate.n > 0 for p in points) >= 2:
                lines.append(FactorLine(sweep.named, sweep.held, tuple(points)))
        if lines:
            found.append(FactorLines(factor, primary.metric, tuple(lines), results.baseline))
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
    differences: Mapping[tuple[Any, Any], Difference]
    """By (row level, column level); of the family of all variants, as in the forest plot."""
    baseline_at: tuple[Any, Any] | None = None
    """Where the baseline stands, if it is one of them."""


def heat_maps(judgement: Judgement) -> list[HeatMap]:
    """One map per named variant where exactly two factors are crossed."""
    results, primary = judgement.results, judgement.primary
    if len(results.factors) != 2:
        return []
    a, b = results.factors
    groups: dict[str, dict[tuple[Any, Any], Difference]] = {}
    for variant, at in results.levels.items():
        if set(at) == {a, b} and variant in primary.differences:
            found = groups.setdefault(_named_part(variant, at), {})
            found[at[a], at[b]] = primary.differences[variant]
    at = results.levels.get(results.baseline, {})
    own = _named_part(results.baseline, at) if at else None
    return [
        HeatMap(
            title=name,
            metric=primary.metric,
            baseline=results.baseline,
            rows=tuple(results.factors[a]),
            columns=tuple(results.factors[b]),
            row_factor=a,
            column_factor=b,
            differences=by_levels,
            baseline_at=(at[a], at[b]) if set(at) == {a, b} and own == name else None,
        )
        for name, by_levels in groups.items()
    ]


# ---------------------------------------------------------------------------------- slopes


@dataclass(frozen=True)
class Slopes:
    """One variant beside the baseline, every seed in every category (percent)."""

    variant: str
    baseline: str
    metric: str
    pairs: Mapping[str, tuple[tuple[float, float], ...]]
    """By category: (baseline, variant) per seed."""


def slopes(judgement: Judgement) -> list[Slopes]:
    """One panel per variant other than the baseline, on the primary metric; complete pairs only."""
    results, matrix = judgement.results, judgement.primary.matrix
    theirs = matrix.of(results.baseline)
    panels: list[Slopes] = []
    for variant in results.variants:
        if variant == results.baseline:
            continue
        both = POINTS * np.stack([theirs, matrix.of(variant)], axis=-1)
        pairs: dict[str, tuple[tuple[float, float], ...]] = {}
        for i, category in enumerate(matrix.categories):
            found = tuple((b, v) for b, v in both[:, i].tolist() if math.isfinite(b + v))
            if found:
                pairs[category] = found
        if pairs:
            panels.append(Slopes(variant, results.baseline, judgement.primary.metric, pairs))
    return panels


# ---------------------------------------------------------------------------------- mechanism


@dataclass(frozen=True)
class Mechanism:
    """Token distances of one variant in one stratum (1 - cosine)."""

    variant: str
    stratum: str
    normal: Estimate
    defect: Estimate
    gap: Estimate


def mechanism(judgement: Judgement) -> list[Mechanism]:
    """Distances on normal and on defect tokens per variant and stratum, where they were measured."""
    frame = judgement.results.frame
    rows = frame[frame["metric"].isin(DISTANCES)].dropna(subset=["value"])
    found: list[Mechanism] = []
    for stratum in map(str, dict.fromkeys(rows["stratum"])):
        means = [judgement.comparison(name, stratum=stratum).means for name in DISTANCES]
        for variant in judgement.results.variants:
            normal, defect, gap = (by_variant[variant].estimate for by_variant in means)
            if gap.n:
                found.append(Mechanism(variant, stratum, normal, defect, gap))
    return found


@dataclass(frozen=True)
class Completion:
    """How much of cut rows and columns one variant fills in, in one place."""

    variant: str
    place: str
    """``normal images`` or ``defects``."""
    rows: Estimate
    columns: Estimate
    difference: Estimate
    """Rows minus columns."""


def completion(judgement: Judgement) -> list[Completion]:
    """Completion per variant, on held-out normal images and at defects, where it was measured."""
    found = []
    for place, names in (("normal images", COMPLETIONS), ("defects", DEFECT_COMPLETIONS)):
        means = [judgement.comparison(name).means for name in names]
        for variant in judgement.results.variants:
            rows, columns, gap = (by_variant[variant].estimate for by_variant in means)
            if gap.n:
                found.append(Completion(variant, place, rows, columns, gap))
    return found
