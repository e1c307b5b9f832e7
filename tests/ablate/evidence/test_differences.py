"""Differences: checked by hand; pairing with missing values, families, ties, the best of a column."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from ablate.evidence.differences import against_baseline, best_group, difference
from tests.ablate.report_inputs import matrix

GONE = float("nan")


def test_difference_by_hand() -> None:
    c = matrix({"base": {"a": [0.90, 0.90, 0.90]}, "new": {"a": [0.91, 0.92, 0.93]}})
    d = difference(c, "new", "base", "image_auroc")
    # Points 1, 2, 3: mean 2, sd 1, t = 2 sqrt(3) = 3.4641, p = 0.0742 with 2 degrees of freedom.
    assert d.per_seed == pytest.approx((1, 2, 3))
    assert d.estimate.mean == pytest.approx(2)
    assert d.p == pytest.approx(0.074180, abs=1e-6)
    assert d.error_reduction == pytest.approx(0.2)
    assert d.win_rate == 1 and d.pairs == 3
    # 3.264 sd if the sd were known; 1.552 times that, because it is estimated from 3 seeds.
    assert d.detectable == pytest.approx(3.264 * 1.5521, abs=2e-3)
    # 2 sd: between the detectable 2.13 at n = 4 and 1.68 at n = 5.
    assert d.seeds_needed == 5
    assert d.verdict == "undecided"


def test_win_rate_counts_pairs_and_halves_ties() -> None:
    c = matrix({"base": {"a": [0.5, 0.5], "b": [0.5, 0.5]}, "new": {"a": [0.6, 0.4], "b": [0.5, 0.6]}})
    d = difference(c, "new", "base", "image_auroc")
    assert d.pairs == 4 and d.n == 2
    assert d.win_rate == pytest.approx((1 + 0 + 0.5 + 1) / 4)


def test_holm_by_hand() -> None:
    rng = np.random.default_rng(0)
    values = {"base": {"a": list(0.9 + 0.001 * rng.normal(size=6))}}
    for name, shift in (("x", 0.004), ("y", 0.001), ("z", 0.0)):
        values[name] = {"a": list(0.9 + shift + 0.001 * rng.normal(size=6))}
    found = against_baseline(matrix(values), ["base", "x", "y", "z"], "base", "image_auroc")
    raw = sorted(d.p for d in found)
    expected, running = [], 0.0
    for k, p in enumerate(raw):
        running = max(running, min(1.0, (3 - k) * p))
        expected.append(running)
    assert sorted(d.p_holm for d in found) == pytest.approx(expected)
    assert [d.variant for d in found] == ["x", "y", "z"]
    assert {d.family for d in found} == {3}


@pytest.mark.slow
def test_an_undecided_comparison_never_needs_fewer_seeds_than_it_has() -> None:
    rng = np.random.default_rng(1)
    for _ in range(25):
        n = int(rng.integers(2, 8))
        values = {v: {"a": list(0.9 + rng.normal(0, 0.01, n))} for v in ("base", "x", "y", "z")}
        values["x"]["a"] = [v + 0.02 for v in values["x"]["a"]]
        for d in against_baseline(matrix(values), list(values), "base", "image_auroc"):
            if d.verdict == "undecided" and d.seeds_needed is not None:
                assert d.seeds_needed > d.n


def test_incomplete_seeds_are_dropped_not_averaged_over_what_is_there() -> None:
    c = matrix(
        {
            "base": {"a": [0.9, 0.9, 0.9], "b": [0.5, 0.5, 0.5]},
            "new": {"a": [0.9, 0.9, 0.9], "b": [0.5, GONE, 0.5]},
        }
    )
    d = difference(c, "new", "base", "image_auroc")
    assert d.seeds == (0, 2) and d.dropped == (1,)
    assert d.estimate.mean == 0
    # Averaging seed 1 over category a alone would have shown a jump of 20 points.
    assert float(np.mean(c.means("new").values)) == pytest.approx(0.7)


def test_a_category_that_never_pairs_is_left_out() -> None:
    c = matrix({"base": {"a": [0.8, 0.9], "b": [0.5, 0.5]}, "new": {"a": [0.9, 1.0]}})
    d = difference(c, "new", "base", "image_auroc")
    assert d.categories == ("a",) and d.n == 2
    assert d.estimate.mean == pytest.approx(10)


def test_unpaired_seeds_do_not_count() -> None:
    c = matrix({"base": {"a": [0.8, GONE, 0.8]}, "new": {"a": [0.9, 0.1, 0.9]}})
    assert difference(c, "new", "base", "image_auroc").seeds == (0, 2)


def test_no_pair_is_missing_and_still_counts_in_the_family() -> None:
    values = {"base": {"a": [0.8, 0.81, 0.8]}, "x": {"a": [0.9, 0.91, 0.9]}, "y": {"a": [GONE] * 3}}
    x, y = against_baseline(matrix(values), ["base", "x", "y"], "base", "image_auroc")
    assert y.verdict == "missing" and y.n == 0 and math.isnan(y.p_holm)
    assert x.family == 2


def test_identical_seeds_are_not_evidence() -> None:
    c = matrix({"base": {"a": [0.8, 0.8]}, "same": {"a": [0.8, 0.8]}, "shifted": {"a": [0.9, 0.9]}})
    same = difference(c, "same", "base", "image_auroc")
    shifted = difference(c, "shifted", "base", "image_auroc")
    assert same.verdict == "undecided" and same.p == 1  # two seeds may agree by chance
    more = matrix({"base": {"a": [0.8] * 5}, "same": {"a": [0.8] * 5}})
    assert difference(more, "same", "base", "image_auroc").verdict == "equal"
    assert shifted.verdict == "undecided" and math.isnan(shifted.p) and not shifted.apart
    assert math.isnan(shifted.detectable)  # no spread: not "finds differences of any size"


def test_second_names_do_not_enlarge_the_family() -> None:
    rng = np.random.default_rng(3)
    base, x = list(0.8 + 0.01 * rng.normal(size=4)), list(0.82 + 0.01 * rng.normal(size=4))
    values = {"base": {"a": base}, "x": {"a": x}, "x2": {"a": x}, "base2": {"a": base}}
    found = against_baseline(
        matrix(values), list(values), "base", "image_auroc", same_as={"x2": "x", "base2": "base"}
    )
    by_name = {d.variant: d for d in found}
    assert list(by_name) == ["x", "x2", "base2"]
    assert by_name["x"].family == 1 and by_name["x"].p_holm == by_name["x"].p
    assert by_name["x2"].p_holm == by_name["x"].p
    assert by_name["base2"].verdict == "equal"


def test_best_group_shares_what_cannot_be_told_apart() -> None:
    c = matrix(
        {
            "best": {"a": [0.95, 0.96, 0.97]},
            "close": {"a": [0.96, 0.94, 0.96]},
            "far": {"a": [0.80, 0.81, 0.83]},
        }
    )
    assert best_group(c, ["best", "close", "far"]) == {"best", "close"}
    assert best_group(c, ["best", "close"]) == set()  # everybody: nobody
    one_seed = c.during((0,))
    assert best_group(one_seed, ["best", "far"]) == set()


def test_best_group_of_many_equal_variants_rarely_excludes_any_of_them() -> None:
    """Without an adjustment for their number it would in about 60 % of the columns."""
    rng = np.random.default_rng(0)
    names = [f"v{i}" for i in range(11)]
    studies = 60
    marked = sum(
        bool(best_group(matrix({v: {"a": list(rng.normal(0.9, 0.01, 5))} for v in names}), names))
        for _ in range(studies)
    )
    assert marked <= 0.3 * studies


def test_detectable_never_exceeds_the_range_of_a_metric() -> None:
    c = matrix({"base": {"a": [0.1, 0.9]}, "new": {"a": [0.9, 0.2]}})
    assert difference(c, "new", "base", "image_auroc").detectable == 100.0


def test_an_interval_stays_within_a_metrics_range() -> None:
    values = {"base": {"a": [0.1, 0.9]}, "new": {"a": [0.9, 0.2]}}
    estimate = difference(matrix(values), "new", "base", "image_auroc").estimate
    assert (estimate.low, estimate.high) == (-100, 100)
    # A distance is no share: its differences have no such range.
    assert difference(matrix(values), "new", "base", "token_distance_gap").estimate.high > 100


def test_a_difference_inside_the_margin_is_not_better() -> None:
    base = [0.9, 0.9, 0.9, 0.9]
    c = matrix({"base": {"a": base}, "new": {"a": [0.90031, 0.9003, 0.90029, 0.9003]}})
    (d,) = against_baseline(c, ["base", "new"], "base", "image_auroc")
    assert d.verdict == "better" and replace(d, margin=0.05).verdict == "undecided"


def test_an_outlier_is_named_and_what_hangs_on_each_seed() -> None:
    gains = [0.010, 0.011, 0.009, 0.010, 0.060]
    c = matrix({"base": {"a": [0.8] * 5}, "new": {"a": [0.8 + g for g in gains]}})
    d = difference(c, "new", "base", "image_auroc")
    low, high = d.p_without_one
    assert d.outliers == (4,) and low < 0.001 < d.p < high
    d = difference(matrix({"base": {"a": [0.8] * 3}, "new": {"a": [0.81, 0.82, 0.83]}}), "new", "base", "")
    assert d.outliers == ()
