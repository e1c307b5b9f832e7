"""Behavioural: a plan says truly which searches follow: one, or one per arm and a comparison."""

from __future__ import annotations

from pathlib import Path

import pytest

from ablate.cli.searches import search_lines
from ablate.study.reading import parse_spec

HEAD = "study: s\ndata: {dataset: stripes, categories: [domain_a], selection: half}\n"
SEARCH = "search: {space: {tail.q: {low: 0.05, high: 0.95}}, trials: 3, seeds: 2"
ARMS = "variants: {plain: {}, prior: {tail.alpha: 0.5}}\n"


def said(text: str) -> list[str]:
    return search_lines(parse_spec(HEAD + text, Path("s.yaml"), env={}))


def test_a_study_says_nothing_of_a_search() -> None:
    assert said("variants: {a: {}}\n") == []


def test_a_search_is_one_with_winner_and_baseline() -> None:
    (line,) = said(f"{SEARCH}, fresh_seeds: 4}}\n")
    assert line == (
        "then a search: 3 trials x 2 seeds of tail.q by tpe; winner and baseline on 4 seeds "
        "that it has not used"
    )


@pytest.mark.parametrize(
    ("rest", "ending"),
    [
        ("seeds: 3\n", "on these"),
        (
            "seeds: {start: 3, max: 6}\nclaims: [prior > plain by image_auroc]\n",
            "on these, up to 6 seeds while claims are open",
        ),
    ],
)
def test_every_arm_is_searched_for_and_the_winners_are_compared(rest: str, ending: str) -> None:
    first, *arms, last = said(f"{ARMS}{SEARCH}, arms: {{prior: {{tail.length: [1, 3]}}}}}}\n{rest}")
    assert first == "then a search of each of 2 arms: 3 trials x 2 seeds by tpe"
    assert arms == ["  plain: tail.q", "  prior: tail.q, tail.length"]
    assert "on 3 seeds that no search has used" in last and last.endswith(ending)
