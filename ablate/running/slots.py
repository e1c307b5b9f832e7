"""A supervisor's places for workers, and how often one that dies before it works is started again."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

from ablate.running.attempt import Kind
from ablate.running.process import FROM_OUTSIDE
from ablate.running.session import PREPARING

TICK = 0.2
"""Seconds between looks at the workers."""
IDLE_DEATHS = 2
"""Deaths of its own outside any run after which a worker is not started again: it cannot work at all."""
IDLE_KILLS = 10
"""Kills from outside after which it is given up: what it needs to begin does not fit into memory."""
PREPARING_KILLS = 3
"""The same of preparation, which may have worked for long each time."""
LONGEST_PAUSE = 30.0
"""Seconds before a worker that is killed again and again is started once more; the first time, TICK."""


@dataclass
class Slot:
    """A worker's place, and who has it."""

    number: int
    incarnation: int = 0
    process: subprocess.Popen[bytes] | None = None
    due: float | None = None
    """When it is to be started again, by the monotonic clock."""
    idle_deaths: int = 0
    idle_kills: int = 0
    """In a row, from outside."""
    verdict: tuple[Kind, str] | None = None
    """Why we killed it, if we did."""

    def pause_after(self, code: int) -> float | None:
        """Count a death outside any run; seconds until it is started again, or None: no more."""
        preparing = self.number == PREPARING
        if -code not in FROM_OUTSIDE:
            self.idle_deaths += 1
            return None if self.idle_deaths >= (1 if preparing else IDLE_DEATHS) else 0.0
        wait = min(TICK * 2**self.idle_kills, LONGEST_PAUSE)
        self.idle_kills += 1
        return None if self.idle_kills >= (PREPARING_KILLS if preparing else IDLE_KILLS) else wait
