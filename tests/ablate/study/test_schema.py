"""Reference-checked by jsonschema: the editors' schema and the reader agree on what a study may say."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator
from ruamel.yaml import YAML

from ablate.study.reading import parse_spec
from ablate.study.schema import study_schema
from ablate.study.settings import leaves
from model.config import ModelConfig
from model.errors import ConfigError

ROOT = Path(__file__).parents[3]
SHIPPED = sorted([*(ROOT / "studies").glob("*.yaml"), *(ROOT / "results").glob("*/spec.yaml")])
HEAD = "study: s\ndata: {dataset: stripes}\n"
KNOBS = [
    path
    for path, leaf in leaves(ModelConfig).items()
    if leaf.is_float and any("maximum" in part for part in [leaf.schema, *leaf.schema.get("anyOf", ())])
]


@pytest.fixture(scope="module")
def validator() -> Draft7Validator:
    schema = study_schema()
    Draft7Validator.check_schema(schema)
    return Draft7Validator(schema)


def plain(text: str) -> Any:
    return json.loads(json.dumps(YAML(typ="safe").load(text)))


def refused_by_reader(text: str) -> bool:
    try:
        parse_spec(text, Path("s.yaml"), env={})
    except ConfigError:
        return True
    return False


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_shipped_study_is_valid(path: Path, validator: Draft7Validator) -> None:
    assert [error.message for error in validator.iter_errors(plain(path.read_text()))] == []


@pytest.mark.parametrize("path", KNOBS)
def test_knobs_are_held_to_their_ranges(path: str, validator: Draft7Validator) -> None:
    schema = leaves(ModelConfig)[path].schema
    part = next(part for part in [*schema.get("anyOf", ()), schema] if "maximum" in part)
    inside, outside = part["maximum"], part["maximum"] + 1
    for value, valid in ((inside, True), (outside, False)):
        text = f"{HEAD}variants: {{a: {{{path}: {value}}}}}\n"
        assert validator.is_valid(plain(text)) is valid
        if not valid:
            assert refused_by_reader(text)


BOTH_TAKE = [
    "variants: {a: {tail.q: {from: 1, to: 0.1, shape: cosine}}}",
    "variants: {a: , b: {label: 対照, tail: {q: 0.1}}}",
    'factors: {design: grid, tail.q: [0.1, {value: 0.2, label: "$q$"}]}',
    "base: {preset: '${PRESET:-pocket}', train: {iterations: '${N:-10}'}}\nvariants: {a: {}}",
    "variants: {a: {}}\nseeds: '${SEEDS:-3}'",
    "variants: {a: {}}\nseeds: {start: 3, max: 9}",
    "variants: {a: {}, b: {}}\nreport: {primary: P-AP}\nclaims: ['a ~ b within 1 by AUPRO-5 %']",
]
BOTH_REFUSE = [
    "variants: {a: {tail.q: {from: 2, to: 0.1}}}",
    "variants: {a: {tail.q: {from: 1, too: 0.1}}}",
    "variants: {a: {label: ''}}",
    "variants: {a: {tail.q: some}}",
    "factors: {design: grid, tail.q: [0.1, {value: 3, label: x}]}",
    "factors: {design: grid, tail.q: [0.1, {label: x}]}",
    "base: {preset: pockets}\nvariants: {a: {}}",
    "variants: {a: {}}\nseeds: several",
    "variants: {a: {}}\nreport: {primary: AUROC}",
    "variants: {a: {}, b: {}}\nclaims: [a > b by P-API]",
]


@pytest.mark.parametrize("text", BOTH_TAKE)
def test_both_take(text: str, validator: Draft7Validator) -> None:
    assert [error.message for error in validator.iter_errors(plain(HEAD + text))] == []
    # Quoted, an expansion stays text; editors see it either way.
    unquoted = re.sub(r"'(\$\{[^}]*\})'", r"\1", HEAD + text)
    parse_spec(unquoted, Path("s.yaml"), env={})


@pytest.mark.parametrize("text", BOTH_REFUSE)
def test_both_refuse(text: str, validator: Draft7Validator) -> None:
    assert not validator.is_valid(plain(HEAD + text))
    assert refused_by_reader(HEAD + text)
