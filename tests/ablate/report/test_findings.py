"""Findings: plain sentences that say what was decided, and what to beware of."""

from __future__ import annotations

import re
from dataclasses import replace

from ablate.evidence.judgement import Judgement
from ablate.evidence.results import RunState
from ablate.report.findings import caveats, claim_findings, headline
from ablate.study.claims import Claim
from tests.ablate.report_inputs import judged, results


def test_headline_says_what_is_real_and_what_more_seeds_would_do() -> None:
    texts = {f.subject: f for f in headline(judged())}
    assert texts["directional vs dinomaly"].verdict == "better"
    assert "(Holm over 3)" in texts["directional vs dinomaly"].text
    undecided = texts["top-q vs dinomaly"]
    assert undecided.verdict == "undecided"
    assert re.search(r"\+0\.\d points I-AUROC \[−\d\.\d, \d\.\d\] at 5 seeds", undecided.text)
    assert "seeds only differences from" in undecided.text


def test_two_seeds_name_the_seeds_needed() -> None:
    found = headline(judged({"dinomaly": 0.0, "top-q": 0.012}, seeds=2, rng_seed=4))
    assert found[0].verdict == "undecided"
    assert re.search(r"Needs about \d+ more seeds? \(\d+ in all\)", found[0].text)


def test_one_seed_claims_nothing() -> None:
    made = judged(seeds=1)
    assert {f.verdict for f in headline(made)} == {"undecided"}
    assert all("nothing follows" in f.text for f in headline(made))
    assert any("One seed" in line for line in caveats(made))


def test_caveats_name_what_a_reader_must_know() -> None:
    runs = (
        RunState("a", "dinomaly", 0, None, "failed", "NaN loss"),
        RunState("b", "x", 0, None, "waiting"),
    )
    made = replace(results(seeds=3), runs=runs, selects_on_report=True, encoder="texture")
    text = " ".join(caveats(Judgement(made)))
    for words in (
        "0.25",
        "1 of 2 runs are not finished",
        "1 run failed",
        "selected on",
        "not a DINOv2-class",
    ):
        assert words in text


def test_claims_are_sentences_in_the_order_of_the_study_file() -> None:
    claims = (
        Claim("directional", "dinomaly", None, "image_auroc", ">"),
        Claim("directional", "dinomaly", "domain_c", "pixel_ap", "<"),
        Claim("absent", "dinomaly", None, "aupro", ">"),
    )
    found = claim_findings(Judgement(replace(results(), claims=claims)))
    assert [f.subject for f in found] == [
        "directional > dinomaly", "directional < dinomaly on domain_c", "absent > dinomaly",
    ]  # fmt: skip
    assert [f.verdict for f in found] == ["supported", "refuted", "incomplete"]
    assert found[0].text.startswith("supported: +1.") and "(Holm over 3)" in found[0].text
    assert found[2].text == "no pair of AUPRO values yet."


def test_a_second_name_is_said_to_be_one() -> None:
    made = Judgement(replace(results(), same_as={"control": "top-q"}))
    texts = {f.subject: f.text for f in headline(made)}
    assert texts["control vs dinomaly"] == "is the configuration of top-q: the same runs."
