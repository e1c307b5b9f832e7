"""``ablate logs``: which runs are meant, and what a run prints, as it prints it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from ablate.running.status import RunStatus, StudyStatus, status
from model.errors import ConfigError
from model.suggest import suggestion

LIVE = ("running", "waiting", "interrupted")
"""States of a run that may still print something, while somebody works on the study."""


def chosen_runs(state: StudyStatus, name: str | None) -> tuple[RunStatus, ...]:
    """The runs that ``name`` (start of a key, or a variant) means; None: all.

    Raises :class:`ConfigError` if it means none.
    """
    if name is None:
        return state.runs
    chosen = tuple(run for run in state.runs if run.variant == name or run.key.startswith(name))
    if not chosen:
        variants = dict.fromkeys(run.variant for run in state.runs)
        raise ConfigError(f"no run is called '{name}' in {state.study}", hint=suggestion(name, variants))
    return chosen


def follow_log(
    study_dir: Path,
    name: str | None,
    lines: int,
    *,
    print_at_once: Callable[[str], None],
    every: float = 0.5,
) -> None:
    """Print the end of a run's log, then what is added, until the run has ended or nobody works on it.

    Parameters
    ----------
    name: start of a key, or a variant, of which the run that is computed is followed; None: of all.
    lines: of what is there already, print so many.
    every: seconds between looks.

    Raises
    ------
    ConfigError: no run is called so, or there are none yet.
    """
    run = _followed(status(study_dir), name)
    print_at_once(f"{run.label} {run.log}\n")
    position = _print_end(Path(run.log), lines, print_at_once)
    while True:
        state = status(study_dir)
        now = next(found for found in state.runs if found.key == run.key)
        position = _print_from(Path(now.log), position, print_at_once)
        if now.state not in LIVE or not state.sessions:
            # What was written between the two looks.
            _print_from(Path(now.log), position, print_at_once)
            print_at_once(f"{now.state}\n")
            return
        time.sleep(every)


def _followed(state: StudyStatus, name: str | None) -> RunStatus:
    found = chosen_runs(state, name)
    if not found:
        raise ConfigError(f"{state.study} has no runs yet", hint=f"see: ablate status {state.study}")
    order = {"running": 0, "interrupted": 1, "waiting": 2}
    return min(found, key=lambda run: order.get(run.state, 3))


def _print_end(path: Path, lines: int, print_at_once: Callable[[str], None]) -> int:
    if not path.is_file():
        return 0
    content = path.read_bytes()
    end = b"".join(content.splitlines(keepends=True)[-lines:])
    print_at_once(end.decode("utf-8", "replace"))
    return len(content)


def _print_from(path: Path, position: int, print_at_once: Callable[[str], None]) -> int:
    """Print what lies behind ``position``; a log that was begun anew is printed from its start."""
    if not path.is_file():
        return 0
    if path.stat().st_size < position:
        position = 0
    with path.open("rb") as stream:
        stream.seek(position)
        new = stream.read()
    # A character may be half written: its rest comes with the next look.
    whole = new[: new.rfind(b"\n") + 1]
    if whole:
        print_at_once(whole.decode("utf-8", "replace"))
    return position + len(whole)
