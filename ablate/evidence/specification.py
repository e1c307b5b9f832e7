"""A claim over every analysis that could have been made of it, and one test of them all together.

Specification curve (Simonsohn, Simmons and Nelson 2020): the claim's two variants are compared on every
metric, category and stratum that was measured, not only on those that the claim names, so that it can be
seen how much of a finding hangs on that choice.

The analyses share their seeds, so they are tested jointly: under "no difference" each seed's sign is as
good as the other, in all analyses at once (exact sign-flip test, two-sided). At n seeds its smallest p is
2 / 2^n.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from scipy import special

from ablate.evidence.claim_verdicts import JudgedClaim
from ablate.evidence.differences import difference
from ablate.evidence.judgement import Judgement
from ablate.evidence.stats import POINTS, SAME, Estimate, Floats, smallest_sign_flip_p
from ablate.study.claims import Claim
from model.metric_names import METRICS

FEWEST_SEEDS = 3
"""With fewer the intervals are so long that every analysis looks alike."""
MOST_CATEGORIES = 20
"""Of a study with more, single categories are no analyses: they would be nearly all of them."""
ENUMERATED = 12
"""Most seeds of which all sign patterns are tried; beyond, as many are drawn."""
ROUNDING = 1e-9


@dataclass(frozen=True)
class Specification:
    """One analysis."""

    metric: str
    category: str | None
    """One category, or None for the mean over categories."""
    stratum: str
    estimate: Estimate
    """Points, in the claim's direction: positive speaks for the claim."""
    apart: bool
    """Whether the interval excludes 0 (not adjusted)."""
    declared: bool
    """Whether it is an analysis that a claim names."""


@dataclass(frozen=True)
class JointTest:
    """All analyses at once."""

    median: float
    """Of the estimates (points)."""
    p_median: float
    """Share of the sign patterns with a median at least as far from 0."""
    apart: int
    """Analyses whose interval excludes 0, on the side where there are more of them."""
    p_apart: float
    """Share of the sign patterns with at least as many."""
    smallest_p: float
    """What both would be if all seeds agreed."""


@dataclass(frozen=True)
class SpecificationCurve:
    """All analyses of two variants, from the least to the most favourable."""

    claims: tuple[Claim, ...]
    """Those made of the two, in one direction."""
    seeds: tuple[Any, ...]
    specifications: tuple[Specification, ...]
    left_out: int
    """Analyses without a value in some of ``seeds``."""
    joint: JointTest | None
    """None where seeds arrived until claims were decided: both tests assume a fixed number of them."""


def specification_curves(judgement: Judgement) -> list[SpecificationCurve]:
    """One curve per two variants that claims on a detector's metrics compare, in one direction; from
    :data:`FEWEST_SEEDS` seeds on."""
    groups: dict[tuple[str, str, str], list[JudgedClaim]] = {}
    for judged in judgement.claims:
        claim = judged.claim
        if claim.metric in METRICS:
            groups.setdefault((claim.left, claim.right, claim.direction), []).append(judged)
    made = (_curve(judgement, group) for group in groups.values())
    return [curve for curve in made if curve is not None]


def _curve(judgement: Judgement, group: Sequence[JudgedClaim]) -> SpecificationCurve | None:
    claims = tuple(judged.claim for judged in group)
    common = set.intersection(*(set(judged.difference.seeds) for judged in group))
    seeds = tuple(seed for seed in group[0].difference.seeds if seed in common)
    if len(seeds) < FEWEST_SEEDS:
        return None
    sides = (claims[0].left, claims[0].right)
    named = {(claim.metric, claim.category, claim.stratum) for claim in claims}
    found: list[tuple[Specification, Floats]] = []
    left_out = 0
    for at in _analyses(judgement):
        metric, category, stratum = at
        matrix = judgement.comparison(metric, stratum=stratum).matrix.during(seeds)
        d = judgement.at_its_looks(
            difference(
                matrix,
                *(sides[::-1] if claims[0].direction == "<" else sides),
                metric,
                category,
                alpha=judgement.results.alpha,
            )
        )
        if d.seeds != seeds:
            left_out += 1
            continue
        one = Specification(metric, category, stratum, d.estimate, d.apart, at in named)
        found.append((one, np.asarray(d.per_seed, dtype=np.float64)))
    if len(found) < 2:
        return None
    found.sort(key=lambda pair: pair[0].estimate.mean)
    joint = None
    if not judgement.results.max_seeds:
        joint = joint_sign_flip_test(np.stack([values for _, values in found]), judgement.results.alpha)
    return SpecificationCurve(claims, seeds, tuple(one for one, _ in found), left_out, joint)


def _analyses(judgement: Judgement) -> Iterator[tuple[str, str | None, str]]:
    """(metric, category, stratum) of everything that was measured."""
    categories = judgement.results.categories
    places: list[str | None] = [None]
    if 1 < len(categories) <= MOST_CATEGORIES:
        places += categories
    for metric in METRICS:
        yield from product([metric], places, judgement.strata(metric))


def joint_sign_flip_test(differences: Floats, alpha: float = 0.05) -> JointTest:
    """Test paired ``differences`` [analyses, seeds] (points) together.

    All 2^n sign patterns up to :data:`ENUMERATED` seeds; beyond, the observed one and 2^12 - 1 drawn ones
    (of a fixed seed). A seed's sign changes in all analyses at once, so their dependence is kept.
    """
    n = differences.shape[1]
    means = differences @ _signs(n).T / n
    squares = (differences**2).sum(axis=1, keepdims=True)
    sd = np.sqrt(np.maximum(squares - n * means**2, 0.0) / (n - 1))
    cut = float(special.stdtrit(n - 1, 1 - alpha / 2))
    beyond = (np.abs(means) > cut * sd / n**0.5) & (sd >= SAME * POINTS)
    medians = np.abs(np.median(means, axis=0))
    apart = np.maximum((beyond & (means > 0)).sum(axis=0), (beyond & (means < 0)).sum(axis=0))
    return JointTest(
        median=float(np.median(means[:, 0])),
        p_median=float((medians >= medians[0] - ROUNDING).mean()),
        apart=int(apart[0]),
        p_apart=float((apart >= apart[0]).mean()),
        smallest_p=max(smallest_sign_flip_p(n), 1 / means.shape[1]),
    )


def _signs(n: int) -> Floats:
    """[patterns, n] of -1 and 1; the first is all 1."""
    if n <= ENUMERATED:
        return np.array(list(product((1.0, -1.0), repeat=n)))
    drawn = np.random.default_rng(0).choice((-1.0, 1.0), (2**ENUMERATED, n))
    drawn[0] = 1.0
    return drawn
