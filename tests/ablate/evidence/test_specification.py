"""The specification curve: which analyses it holds, in which direction, and its joint test's level."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from ablate.evidence.judgement import Judgement
from ablate.evidence.specification import (
    SpecificationCurve,
    joint_sign_flip_test,
    specification_curves,
)
from ablate.study.claims import Claim
from tests.ablate.report_inputs import FOUR, STRATA, results

UP = Claim("directional", "dinomaly", None, "image_auroc", ">")


def curves(*claims: Claim, seeds: int = 5) -> list[SpecificationCurve]:
    return specification_curves(Judgement(replace(results(seeds=seeds), claims=claims)))


def test_every_metric_category_and_stratum_is_an_analysis() -> None:
    (curve,) = curves(UP)
    at = [(one.metric, one.category, one.stratum) for one in curve.specifications]
    # Eight metrics over all defects, P-AP on eight strata as well; three categories and their mean.
    assert len(set(at)) == len(at) == (8 + len(STRATA)) * 4 and curve.left_out == 0
    means = [one.estimate.mean for one in curve.specifications]
    assert means == sorted(means)
    (declared,) = (one for one in curve.specifications if one.declared)
    assert (declared.metric, declared.category, declared.stratum) == ("image_auroc", None, "all")


def test_an_analysis_says_what_the_tables_say() -> None:
    judgement = Judgement(replace(results(), claims=(UP,)))
    (curve,) = specification_curves(judgement)
    for one in curve.specifications:
        told = judgement.comparison(one.metric, one.category, one.stratum).differences["directional"]
        assert one.estimate == told.estimate and one.apart == told.apart


def test_claims_of_two_variants_share_a_curve_and_the_direction_is_theirs() -> None:
    below = Claim("dinomaly", "directional", None, "image_auroc", "<")
    (one,) = curves(UP, replace(UP, metric="pixel_ap", category="domain_b"))
    assert sum(s.declared for s in one.specifications) == 2
    turned = curves(UP, below)
    assert len(turned) == 2
    # "left < right" is spoken for by what speaks for "right > left".
    assert [s.estimate for s in turned[0].specifications] == [s.estimate for s in turned[1].specifications]


def test_a_study_that_added_seeds_has_no_joint_test_and_wider_intervals() -> None:
    fixed = replace(results(), claims=(UP,))
    (plain,) = specification_curves(Judgement(fixed))
    (curve,) = specification_curves(Judgement(replace(fixed, max_seeds=20, first_look=5)))
    assert curve.joint is None and plain.joint is not None
    for one, other in zip(curve.specifications, plain.specifications, strict=True):
        assert one.estimate.mean == other.estimate.mean
        assert one.estimate.low < other.estimate.low and one.estimate.high > other.estimate.high


def test_there_is_no_curve_of_two_seeds_or_of_what_tokens_do() -> None:
    assert curves(UP, seeds=2) == []
    assert curves(replace(UP, metric="token_distance_gap")) == []


def test_an_analysis_without_a_value_is_counted_and_left_out() -> None:
    made = results()
    frame = made.frame
    gone = (frame["variant"] == "dinomaly") & (frame["seed"] == 3) & (frame["metric"] == "aupro")
    (curve,) = specification_curves(Judgement(replace(made, frame=frame[~gone], claims=(UP,))))
    assert curve.left_out == 4 and len(curve.seeds) == 5
    assert "aupro" not in {one.metric for one in curve.specifications}


def test_joint_test_by_enumeration() -> None:
    x = np.random.default_rng(2).normal(0.4, 1.0, (9, 6))
    found = joint_sign_flip_test(x)
    medians = [np.median((x * signs).mean(axis=1)) for signs in product((-1, 1), repeat=6)]
    assert found.median == pytest.approx(np.median(x.mean(axis=1)))
    assert found.p_median == pytest.approx(np.mean(np.abs(medians) >= abs(found.median) - 1e-9))
    assert found.smallest_p == 2 / 64


@pytest.mark.parametrize("n", [6, 14])
def test_joint_test_holds_its_level_though_analyses_share_their_seeds(n: int) -> None:
    rng = np.random.default_rng(5)
    studies = 200
    rejected = np.zeros(2)
    for _ in range(studies):
        x = rng.normal(size=(1, n)) + 0.5 * rng.normal(size=(30, n))
        found = joint_sign_flip_test(x)
        rejected += [found.p_median <= 0.05, found.p_apart <= 0.05]
    assert (rejected / studies < 0.05 + 3 * (0.05 * 0.95 / studies) ** 0.5).all()
    assert joint_sign_flip_test(x + 3).p_median <= 0.05


def test_analyses_without_spread_are_not_apart() -> None:
    assert joint_sign_flip_test(np.ones((4, 5))).apart == 0


def test_the_study_of_the_tests_has_the_effect_that_was_put_in() -> None:
    (curve,) = curves(UP)
    assert curve.joint is not None
    assert curve.joint.median == pytest.approx(100 * FOUR["directional"], abs=0.3)
    assert curve.joint.p_median == curve.joint.smallest_p == 2 / 32
