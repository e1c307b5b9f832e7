"""Jobs on several cores: done side by side, results in order, a lost child's jobs done all the same."""

from __future__ import annotations

import multiprocessing
import os
import threading
from functools import partial

import pytest

from ablate.report.figures.cores import shared_out

pytestmark = pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="this system cannot fork"
)
WAIT = 60.0


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the threads that other tests have left were not there."""
    monkeypatch.setattr("ablate.report.figures.cores.threading.active_count", lambda: 1)


@pytest.mark.usefixtures("alone")
def test_jobs_run_side_by_side_and_come_back_in_order() -> None:
    meeting = multiprocessing.get_context("fork").Barrier(2, timeout=WAIT)

    def job(i: int) -> int:
        meeting.wait()  # for ever, if one process did one job after the other
        return i

    assert shared_out([partial(job, i) for i in range(4)], workers=2) == [0, 1, 2, 3]


@pytest.mark.usefixtures("alone")
def test_what_a_lost_child_leaves_is_done_here() -> None:
    parent, taken = os.getpid(), multiprocessing.get_context("fork").Event()

    def job() -> int:
        if os.getpid() != parent:
            taken.set()
            os._exit(3)
        assert taken.wait(WAIT)
        return 7

    assert shared_out([job] * 3, workers=2) == [7, 7, 7]


def test_an_error_is_the_callers() -> None:
    def job() -> None:
        raise ValueError("no such figure")

    with pytest.raises(ValueError, match="no such figure"):
        shared_out([job] * 2, workers=2)


def test_beside_another_thread_nothing_is_forked() -> None:
    done = threading.Event()
    other = threading.Thread(target=done.wait, args=(WAIT,))
    other.start()
    try:
        assert set(shared_out([os.getpid] * 3, workers=2)) == {os.getpid()}
    finally:
        done.set()
        other.join()
