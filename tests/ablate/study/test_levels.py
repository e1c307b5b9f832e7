"""Behavioural: labels of variants and levels are what readers see; names, settings and keys stay."""

from __future__ import annotations

from pathlib import Path

import pytest

from ablate.study.plan import Sources, make_plan
from ablate.study.reading import parse_spec
from model.errors import ConfigError

HEAD = "study: s\ndata: {dataset: stripes}\nbase: {preset: pocket}\n"
SOURCES = Sources(
    categories=lambda _data: ("domain_a",), data=lambda _data, _held: "", encoder=lambda _encoder: ""
)


def spec_of(text: str):
    return parse_spec(HEAD + text, Path("s.yaml"))


def keys_of(text: str) -> list[str]:
    return [run.key for run in make_plan(spec_of(text), cache_dir=Path(), sources=SOURCES).runs]


def test_a_variant_has_a_label_in_any_script_and_no_key_changes():
    bare = "variants:\n  a: {}\n  b: {tail.q: 0.02}\n"
    labelled = 'variants:\n  a: {label: "w/o 噪声"}\n  b: {tail.q: 0.02, label: "$q$ = 0.02 (ours)"}\n'
    assert spec_of(labelled).labels == {"a": "w/o 噪声", "b": "$q$ = 0.02 (ours)"}
    assert [row.variant for row in spec_of(labelled).rows()] == ["a", "b"]
    assert spec_of(labelled).variants == spec_of(bare).variants
    assert keys_of(labelled) == keys_of(bare)


def test_a_level_has_a_label_and_its_row_reads_so():
    bare = "factors:\n  design: one-at-a-time\n  tail.q: [0.01, 0.02]\n"
    labelled = bare.replace("0.02]", '{value: 0.02, label: "$q$ (ours)"}]')
    assert spec_of(labelled).labels == {"tail.q=0.02": "$q$ (ours)"}
    assert spec_of(labelled).rows() == spec_of(bare).rows()
    assert keys_of(labelled) == keys_of(bare)


def test_rows_of_a_grid_read_as_their_parts_do():
    text = (
        "variants:\n  a: {label: Plain}\n  b: {tail.alpha: 0.5}\nfactors:\n  design: grid\n"
        "  tail.q: [0.01, {value: 0.02, label: two percent}]\n  bias.lambda: [0.1]\n"
    )
    assert spec_of(text).labels == {
        "a": "Plain",
        "a,tail.q=0.01,bias.lambda=0.1": "Plain, tail.q=0.01, bias.lambda=0.1",
        "a,tail.q=0.02,bias.lambda=0.1": "Plain, two percent, bias.lambda=0.1",
        "b,tail.q=0.02,bias.lambda=0.1": "b, two percent, bias.lambda=0.1",
    }


@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        ("variants:\n  a: {label: b}\n  b: {}\n", "6:3", "would both read 'b'"),
        ('variants:\n  a: {label: ""}\n', "5:14", "label"),
        ('variants:\n  a: {label: "two\\nlines"}\n', "5:14", "label"),
        ('variants:\n  a: {label: "$x}$"}\n', "5:14", "braces do not match"),
        ("variants:\n  a: {label: 3}\n", "5:14", "expected text"),
        ("factors:\n  design: grid\n  tail.q: [{label: b}]\n", "6:12", "tail.q"),
        ("factors:\n  design: grid\n  tail.q: [{value: 2, label: b}]\n", "6:20", "outside"),
        ("factors:\n  design: grid\n  tail.q: [{value: 0.1, lable: b}]\n", "6:25", "did you mean"),
    ],
)
def test_a_wrong_label_is_named_where_it_stands(text: str, place: str, said: str):
    with pytest.raises(ConfigError) as caught:
        spec_of(text)
    assert f"s.yaml:{place}: " in str(caught.value) and said in str(caught.value)
