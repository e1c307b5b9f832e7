"""Jobs that need no arguments, shared out over the cores by forking.

A figure takes up to a second and there are ten: on two cores a report is made in half the time. Forked,
because a fresh process would spend longer on its imports than on its figures. Where forking is not to be
had, or not safe (another thread may hold a lock), the jobs are done one after the other.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import threading
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any, TypeVar

T = TypeVar("T")


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1


def shared_out(jobs: Sequence[Callable[[], T]], workers: int | None = None) -> list[T]:
    """The results of ``jobs`` in their order; ``workers``: processes, one per core if not given.

    A job that a child did not finish, for whatever reason, is done here, so that errors come from here.
    """
    count = min(len(jobs), cores() if workers is None else workers)
    if count < 2 or threading.active_count() > 1 or "fork" not in multiprocessing.get_all_start_methods():
        return [job() for job in jobs]
    context = multiprocessing.get_context("fork")
    following = context.Value("i", 0)
    children = []
    for _ in range(count - 1):
        ours, theirs = context.Pipe(duplex=False)
        child = context.Process(target=_child, args=(jobs, following, theirs), daemon=True)
        child.start()
        theirs.close()
        children.append((child, ours))
    found = _take(jobs, following)
    for child, ours in children:
        with contextlib.suppress(EOFError, OSError):  # it failed or was killed: see below
            found |= ours.recv()
        child.join()
    return [found[i] if i in found else job() for i, job in enumerate(jobs)]


def _take(jobs: Sequence[Callable[[], T]], following: Any) -> dict[int, T]:
    """Do the next job that nobody has taken, until there is none."""
    found: dict[int, T] = {}
    while True:
        with following.get_lock():
            i = following.value
            following.value = i + 1
        if i >= len(jobs):
            return found
        found[i] = jobs[i]()


def _child(jobs: Sequence[Callable[[], Any]], following: Any, to_parent: Connection) -> None:
    try:
        to_parent.send(_take(jobs, following))
    except BaseException:  # the parent does these jobs again and meets the error itself
        os._exit(1)
    os._exit(0)  # no clean-up of what the parent owns
