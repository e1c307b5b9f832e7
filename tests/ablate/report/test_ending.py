"""Behavioural: the end of a run names every claim's verdict, and what would decide an open one."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from ablate.evidence.judgement import Judgement
from ablate.evidence.results import RunState
from ablate.report.ending import claim_lines, to_decide
from ablate.study.claims import Claim
from tests.ablate.report_inputs import results

CLAIM = Claim("top-q", "dinomaly", None, "image_auroc", ">")


def judgement(*, seeds: int, seconds: float | None) -> Judgement:
    made = results({"dinomaly": 0.0, "top-q": 0.012}, seeds=seeds, rng_seed=4)
    runs = [
        RunState(f"{variant}{seed}", variant, seed, None, "done", seconds=seconds)
        for variant in ("dinomaly", "top-q")
        for seed in range(seeds)
        if seconds is not None
    ]
    return Judgement(replace(made, claims=(CLAIM,), runs=tuple(runs)))


def test_an_undecided_claim_says_how_many_seeds_and_minutes_would_decide_it() -> None:
    verdict, advice = (line.plain for line in claim_lines(judgement(seeds=2, seconds=90.0)))
    assert verdict.startswith("undecided: top-q > dinomaly")
    found = re.search(r"(\d+) more seeds? \(seeds: (\d+)\), about (\d+) min of computing", advice)
    assert found is not None
    more, needed, minutes = map(int, found.groups())
    assert needed == more + 2
    assert minutes == pytest.approx(more * 2 * 90 / 60)


@pytest.mark.parametrize(
    ("claim", "more"),
    [
        (replace(CLAIM, margin=0.3), True),  # of what lies beyond the margin
        (replace(CLAIM, direction="~", margin=1.5), False),
    ],
)
def test_seeds_are_named_only_for_what_the_claim_states(claim: Claim, more: bool) -> None:
    made = judgement(seeds=3, seconds=None).results
    (judged,) = Judgement(replace(made, claims=(claim,))).claims
    (plain,) = Judgement(replace(made, claims=(CLAIM,))).claims
    assert judged.verdict == "undecided"
    assert bool(to_decide(judged, made)) == more == (judged.more_seeds is not None)
    if more:
        assert (judged.more_seeds or 0) > (plain.more_seeds or 0)


def test_without_timings_only_the_seeds_are_named() -> None:
    judged = judgement(seeds=2, seconds=None)
    advice = to_decide(judged.claims[0], judged.results)
    assert "more seed" in advice
    assert "computing" not in advice


def test_one_seed_has_no_advice() -> None:
    assert len(list(claim_lines(judgement(seeds=1, seconds=90.0)))) == 1
