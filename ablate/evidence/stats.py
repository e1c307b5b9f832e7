"""What the seeds allow to be said: cells, paired differences, verdicts.

Unusual here: the replicate is the seed, always. Unified training makes the categories of one seed
share a network, and a study is repeated by drawing new seeds, not new products, so categories are
averaged within a seed *before* any spread is computed. Seed x category pairs are described (win rate,
count) and never treated as independent.

There is no bootstrap: with 3 to 5 seeds its intervals cover 71 to 83 % instead of 95 %, and far less
where categories of a seed are correlated. t-intervals hold their level there.

Values come in as fractions in [0, 1]; differences and their intervals go out in *points* (x 100).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

from ablate.study.claims import Claim

Floats = npt.NDArray[np.float64]

ALPHA = 0.05
POWER = 0.8
POINTS = 100.0
SIGN_FLIP_FROM = 6
"""Fewest seeds at which the sign-flip test can reach p < 0.05 (its smallest p is 2 / 2^n)."""
SIGN_FLIP_TO = 16
"""Most seeds for which all 2^n sign patterns are enumerated."""
SEEDS_CAP = 1000
"""Above this many seeds, "more seeds" is no longer advice."""
SAME = 1e-12
"""Spread (as a fraction) below which seeds count as identical: rounding, not replication."""

NAN = float("nan")


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds with its spread; NaN where the number of seeds does not define it."""

    mean: float
    sd: float
    """Sample standard deviation (n - 1)."""
    n: int
    """Seeds."""
    low: float
    high: float
    """Ends of the t-interval."""

    @property
    def half_width(self) -> float:
        """Half the interval's width."""
        return (self.high - self.low) / 2

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval exists and does not include 0."""
        return bool(self.low > 0 or self.high < 0)

    def scaled(self, factor: float) -> Estimate:
        """The same in other units (``factor`` > 0)."""
        return Estimate(self.mean * factor, self.sd * factor, self.n, self.low * factor, self.high * factor)


def interval(values: npt.ArrayLike, alpha: float = ALPHA) -> Estimate:
    """Mean, sample sd and two-sided 1 - alpha t-interval of independent ``values`` [n], NaN left out."""
    x: Floats = np.asarray(values, dtype=np.float64)
    x = x[~np.isnan(x)]
    n = len(x)
    if n == 0:
        return Estimate(NAN, NAN, 0, NAN, NAN)
    mean = float(x.mean())
    if n == 1:
        return Estimate(mean, NAN, 1, NAN, NAN)
    sd = float(x.std(ddof=1))
    half = float(stats.t.ppf(1 - alpha / 2, n - 1)) * sd / float(np.sqrt(n))
    return Estimate(mean, sd, n, mean - half, mean + half)


# ---------------------------------------------------------------------------------- cells


def cell_matrix(frame: pd.DataFrame, metric: str, *, stratum: str = "all") -> pd.DataFrame:
    """Values of one metric: rows (variant, seed), one column per category, NaN where missing.

    ``frame`` is the tidy long frame of one split. Categories without any value (a degenerate metric,
    nothing finished yet) have no column.
    """
    rows = frame[(frame["metric"] == metric) & (frame["stratum"] == stratum)]
    rows = rows.dropna(subset=["value"])
    order = list(dict.fromkeys(rows["category"]))
    wide = rows.pivot_table(index=["variant", "seed"], columns="category", values="value", aggfunc="mean")
    return wide.reindex(columns=order)


def of_variant(cells: pd.DataFrame, variant: str) -> pd.DataFrame:
    """Rows of one variant: index seed, one column per category; empty if it has none."""
    if variant not in cells.index.get_level_values("variant"):
        return pd.DataFrame(columns=cells.columns, index=pd.Index([], name="seed"), dtype=float)
    part = cells.xs(variant, level="variant")
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
    return _seed_means(part.to_numpy(dtype=np.float64), tuple(part.index), tuple(map(str, part.columns)))


def _seed_means(values: Floats, seeds: tuple[Any, ...], categories: tuple[str, ...]) -> SeedMeans:
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


def summarise(part: pd.DataFrame, alpha: float = ALPHA) -> Estimate:
    """A variant's cell: mean over seeds of the mean over categories (fractions)."""
    return interval(seed_means(part).values, alpha)


# ---------------------------------------------------------------------------------- differences


@dataclass(frozen=True)
class Difference:
    """A variant minus its baseline on one metric, paired by seed and category, in points."""

    variant: str
    baseline: str
    metric: str
    category: str | None
    """One category, or None for the mean over ``categories``."""
    estimate: Estimate
    """Of the per-seed differences (points)."""
    per_seed: tuple[float, ...]
    """Points, in the order of ``seeds``."""
    seeds: tuple[Any, ...]
    categories: tuple[str, ...]
    dropped: tuple[Any, ...]
    """Seeds in which a pair is incomplete."""
    pairs: int
    """Seed x category pairs behind ``win_rate``."""
    win_rate: float
    """Share of the pairs that the variant wins; a tie is half a win."""
    error_reduction: float
    """Share of the baseline's error 1 - value that the variant removes."""
    p: float
    """Paired t-test, two-sided, unadjusted."""
    p_sign_flip: float
    """Exact sign-flip permutation test, two-sided; NaN below 6 and above 16 seeds."""
    alpha: float = ALPHA
    """Error level: of the interval, and of the family together."""
    family: int = 1
    """Comparisons that share it (Holm)."""
    p_holm: float = NAN
    """``p`` adjusted by Holm over the family."""

    @property
    def n(self) -> int:
        """Paired seeds."""
        return self.estimate.n

    @property
    def identical(self) -> bool:
        """Whether all (two or more) seeds give the same difference: the seed replicates nothing."""
        return self.n >= 2 and self.estimate.sd < SAME * POINTS

    @property
    def apart(self) -> bool:
        """Whether the interval excludes 0, by itself (not adjusted for other comparisons)."""
        return self.estimate.excludes_zero and not self.identical

    @property
    def verdict(self) -> str:
        """``better`` or ``worse`` after Holm; ``equal``: no seed differs; ``missing``: no pair yet;
        else ``undecided``."""
        if not self.n:
            return "missing"
        if self.identical:
            return "equal" if abs(self.estimate.mean) < SAME * POINTS else "undecided"
        if self.p_holm < self.alpha:
            return "better" if self.estimate.mean > 0 else "worse"
        return "undecided"

    @property
    def smallest_sign_flip_p(self) -> float:
        """What the sign-flip test would say if all seeds agreed."""
        return smallest_sign_flip_p(self.n)

    @property
    def detectable(self) -> float:
        """Smallest true difference (points) found with 80 % power at this n and this spread.

        NaN without spread: seeds that all give the same say nothing of what another would give.
        """
        if self.identical:
            return NAN
        return minimum_detectable_effect(self.n, self.alpha / self.family) * self.estimate.sd

    @property
    def seeds_needed(self) -> int | None:
        """Seeds for 80 % power if the true difference and spread are the observed ones.

        At Holm's first step, alpha / family, so that an undecided comparison always needs more seeds
        than it has. None: undefined, or more than ``SEEDS_CAP``.
        """
        if self.n < 2 or self.identical:
            return None
        return seeds_needed(self.estimate.mean / self.estimate.sd, self.alpha / self.family)


def smallest_sign_flip_p(n: int) -> float:
    """Smallest two-sided p of the sign-flip test with ``n`` pairs: 2 of 2^n sign patterns."""
    return NAN if n < 1 else min(1.0, 2.0 / 2.0**n)


def _mean(x: Floats, axis: int = -1) -> Floats:
    return np.asarray(x.mean(axis=axis))


def sign_flip_test(differences: npt.ArrayLike) -> float:
    """Exact two-sided sign-flip permutation test of paired differences [n]; NaN outside 6..16."""
    x: Floats = np.asarray(differences, dtype=np.float64)
    if not SIGN_FLIP_FROM <= len(x) <= SIGN_FLIP_TO:
        return NAN
    # At 2^n resamples or more scipy enumerates the sign patterns instead of drawing them.
    result = stats.permutation_test(
        (x,), _mean, permutation_type="samples", n_resamples=2 ** len(x), vectorized=True
    )
    return float(result.pvalue)


def _power(effect: float, n: npt.ArrayLike, alpha: float) -> Floats:
    """Power of the two-sided paired t-test to find ``effect`` (sd of the differences, > 0), its sign too.

    Computed as the upper tail at alpha / 2: what the lower tail would add is finding the wrong sign
    (below 1e-5 wherever the power is 0.8), and scipy returns NaN for it at small n. For the upper tail
    it does so only where the power is 1.
    """
    found = TTestPower().power(effect, np.asarray(n, dtype=float), alpha / 2, alternative="larger")
    return np.nan_to_num(np.asarray(found, dtype=np.float64), nan=1.0)


def minimum_detectable_effect(n: int, alpha: float = ALPHA, power: float = POWER) -> float:
    """Smallest effect, in sd of the paired differences, that n pairs find with ``power``.

    Two-sided one-sample t-test: 3.26, 1.68, 1.16, 1.00, 0.78 at n = 3, 5, 8, 10, 15.
    """
    if n < 2:
        return NAN
    effect = TTestPower().solve_power(
        effect_size=None, nobs=n, alpha=alpha / 2, power=power, alternative="larger"
    )
    return float(np.squeeze(effect))


def seeds_needed(effect: float, alpha: float = ALPHA, power: float = POWER) -> int | None:
    """Pairs at which a true ``effect`` (in sd of the differences) is found with ``power``.

    None where that is undefined or above ``SEEDS_CAP``.
    """
    size = abs(effect)
    if not np.isfinite(size) or size == 0:
        return None
    counts = np.arange(2, SEEDS_CAP + 1)
    enough = np.flatnonzero(_power(size, counts, alpha) >= power)
    return int(counts[enough[0]]) if len(enough) else None


def paired_p(differences: npt.ArrayLike) -> float:
    """Two-sided p of the paired t-test; 1 if no pair differs; NaN below 2 pairs or without spread."""
    x: Floats = np.asarray(differences, dtype=np.float64)
    if len(x) < 2:
        return NAN
    if x.std(ddof=1) < SAME:
        return 1.0 if abs(x.mean()) < SAME else NAN
    return float(stats.ttest_1samp(x, 0.0).pvalue)


def difference(
    cells: pd.DataFrame,
    variant: str,
    baseline: str,
    metric: str,
    category: str | None = None,
    *,
    alpha: float = ALPHA,
) -> Difference:
    """Compare two variants on a :func:`cell_matrix`, using pairs only.

    Categories that never form a pair are left out of the average; a seed counts if every remaining
    category forms a pair in it.
    """
    ours, theirs = of_variant(cells, variant), of_variant(cells, baseline)
    names = tuple(map(str, cells.columns))
    seeds = tuple(s for s in ours.index if s in theirs.index)
    a: Floats = ours.to_numpy(dtype=np.float64)[ours.index.get_indexer(pd.Index(seeds))]
    b: Floats = theirs.to_numpy(dtype=np.float64)[theirs.index.get_indexer(pd.Index(seeds))]
    if category is not None:
        chosen = [i for i, name in enumerate(names) if name == category]
        a, b, names = a[:, chosen], b[:, chosen], tuple(names[i] for i in chosen)
    means = _seed_means(a - b, seeds, names)
    whole = np.ix_(np.isin(seeds, means.seeds), np.isin(names, means.categories))
    a, b = a[whole], b[whole]
    wins = np.where(np.abs(a - b) < SAME, 0.5, a > b)
    error = float((1 - b).mean()) if b.size else NAN
    gain = float((a - b).mean()) if b.size else NAN
    p = paired_p(means.values)
    return Difference(
        variant=variant,
        baseline=baseline,
        metric=metric,
        category=category,
        estimate=interval(means.values, alpha).scaled(POINTS),
        per_seed=tuple(v * POINTS for v in means.values),
        seeds=means.seeds,
        categories=means.categories,
        dropped=means.dropped,
        pairs=int(b.size),
        win_rate=float(wins.mean()) if b.size else NAN,
        error_reduction=gain / error if error > SAME else NAN,
        p=p,
        p_sign_flip=sign_flip_test(means.values),
        p_holm=p,
        alpha=alpha,
    )


def holm(differences: Iterable[Difference]) -> list[Difference]:
    """The differences as one family: Holm-adjusted p, order kept.

    A comparison that has no p yet still counts towards the family, as p = 1: otherwise the verdicts
    of a half-finished study would be too easy, and change as it fills up.
    """
    family = list(differences)
    if not family:
        return []
    raw = np.array([d.p for d in family])
    adjusted = multipletests(np.nan_to_num(raw, nan=1.0), method="holm")[1]
    return [
        replace(d, family=len(family), p_holm=float(q) if np.isfinite(d.p) else NAN)
        for d, q in zip(family, adjusted, strict=True)
    ]


def against_baseline(
    frame: pd.DataFrame,
    variants: Sequence[str],
    baseline: str,
    metric: str,
    *,
    category: str | None = None,
    stratum: str = "all",
    alpha: float = ALPHA,
    same_as: Mapping[str, str] | None = None,
) -> list[Difference]:
    """Every other variant minus ``baseline``, as one Holm family.

    ``same_as`` names, for a variant that is another one's configuration under a second name, that
    other one. Such rows share their runs: they repeat its result and do not count in the family.
    """
    cells = cell_matrix(frame, metric, stratum=stratum)
    copies = same_as or {}
    distinct = [v for v in variants if v != baseline and v not in copies]
    found = {
        d.variant: d
        for d in holm(difference(cells, v, baseline, metric, category, alpha=alpha) for v in distinct)
    }
    for copy, original in copies.items():
        if original in found:
            found[copy] = replace(found[original], variant=copy)
        elif copy in variants:
            found[copy] = difference(cells, copy, baseline, metric, category, alpha=alpha)
    return [found[v] for v in variants if v in found]


# ---------------------------------------------------------------------------------- claims


@dataclass(frozen=True)
class Judged:
    """A claim stated before the runs, and what they say to it."""

    claim: Claim
    difference: Difference
    """left minus right; if the claim is ``<``, a negative one supports it."""

    @property
    def verdict(self) -> str:
        """``supported``, ``refuted``, ``undecided``, or ``missing`` before the first pair."""
        if self.difference.verdict == "missing":
            return "missing"
        found = {"better": ">", "worse": "<"}.get(self.difference.verdict)
        if found is None:
            return "undecided"
        return "supported" if found == self.claim.direction else "refuted"


def judge(frame: pd.DataFrame, claims: Sequence[Claim], alpha: float = ALPHA) -> list[Judged]:
    """Judge the declared claims, Holm over all of them."""
    found = holm(
        difference(cell_matrix(frame, c.metric), c.left, c.right, c.metric, c.category, alpha=alpha)
        for c in claims
    )
    return [Judged(claim, d) for claim, d in zip(claims, found, strict=True)]


# ---------------------------------------------------------------------------------- the best of a column


def best_group(
    cells: pd.DataFrame, variants: Sequence[str], category: str | None = None, *, alpha: float = ALPHA
) -> set[str]:
    """The best variant and all that cannot be told from it, or nobody if that is everybody.

    "Cannot be told": the t-interval of the paired difference to the best includes 0, or there
    are too few pairs for an interval. Bonferroni over the k - 1 comparisons: which one is best is seen
    only afterwards, and the true best is left out only if some other beats it, which then happens in
    less than ``alpha`` of all studies however many variants there are (unadjusted intervals mark noise
    as best in half the columns of ten equal variants). Variants averaged over fewer categories than the
    others do not compete.
    """
    parts = {v: of_variant(cells, v) for v in variants}
    if category is not None:
        parts = {v: p.reindex(columns=[category]) for v, p in parts.items()}
    means = {v: seed_means(p) for v, p in parts.items()}
    widest = max((len(m.categories) for m in means.values()), default=0)
    values = {
        v: float(np.mean(m.values)) for v, m in means.items() if m.values and len(m.categories) == widest
    }
    if len(values) < 2:
        return set()
    best = max(values, key=lambda v: values[v])
    group = {best}
    for variant in values:
        if variant == best:
            continue
        if not difference(cells, best, variant, "", category, alpha=alpha / (len(values) - 1)).apart:
            group.add(variant)
    return set() if group == set(values) else group
