"""Behavioural: what counts as a plateau, and from when on one is looked for."""

from __future__ import annotations

from typing import Any

import pytest

from model.canonical import canonical
from model.plateau import first_look, levelled_off
from tests.model.tiny_model import tiny_config


def test_a_plateau_is_less_gain_than_asked_for():
    falling = [1.0] * 5 + [0.9] * 5
    assert not levelled_off(falling, 5, 0.05)
    assert levelled_off(falling, 5, 0.2)
    assert levelled_off([0.5] * 10, 5, 0.01)
    assert levelled_off([0.5] * 5 + [0.6] * 5, 5, 0.0)  # rising


def test_only_the_last_two_windows_count_and_both_must_be_full():
    assert not levelled_off([1.0] * 9, 5, 0.5)
    assert levelled_off([9.0] * 20 + [1.0] * 10, 5, 0.01)


def test_both_windows_lie_behind_warm_up_and_ramp():
    values = {"train.warmup": 30, "tail.ramp": 70, "train.plateau_window": 20}
    assert first_look(tiny_config(values)) == 110
    assert first_look(tiny_config({**values, "tail.ramp": 0})) == 70


@pytest.mark.parametrize(
    "still",
    [
        {"tail.q": 1.0},
        {"tail.factor": 1.0},
        {"tail.form": "masked", "tail.background": 1.0},
        {"tail.form": "masked", "tail.q": 1.0},
    ],
)
def test_a_ramp_that_moves_nothing_is_not_waited_for(still: dict[str, Any]):
    """Else a run would depend on a setting that its key does not hold."""
    values = {"train.until": "plateau", "train.warmup": 30, "train.plateau_window": 20, **still}
    made = [tiny_config({**values, "tail.ramp": ramp}) for ramp in (0, 70, 5000)]
    assert len({canonical(one) for one in made}) == 1
    assert {first_look(one) for one in (*made, canonical(made[0]))} == {70}
