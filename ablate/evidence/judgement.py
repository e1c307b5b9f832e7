"""Judgement: every difference, family, verdict and best group of a study, computed here, once.

Tables, figures, findings and the terminal read these records; no renderer compares anything itself,
so that no two of them can disagree. Families are declared here: the claims of the study file are one,
and all variants against the baseline are one per metric, category and stratum.

Nothing is computed before it is asked for, and nothing twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import pandas as pd

from ablate.evidence.differences import Difference, against_baseline, best_group, difference, holm
from ablate.evidence.results import Results
from ablate.evidence.stats import SIGN_FLIP_FROM, Estimate, interval, smallest_sign_flip_p
from ablate.evidence.values import SeedMeans, of_variant, seed_means, value_matrix
from ablate.study.claims import Claim

ClaimVerdict = Literal["supported", "refuted", "undecided", "missing"]
"""What became of a claim; for readers in :func:`ablate.report.words.verdict_text`."""


@dataclass(frozen=True)
class JudgedClaim:
    """A claim stated before the runs, and what they say to it."""

    claim: Claim
    difference: Difference
    """left minus right; if the claim is ``<``, a negative one supports it."""

    @property
    def verdict(self) -> ClaimVerdict:
        """``missing`` before the first pair; ``undecided`` also where no seed differs."""
        if self.difference.verdict == "missing":
            return "missing"
        found = {"better": ">", "worse": "<"}.get(self.difference.verdict)
        if found is None:
            return "undecided"
        return "supported" if found == self.claim.direction else "refuted"


@dataclass(frozen=True)
class VariantMean:
    """Where one variant stands by itself."""

    estimate: Estimate
    """In the metric's own unit: a fraction, or 1 - cosine."""
    by_seed: SeedMeans
    """The seeds behind it, and the categories averaged in them."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """All variants on one metric in one place: what a column of a table shows."""

    results: Results = field(repr=False)
    metric: str
    category: str | None
    """One category, or None for the mean over categories."""
    stratum: str
    matrix: pd.DataFrame = field(repr=False)
    """Of this metric and stratum: rows (variant, seed), one column per category, NaN where missing."""

    @cached_property
    def categories(self) -> int:
        """Categories that a complete mean averages over."""
        return 1 if self.category is not None else len(self.matrix.columns)

    @cached_property
    def means(self) -> Mapping[str, VariantMean]:
        """By variant, the baseline included."""
        found = {}
        for variant in self.results.variants:
            part = of_variant(self.matrix, variant)
            if self.category is not None:
                part = part.reindex(columns=[self.category])
            by_seed = seed_means(part)
            found[variant] = VariantMean(interval(by_seed.values, self.results.alpha), by_seed)
        return found

    @cached_property
    def differences(self) -> Mapping[str, Difference]:
        """By variant other than the baseline: variant minus baseline, one Holm family."""
        found = against_baseline(
            self.matrix,
            self.results.variants,
            self.results.baseline,
            self.metric,
            self.category,
            alpha=self.results.alpha,
            same_as=self.results.same_as,
        )
        return {d.variant: d for d in found}

    @cached_property
    def family(self) -> int:
        """Comparisons in the family: second names of a configuration do not count."""
        return max((d.family for d in self.differences.values()), default=0)

    @cached_property
    def best(self) -> frozenset[str]:
        """The best variant and all that cannot be told from it; nobody where that is everybody."""
        return frozenset(
            best_group(self.matrix, self.results.variants, self.category, alpha=self.results.alpha)
        )


@dataclass(frozen=True, eq=False)
class Judgement:
    """What may be said about a study, from its :class:`~ablate.evidence.results.Results` alone."""

    results: Results
    _matrices: dict[tuple[str, str], pd.DataFrame] = field(default_factory=dict, init=False, repr=False)
    _comparisons: dict[tuple[str, str | None, str], Comparison] = field(
        default_factory=dict, init=False, repr=False
    )

    @cached_property
    def claims(self) -> tuple[JudgedClaim, ...]:
        """The claims of the study file in their order, one Holm family."""
        claims, alpha = self.results.claims, self.results.alpha
        found = holm(
            difference(self._matrix(c.metric, "all"), c.left, c.right, c.metric, c.category, alpha=alpha)
            for c in claims
        )
        return tuple(JudgedClaim(claim, d) for claim, d in zip(claims, found, strict=True))

    @property
    def primary(self) -> Comparison:
        """On the primary metric, averaged over categories: the comparison that is tested."""
        return self.comparison(self.results.primary)

    @property
    def few_for_sign_flip(self) -> bool:
        """Whether the study's seeds are too few for a sign-flip test ever to reach p < 0.05."""
        return len(self.results.seeds) < SIGN_FLIP_FROM

    @property
    def smallest_sign_flip_p(self) -> float:
        """What a sign-flip test would say if all of the study's seeds agreed."""
        return smallest_sign_flip_p(len(self.results.seeds))

    def comparison(self, metric: str, category: str | None = None, stratum: str = "all") -> Comparison:
        """All variants on ``metric``; the same record however often it is asked for.

        ``category`` None: averaged over the categories; ``stratum``: of the defects.
        """
        at = (metric, category, stratum)
        if at not in self._comparisons:
            self._comparisons[at] = Comparison(
                self.results, metric, category, stratum, self._matrix(metric, stratum)
            )
        return self._comparisons[at]

    def _matrix(self, metric: str, stratum: str) -> pd.DataFrame:
        if (metric, stratum) not in self._matrices:
            self._matrices[metric, stratum] = value_matrix(self.results.frame, metric, stratum=stratum)
        return self._matrices[metric, stratum]
