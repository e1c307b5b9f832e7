"""The one function that decides a claim, and everything that it decided from.

Order of the questions: is everything there; do the seeds decide, at the error of the family and however
often they were looked at; does the difference matter (the study's margin); would it hold on new images.

A claim of a study that ran as declared, and was first looked at with all its seeds there, is judged by the
paired t-test. One with a declared maximum of seeds is judged by the sequential test of
:mod:`ablate.evidence.sequential`; one that was looked at before, by its anytime-valid p.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy import stats

from ablate.evidence.boundaries import Plan
from ablate.evidence.completeness import Completeness
from ablate.evidence.differences import Difference
from ablate.evidence.images import SeedsAndImages
from ablate.evidence.sequential import Hypothesis, SequentialVerdict, judge
from ablate.evidence.stats import NAN, SAME, Estimate, holm_adjusted, interval, paired_p
from ablate.study.claims import Claim

ClaimVerdict = Literal["supported", "refuted", "equivalent", "undecided", "undecidable", "incomplete"]
"""What became of a claim; for readers in :func:`ablate.report.words.verdict_text`. ``undecidable``: this
test set cannot decide it, however many seeds."""

SETTLED: tuple[ClaimVerdict, ...] = ("supported", "equivalent")
"""Verdicts with which a paper can say what it claimed."""


@dataclass(frozen=True)
class JudgedClaim:
    """A claim stated before the runs, and what they say to it."""

    claim: Claim
    difference: Difference
    """left minus right, over the whole seeds that were judged."""
    there: Completeness
    """What it lacks."""
    images: SeedsAndImages | None
    """For new seeds and new images; None where the runs' scores are not there."""
    sequential: SequentialVerdict | None
    """None where a fixed number of seeds was judged."""
    p: float
    """Of the claim's own test, valid for the looks that were taken; not adjusted."""
    margin: float
    """The study's (points)."""
    exploratory: bool = False
    """Added after the first runs were there: outside the family."""
    withdrawn: bool = False
    """Taken out of the study file after the runs; still judged, and counted in the family."""
    p_holm: float = NAN
    """``p`` adjusted over ``family``."""
    family: int = 1
    step: int = 1
    """Claims of the family that Holm has left when it comes to this one, itself included."""

    @property
    def low(self) -> float:
        """Lower end (points) for new seeds, these images; of the repeated interval if sequential."""
        return self.difference.estimate.low

    @property
    def high(self) -> float:
        """Upper end of the same."""
        return self.difference.estimate.high

    @property
    def held_against(self) -> float:
        """What the mean difference is compared with (points): the claim's margin, 0 for ``~``."""
        return 0.0 if self.claim.direction == "~" else self.claim.margin

    @property
    def verdict(self) -> ClaimVerdict:
        """See the module's header."""
        undecided = self._undecided
        if not self.difference.n or self.there.having("failed"):
            return "incomplete"
        if self.there.having("undefined"):
            return "undecided"
        found = self._by_seeds
        if found is None:
            return "incomplete" if self.there.having("waiting") else undecided
        if self._inside_margin and self.claim.direction != "~":
            inside = -self.margin < self.low and self.high < self.margin
            return "equivalent" if inside and not self.claim.margin else undecided
        return found if self._holds_on_new_images else "undecidable"

    @property
    def decided_by_seeds(self) -> bool:
        """Whether the seeds alone decide it, whatever new images would say."""
        return self._by_seeds is not None

    @property
    def _by_seeds(self) -> ClaimVerdict | None:
        """What the seeds decide, None if nothing."""
        if self.difference.identical or not self.p_holm < self.difference.alpha:
            return None
        if self.claim.direction == "~":
            return "equivalent"
        above = self.difference.estimate.mean > self.claim.margin
        if self.sequential is not None:
            above = self.sequential.sign > 0
        return "supported" if above == (self.claim.direction == ">") else "refuted"

    @property
    def _inside_margin(self) -> bool:
        return abs(self.difference.estimate.mean) <= self.margin

    @property
    def _holds_on_new_images(self) -> bool:
        """Whether the second interval agrees; what is not known of the images does not contradict."""
        made = self.images
        if made is None or np.isnan(made.low):
            return True
        return self._holds(made)

    def _holds(self, made: SeedsAndImages) -> bool:
        """At the error by which the seeds are judged: Holm's step, and the looks of a sequential claim. The
        intervals that are shown are not adjusted, or those of the first step."""
        spent = self.difference.alpha / self.step
        if self.sequential is not None:
            spent = self.sequential.spent(self.step)
        if self.claim.direction == "~":
            return made.within(self.claim.margin, spent)
        return made.apart(self.claim.margin, spent)

    @property
    def _undecided(self) -> ClaimVerdict:
        """``undecidable`` where even infinitely many seeds would not find the observed effect."""
        made = self.images
        if made is None or self.claim.direction == "~" or np.isnan(made.image_floor):
            return "undecided"
        effect = abs(self.difference.estimate.mean - self.claim.margin)
        return "undecidable" if made.image_floor > effect else "undecided"

    @property
    def more_seeds(self) -> int | None:
        """About how many more seeds would decide, if the truth is what was observed; None: unknown, none
        are needed, or no number would."""
        if self.verdict != "undecided" or self.there.having("undefined") or self._by_seeds is not None:
            return None  # the seeds have decided, and what they found does not matter
        if self.sequential is not None:
            return self.sequential.more_seeds or None
        needed = self.difference.seeds_needed
        return None if needed is None else max(1, needed - self.difference.n)

    @property
    def more_images(self) -> int | None:
        """About how many more test images of the same mix would decide; None as above."""
        if self.verdict != "undecidable" or self.images is None:
            return None
        if self._by_seeds is not None:  # what the seeds have decided does not hold on new images
            return self.images.images_until(self._holds)
        effect = self.difference.estimate.mean - self.held_against
        if self.claim.direction == "~":
            effect = self.claim.margin - abs(self.difference.estimate.mean)
        return self.images.images_needed(effect)


def own_p(claim: Claim, per_seed: Sequence[float]) -> float:
    """p of the claim's fixed-number-of-seeds test; NaN where there is none.

    Two-sided t-test against the margin; for an equivalence the larger of the two one-sided tests.
    """
    d = np.asarray(per_seed, dtype=np.float64)
    if claim.direction != "~":
        return paired_p((d - claim.margin) / 100)
    if len(d) < 2 or d.std(ddof=1) < SAME * 100:
        return NAN
    below = stats.ttest_1samp(d, -claim.margin, alternative="greater").pvalue
    above = stats.ttest_1samp(d, claim.margin, alternative="less").pvalue
    return float(max(below, above))


def hypothesis_of(claim: Claim) -> Hypothesis:
    """What the sequential test is about."""
    if claim.direction == "~":
        return Hypothesis("equivalent", claim.margin)
    return Hypothesis("differs", claim.margin)


def sequential_of(
    claim: Claim,
    difference: Difference,
    there: Completeness,
    *,
    looks: Sequence[int],
    declared: int | None,
    first: int,
    family: int,
    images: SeedsAndImages | None,
) -> SequentialVerdict | None:
    """The sequential verdict of a claim that needs one (see the module's header), else None."""
    n = difference.n
    earlier = [look for look in looks if look < len(there.planned)]
    if declared is None and not earlier and n == len(there.planned):
        return None
    plan = Plan(declared, first=max(2, first), alpha=difference.alpha, family=family)
    return judge(
        difference.per_seed,
        plan,
        hypothesis_of(claim),
        looks=looks,
        image_variance=None if images is None else images.image_variance,
    )


def so_far(d: Difference) -> Estimate:
    """The difference (points) with the t-interval of the seeds that are there: to watch, no verdict."""
    return interval(d.per_seed, d.alpha)


def at_every_look(d: Difference, verdict: SequentialVerdict) -> Difference:
    """The difference with the p and the interval that hold at every look, in place of the plain ones."""
    estimate = replace(d.estimate, low=verdict.low, high=verdict.high)
    return replace(
        d,
        estimate=estimate,
        level=verdict.level,
        p=verdict.p,
        p_holm=verdict.p,
        looks=tuple(look.n for look in verdict.looks),
    )


def adjusted(judged: Sequence[JudgedClaim]) -> tuple[JudgedClaim, ...]:
    """The same with Holm's p; equivalences and exploratory claims are families of their own."""
    found = list(judged)
    groups: dict[tuple[bool, bool], list[int]] = {}
    for i, one in enumerate(found):
        groups.setdefault((one.exploratory, one.claim.direction == "~"), []).append(i)
    for members in groups.values():
        own = [found[i].p for i in members]
        order = np.argsort(np.argsort(own, kind="stable"), kind="stable")
        for i, p, rank in zip(members, holm_adjusted(own), order, strict=True):
            size = len(members)
            d = replace(found[i].difference, family=size, p_holm=p)
            found[i] = replace(found[i], difference=d, p_holm=p, family=size, step=size - int(rank))
    return tuple(found)
