"""Behavioural: how often a worker that dies before it works is started again, and after how long."""

from __future__ import annotations

import signal

from ablate.running.session import PREPARING
from ablate.running.slots import IDLE_KILLS, LONGEST_PAUSE, PREPARING_KILLS, TICK, Slot

KILLED = -int(signal.SIGKILL)


def test_a_worker_that_fails_by_itself_gets_one_more_chance_and_preparation_none() -> None:
    slot = Slot(1)
    assert [slot.pause_after(1) for _ in range(2)] == [0.0, None]
    assert Slot(PREPARING).pause_after(1) is None


def test_a_worker_that_is_killed_is_started_ever_later_and_not_for_ever() -> None:
    slot = Slot(1)
    waits = [slot.pause_after(KILLED) for _ in range(IDLE_KILLS)]
    assert waits[-1] is None
    pauses = [wait for wait in waits if wait is not None]
    assert len(pauses) == IDLE_KILLS - 1 and pauses == sorted(pauses)
    assert pauses[0] == TICK and pauses[-1] == LONGEST_PAUSE
    early = Slot(PREPARING)
    assert [early.pause_after(KILLED) for _ in range(PREPARING_KILLS)].count(None) == 1
