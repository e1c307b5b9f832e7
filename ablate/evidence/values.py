"""Values of a study by variant, seed and category, and their means per seed.

Unusual here: the replicate is the seed, always. Unified training makes the categories of one seed
share a network, and a study is repeated by drawing new seeds, not new products, so categories are
averaged within a seed *before* any spread is computed.

Values are fractions in [0, 1] (token distances: 1 - cosine).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ablate.evidence.stats import Floats


@dataclass(frozen=True)
class SeedMeans:
    """Per-seed values of one variant (or of one difference), categories averaged within the seed."""

    values: tuple[float, ...]
    seeds: tuple[Any, ...]
    categories: tuple[str, ...]
    """Categories averaged over: those with a value in any seed."""
    dropped: tuple[Any, ...]
    """Seeds left out because one of ``categories`` is missing in them."""


@dataclass(frozen=True, eq=False)
class Matrix:
    """Values of one metric [variant, seed, category], NaN where missing.

    Categories without any value (a degenerate metric, nothing finished yet) have no column.
    """

    values: Floats
    variants: tuple[str, ...]
    seeds: tuple[Any, ...]
    categories: tuple[str, ...]

    def of(self, variant: str) -> Floats:
        """[seed, category] of one variant; all NaN if it has no values."""
        if variant not in self.variants:
            return np.full(self.values.shape[1:], np.nan)
        return np.asarray(self.values[self.variants.index(variant)])

    def at(self, category: str | None) -> Matrix:
        """One category alone, without a column if it has no value; all of them for None."""
        if category is None:
            return self
        chosen = [i for i, name in enumerate(self.categories) if name == category]
        return replace(
            self, values=self.values[:, :, chosen], categories=tuple(self.categories[i] for i in chosen)
        )

    def during(self, seeds: Collection[Any]) -> Matrix:
        """These seeds alone."""
        chosen = [i for i, seed in enumerate(self.seeds) if seed in seeds]
        return replace(self, values=self.values[:, chosen], seeds=tuple(self.seeds[i] for i in chosen))

    def means(self, variant: str) -> SeedMeans:
        """The variant's own means (see :func:`mean_by_seed`)."""
        return mean_by_seed(self.of(variant), self.seeds, self.categories)


class Values:
    """A study's tidy long frame of one split, taken apart once: every matrix of it is a look-up.

    A frame has a million rows where a study has 200 variants; searching it for each metric and stratum
    would take longer than everything else.
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        rows = frame[frame["value"].notna()]
        self._values: Floats = rows["value"].to_numpy(dtype=np.float64)
        variant, variants = pd.factorize(rows["variant"])
        seed, seeds = pd.factorize(rows["seed"], sort=True)
        category, categories = pd.factorize(rows["category"])
        self._variants, self._categories = tuple(map(str, variants)), tuple(map(str, categories))
        self._seeds = tuple(seeds.tolist())
        self._cells = (variant, seed, category)
        metric, metrics = pd.factorize(rows["metric"])
        stratum, strata = pd.factorize(rows["stratum"])
        kind = metric * max(len(strata), 1) + stratum
        order = np.argsort(kind, kind="stable")
        ends = np.searchsorted(kind[order], np.arange(len(metrics) * len(strata) + 1))
        names = [(str(m), str(s)) for m in metrics for s in strata]
        self._rows: dict[tuple[str, str], npt.NDArray[np.intp]] = {
            name: order[start:end]
            for name, start, end in zip(names, ends, ends[1:], strict=False)
            if end > start
        }

    def strata(self, metric: str) -> tuple[str, ...]:
        """Strata in which the metric has values, in the frame's order."""
        return tuple(stratum for name, stratum in self._rows if name == metric)

    def matrix(self, metric: str, stratum: str = "all") -> Matrix:
        """The values of one metric; the mean where a cell has several."""
        rows = self._rows.get((metric, stratum), np.empty(0, dtype=np.intp))
        at = tuple(codes[rows] for codes in self._cells)
        shape = (len(self._variants), len(self._seeds), len(self._categories))
        total, count = np.zeros(shape), np.zeros(shape)
        np.add.at(total, at, self._values[rows])
        np.add.at(count, at, 1.0)
        values = np.divide(total, count, out=np.full(shape, np.nan), where=count > 0)
        known = [i for i in range(len(self._categories)) if count[:, :, i].any()]
        return Matrix(
            values[:, :, known], self._variants, self._seeds, tuple(self._categories[i] for i in known)
        )


def mean_by_seed(values: Floats, seeds: tuple[Any, ...], categories: tuple[str, ...]) -> SeedMeans:
    """Average the categories within each seed, over the seeds that have all of them.

    ``values`` [seed, category]. An incomplete seed is dropped rather than averaged over what it has:
    categories differ by far more than seeds, so a changing set of categories would look like spread.
    """
    known = ~np.isnan(values)
    if known.size and known.all():  # the usual case, a hundred times per table
        return SeedMeans(tuple(values.mean(axis=1).tolist()), seeds, categories, ())
    seen = np.flatnonzero(known.any(axis=0))
    if not len(seen):
        return SeedMeans((), (), (), ())
    whole = known[:, seen].all(axis=1)
    complete, partial = np.flatnonzero(whole), np.flatnonzero(known.any(axis=1) & ~whole)
    return SeedMeans(
        values=tuple(values[np.ix_(complete, seen)].mean(axis=1).tolist()),
        seeds=tuple(seeds[i] for i in complete),
        categories=tuple(categories[j] for j in seen),
        dropped=tuple(seeds[i] for i in partial),
    )
