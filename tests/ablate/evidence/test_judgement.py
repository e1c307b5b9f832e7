"""Judgement: families as declared, verdicts of claims, and that each thing is computed once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from ablate.evidence import judgement as judging
from ablate.evidence.differences import against_baseline, best_group
from ablate.evidence.judgement import Judgement
from ablate.evidence.values import Values
from ablate.study.claims import Claim
from tests.ablate.report_inputs import judged, results


def test_claims_are_supported_refuted_or_undecided() -> None:
    claims = (
        Claim("good", "dinomaly", None, "image_auroc", ">"),
        Claim("bad", "dinomaly", None, "image_auroc", ">"),
        Claim("bad", "dinomaly", "domain_c", "pixel_ap", "<"),
        Claim("noise", "dinomaly", None, "aupro", ">"),
        Claim("absent", "dinomaly", None, "aupro", ">"),
    )
    made = results({"dinomaly": 0.0, "good": 0.03, "bad": -0.03, "noise": 0.0}, seeds=6)
    found = Judgement(replace(made, claims=claims)).claims
    assert [j.verdict for j in found] == ["supported", "refuted", "supported", "undecided", "incomplete"]
    assert [j.claim for j in found] == list(claims)
    assert {j.difference.family for j in found} == {5}  # the claims are a family of their own


def test_no_claims_are_judged_where_none_were_stated() -> None:
    assert judged().claims == ()


def test_a_comparison_is_of_its_metric_category_and_stratum() -> None:
    made = judged()
    found = made.comparison("pixel_ap", "domain_b", "faintness=faint")
    rows = made.results.frame.query(
        "metric == 'pixel_ap' and category == 'domain_b' and stratum == 'faintness=faint'"
    ).set_index(["variant", "seed"])["value"]
    assert found.means["top-q"].estimate.mean == pytest.approx(rows["top-q"].mean())
    expected = 100 * (rows["top-q"] - rows["dinomaly"]).mean()
    assert found.differences["top-q"].estimate.mean == pytest.approx(expected)
    assert list(found.differences) == ["top-q", "directional", "control"] and found.family == 3
    assert found.categories == 1 and made.primary.categories == 3


def test_records_are_what_the_procedures_say() -> None:
    made = judged()
    at = made.results
    matrix = Values(at.frame).matrix(at.primary)
    expected = against_baseline(matrix, at.variants, at.baseline, at.primary, alpha=at.alpha)
    assert list(made.primary.differences.values()) == expected
    # Simultaneous over the eight metrics of the table.
    assert made.primary.best == best_group(matrix, at.variants, alpha=at.alpha / 8)


def test_second_names_share_a_verdict_and_do_not_enlarge_the_family() -> None:
    plain = judged()
    made = Judgement(replace(plain.results, same_as={"control": "top-q"}))
    assert made.primary.family == 2
    assert made.primary.differences["control"] == replace(
        made.primary.differences["top-q"], variant="control"
    )


def test_nothing_is_computed_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def counted(name: str) -> Callable[..., Any]:
        real = getattr(judging, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            calls.append(name)
            return real(*args, **kwargs)

        return call

    for name in ("against_baseline", "best_group", "Values"):
        monkeypatch.setattr(judging, name, counted(name))
    made = judged()
    assert calls == []  # nor before it is asked for
    for _ in range(2):
        assert made.primary is made.comparison(made.results.primary)
        _ = made.primary.differences, made.primary.best
        _ = made.comparison(made.results.primary, "domain_a").differences
    assert sorted(calls) == ["Values", "against_baseline", "against_baseline", "best_group"]


def test_few_seeds_cannot_be_tested_by_sign_flips() -> None:
    five, six = judged(seeds=5), judged(seeds=6)
    assert five.few_for_sign_flip and five.smallest_sign_flip_p == 0.0625
    assert not six.few_for_sign_flip and six.smallest_sign_flip_p < 0.05


def test_a_study_without_values_has_missing_verdicts() -> None:
    made = results()
    empty = Judgement(replace(made, frame=pd.DataFrame(made.frame.iloc[:0])))
    assert {d.verdict for d in empty.primary.differences.values()} == {"missing"}
    assert empty.primary.best == frozenset()


def test_a_study_shows_its_own_false_verdicts_and_what_it_would_find() -> None:
    found = judged(seeds=8).calibration
    assert found is not None and found.comparisons == 100 and found.false_rate < 0.25
    assert found.smallest_found is not None and 0.1 < found.smallest_found < 10
    assert judged(seeds=3).calibration is None
