"""Behavioural: a value's text in YAML reads back as the value; messages are short, labels compact."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.study.located import parse_yaml
from ablate.study.text import flow, label, shown

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


@given(VALUES)
def test_flow_text_reads_back(value: Any) -> None:
    assert parse_yaml(flow(value), "text", {}, placed=False).plain() == value
    assert "\n" not in flow(value)


@pytest.mark.parametrize(
    "value", [math.inf, -math.inf, "null", "true", "0.5", "a: b", "${HOME}", "- x", "#", ""]
)
def test_what_reads_as_something_else_is_quoted(value: Any) -> None:
    assert parse_yaml(flow(value), "text", {"HOME": "x"}, placed=False).plain() in (value, "x")


def test_a_message_stays_short() -> None:
    assert shown(None) == "nothing"
    assert shown("x") == "'x'"
    assert len(shown(list(range(1000)))) == 60


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.02, "0.02"),
        (1.0, "1"),
        ([2, 6], "[2,6]"),
        ({"from": 1.0, "to": 0.02, "shape": "cosine"}, "1>0.02:cosine"),
        ({"from": 0.0, "to": 0.3, "begin": 0.5, "end": 1.0}, "0>0.3:linear@0.5-1"),
        (None, "null"),
        (True, "true"),
    ],
)
def test_a_level_has_a_compact_name(value: Any, text: str) -> None:
    assert label(value) == text
