"""Words: numbers keep the digit that matters; every verdict and metric has one name."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest

from ablate.evidence.differences import Verdict
from ablate.evidence.judgement import ClaimVerdict
from ablate.evidence.stats import Estimate
from ablate.report import words
from ablate.report.words import fixed, interval_text, spread_text
from ablate.study.claims import Claim
from model.metric_names import METRICS


@pytest.mark.parametrize(
    ("value", "text"), [(1.25, "+1.2"), (-0.34, "−0.3"), (0.04, "0.0"), (-0.04, "0.0"), (float("nan"), "–")]
)
def test_signed_numbers(value: float, text: str) -> None:
    assert fixed(value, signed=True) == text


def test_spread_and_interval_keep_a_digit_where_it_matters() -> None:
    assert spread_text(0.31) == "± 0.3"
    assert spread_text(0.03) == "± 0.03"
    assert spread_text(float("nan")) == ""
    assert interval_text(Estimate(1, 1, 5, 0.02, 2.7)) == "[0.02, 2.7]"
    assert interval_text(Estimate(1, 1, 5, -0.34, 2.7)) == "[−0.3, 2.7]"
    assert interval_text(Estimate(1, float("nan"), 1, float("nan"), float("nan"))) == ""


@pytest.mark.parametrize(("n", "text"), [(0, "0 seeds"), (1, "1 seed"), (2, "2 seeds")])
def test_counted_things(n: int, text: str) -> None:
    assert words.plural(n, "seed") == text
    assert words.plural(2, "category") == "2 categories"


def test_counts_p_values_shares_and_durations() -> None:
    assert (words.count_text([5, 5]), words.count_text([5, 3]), words.count_text([])) == ("5", "3–5", "0")
    assert (words.p_text(0.0004), words.p_text(0.05), words.p_text(float("nan"))) == (
        "< 0.001",
        "0.050",
        "–",
    )
    assert words.percent_text(0.667) == "67 %" and words.percent_text(-0.2, signed=True) == "−20 %"
    assert [words.duration_text(s) for s in (40, 600, 5400)] == ["40 s", "10 min", "1.5 h"]


def test_every_verdict_has_one_word_of_its_own() -> None:
    verdicts = {*get_args(Verdict), *get_args(ClaimVerdict)}
    assert len({words.verdict_text(v) for v in verdicts}) == len(verdicts)


def test_every_metric_of_a_run_has_a_label_of_its_own() -> None:
    labels = [words.metric_label(m) for m in METRICS]
    assert len(set(labels)) == len(METRICS) and not set(labels) & set(METRICS)
    assert [words.metric_level(m) for m in METRICS] == ["image"] * 3 + ["pixel"] * 5


def test_strata_are_named_under_their_group() -> None:
    assert words.stratum_label("all") == "all defects"
    assert words.stratum_label("orientation=none") == "no orientation"
    assert words.stratum_label("faint+broken") == "faint + broken"
    assert (words.stratum_group("faintness=faint"), words.stratum_group("all")) == ("faintness", "")


def test_claims_read_as_in_the_study_file() -> None:
    claim = Claim("a", "b", "domain_c", "pixel_ap", ">")
    assert words.claim_text(claim) == "a > b on domain_c by P-AP"
    assert words.claim_text(replace(claim, category=None), metric=False) == "a > b"


def test_settings_as_entries() -> None:
    schedule = {"from": 1, "to": 0.1}
    shown = [words.setting_text(v) for v in (True, False, 0.50, "linear", schedule)]
    assert shown == ["on", "off", "0.5", "linear", "1→0.1"]
