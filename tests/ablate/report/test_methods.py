"""The experimental section: every number is the study's own, and what is not known is not said."""

from __future__ import annotations

import re
from dataclasses import replace

from ablate.evidence.judgement import Judgement
from ablate.report.methods import methods_files, methods_text
from ablate.study.claims import Claim
from tests.ablate.report_inputs import results

CLAIM = Claim("directional", "dinomaly", None, "image_auroc", ">")
PROVENANCE = {
    "hardware": {"cpu": "Xeon", "cores": 2, "gpu": None},
    "packages": {"torch": "2.14.1", "ablate": "0.1.0"},
    "python": "3.11.7",
    "code": {"commit": "0123456789abcdef", "dirty": False},
}


def test_the_numbers_are_those_of_the_study() -> None:
    made = replace(
        results(seeds=6),
        claims=(CLAIM,),
        seal="ab" * 32,
        dataset="stripes",
        margin=0.05,
        provenance=PROVENANCE,
    )
    parts = dict(methods_text(Judgement(made)))
    assert "4 variants of several methods" in parts["Model"] and "tail.q" in parts["Model"]
    assert "3 categories (domain_a, domain_b, domain_c)" in parts["Data"]
    assert "with 6 seeds (24 runs)" in parts["Protocol"]
    assert "over 1 claim; error level 0.05" in parts["Statistics"] and "0.05 points" in parts["Statistics"]
    assert "ab" * 32 in parts["Declaration"] and "1 supported" in parts["Declaration"]
    assert "took 4.0 h of computing" in parts["Computing"]  # 24 runs of 600 s
    assert "torch 2.14.1" in parts["Computing"] and "commit 0123456789ab." in parts["Computing"]


def test_how_it_was_judged_follows_the_design() -> None:
    sequential = replace(results(), claims=(CLAIM,), max_seeds=20, first_look=3)
    text = dict(methods_text(Judgement(sequential)))["Statistics"]
    assert "from 3 to at most 20 seeds" in text and "paired t-tests" not in text
    assert "paired t-tests" in dict(methods_text(Judgement(results())))["Statistics"]


def test_what_is_not_known_is_left_out() -> None:
    bare = replace(results(), settings={}, runs=(), encoder="")
    parts = dict(methods_text(Judgement(bare)))
    assert "Model" not in parts and "Computing" not in parts and "Declaration" not in parts


def test_both_files_say_the_same() -> None:
    made = replace(results(), claims=(CLAIM,), provenance=PROVENANCE)
    files = methods_files(Judgement(made))
    latex, plain = files[".tex"], files[".md"]
    assert latex.count(r"\\paragraph{".replace("\\\\", "\\")) == plain.count("**") // 2
    bare = latex.replace("\\_", "_").replace("\\%", "%")
    assert re.findall(r"\d+", bare) == re.findall(r"\d+", plain)
