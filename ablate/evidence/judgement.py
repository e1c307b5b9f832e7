"""Judgement: every difference, family, verdict and best group of a study, computed here, once.

Tables, figures, findings and the terminal read these records; no renderer compares anything itself,
so that no two of them can disagree. Families are declared here: the claims of the study file are one,
and all variants against the baseline are one per metric, category and stratum.

Nothing is computed before it is asked for, and nothing twice.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from ablate.evidence.boundaries import Plan, nominal_p
from ablate.evidence.calibration import Calibrated, calibrate
from ablate.evidence.claim_verdicts import (
    ClaimVerdict,
    JudgedClaim,
    adjusted,
    at_every_look,
    own_p,
    sequential_of,
)
from ablate.evidence.completeness import Completeness, completeness
from ablate.evidence.differences import Difference, against_baseline, best_group, difference
from ablate.evidence.image_evidence import ImageEvidence
from ablate.evidence.images import SeedsAndImages
from ablate.evidence.results import Results
from ablate.evidence.sequential import judge
from ablate.evidence.stats import (
    POINTS,
    SIGN_FLIP_FROM,
    Estimate,
    interval,
    paired_p,
    smallest_sign_flip_p,
)
from ablate.evidence.values import Matrix, SeedMeans, Values
from ablate.study.claims import Claim
from model.metric_names import AUPIMO, all_metrics

__all__ = ["ClaimVerdict", "Comparison", "JudgedClaim", "Judgement", "VariantMean"]
PLANTED = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Planted effects, in sd of the baseline's seeds."""
CALIBRATION_SPLITS = 50
"""Splits of the baseline's seeds; few seeds have no more different ones."""
_FAMILIES = [(equivalence, late) for equivalence in (False, True) for late in (False, True)]
"""Whether a claim is an equivalence, and whether it was added late."""


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
    matrix: Matrix = field(repr=False)
    """Of this metric and stratum."""

    @cached_property
    def categories(self) -> int:
        """Categories that a complete mean averages over."""
        return 1 if self.category is not None else len(self.matrix.categories)

    @cached_property
    def means(self) -> Mapping[str, VariantMean]:
        """By variant, the baseline included."""
        found = {}
        matrix = self.matrix.at(self.category)
        for variant in self.results.variants:
            by_seed = matrix.means(variant)
            estimate = interval(by_seed.values, self.results.alpha)
            found[variant] = VariantMean(
                estimate.of_level() if self.metric in (*all_metrics(), AUPIMO) else estimate, by_seed
            )
        return found

    def keys(self, variant: str) -> tuple[str, ...]:
        """Of the runs behind a variant's mean."""
        by_seed, keys = self.means[variant].by_seed, self.results.keys
        found = (keys.get((variant, seed, c), "") for seed in by_seed.seeds for c in by_seed.categories)
        return tuple(dict.fromkeys(key for key in found if key))

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
            tested=partial(at_its_looks, self.results),
        )
        return {d.variant: replace(d, margin=self.results.margin) for d in found}

    @cached_property
    def family(self) -> int:
        """Comparisons in the family: second names of a configuration do not count."""
        return max((d.family for d in self.differences.values()), default=0)

    @property
    def _columns(self) -> int:
        results = self.results
        if self.category is not None:
            return len(results.categories) + 1
        if self.stratum != "all":
            return len(set(results.frame["stratum"]))
        return len(set(all_metrics()) & results.measured) or 1

    @cached_property
    def best(self) -> frozenset[str]:
        """The best variant and all that cannot be told from it; nobody where that is everybody.

        Simultaneous over the columns of the table it stands in (metrics, categories or strata): noise alone
        marks a variant there in at most alpha of all studies.
        """
        alpha = self.results.alpha / self._columns
        return frozenset(
            best_group(self.matrix, self.results.variants, self.category, alpha=alpha, level=self._spent)
        )

    def _spent(self, alpha: float, seeds: int) -> float:
        """What a t-interval of so many seeds may spend of ``alpha``, where others were looked at before."""
        results = self.results
        if not results.max_seeds:
            return alpha
        return nominal_p(seeds, Plan(results.max_seeds, first=max(2, results.first_look), alpha=alpha))


def at_its_looks(results: Results, d: Difference) -> Difference:
    """A difference of a study that ran until its claims were decided, by the test of these, by itself; of
    others as it is."""
    if not results.max_seeds or not d.n:
        return d
    plan = Plan(results.max_seeds, first=max(2, results.first_look), alpha=d.alpha)
    return at_every_look(d, judge(d.per_seed, plan))


@dataclass(frozen=True, eq=False)
class Judgement:
    """What may be said about a study, from its :class:`~ablate.evidence.results.Results` alone."""

    results: Results
    _matrices: dict[tuple[str, str], Matrix] = field(default_factory=dict, init=False, repr=False)
    _comparisons: dict[tuple[str, str | None, str], Comparison] = field(
        default_factory=dict, init=False, repr=False
    )
    _images: dict[tuple[Any, ...], SeedsAndImages | None] = field(
        default_factory=dict, init=False, repr=False
    )

    def at_its_looks(self, d: Difference) -> Difference:
        """See the function of that name."""
        return at_its_looks(self.results, d)

    @cached_property
    def claims(self) -> tuple[JudgedClaim, ...]:
        """The claims in their order, one Holm family (equivalences, and claims added after the first
        runs, each one of their own)."""
        results = self.results
        stated = [*((c, False) for c in results.claims), *((c, True) for c in results.exploratory)]
        sizes = {at: sum((c.direction == "~", late) == at for c, late in stated) for at in _FAMILIES}
        return adjusted([self._judged(c, late, sizes[c.direction == "~", late]) for c, late in stated])

    def compared(self, claim: Claim) -> tuple[Completeness, Difference]:
        """What a claim's comparison lacks, and left minus right over the seeds that may be looked at."""
        sides = (claim.left, claim.right)
        there = self.completeness(sides, claim.metric, claim.category, claim.stratum)
        # While seeds are missing, only those before the first gap may be looked at.
        seeds = there.prefix if there.gaps else there.whole
        matrix = self._matrix(claim.metric, claim.stratum).during(seeds)
        d = difference(matrix, *sides, claim.metric, claim.category, alpha=self.results.alpha)
        return there, replace(d, null=math.nan if claim.direction == "~" else claim.margin)

    def _judged(self, claim: Claim, exploratory: bool, family: int) -> JudgedClaim:
        results = self.results
        there, d = self.compared(claim)
        images = self.images(d, claim.stratum)
        sequential = sequential_of(
            claim,
            d,
            there,
            looks=results.looks.get(str(claim), ()),
            declared=results.max_seeds,
            first=results.first_look,
            family=family,
            images=images,
        )
        p = own_p(claim, d.per_seed) if sequential is None else sequential.p
        if sequential is not None:
            d = at_every_look(d, sequential)
            images = self.images(d, claim.stratum)
        return JudgedClaim(
            claim=claim,
            difference=replace(d, margin=results.margin, p=p),
            there=there,
            images=images,
            sequential=sequential,
            p=p,
            margin=results.margin,
            exploratory=exploratory,
            withdrawn=claim in results.withdrawn,
        )

    def completeness(
        self, sides: tuple[str, ...], metric: str, category: str | None = None, stratum: str = "all"
    ) -> Completeness:
        """What the comparison of ``sides`` lacks."""
        return completeness(self.results, sides, metric, category, stratum)

    def images(self, d: Difference, stratum: str = "all") -> SeedsAndImages | None:
        """Both intervals of a difference: for new seeds, and for new seeds and new images (points).

        At the difference's own level: where its interval holds at every look, so do these. None where the
        runs' scores are not there, and on strata.
        """
        if stratum != "all":
            return None
        at = (d.variant, d.baseline, d.metric, d.category, d.seeds, d.level)
        if at not in self._images:
            self._images[at] = self.image_evidence.of(
                d.per_seed, d.variant, d.baseline, d.seeds, d.categories, d.metric, alpha=d.level
            )
        return self._images[at]

    def level_images(self, variant: str, metric: str, category: str | None = None) -> SeedsAndImages | None:
        """The same of a variant's own level: what its +- is, for these images and for new ones."""
        by_seed = self.comparison(metric, category).means[variant].by_seed
        points = [POINTS * value for value in by_seed.values]
        made = self.image_evidence.of(
            points, variant, None, by_seed.seeds, by_seed.categories, metric, alpha=self.results.alpha
        )
        return None if made is None else made.of_level(POINTS)

    @cached_property
    def calibration(self) -> Calibrated | None:
        """What the t-test at this alpha says where the truth is known: seeds of the baseline against
        each other on the primary metric, and with planted effects (points). None below 4 whole seeds.
        """
        by_seed = self.primary.means[self.results.baseline].by_seed
        values = POINTS * np.asarray(by_seed.values, dtype=np.float64)
        if len(values) < 4 or np.ptp(values) == 0:
            return None
        alpha = self.results.alpha

        def procedure(d: np.ndarray[Any, Any]) -> int:
            return int(np.sign(d.mean())) if paired_p(d / POINTS) < alpha else 0

        effects = [float(values.std(ddof=1)) * size for size in PLANTED]
        return calibrate(values, procedure, effects, splits=CALIBRATION_SPLITS)

    @cached_property
    def image_evidence(self) -> ImageEvidence:
        """What the runs' folders say of the test images."""
        results = self.results

        def folder_of(key: str) -> Path:
            return results.folders.get(key, results.folder) / "runs" / key

        return ImageEvidence(folder_of, results.keys, results.split, dict(results.images))

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

    def strata(self, metric: str) -> tuple[str, ...]:
        """Strata in which ``metric`` has values, ``all`` among them."""
        return self._values.strata(metric)

    @cached_property
    def _values(self) -> Values:
        return Values(self.results.frame)

    def _matrix(self, metric: str, stratum: str) -> Matrix:
        if (metric, stratum) not in self._matrices:
            self._matrices[metric, stratum] = self._values.matrix(metric, stratum)
        return self._matrices[metric, stratum]
