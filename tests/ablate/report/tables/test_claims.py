"""The table of claims: one row each, judged as one family."""

from __future__ import annotations

from dataclasses import replace

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


def test_without_claims_there_is_no_table() -> None:
    assert claims_table(judged()) is None
