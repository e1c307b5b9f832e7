"""Claims: every form of the grammar, what it expands to, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ablate.study.claims import Claim, editor_pattern, parse_claim
from ablate.study.located import parse_yaml
from ablate.study.reading import parse_spec
from model.errors import ConfigError

VARIANTS, CATEGORIES = ("a", "b"), ("bottle", "metal nut")


def read(text: str) -> tuple[Claim, ...]:
    node = parse_yaml(f'"{text}"', "s.yaml", {})
    return parse_claim(node, variants=VARIANTS, categories=CATEGORIES, primary="image_auroc", margin=0.3)


@pytest.mark.parametrize(
    ("text", "direction", "margin", "category", "stratum", "metric"),
    [
        ("a > b", ">", 0, None, "all", "image_auroc"),
        ("a < b on all by aupro", "<", 0, None, "all", "aupro"),
        ("a > b + 0.5 on metal nut by pixel_ap", ">", 0.5, "metal nut", "all", "pixel_ap"),
        ("a > b - 0.5", ">", -0.5, None, "all", "image_auroc"),
        ("a ~ b within 1 on bottle", "~", 1, "bottle", "all", "image_auroc"),
        ("a ~ b", "~", 0.3, None, "all", "image_auroc"),
        ("a > b on faintness=faint by aupro", ">", 0, None, "faintness=faint", "aupro"),
        (
            "a > b on brokenness=broken & orientation=horizontal by token_distance_gap",
            *(">", 0, None, "broken+horizontal", "token_distance_gap"),
        ),
        ("a > b by AUPIMO", ">", 0, None, "all", "aupimo"),
        ("a < b by completion_horizontal", "<", 0, None, "all", "completion_horizontal"),
        (
            "a ~ b within 2 on faintness=faint by completion_defect_vertical",
            *("~", 2, None, "faintness=faint", "completion_defect_vertical"),
        ),
        ("a > b on bottle & faintness=faint", ">", 0, "bottle", "faintness=faint", "image_auroc"),
    ],
)
def test_forms(text: str, direction: str, margin: float, category: str, stratum: str, metric: str) -> None:
    (claim,) = read(text)
    got = (claim.direction, claim.margin, claim.category, claim.stratum, claim.metric)
    assert got == (direction, margin, category, stratum, metric)
    assert re.match(editor_pattern(), text)
    if "&" not in text:  # a conjunction is printed by its name in result files
        assert read(str(claim)) == (claim,)


def test_several_places_and_metrics_are_as_many_claims() -> None:
    found = read("a > b on bottle, faintness=faint by image_auroc, aupro")
    assert [(c.category, c.stratum, c.metric) for c in found] == [
        ("bottle", "all", "image_auroc"),
        ("bottle", "all", "aupro"),
        (None, "faintness=faint", "image_auroc"),
        (None, "faintness=faint", "aupro"),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a ~ b + 1", "'within' goes with ~"),
        ("a > b within 1", "'within' goes with ~"),
        ("a > b + much", "must be a number of points"),
        ("a > b + -1", "outside the allowed range"),
        ("a > b on faintness=fainty", "unknown stratum 'faintness=fainty' (did you mean"),
        ("a > b on faintness=faint & brokenness=solid", "is not measured"),
        ("a > b on faintness=faint by pixel_auroc", "'pixel_auroc' is not measured on the stratum"),
        ("a > b on bottle & metal nut", "names several categories"),
        ("a > b on botle", "unknown category 'botle' (did you mean 'bottle'?)"),
    ],
)
def test_what_is_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        read(text)


SPEC = """\
study: s
data: {{dataset: stripes}}
variants: {{a: {{}}, b: {{tail.q: 0.02}}}}
claims:
  - {}
  - {}
"""


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ("a > b", "b < a", "says the same as 'a > b by image_auroc'"),
        ("a > b", "b > a", "is the opposite of 'a > b by image_auroc'"),
        ("a > b", "a < b", "is the opposite of"),
        ("a > b + 1", "b < a - 1", "says the same as"),
        ("a ~ b within 1", "b ~ a within 1", "says the same as"),
        ("a > b", "a > b by aupro, image_auroc", "is given twice"),
    ],
)
def test_mirrored_and_duplicate_claims_are_refused(first: str, second: str, said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        parse_spec(SPEC.format(first, second), Path("s.yaml"))


def test_claims_that_ask_different_things_go_together() -> None:

    spec = parse_spec(SPEC.format("a > b + 1", "a > b"), Path("s.yaml"))
    assert len(spec.claims) == 2 and spec.report.margin == 0.05
