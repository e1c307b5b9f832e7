"""Values of a study by variant, seed and category, and their means per seed.

Unusual here: the replicate is the seed, always. Unified training makes the categories of one seed
share a network, and a study is repeated by drawing new seeds, not new products, so categories are
averaged within a seed *before* any spread is computed.

Values are fractions in [0, 1] (token distances: 1 - cosine).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ablate.evidence.stats import Floats


def value_matrix(frame: pd.DataFrame, metric: str, *, stratum: str = "all") -> pd.DataFrame:
    """Values of one metric: rows (variant, seed), one column per category, NaN where missing.

    ``frame`` is the tidy long frame of one split. Categories without any value (a degenerate metric,
    nothing finished yet) have no column.
    """
    rows = frame[(frame["metric"] == metric) & (frame["stratum"] == stratum)]
    rows = rows.dropna(subset=["value"])
    order = list(dict.fromkeys(rows["category"]))
    wide = rows.pivot_table(index=["variant", "seed"], columns="category", values="value", aggfunc="mean")
    return wide.reindex(columns=order)


def of_variant(matrix: pd.DataFrame, variant: str) -> pd.DataFrame:
    """Rows of one variant: index seed, one column per category; empty if it has none."""
    if variant not in matrix.index.get_level_values("variant"):
        return pd.DataFrame(columns=matrix.columns, index=pd.Index([], name="seed"), dtype=float)
    part = matrix.xs(variant, level="variant")
    assert isinstance(part, pd.DataFrame)
    return part


@dataclass(frozen=True)
class SeedMeans:
    """Per-seed values of one variant (or of one difference), categories averaged within the seed."""

    values: tuple[float, ...]
    seeds: tuple[Any, ...]
    categories: tuple[str, ...]
    """Categories averaged over: those with a value in any seed."""
    dropped: tuple[Any, ...]
    """Seeds left out because one of ``categories`` is missing in them."""


def seed_means(part: pd.DataFrame) -> SeedMeans:
    """Average the categories within each seed, over the seeds that have all of them.

    ``part`` [seed x category]. An incomplete seed is dropped rather than averaged over what it has:
    categories differ by far more than seeds, so a changing set of categories would look like spread.
    """
    return mean_by_seed(part.to_numpy(dtype=np.float64), tuple(part.index), tuple(map(str, part.columns)))


def mean_by_seed(values: Floats, seeds: tuple[Any, ...], categories: tuple[str, ...]) -> SeedMeans:
    """:func:`seed_means` of an array [seed, category]."""
    known = ~np.isnan(values)
    seen = np.flatnonzero(known.any(axis=0))
    if not len(seen):
        return SeedMeans((), (), (), ())
    whole = known[:, seen].all(axis=1)
    complete, partial = np.flatnonzero(whole), np.flatnonzero(known.any(axis=1) & ~whole)
    return SeedMeans(
        values=tuple(float(v) for v in values[np.ix_(complete, seen)].mean(axis=1)),
        seeds=tuple(seeds[i] for i in complete),
        categories=tuple(categories[j] for j in seen),
        dropped=tuple(seeds[i] for i in partial),
    )
