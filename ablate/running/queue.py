"""The queue of a study's runs: one protocol, whatever keeps it.

Two engines stand behind it: a journal file with kernel locks, for one machine and without any server
(:class:`ablate.running.ledger.Ledger`), and a PostgreSQL table for several machines
(:class:`ablate.running.postgres.PostgresQueue`). Both promise the same:

1. A run is taken by one worker at a time.
2. Who has been overtaken is *fenced*: :meth:`Queue.beat` tells it, and nothing that it does afterwards
   changes what its successor does.
3. A run is committed once. Execution is at least once.
4. An interrupted run goes back with its checkpoint; a failed one stays failed until it is asked for.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from ablate.running.attempt import Kind
from ablate.running.session import WorkerId
from ablate.study.plan import Run


class Nothing(enum.Enum):
    """Why there is no run to take."""

    DONE = "every run has an outcome"
    BUSY = "the remaining runs are being computed by others"
    LIMIT = "this session has started as many runs as it may"


@dataclass(frozen=True)
class Buried:
    """The run that a dead worker left."""

    key: str
    label: str
    retried: bool
    """Whether it is in the queue again."""


class Taken(Protocol):
    """The right to compute a run, and the folder to do it in."""

    @property
    def run(self) -> Run:
        """What is to be computed."""

    @property
    def number(self) -> int:
        """Of the attempt, from 1."""

    @property
    def attempt_dir(self) -> Path:
        """Where the executor works."""

    @property
    def lost(self) -> bool:
        """Whether the run is known to be another's by now."""

    @property
    def lock(self) -> AbstractContextManager[Any]:
        """Entered for as long as the run is worked on; leaving it ends the claim's upkeep."""

    def begin(self) -> float:
        """Make the folder ready; return the seconds that earlier attempts spent on the run."""

    def suspend(self, seconds: float) -> None:
        """Remember the time spent, for the attempt that will continue this one."""


HeldT = TypeVar("HeldT", bound=Taken)


class Queue(Protocol[HeldT]):
    """Who may compute what. One object per process. All raise :class:`~model.errors.StorageError`."""

    def take(
        self, runs: Sequence[Run], worker: WorkerId, *, max_runs: int | None = None
    ) -> HeldT | Nothing:
        """The first of ``runs`` that is free; or why there is none."""

    def beat(self, held: HeldT, /) -> bool:
        """Renew the claim; True if it is lost, and the worker must stop."""

    def commit(self, held: HeldT, /) -> bool:
        """Publish the attempt's folder as the run's result; False if fenced."""

    def release(self, held: HeldT, /) -> bool:
        """Put an interrupted run back, checkpoint kept; False if fenced."""

    def fail(self, held: HeldT, /, kind: Kind, reason: str, seconds: float) -> bool:
        """Record a failed attempt; False if fenced."""

    def bury(self, worker: WorkerId, kind: Kind, reason: str, *, retries: int) -> Buried | None:
        """Record what a dead worker left, and put it back if it may be tried again; None if nothing."""

    def abandon(self, worker: WorkerId) -> None:
        """Put back what a worker was running when the user had it killed."""
