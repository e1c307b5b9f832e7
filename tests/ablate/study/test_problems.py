"""Behavioural: all that is wrong with a study is said at once, in the order of the file, and once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ablate.study.reading import parse_spec
from model.errors import ConfigError

STUDY = """\
study: bad name
data: {dataset: strips}
base: {preset: pocket, train: {iterations: -3, wramup: 2}}
variants:
  baseline: {}
  q: {tail.q: 2, tail.qq: 1}
  control: {tail.alpha: x, label: ""}
seeds: many
claims:
  - q > contrl by image_auroc
  - q > control by image_aurok
  - q is better
report: {primary: auroc}
keep: {maps: -1}
colour: red
"""


def lines_of(text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        parse_spec(text, Path("s.yaml"), env={})
    return caught.value.lines


def test_every_mistake_is_said_with_its_place() -> None:
    lines = lines_of(STUDY)
    places = [re.match(r"s\.yaml:(\d+):(\d+): ", line) for line in lines]
    assert all(places)
    found = [(int(place[1]), int(place[2])) for place in places if place]
    assert found == sorted(found)
    assert [line for line, _ in found] == [1, 2, 3, 3, 6, 6, 7, 7, 8, 10, 11, 12, 13, 14, 15]
    for line, said in zip(lines, (
        "bad name", "strips", "iterations", "wramup", "outside", "tail.qq", "tail.alpha", "label", "seeds",
        "contrl", "image_aurok", "got 'is'", "primary", "maps", "colour",
    ), strict=True):  # fmt: skip
        assert said in line


def test_what_only_follows_is_not_said() -> None:
    # The claim names a variant whose settings are wrong: the claim is right.
    assert len(lines_of("study: s\ndata: {dataset: stripes}\nvariants: {a: {tail.q: 2}, b: {}}\n"
                        "claims: [a > b by image_auroc]\n")) == 1  # fmt: skip
    # A misspelt section is not missing as well.
    assert len(lines_of("study: s\ndat: {dataset: stripes}\nvariants: {a: {}}\n")) == 1
    # What is wrong with the base is not said of every variant.
    base = "base: {image: {resize: 100, crop: 200}}\nvariants: {a: {}, b: {}}\n"
    assert len(lines_of(f"study: s\ndata: {{dataset: stripes}}\n{base}")) == 1


def test_rules_across_settings_are_said_of_every_row_that_breaks_them() -> None:
    text = (
        "study: s\ndata: {dataset: stripes}\nvariants:\n  a: {}\n"
        "  b: {image: {resize: 100, crop: 200}}\n  c: {image: {resize: 100, crop: 300}}\n"
    )
    first, second = lines_of(text)
    assert first.startswith("s.yaml:5:") and second.startswith("s.yaml:6:")


def test_levels_and_dimensions_too() -> None:
    levels = (
        "study: s\ndata: {dataset: stripes}\nfactors:\n  design: grid\n"
        "  tail.q: [2, 0.1, 3, x]\n  tail.z: [1]\n"
    )
    assert len(lines_of(levels)) == 4
    space = (
        "study: s\ndata: {dataset: stripes}\nsearch:\n  space:\n    tail.q: [0.1]\n"
        "    tail.alpha: {low: 1, high: 0}\n"
    )
    assert len(lines_of(space)) == 2
