"""How a running study looks: a live display on a terminal, plain lines or JSON elsewhere.

A view is handed the study's whole state a few times a second and decides itself what is new. It
holds no state that matters: a display that starts late, or twice, shows the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from ablate.running.status import LiveWorker, RunStatus, StudyStatus
from ablate.study.text import json_text

PLAIN_EVERY = 10.0
"""Seconds between summary lines where there is no terminal."""

_SETTLED = ("done", "reused", "failed")


class View(Protocol):
    """Shows a study as it runs."""

    def update(self, state: StudyStatus) -> None:
        """The state of the study now."""

    def say(self, line: str) -> None:
        """Something that happened."""

    def close(self) -> None:
        """Restore the terminal."""


@dataclass(frozen=True)
class KeptOpen:
    """A view that outlives the parts it shows: whoever made it closes ``view`` after the last."""

    view: View

    def update(self, state: StudyStatus) -> None:
        """See :class:`View`."""
        self.view.update(state)

    def say(self, line: str) -> None:
        """See :class:`View`."""
        self.view.say(line)

    def close(self) -> None:
        """Not yet."""


PREPARING = "reading the dataset and the encoder's weights"
"""What goes on before a study's first state is known."""


Below = Callable[[int], Sequence[Text]]
"""Number of runs that have finished -> lines to show below them."""


def make_view(console: Console, *, plain: bool = False, below: Below | None = None) -> View:
    """The view that fits where the output goes; ``plain``: lines that only follow each other.

    ``below``: what a terminal shows under the runs.
    """
    if console.is_terminal and not plain:
        return LiveView(console, below)
    view = PlainView(lambda line: _print(console, line))
    view.say(PREPARING)
    return view


def _print(console: Console, line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def duration(seconds: float | None) -> str:
    """``8 s``, ``3 min 4 s``, ``2 h 5 min``; ``?`` if unknown."""
    if seconds is None:
        return "?"
    whole = max(round(seconds), 0)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def settled(state: StudyStatus) -> tuple[int, int]:
    """How many runs (in a search: configurations) have an outcome, of how many."""
    if state.search is not None and not state.runs:
        return state.search.done + state.search.failed, state.search.trials
    return sum(run.state in _SETTLED for run in state.runs), len(state.runs)


def summary(state: StudyStatus) -> str:
    """``12/30 runs, 1 failed, 4 running, 3 min to go``."""
    done, total = settled(state)
    if state.search is not None and not state.runs:
        parts = [f"{done}/{total} configurations"]
        if state.search.best is not None:
            parts.append(f"best {state.search.best:.4f}")
    else:
        parts = [f"{done}/{total} runs"]
        parts += [f"{state.counts[name]} {name}" for name in ("failed", "running") if name in state.counts]
    if done < total and state.eta is not None:
        parts.append(f"{duration(state.eta)} to go")
    return ", ".join(parts)


def worker_line(worker: LiveWorker) -> str:
    """``directional, seed 1: 420/1000 loss 0.1234``."""
    return f"{worker.label or 'between runs'}: {worker_steps(worker)} {worker.note}".rstrip()


def worker_steps(worker: LiveWorker) -> str:
    """``420/1000``, or what a worker does before it counts anything."""
    if worker.total:
        return f"{worker.done}/{worker.total}"
    return "importing torch, reading the data" if not worker.note else ""


def between(state: StudyStatus) -> str:
    """What goes on while no worker has anything to say; empty if one has."""
    if state.live:
        return ""
    done, total = settled(state)
    return "collecting the results" if done >= total else "starting workers"


def ending(run: RunStatus) -> str:
    """How a run ended, in one line."""
    if run.state == "failed":
        return f"failed  {run.label}: {run.reason} ({run.log})"
    if run.state == "reused":
        return f"reused  {run.label}: another study has computed it"
    return f"done    {run.label} in {duration(run.seconds)}"


class Changes:
    """Which runs started or ended since it was last asked."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, int]] | None = None

    def since(self, state: StudyStatus) -> list[tuple[RunStatus, bool]]:
        """Runs that started (False) or ended (True); the first call only takes note."""
        seen = {run.key: (run.state, run.attempt) for run in state.runs}
        known, self._known = self._known, seen
        if known is None:
            return []
        changes: list[tuple[RunStatus, bool]] = []
        for run in state.runs:
            if known.get(run.key) != seen[run.key]:
                if run.state == "running":
                    changes.append((run, False))
                elif run.state in _SETTLED:
                    changes.append((run, True))
        return changes


class PlainView:
    """One line per start and end of a run, and a summary every ten seconds."""

    def __init__(self, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._write = write
        self._clock = clock
        self._changes = Changes()
        self._last: float | None = None
        self._judged = 0

    def update(self, state: StudyStatus) -> None:
        """See :class:`View`."""
        done, total = settled(state)
        if not state.runs and done > self._judged:  # a search has no list of runs to tell apart
            self._judged, self._last = done, None
        for run, ended in self._changes.since(state):
            what = ending(run) if ended else f"started {run.label}"
            self._write(f"[{done}/{total}] {what}")
        if self._last is None or self._clock() - self._last >= PLAIN_EVERY:
            self._last = self._clock()
            at_work = "; ".join(worker_line(worker) for worker in state.live)
            self._write(f"{summary(state)}{f' | {at_work}' if at_work else ''}")

    def say(self, line: str) -> None:
        """See :class:`View`."""
        self._write(line)

    def close(self) -> None:
        """See :class:`View`."""


class JsonView:
    """One JSON object per line: ``event`` is ``started``, ``ended``, ``note`` or ``progress``."""

    def __init__(self, write: Callable[[str], object], clock: Callable[[], float] = time.monotonic) -> None:
        self._write = write
        self._clock = clock
        self._changes = Changes()
        self._last: float | None = None

    def update(self, state: StudyStatus) -> None:
        """See :class:`View`."""
        for run, ended in self._changes.since(state):
            fields = {name: getattr(run, name) for name in ("key", "variant", "seed", "category", "state")}
            self.emit("ended" if ended else "started", {**fields, "reason": run.reason})
        if self._last is None or self._clock() - self._last >= PLAIN_EVERY:
            self._last = self._clock()
            done, total = settled(state)
            self.emit("progress", {"done": done, "total": total, "counts": state.counts, "eta": state.eta})

    def say(self, line: str) -> None:
        """See :class:`View`."""
        self.emit("note", {"text": line})

    def close(self) -> None:
        """See :class:`View`."""

    def emit(self, event: str, fields: Mapping[str, object]) -> None:
        """Write one object."""
        self._write(json_text({"event": event, "time": round(time.time(), 3), **fields}) + "\n")


class LiveView:
    """A bar over all runs and a line per worker, redrawn in place; endings scroll by above."""

    def __init__(self, console: Console, below: Below | None = None) -> None:
        self._changes = Changes()
        self._state: StudyStatus | None = None
        self._below, self._lines = below, Group()
        self._spinner = Spinner("dots", Text(PREPARING), style="cyan")
        # Drawn anew at every refresh: what is between two states still turns.
        self._live = Live(
            console=console, refresh_per_second=4, transient=True, get_renderable=self._rendered
        )
        self._live.start()

    def update(self, state: StudyStatus) -> None:
        """See :class:`View`."""
        for run, ended in self._changes.since(state):
            if ended:
                self.say(ending(run))
        self._state = state
        if self._below is not None:
            self._lines = Group(*self._below(settled(state)[0]))

    def say(self, line: str) -> None:
        """See :class:`View`."""
        _print(self._live.console, line)

    def close(self) -> None:
        """See :class:`View`."""
        self._live.stop()

    def _rendered(self) -> RenderableType:
        if self._state is None:
            return self._spinner
        if waiting := between(self._state):
            self._spinner.update(text=Text(waiting))
            return Group(render(self._state), self._lines, self._spinner)
        return Group(render(self._state), self._lines)


def render(state: StudyStatus) -> RenderableType:
    """The live display of one state."""
    done, total = settled(state)
    table = Table.grid(padding=(0, 1))
    table.add_row(
        Text(state.study, style="bold"), ProgressBar(total=max(total, 1), completed=done, width=30),
        Text(summary(state)),
    )  # fmt: skip
    workers = Table.grid(padding=(0, 1))
    for worker in state.live:
        workers.add_row(
            Text(f"  {worker.slot or '·'}"),
            Text(worker.label),
            ProgressBar(total=max(worker.total, 1), completed=worker.done, width=20),
            Text(worker_steps(worker)),
            Text(worker.note, style="dim"),
            Text(duration(worker.seconds), style="dim"),
        )
    return Group(table, workers)
