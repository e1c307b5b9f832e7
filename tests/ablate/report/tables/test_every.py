"""All tables of a report, in reading order."""

from __future__ import annotations

from dataclasses import replace

from ablate.evidence.judgement import Judgement
from ablate.report.tables.every import all_tables
from ablate.study.claims import Claim
from tests.ablate.report_inputs import judged, results


def test_tables_are_those_that_the_results_allow() -> None:
    claims = (Claim("top-q", "dinomaly", None, "image_auroc", ">"),)
    names = [t.name for t in all_tables(Judgement(replace(results(), claims=claims)))]
    assert names == [
        "main", "levels", "claims", "differences", "differences_all_metrics", "per_category",
        "strata_pixel_ap", "strata_token_distance_gap",
    ]  # fmt: skip
    assert [t.name for t in all_tables(judged({"dinomaly": 0.0}, strata=False))] == [
        "main",
        "levels",
        "per_category",
    ]
