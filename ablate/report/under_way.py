"""The claims of a study that is running, for its terminal: how far their intervals have shrunk.

No verdicts: a study is judged when what it declared has run, and looking here is not noted as a look. Who
stops early leaves a study of fewer seeds than declared, and that is what its report will say.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.text import Text

from ablate.evidence.claim_verdicts import so_far
from ablate.evidence.gather import gather
from ablate.evidence.judgement import Judgement
from ablate.report.words import claim_text, fixed, interval_text, plural
from ablate.running.frame import refresh_frame
from ablate.study.claims import Claim
from model.errors import UserError

SHARE = 0.05
"""Most of the time that gathering may take."""


class ClaimsUnderWay:
    """Lines on the claims, made anew when runs have finished; cheap to ask often."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder, self._clock = folder, clock
        self._done, self._next = 0, -math.inf
        self._lines: Sequence[Text] = ()

    def __call__(self, done: int) -> Sequence[Text]:
        """The lines where ``done`` runs have finished; older ones while new ones would cost too much."""
        now = self._clock()
        if done == self._done or now < self._next:
            return self._lines
        self._done = done
        try:
            refresh_frame(self._folder)
            self._lines = lines(Judgement(gather(self._folder)))
        except UserError:  # nothing there yet, or another process writes it: the next time tells
            self._lines = ()
        after = self._clock()
        self._next = after + (after - now) / SHARE
        return self._lines


def lines(judgement: Judgement) -> Sequence[Text]:
    """A line per claim: difference, interval and how many seeds both sides have by now."""
    results = judgement.results
    return [_line(claim, judgement) for claim in (*results.claims, *results.exploratory)]


def _line(claim: Claim, judgement: Judgement) -> Text:
    d = judgement.compared(claim)[1]  # neither images nor looks: nothing is judged here
    said = "no pair of runs yet"
    if d.n:
        now = so_far(d)
        interval = f" {interval_text(now)}" if d.n > 1 else ""
        said = f"{fixed(now.mean, signed=True)}{interval} at {plural(d.n, 'seed')}"
    return Text.assemble(
        "  ",
        (claim_text(claim, judgement.results), "bold"),
        f"  {said}",
        overflow="ellipsis",
        no_wrap=True,
    )
