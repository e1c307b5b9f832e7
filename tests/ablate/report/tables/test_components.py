"""Component columns: derived from what variants change, or named by the spec."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ablate.report.tables.components import components
from tests.ablate.report_inputs import grid, results


def test_components_are_derived_from_overrides() -> None:
    found = dict(components(results()))
    assert list(found) == ["q = 0.02", "alpha = 0.5", "direction = vertical"]
    assert found["q = 0.02"] == {"dinomaly": False, "top-q": True, "directional": True, "control": True}
    assert [v for v, on in found["direction = vertical"].items() if on] == ["control"]


def test_component_rows_of_a_paper_table() -> None:
    """Toggles NB, LA, LL against a plain baseline; a third value shows as a value."""
    base = {"bottleneck.dropout": 0.0, "decoder.attention": "softmax", "tail.q": 1.0}
    over: dict[str, dict[str, Any]] = {
        "plain": {},
        "NB": {"bottleneck.dropout": 0.2},
        "NB+LA": {"bottleneck.dropout": 0.2, "decoder.attention": "linear"},
        "full": {"bottleneck.dropout": 0.4, "decoder.attention": "linear", "tail.q": 0.1},
    }
    made = replace(
        results(dict.fromkeys(over, 0.0)),
        overrides=over,
        settings={v: {**base, **o} for v, o in over.items()},
    )
    found = dict(components(made))
    assert found["attention = linear"] == {"plain": False, "NB": False, "NB+LA": True, "full": True}
    assert found["bottleneck.dropout"] == {"plain": "0", "NB": "0.2", "NB+LA": "0.2", "full": "0.4"}


def test_named_components_replace_derived_ones() -> None:
    """As in the paper's table: a label per component, checked where it is not as in the baseline."""
    made = replace(results(), components={"B": "tail.q", "B dir.": "tail.alpha"})
    found = dict(components(made))
    assert list(found) == ["B", "B dir."]
    assert found["B"] == {"dinomaly": False, "top-q": True, "directional": True, "control": True}
    assert found["B dir."] == {"dinomaly": False, "top-q": False, "directional": True, "control": True}


def test_no_components_where_nothing_is_shared() -> None:
    assert components(results({"dinomaly": 0.0, "top-q": 0.0})) == []
    assert components(grid(seeds=2, strata=False)) == []
