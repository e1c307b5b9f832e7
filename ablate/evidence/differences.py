"""Paired differences between variants, their families, and the best of a column.

Values come in as fractions in [0, 1]; differences and their intervals go out in *points* (x 100).
Seed x category pairs are described (win rate, count) and never treated as independent.
Nothing but :mod:`ablate.evidence.judgement` decides with these: it knows the study's families.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np

from ablate.evidence.calibration import detectable
from ablate.evidence.stats import (
    ALPHA,
    NAN,
    POINTS,
    SAME,
    SIGN_FLIP_FROM,
    Estimate,
    Floats,
    holm_adjusted,
    interval,
    paired_p,
    seeds_needed,
    sign_flip_test,
    smallest_sign_flip_p,
)
from ablate.evidence.values import Matrix, mean_by_seed
from model.metric_names import METRICS

EQUAL_FROM = 5
"""Fewest seeds at which the same value in all of them is more than chance (a metric of few images takes few
values)."""
OUTLIER = 3.5
"""Distance from the median, in scaled median absolute deviations, from which a seed is an outlier (Iglewicz
and Hoaglin 1993)."""

Verdict = Literal["better", "worse", "equal", "undecided", "missing"]
"""What the seeds say of a difference; for readers in :func:`ablate.report.words.verdict_text`."""


@dataclass(frozen=True)
class Difference:
    """A variant minus its baseline on one metric, paired by seed and category, in points."""

    variant: str
    baseline: str
    metric: str
    category: str | None
    """One category, or None for the mean over ``categories``."""
    estimate: Estimate
    """Of the per-seed differences (points); the interval stays within -100 and 100."""
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
    alpha: float = ALPHA
    """Error level: of the interval, and of the family together."""
    family: int = 1
    """Comparisons that share it (Holm)."""
    p_holm: float = NAN
    """``p`` adjusted by Holm over the family."""
    same_runs: bool = False
    """Whether both names are of one configuration, so that there is nothing to compare."""
    margin: float = 0.0
    """The study's (points): a mean that lies within it is never called better or worse."""
    looks: tuple[int, ...] = ()
    """Seed counts of the looks that ``p`` and the interval hold at; empty: a fixed number of seeds. What
    assumes a fixed number (sign flip, detectable, seeds needed) is then undefined."""
    level: float = NAN
    """Error at which a t-interval of these seeds alone has the interval's ends: ``alpha``, unless the
    interval holds at every look."""
    null: float = 0.0
    """What the mean is tested against (points); NaN for an equivalence. What tests something else than
    ``p`` does is then undefined."""

    @property
    def n(self) -> int:
        """Paired seeds."""
        return self.estimate.n

    @cached_property
    def p_sign_flip(self) -> float:
        """Exact sign-flip permutation test, two-sided; NaN below 6 and above 16 seeds, or with looks."""
        return NAN if self._fixed is None else sign_flip_test(self._fixed)

    @property
    def _fixed(self) -> Floats | None:
        """Fractions beyond ``null``; None where no test of a fixed number of seeds against it is made."""
        if self.looks or np.isnan(self.null):
            return None
        return (np.asarray(self.per_seed, dtype=np.float64) - self.null) / POINTS

    @property
    def identical(self) -> bool:
        """Whether all (two or more) seeds give the same difference: the seed replicates nothing."""
        return self.n >= 2 and self.estimate.sd < SAME * POINTS

    def keys(self, known: Mapping[tuple[str, Any, str], str]) -> tuple[str, ...]:
        """Of the runs behind it, both sides'; ``known``: by (variant, seed, category)."""
        found = (
            known.get((side, seed, category), "")
            for side in (self.variant, self.baseline)
            for seed in self.seeds
            for category in self.categories
        )
        return tuple(dict.fromkeys(key for key in found if key))

    @property
    def apart(self) -> bool:
        """Whether the interval excludes 0, by itself (not adjusted for other comparisons)."""
        return self.estimate.excludes_zero and not self.identical

    @property
    def verdict(self) -> Verdict:
        """``better`` or ``worse`` after Holm; ``equal``: the same runs, or none of five or more seeds
        differs; ``missing``: no pair yet; else ``undecided``."""
        if not self.n:
            return "missing"
        if self.identical:
            same = abs(self.estimate.mean) < SAME * POINTS and (self.same_runs or self.n >= EQUAL_FROM)
            return "equal" if same else "undecided"
        if self.p_holm < self.alpha and abs(self.estimate.mean) > self.margin:
            return "better" if self.estimate.mean > 0 else "worse"
        return "undecided"

    @property
    def few_for_sign_flip(self) -> bool:
        """Whether the seeds have an interval, but are too few for a sign-flip test."""
        return 2 <= self.n < SIGN_FLIP_FROM and not self.looks

    @property
    def smallest_sign_flip_p(self) -> float:
        """What the sign-flip test would say if all seeds agreed."""
        return smallest_sign_flip_p(self.n)

    @cached_property
    def detectable(self) -> float:
        """Smallest true difference (points) found with 80 % power at this n and this spread.

        Larger than the usual formula's by 1.1 to 2.4, because the spread is itself estimated from n seeds;
        at most 100. NaN without spread: seeds that all give the same say nothing of another.
        """
        if self.identical or self._fixed is None:
            return NAN
        return detectable(self.per_seed, self.alpha / self.family)

    @cached_property
    def outliers(self) -> tuple[Any, ...]:
        """Seeds that lie far from the others: a t-test is not to be trusted with them. Needs 3 seeds."""
        d = np.asarray(self.per_seed, dtype=np.float64)
        if len(d) < 3:
            return ()
        off = np.abs(d - np.median(d))
        scale = 1.4826 * float(np.median(off))
        far = off > max(OUTLIER * scale, SAME * POINTS)
        return tuple(seed for seed, out in zip(self.seeds, far, strict=True) if out)

    @cached_property
    def p_without_one(self) -> tuple[float, float]:
        """Smallest and largest p of the t-test without any one seed; NaN below 3 seeds."""
        d = self._fixed
        if self.n < 3 or d is None:
            return NAN, NAN
        found = np.array([paired_p(np.delete(d, i)) for i in range(self.n)])
        return float(np.min(found)), float(np.max(found))

    @cached_property
    def seeds_needed(self) -> int | None:
        """Seeds for 80 % power if the true difference and spread are the observed ones.

        At Holm's first step, alpha / family, so that an undecided comparison always needs more seeds
        than it has. None: undefined, or more than ``SEEDS_CAP``.
        """
        if self.n < 2 or self.identical or self._fixed is None:
            return None
        return seeds_needed((self.estimate.mean - self.null) / self.estimate.sd, self.alpha / self.family)


def difference(
    matrix: Matrix,
    variant: str,
    baseline: str,
    metric: str,
    category: str | None = None,
    *,
    alpha: float = ALPHA,
) -> Difference:
    """Compare two variants on a :class:`~ablate.evidence.values.Matrix`, using pairs only.

    Categories that never form a pair are left out of the average; a seed counts if every remaining
    category forms a pair in it.
    """
    matrix = matrix.at(category)
    a, b = matrix.of(variant), matrix.of(baseline)
    means = mean_by_seed(a - b, matrix.seeds, matrix.categories)
    if (len(means.seeds), len(means.categories)) != a.shape:
        rows = [i for i, seed in enumerate(matrix.seeds) if seed in means.seeds]
        columns = [i for i, name in enumerate(matrix.categories) if name in means.categories]
        a, b = a[np.ix_(rows, columns)], b[np.ix_(rows, columns)]
    estimate = interval(means.values, alpha).scaled(POINTS)
    if metric in METRICS:
        estimate = estimate.within(-POINTS, POINTS)
    wins = np.where(np.abs(a - b) < SAME, 0.5, a > b)
    error = float((1 - b).mean()) if b.size else NAN
    gain = float((a - b).mean()) if b.size else NAN
    p = paired_p(means.values)
    return Difference(
        variant=variant,
        baseline=baseline,
        metric=metric,
        category=category,
        estimate=estimate,
        per_seed=tuple(v * POINTS for v in means.values),
        seeds=means.seeds,
        categories=means.categories,
        dropped=means.dropped,
        pairs=int(b.size),
        win_rate=float(wins.mean()) if b.size else NAN,
        error_reduction=gain / error if error > SAME else NAN,
        p=p,
        p_holm=p,
        alpha=alpha,
        level=alpha,
    )


def holm(differences: Iterable[Difference]) -> list[Difference]:
    """The differences as one family: Holm-adjusted p, order kept.

    A comparison that has no p yet still counts towards the family, as p = 1: otherwise the verdicts
    of a half-finished study would be too easy, and change as it fills up.
    """
    family = list(differences)
    adjusted = holm_adjusted([d.p for d in family])
    return [replace(d, family=len(family), p_holm=q) for d, q in zip(family, adjusted, strict=True)]


def against_baseline(
    matrix: Matrix,
    variants: Sequence[str],
    baseline: str,
    metric: str,
    category: str | None = None,
    *,
    alpha: float = ALPHA,
    same_as: Mapping[str, str] | None = None,
    tested: Callable[[Difference], Difference] = lambda d: d,
) -> list[Difference]:
    """Every other variant minus ``baseline``, as one Holm family.

    ``same_as`` names, for a variant that is another one's configuration under a second name, that
    other one. Such rows share their runs: they repeat its result and do not count in the family.
    ``tested``: gives each difference the p and the interval of another test, before Holm.
    """
    copies = same_as or {}
    distinct = [v for v in variants if v != baseline and v not in copies]
    found = {
        d.variant: d
        for d in holm(
            tested(difference(matrix, v, baseline, metric, category, alpha=alpha)) for v in distinct
        )
    }
    for copy, original in copies.items():
        if original in found:
            found[copy] = replace(found[original], variant=copy)
        elif copy in variants:
            d = difference(matrix, copy, baseline, metric, category, alpha=alpha)
            found[copy] = replace(d, same_runs=original == baseline)
    return [found[v] for v in variants if v in found]


def best_group(
    matrix: Matrix,
    variants: Sequence[str],
    category: str | None = None,
    *,
    alpha: float = ALPHA,
    level: Callable[[float, int], float] = lambda alpha, _seeds: alpha,
) -> set[str]:
    """The best variant and all that cannot be told from it, or nobody if that is everybody.

    "Cannot be told": the t-interval of the paired difference to the best includes 0, or there
    are too few pairs for an interval. Bonferroni over the k - 1 comparisons: which one is best is seen
    only afterwards, and the true best is left out only if some other beats it, which then happens in
    less than ``alpha`` of all studies however many variants there are (unadjusted intervals mark noise
    as best in half the columns of ten equal variants). Variants averaged over fewer categories than the
    others do not compete.

    ``level``: (alpha of one comparison, its seeds) -> error of its interval.
    """
    matrix = matrix.at(category)
    means = {v: matrix.means(v) for v in variants}
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
        gap = mean_by_seed(matrix.of(best) - matrix.of(variant), matrix.seeds, matrix.categories)
        found = interval(gap.values, level(alpha / (len(values) - 1), len(gap.values)))
        same = found.n >= 2 and found.sd < SAME
        if same or not found.excludes_zero:
            group.add(variant)
    return set() if group == set(values) else group
