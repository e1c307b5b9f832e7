"""Where a study stands, as any process can see it at any time, also while it is running.

Reads committed folders, the journal and the workers' live files; writes nothing.
"""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState
from pydantic import ConfigDict, computed_field

from ablate.running.attempt import run_label
from ablate.running.folder import Workspace
from ablate.running.journal import Journal, Trials
from ablate.running.judged import best_trial
from ablate.running.ledger import Ledger
from ablate.running.locks import is_held
from ablate.running.recorded import StoredPlan, load_plan
from ablate.running.session import live_sessions
from ablate.study.plan import Run
from model.files import read_json


@dataclass(frozen=True)
class RunStatus:
    """Where one run stands."""

    key: str
    variant: str
    seed: int
    category: str | None
    state: str
    """``done``, ``reused``, ``running``, ``waiting``, ``interrupted`` (waiting, has a checkpoint to
    continue from), ``failed``, ``lost`` (its worker died; the next ``run`` or ``resume`` continues)."""
    attempt: int = 1
    reason: str = ""
    seconds: float | None = None
    """Taken so far, or in all."""
    worker: str = ""
    done: int = 0
    total: int = 0
    """Progress in the executor's steps."""
    note: str = ""
    log: str = ""
    kind: str = ""
    """Of a failure: see :data:`~ablate.running.attempt.Kind`."""

    @property
    def label(self) -> str:
        """As people call it."""
        return run_label(self.variant, self.seed, self.category)


@dataclass(frozen=True)
class LiveWorker:
    """What a living worker is at."""

    slot: int
    """0 prepares, the others compute."""
    pid: int
    label: str
    seconds: float | None
    done: int
    total: int
    note: str
    host: str = ""
    """The machine, where there may be several."""
    job: str = ""
    """Of a scheduler."""


@dataclass(frozen=True)
class Searched:
    """Where a search stands."""

    trials: int
    """Configurations asked for."""
    done: int
    failed: int
    running: int
    best: float | None
    """First objective of the best one so far."""
    eta: float | None
    """Seconds to go; None before the first one is done."""


@dataclass(frozen=True)
class StudyStatus:
    """Where a study stands."""

    study: str
    cells: int
    """Cells of its tables; several may share a run."""
    runs: tuple[RunStatus, ...]
    live: tuple[LiveWorker, ...]
    sessions: tuple[int, ...]
    """Process ids of the supervisors at work."""
    workers: int
    """Workers at work."""
    elapsed: float | None
    """Seconds since the oldest of them began, if any is at work."""
    eta: float | None
    """Seconds to go, from the runs done so far, if anything is known."""
    search: Searched | None = None
    """Of a search only."""

    # ``ablate status --json`` prints this record as it is: fields may be added, never renamed.
    __pydantic_config__ = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    @property
    def searched(self) -> Mapping[str, Any] | None:
        """``search`` as plain data."""
        return None if self.search is None else asdict(self.search)

    @computed_field  # type: ignore[prop-decorator]
    @cached_property
    def counts(self) -> dict[str, int]:
        """Number of runs per state."""
        return dict(Counter(run.state for run in self.runs))

    @property
    def finished(self) -> int:
        """Runs with results."""
        return self.counts.get("done", 0) + self.counts.get("reused", 0)

    @property
    def failed(self) -> tuple[RunStatus, ...]:
        """Runs that failed for good."""
        return tuple(run for run in self.runs if run.state == "failed")

    @computed_field  # type: ignore[prop-decorator]
    @property
    def last_error(self) -> str:
        """Label and reason of a failed run, empty if none failed."""
        return next((f"{run.label}: {run.reason}" for run in reversed(self.failed)), "")


Known = dict[str, tuple[FrozenTrial | None, RunStatus]]
"""Key -> the trial that was seen, and where its run stood."""


def status(study_dir: Path) -> StudyStatus:
    """The state of a study, also of one that another process is running.

    Raises :class:`StorageError` if the study is missing or its journal unreadable.
    """
    workspace = Workspace(study_dir)
    plan = load_plan(workspace)
    if not workspace.journal.exists():  # a published folder, perhaps read-only
        return read_status(workspace, plan, None)
    journal = Journal(workspace)
    search = read_searched(open_configurations(journal, plan.study), 1) if plan.search else None
    return read_status(workspace, plan, Ledger(journal, plan.study), search=search)


def read_status(
    workspace: Workspace,
    plan: StoredPlan,
    ledger: Ledger | None,
    *,
    search: Searched | None = None,
    known: Known | None = None,
) -> StudyStatus:
    """:func:`status` with the study open already (a supervisor asks several times a second).

    ``known``: what an earlier call has found; runs whose trial is the same object are not looked at again.
    """
    latest = ledger.latest() if ledger else {}
    sessions = live_sessions(workspace)
    workers = sum(session.options.workers for session in sessions)
    heard = [state for session in sessions for state in _worker_files(workspace, session.id)]
    by_key = {state["key"]: state for state in heard if state.get("key")}
    runs = tuple(
        _run_status(workspace, run, latest.get(run.key), by_key.get(run.key), known) for run in plan.runs
    )
    started = min((session.started for session in sessions), default=None)
    return StudyStatus(
        study=plan.study,
        cells=len(plan.rows),
        runs=runs,
        live=tuple(live_worker(state) for state in heard if state.get("label")),
        sessions=tuple(session.pid for session in sessions),
        workers=workers,
        elapsed=None if started is None else time.time() - started,
        eta=time_left(runs, workers) if runs or search is None else search.eta,
        search=search,
    )


def open_configurations(journal: Journal, study: str, *, objectives: int = 1) -> Trials:
    """The Optuna study whose trials are a search's configurations."""
    return Trials(journal, f"{study}/search", objectives=objectives)


def proposed(configurations: Trials) -> list[FrozenTrial]:
    """Its trials, without those whose worker died while proposing them."""
    return [trial for trial in configurations.all() if not trial.user_attrs.get("void")]


def read_searched(configurations: Trials, workers: int) -> Searched:
    """Where a search with so many workers stands."""
    trials = proposed(configurations)
    states = Counter(trial.state for trial in trials)
    done = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    spans = [t.duration.total_seconds() for t in done if t.duration is not None]
    best = best_trial(configurations)
    asked = int(configurations.attributes.get("trials", 0))
    finished = sum(trial.state.is_finished() for trial in trials)
    return Searched(
        trials=asked,
        done=states[TrialState.COMPLETE] + states[TrialState.PRUNED],
        failed=states[TrialState.FAIL],
        running=states[TrialState.RUNNING],
        best=best.values[0] if best else None,
        eta=statistics.mean(spans) * max(asked - finished, 0) / max(workers, 1) if spans else None,
    )


def _worker_files(workspace: Workspace, session: str) -> list[dict[str, Any]]:
    """What the workers of a session last said, by slot (their supervisor removes the dead ones')."""
    states = [read_json(path) for path in sorted(workspace.workers.glob(f"{session}-*.worker.json"))]
    return sorted((state for state in states if state), key=lambda state: int(state["slot"]))


def live_worker(state: Mapping[str, Any], *, host: str = "", job: str = "") -> LiveWorker:
    return LiveWorker(
        slot=int(state["slot"]),
        pid=int(state["pid"]),
        label=str(state.get("label", "")),
        seconds=since(state),
        done=int(state.get("done", 0)),
        total=int(state.get("total", 0)),
        note=str(state.get("note", "")),
        host=host or str(state.get("host", "")),
        job=job or str(state.get("job", "")),
    )


def since(state: Mapping[str, Any]) -> float | None:
    """Seconds a worker's run has taken so far, earlier attempts included."""
    started = state.get("started")
    if started is None:
        return None
    return max(time.time() - float(started), 0.0) + float(state.get("before", 0.0))


def _run_status(
    workspace: Workspace,
    run: Run,
    trial: FrozenTrial | None,
    heard: Mapping[str, Any] | None,
    known: Known | None,
) -> RunStatus:
    settled = trial is not None and trial.state != TrialState.RUNNING
    if known is not None and settled:
        before = known.get(run.key)
        if before is None or before[0] is not trial:
            before = known[run.key] = (trial, _look(workspace, run, trial, heard))
        return before[1]
    return _look(workspace, run, trial, heard)


def _look(
    workspace: Workspace, run: Run, trial: FrozenTrial | None, heard: Mapping[str, Any] | None
) -> RunStatus:
    attrs: Mapping[str, Any] = trial.user_attrs if trial else {}
    state = _state(workspace, run, trial)
    if state != "running" or heard is None or heard.get("worker") != attrs.get("worker"):
        heard = {}
    seconds = {
        "running": since(heard),
        "done": attrs.get("timings", {}).get("total"),
        "failed": attrs.get("seconds"),
    }.get(state)
    return RunStatus(
        key=run.key,
        variant=run.variant,
        seed=run.seed,
        category=run.category,
        state=state,
        attempt=int(attrs.get("attempt", 1)),
        reason=str(attrs.get("reason", "")) if state in ("failed", "lost") else "",
        kind=str(attrs.get("kind", "")) if state == "failed" else "",
        seconds=seconds,
        worker=str(attrs.get("worker", "")) if state == "running" else "",
        done=int(heard.get("done", 0)),
        total=int(heard.get("total", 0)),
        note=str(heard.get("note", "")),
        log=str(workspace.log(run.key)),
    )


def _state(workspace: Workspace, run: Run, trial: FrozenTrial | None) -> str:
    if trial is not None and trial.state == TrialState.RUNNING:
        return "running" if is_held(workspace.key_lock(run.key)) else "lost"
    if workspace.committed(run.key):
        return "reused" if trial is not None and "reused_from" in trial.user_attrs else "done"
    if trial is not None and trial.state == TrialState.FAIL:
        return {"withdrawn": "waiting", "lost": "lost"}.get(str(trial.user_attrs.get("kind")), "failed")
    return "interrupted" if workspace.attempt_dir(run.key).exists() else "waiting"


def time_left(runs: Iterable[RunStatus], workers: int) -> float | None:
    """Seconds to go: a run takes what runs took so far; one under way, what its progress says.

    Before the first has finished, the others are expected to take what those under way will.
    """
    runs = list(runs)
    known = [run.seconds for run in runs if run.state == "done" and run.seconds is not None]
    known = known or [
        run.seconds * run.total / run.done
        for run in runs
        if run.state == "running" and run.done and run.seconds is not None
    ]
    typical = statistics.mean(known) if known else None
    total = 0.0
    for run in runs:
        if run.state in ("done", "reused", "failed"):
            continue
        if run.state == "running" and run.done and run.seconds is not None:
            total += run.seconds * (run.total - run.done) / run.done
        elif typical is not None:
            total += max(typical - (run.seconds or 0.0), 0.0)
        else:
            return None
    return total / max(workers, 1)
