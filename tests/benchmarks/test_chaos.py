"""Behavioural: a short storm on each store; ``python -m benchmarks.chaos`` is the long one."""

from __future__ import annotations

from pathlib import Path

import pytest

from ablate.running.journal import quiet_optuna
from benchmarks.chaos import Plan, storm_on
from tests.ablate.running.postgresql import binaries

SHORT = Plan(runs=10, workers=2, kills=6, stops=1, torn=2, disk=0, restarts=1)


@pytest.mark.slow
@pytest.mark.parametrize("store", ["journal", "postgresql"])
def test_a_storm_leaves_every_run_once_whole_and_nothing_else(tmp_path: Path, store: str) -> None:
    if store == "postgresql" and binaries() is None:
        pytest.skip("PostgreSQL is not installed: its half of the storm is NOT TESTED")
    quiet_optuna()
    found = storm_on(store, SHORT, tmp_path)
    assert found.wrong == []
    assert sum(found.done.values()) >= 6
    assert found.beyond < 0.05
