"""Statistics: checked against hand-computed numbers and the published table of detectable effects.

Behavioural: pairing with missing cells, families, ties, and a seeded simulation of the coverage.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from ablate.evidence import stats
from ablate.study.claims import Claim
from tests.ablate.report_inputs import tidy


def frame(values: dict[str, dict[str, list[float]]], metric: str = "image_auroc") -> pd.DataFrame:
    """{variant: {category: value per seed}} as a tidy frame; NaN = the cell was not run."""
    rows = [
        {"variant": v, "category": c, "seed": s, "stratum": "all", "metric": metric, "value": x}
        for v, by_category in values.items()
        for c, per_seed in by_category.items()
        for s, x in enumerate(per_seed)
        if not math.isnan(x)
    ]
    return pd.DataFrame(rows)


def cells(values: dict[str, dict[str, list[float]]]) -> pd.DataFrame:
    """The cell matrix of :func:`frame`."""
    return stats.cell_matrix(frame(values), "image_auroc")


# ---------------------------------------------------------------------------------- by hand


def test_interval_by_hand() -> None:
    # mean 2, sd 1, t(0.975, 2) = 4.30265, half width 4.30265 / sqrt(3) = 2.48414
    e = stats.interval([1.0, 2.0, 3.0])
    assert (e.mean, e.sd, e.n) == (2.0, 1.0, 3)
    assert e.low == pytest.approx(2 - 2.484138, abs=1e-6)
    assert e.high == pytest.approx(2 + 2.484138, abs=1e-6)
    assert not e.excludes_zero
    assert stats.interval([1.0, 2.0, 3.0], alpha=0.5).excludes_zero


def test_one_value_has_no_interval() -> None:
    e = stats.interval([0.5])
    assert e.mean == 0.5 and e.n == 1
    assert math.isnan(e.sd) and math.isnan(e.low) and not e.excludes_zero
    assert stats.interval([]).n == 0


def test_categories_are_averaged_within_the_seed_first() -> None:
    # Seed means 0.75 and 0.85; treating the four cells as independent would give another sd.
    part = stats.of_variant(cells({"v": {"a": [0.9, 1.0], "b": [0.6, 0.7]}}), "v")
    e = stats.summarise(part)
    assert e.n == 2
    assert e.mean == pytest.approx(0.8)
    assert e.sd == pytest.approx(math.sqrt(2) * 0.05)


def test_difference_by_hand() -> None:
    c = cells({"base": {"a": [0.90, 0.90, 0.90]}, "new": {"a": [0.91, 0.92, 0.93]}})
    d = stats.difference(c, "new", "base", "image_auroc")
    # Points 1, 2, 3: mean 2, sd 1, t = 2 sqrt(3) = 3.4641, p = 0.0742 with 2 degrees of freedom.
    assert d.per_seed == pytest.approx((1, 2, 3))
    assert d.estimate.mean == pytest.approx(2)
    assert d.p == pytest.approx(0.074180, abs=1e-6)
    assert d.error_reduction == pytest.approx(0.2)
    assert d.win_rate == 1 and d.pairs == 3
    assert d.detectable == pytest.approx(3.264, abs=1e-3)
    # 2 sd: between the detectable 2.13 at n = 4 and 1.68 at n = 5.
    assert d.seeds_needed == 5
    assert d.verdict == "undecided"


def test_win_rate_counts_pairs_and_halves_ties() -> None:
    c = cells({"base": {"a": [0.5, 0.5], "b": [0.5, 0.5]}, "new": {"a": [0.6, 0.4], "b": [0.5, 0.6]}})
    d = stats.difference(c, "new", "base", "image_auroc")
    assert d.pairs == 4 and d.n == 2
    assert d.win_rate == pytest.approx((1 + 0 + 0.5 + 1) / 4)


def test_holm_by_hand() -> None:
    rng = np.random.default_rng(0)
    values = {"base": {"a": list(0.9 + 0.001 * rng.normal(size=6))}}
    for name, shift in (("x", 0.004), ("y", 0.001), ("z", 0.0)):
        values[name] = {"a": list(0.9 + shift + 0.001 * rng.normal(size=6))}
    found = stats.against_baseline(frame(values), ["base", "x", "y", "z"], "base", "image_auroc")
    raw = sorted(d.p for d in found)
    expected, running = [], 0.0
    for k, p in enumerate(raw):
        running = max(running, min(1.0, (3 - k) * p))
        expected.append(running)
    assert sorted(d.p_holm for d in found) == pytest.approx(expected)
    assert [d.variant for d in found] == ["x", "y", "z"]
    assert {d.family for d in found} == {3}


@pytest.mark.parametrize(("n", "effect"), [(3, 3.26), (5, 1.68), (8, 1.16), (10, 1.00), (15, 0.78)])
def test_minimum_detectable_effect_is_the_published_table(n: int, effect: float) -> None:
    assert stats.minimum_detectable_effect(n) == pytest.approx(effect, abs=0.005)


@pytest.mark.parametrize("n", [3, 5, 8, 15])
def test_seeds_needed_inverts_the_detectable_effect(n: int) -> None:
    effect = stats.minimum_detectable_effect(n)
    assert stats.seeds_needed(effect * 1.001) == n
    assert stats.seeds_needed(-effect * 0.999) == n + 1


def test_seeds_needed_at_the_extremes() -> None:
    assert stats.seeds_needed(1e6) == 2
    assert stats.seeds_needed(0.0) is None
    assert stats.seeds_needed(1e-6) is None
    assert stats.seeds_needed(float("nan")) is None


@pytest.mark.parametrize("alpha", [0.05, 0.05 / 3, 0.05 / 12])
def test_more_effect_never_needs_more_seeds(alpha: float) -> None:
    """Small n with a large effect is where scipy's noncentral t gives NaN."""
    needed = [stats.seeds_needed(e, alpha) for e in (0.3, 0.5, 1, 2, 3, 5, 7.2, 12, 20, 40, 1000)]
    assert None not in needed and needed == sorted(needed, key=lambda n: -(n or 0))
    # By simulation at alpha / 3: power 0.21 at n = 2 and 0.92 at n = 3 for an effect of 7.2 sd.
    assert stats.seeds_needed(7.2, 0.05 / 3) == 3


@pytest.mark.slow
def test_an_undecided_comparison_never_needs_fewer_seeds_than_it_has() -> None:
    rng = np.random.default_rng(1)
    for _ in range(25):
        n = int(rng.integers(2, 8))
        values = {v: {"a": list(0.9 + rng.normal(0, 0.01, n))} for v in ("base", "x", "y", "z")}
        values["x"]["a"] = [v + 0.02 for v in values["x"]["a"]]
        for d in stats.against_baseline(frame(values), list(values), "base", "image_auroc"):
            if d.verdict == "undecided" and d.seeds_needed is not None:
                assert d.seeds_needed > d.n


# ---------------------------------------------------------------------------------- permutation


def test_sign_flip_by_enumeration() -> None:
    x = np.array([0.3, -0.1, 0.4, 0.2, 0.5, 0.1])
    signs = np.array(np.meshgrid(*[[-1, 1]] * 6)).reshape(6, -1).T
    means = (signs * x).mean(axis=1)
    one_sided = min((means >= x.mean() - 1e-12).mean(), (means <= x.mean() + 1e-12).mean())
    assert stats.sign_flip_test(x) == pytest.approx(min(1.0, 2 * one_sided))


def test_sign_flip_smallest_p() -> None:
    assert stats.smallest_sign_flip_p(3) == 0.25
    assert stats.smallest_sign_flip_p(5) == 0.0625
    assert stats.sign_flip_test([0.1] * 5) != stats.sign_flip_test([0.1] * 5)  # NaN below 6
    assert stats.sign_flip_test([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]) == pytest.approx(2 / 64)
    assert math.isnan(stats.sign_flip_test(np.ones(17)))


# ---------------------------------------------------------------------------------- missing cells

GONE = float("nan")


def test_incomplete_seeds_are_dropped_not_averaged_over_what_is_there() -> None:
    c = cells(
        {
            "base": {"a": [0.9, 0.9, 0.9], "b": [0.5, 0.5, 0.5]},
            "new": {"a": [0.9, 0.9, 0.9], "b": [0.5, GONE, 0.5]},
        }
    )
    d = stats.difference(c, "new", "base", "image_auroc")
    assert d.seeds == (0, 2) and d.dropped == (1,)
    assert d.estimate.mean == 0
    # Averaging seed 1 over category a alone would have shown a jump of 20 points.
    assert stats.summarise(stats.of_variant(c, "new")).mean == pytest.approx(0.7)


def test_a_category_that_never_pairs_is_left_out() -> None:
    c = cells({"base": {"a": [0.8, 0.9], "b": [0.5, 0.5]}, "new": {"a": [0.9, 1.0]}})
    d = stats.difference(c, "new", "base", "image_auroc")
    assert d.categories == ("a",) and d.n == 2
    assert d.estimate.mean == pytest.approx(10)


def test_unpaired_seeds_do_not_count() -> None:
    c = cells({"base": {"a": [0.8, GONE, 0.8]}, "new": {"a": [0.9, 0.1, 0.9]}})
    assert stats.difference(c, "new", "base", "image_auroc").seeds == (0, 2)


def test_no_pair_is_missing_and_still_counts_in_the_family() -> None:
    values = {"base": {"a": [0.8, 0.81, 0.8]}, "x": {"a": [0.9, 0.91, 0.9]}, "y": {"a": [GONE] * 3}}
    x, y = stats.against_baseline(frame(values), ["base", "x", "y"], "base", "image_auroc")
    assert y.verdict == "missing" and y.n == 0 and math.isnan(y.p_holm)
    assert x.family == 2


def test_identical_seeds_are_not_evidence() -> None:
    c = cells({"base": {"a": [0.8, 0.8]}, "same": {"a": [0.8, 0.8]}, "shifted": {"a": [0.9, 0.9]}})
    same = stats.difference(c, "same", "base", "image_auroc")
    shifted = stats.difference(c, "shifted", "base", "image_auroc")
    assert same.verdict == "equal" and same.p == 1
    assert shifted.verdict == "undecided" and math.isnan(shifted.p) and not shifted.apart
    assert math.isnan(shifted.detectable)  # no spread: not "finds differences of any size"


def test_second_names_do_not_enlarge_the_family() -> None:
    rng = np.random.default_rng(3)
    base, x = list(0.8 + 0.01 * rng.normal(size=4)), list(0.82 + 0.01 * rng.normal(size=4))
    values = {"base": {"a": base}, "x": {"a": x}, "x2": {"a": x}, "base2": {"a": base}}
    found = stats.against_baseline(
        frame(values), list(values), "base", "image_auroc", same_as={"x2": "x", "base2": "base"}
    )
    by_name = {d.variant: d for d in found}
    assert list(by_name) == ["x", "x2", "base2"]
    assert by_name["x"].family == 1 and by_name["x"].p_holm == by_name["x"].p
    assert by_name["x2"].p_holm == by_name["x"].p
    assert by_name["base2"].verdict == "equal"


# ---------------------------------------------------------------------------------- claims and bold


def test_claims_are_supported_refuted_or_undecided() -> None:
    data = tidy({"dinomaly": 0.0, "good": 0.03, "bad": -0.03, "noise": 0.0}, seeds=6)
    claims = [
        Claim("good", "dinomaly", None, "image_auroc", ">"),
        Claim("bad", "dinomaly", None, "image_auroc", ">"),
        Claim("bad", "dinomaly", "domain_c", "pixel_ap", "<"),
        Claim("noise", "dinomaly", None, "aupro", ">"),
        Claim("absent", "dinomaly", None, "aupro", ">"),
    ]
    verdicts = [j.verdict for j in stats.judge(data, claims)]
    assert verdicts == ["supported", "refuted", "supported", "undecided", "missing"]


def test_best_group_shares_what_cannot_be_told_apart() -> None:
    c = cells(
        {
            "best": {"a": [0.95, 0.96, 0.97]},
            "close": {"a": [0.96, 0.94, 0.96]},
            "far": {"a": [0.80, 0.81, 0.83]},
        }
    )
    assert stats.best_group(c, ["best", "close", "far"]) == {"best", "close"}
    assert stats.best_group(c, ["best", "close"]) == set()  # everybody: nobody
    one_seed = c[c.index.get_level_values("seed") == 0]
    assert stats.best_group(one_seed, ["best", "far"]) == set()


def test_best_group_of_many_equal_variants_rarely_excludes_any_of_them() -> None:
    """Without an adjustment for their number it would in about 60 % of the columns."""
    rng = np.random.default_rng(0)
    names = [f"v{i}" for i in range(11)]
    studies = 60
    marked = sum(
        bool(stats.best_group(cells({v: {"a": list(rng.normal(0.9, 0.01, 5))} for v in names}), names))
        for _ in range(studies)
    )
    assert marked <= 0.3 * studies


# ---------------------------------------------------------------------------------- simulation


@pytest.mark.parametrize("n", [3, 5])
def test_t_intervals_cover_with_dependent_categories(n: int) -> None:
    """95 % coverage of the mean, although the categories of a seed share half their variance."""
    rng = np.random.default_rng(12)
    covered = 0
    for _ in range(1500):
        shared = rng.normal(size=(n, 1))
        block = math.sqrt(0.5) * shared + math.sqrt(0.5) * rng.normal(size=(n, 15))
        e = stats.interval(stats.seed_means(pd.DataFrame(block)).values)
        covered += e.low <= 0 <= e.high
    assert covered / 1500 == pytest.approx(0.95, abs=0.017)  # 3 standard errors
