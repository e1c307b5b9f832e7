"""The table of claims: one row each, judged as one family."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from ablate.evidence.judgement import Judgement
from ablate.report.tables.claims import claims_table
from ablate.study.claims import Claim
from tests.ablate.report_inputs import column, judged, results


def test_claims_have_a_row_each_and_a_family_of_their_own() -> None:
    claims = (
        Claim("directional", "dinomaly", None, "image_auroc", ">"),
        Claim("directional", "dinomaly", "domain_c", "pixel_ap", "<"),
        Claim("absent", "dinomaly", None, "aupro", ">"),
    )
    table = claims_table(Judgement(replace(results(), claims=claims)))
    assert table is not None
    found = {label: cell.text for label, cell in column(table, "verdict").items()}
    assert found == {
        "directional > dinomaly by I-AUROC": "supported",
        "directional < dinomaly on domain_c by P-AP": "refuted",
        "absent > dinomaly by AUPRO": "incomplete",
    }
    assert "Holm over 3 claims" in table.caption
    assert list(table.raw["verdict"]) == ["supported", "refuted", "incomplete"]


def test_a_sequential_claim_shows_what_holds_at_every_look() -> None:
    claim = Claim("directional", "dinomaly", None, "image_auroc", ">")
    made = Judgement(
        replace(results(), claims=(claim,), max_seeds=20, first_look=3, looks={str(claim): (3,)})
    )
    table = claims_table(made)
    assert table is not None
    (row,), (judged_claim,) = table.rows, made.claims
    assert column(table, "looks")[row.label].text == "2: 3–5 of 20"
    found = judged_claim.sequential
    assert found is not None
    raw = table.raw.iloc[0]
    assert (raw["low"], raw["high"], raw["p"]) == (found.low, found.high, found.p)
    assert raw["looks"] == "3 5"
    assert raw[["p_sign_flip", "detectable_points", "seeds_needed"]].isna().all()
    plain = claims_table(Judgement(replace(results(), claims=(claim,))))
    assert plain is not None and plain.raw["high"][0] < raw["high"]


def test_claims_that_were_not_sealed_say_so() -> None:
    claim = Claim("directional", "dinomaly", None, "image_auroc", ">")
    for seal, words in (("", "not sealed"), ("c" * 64, "sealed: SHA-256 cccccccccccccccc")):
        table = claims_table(Judgement(replace(results(), claims=(claim,), seal=seal)))
        assert table is not None and any(words in note for note in table.notes)


@pytest.mark.parametrize("metric", ["aupimo", "completion_difference", "completion_defect_horizontal"])
def test_claims_about_what_is_measured_besides_are_judged(metric: str) -> None:
    made = results()
    gap = made.frame[(made.frame["metric"] == "token_distance_gap") & (made.frame["stratum"] == "all")]
    claim = Claim("directional", "dinomaly", None, metric, ">")
    frame = pd.concat([made.frame, gap.assign(metric=metric)])
    table = claims_table(Judgement(replace(made, frame=frame, claims=(claim,))))
    assert table is not None
    (label,) = column(table, "verdict")
    assert column(table, "verdict")[label].text == "supported"
    assert (column(table, "error reduction")[label].text == "–") is (metric != "aupimo")
    assert table.raw["metric"][0] == metric


def test_without_claims_there_is_no_table() -> None:
    assert claims_table(judged()) is None
