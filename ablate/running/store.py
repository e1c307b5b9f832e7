"""A study's folder as others see it: results as one tidy frame, the state of its runs, its litter.

Everything here reads committed folders, the journal and the workers' live files; it may be called at
any time, from any process, also while the study is running. Only :func:`clean` deletes, and only
what no living process owns.
"""

from __future__ import annotations

import contextlib
import csv
import json
import shutil
import statistics
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optuna.trial import FrozenTrial, TrialState

from ablate.running.folder import (
    StoredPlan,
    Workspace,
    load_plan,
    read_json,
    storage_errors,
    write_text,
)
from ablate.running.ledger import Ledger, run_label
from ablate.running.locks import KernelLock, is_held, locked
from ablate.running.scores import Score, read_scores
from ablate.study.plan import PlanRow, Run
from model.errors import StorageError

if TYPE_CHECKING:
    import pandas as pd

FRAME_TAIL = ("seed", "category", "split", "stratum", "metric", "value", "key")
"""Columns of the frame after study, variant and the factors."""


# --- results ------------------------------------------------------------------------------------


class FrameWriter:
    """Keeps ``runs.csv`` in step with ``runs/``; reads each committed folder once."""

    def __init__(self, workspace: Workspace, plan: StoredPlan) -> None:
        self.workspace = workspace
        self.plan = plan
        self._scores: dict[str, list[Score]] = {}

    def frame(self) -> pd.DataFrame:
        """The tidy long frame: one row per cell, category, split, stratum and metric.

        Columns study, variant, <factors>, seed, category, split, stratum, metric, value, key, in the
        order of the plan. Cells that share a key each get their rows.
        """
        import pandas as pd

        factors = self.plan.factors
        rows = [
            (
                *(self.plan.study, row.variant, *(row.factors.get(name) for name in factors), row.seed),
                *(score.category, score.split, score.stratum, score.metric, score.value, row.key),
            )
            for row in self.plan.rows
            for score in self._read(row)
        ]
        return pd.DataFrame(rows, columns=["study", "variant", *factors, *FRAME_TAIL])

    def write(self) -> None:
        """Replace ``runs.csv`` in one step. Raises StorageError if the disk refuses."""
        # Under a lock, so that of two supervisors the one that has read more writes last.
        with locked(self.workspace.frame.with_name(".runs.csv.lock")):
            write_text(self.workspace.frame, self.frame().to_csv(index=False))

    def _read(self, row: PlanRow) -> list[Score]:
        if row.key not in self._scores:
            if not self.workspace.committed(row.key):
                return []
            with storage_errors(self.workspace.run_dir(row.key)):
                self._scores[row.key] = list(read_scores(self.workspace.run_dir(row.key) / "metrics.csv"))
        return self._scores[row.key]


def collect(study_dir: Path, plan: StoredPlan | None = None) -> pd.DataFrame:
    """The tidy frame of a study's committed runs (see :meth:`FrameWriter.frame`), freshly read.

    Raises :class:`StorageError` if the study is missing or unreadable.
    """
    workspace = Workspace(study_dir)
    return FrameWriter(workspace, plan or load_plan(workspace)).frame()


def refresh_frame(study_dir: Path) -> None:
    """Bring ``runs.csv`` up to date with ``runs/``, if it lacks a run or is damaged.

    A supervisor that was killed may have left it behind. Nothing is done where the folders cannot
    replace it: without a usable plan, in a published study without ``runs/``, on a read-only disk.
    """
    workspace = Workspace(study_dir)
    try:
        plan = load_plan(workspace)
        committed = {row.key for row in plan.rows if workspace.committed(row.key)}
        with contextlib.suppress(FileNotFoundError, UnicodeDecodeError, csv.Error):
            with workspace.frame.open(encoding="utf-8", newline="") as stream:
                known = {row.get("key") for row in csv.DictReader(stream)}
            if None not in known and not (known < committed):
                return
        if committed:
            FrameWriter(workspace, plan).write()
    except (StorageError, OSError):
        return


# --- timings ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Timing:
    """What a committed run took."""

    encoder: str
    image: tuple[int, int]
    """Height and width of the network's input, pixels."""
    device: str
    iterations: int
    seconds: float


class Timings:
    """Durations of the committed runs under a results root, to estimate those to come."""

    def __init__(self, timings: Iterable[Timing]) -> None:
        self._timings = tuple(timings)

    @classmethod
    def read(cls, root: Path) -> Timings:
        """From all studies under ``root``; folders that do not say are passed over."""
        found = (_timing(path) for path in sorted(root.glob("*/runs/*/provenance.json")))
        return cls(timing for timing in found if timing is not None)

    def estimate(self, run: Run, *, device: str | None = None) -> float | None:
        """Seconds that ``run`` will take: median of like runs, else scaled by iterations, else None.

        Like: same encoder and input size, and same device if one is named and known.
        """
        iterations = run.config.train.iterations
        like = [t for t in self._timings if (t.encoder, t.image) == _likeness(run)]
        like = [t for t in like if t.device == device] or like
        exact = [t.seconds for t in like if t.iterations == iterations]
        if exact:
            return statistics.median(exact)
        rates = [t.seconds / t.iterations for t in like if t.iterations]
        return statistics.median(rates) * iterations if rates else None


def _likeness(run: Run) -> tuple[str, tuple[int, int]]:
    return run.config.encoder.name, (run.config.image.crop[0], run.config.image.crop[1])


def _timing(provenance: Path) -> Timing | None:
    values = read_json(provenance) or {}
    try:
        config = values["config"]
        crop = config["image"]["crop"]
        return Timing(
            encoder=str(config["encoder"]["name"]),
            image=(int(crop[0]), int(crop[1])),
            device=str(values["hardware"]["device"]),
            iterations=int(config["train"]["iterations"]),
            seconds=float(values["timings"]["total"]),
        )
    except (KeyError, TypeError, ValueError, IndexError):
        return None


# --- state --------------------------------------------------------------------------------------


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


@dataclass(frozen=True)
class Searched:
    """Where a search stands."""

    trials: int
    """Configurations asked for."""
    done: int
    failed: int
    running: int
    best: float | None
    """Objective of the best one so far."""
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
    """Seconds since the oldest of them began; None if none is at work."""
    eta: float | None
    """Seconds to go, from the runs done so far; None if nothing is known."""
    search: Searched | None = None
    """Of a search only."""

    @property
    def searched(self) -> Mapping[str, Any] | None:
        """``search`` as plain data."""
        return None if self.search is None else asdict(self.search)

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

    @property
    def last_error(self) -> str:
        """Label and reason of a failed run, empty if none failed."""
        return next((f"{run.label}: {run.reason}" for run in reversed(self.failed)), "")

    def as_dict(self) -> dict[str, Any]:
        """Plain data for ``status --json``."""
        return {**asdict(self), "counts": self.counts, "last_error": self.last_error}


def status(study_dir: Path) -> StudyStatus:
    """The state of a study, also of one that another process is running.

    Raises :class:`StorageError` if the study is missing or its journal unreadable.
    """
    workspace = Workspace(study_dir)
    plan = load_plan(workspace)
    if not workspace.journal.exists():  # a published folder, perhaps read-only
        return read_status(workspace, plan, None)
    ledger = Ledger(workspace, plan.study)
    search = None
    if plan.search:
        search = read_searched(Ledger(workspace, search_name(plan.study), storage=ledger.storage), 1)
    return read_status(workspace, plan, ledger, search=search)


def read_status(
    workspace: Workspace, plan: StoredPlan, ledger: Ledger | None, *, search: Searched | None = None
) -> StudyStatus:
    """:func:`status` with the study open already (a supervisor asks several times a second)."""
    latest = ledger.latest() if ledger else {}
    sessions = live_sessions(workspace)
    workers = sum(int(session["workers"]) for session in sessions)
    heard = [state for session in sessions for state in _worker_files(workspace, session["id"])]
    by_key = {state["key"]: state for state in heard if state.get("key")}
    runs = tuple(_run_status(workspace, run, latest.get(run.key), by_key.get(run.key)) for run in plan.runs)
    started = min((float(session["started"]) for session in sessions), default=None)
    return StudyStatus(
        study=plan.study,
        cells=len(plan.rows),
        runs=runs,
        live=tuple(_live_worker(state) for state in heard if state.get("label")),
        sessions=tuple(int(session["pid"]) for session in sessions),
        workers=workers,
        elapsed=None if started is None else time.time() - started,
        eta=_eta(runs, workers) if runs or search is None else search.eta,
        search=search,
    )


def search_name(study: str) -> str:
    """Name of the Optuna study whose trials are a search's configurations."""
    return f"{study}/search"


def read_searched(ledger: Ledger, workers: int) -> Searched:
    """Where a search stands; ``ledger`` is that of :func:`search_name`."""
    trials = [trial for trial in ledger.trials() if not trial.user_attrs.get("void")]
    states = Counter(trial.state for trial in trials)
    done = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    spans = [t.duration.total_seconds() for t in done if t.duration is not None]
    asked = int(ledger.study.user_attrs.get("trials", 0))
    finished = sum(trial.state.is_finished() for trial in trials)
    return Searched(
        trials=asked,
        done=states[TrialState.COMPLETE] + states[TrialState.PRUNED],
        failed=states[TrialState.FAIL],
        running=states[TrialState.RUNNING],
        best=max((float(trial.value) for trial in done if trial.value is not None), default=None),
        eta=statistics.mean(spans) * max(asked - finished, 0) / max(workers, 1) if spans else None,
    )


def live_sessions(workspace: Workspace) -> list[dict[str, Any]]:
    """The session files of the supervisors that are alive."""
    suffix = ".session.json"
    alive = [
        path
        for path in sorted(workspace.workers.glob(f"*{suffix}"))
        if is_held(workspace.session_lock(path.name.removesuffix(suffix)))
    ]
    return [session for path in alive if (session := read_json(path))]


def _worker_files(workspace: Workspace, session: str) -> list[dict[str, Any]]:
    """What the workers of a session last said, by slot (their supervisor removes the dead ones')."""
    states = [read_json(path) for path in sorted(workspace.workers.glob(f"{session}-*.worker.json"))]
    return sorted((state for state in states if state), key=lambda state: int(state["slot"]))


def _live_worker(state: Mapping[str, Any]) -> LiveWorker:
    return LiveWorker(
        slot=int(state["slot"]),
        pid=int(state["pid"]),
        label=str(state["label"]),
        seconds=_since(state),
        done=int(state.get("done", 0)),
        total=int(state.get("total", 0)),
        note=str(state.get("note", "")),
    )


def _since(state: Mapping[str, Any]) -> float | None:
    """Seconds a worker's run has taken so far, earlier attempts included."""
    started = state.get("started")
    if started is None:
        return None
    return max(time.time() - float(started), 0.0) + float(state.get("before", 0.0))


def _run_status(
    workspace: Workspace, run: Run, trial: FrozenTrial | None, heard: Mapping[str, Any] | None
) -> RunStatus:
    attrs: Mapping[str, Any] = trial.user_attrs if trial else {}
    state = _state(workspace, run, trial)
    if state != "running" or heard is None or heard.get("worker") != attrs.get("worker"):
        heard = {}
    seconds = {
        "running": _since(heard),
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


def _eta(runs: Iterable[RunStatus], workers: int) -> float | None:
    """Seconds to go: a run takes what runs took so far; one under way, what its progress says."""
    runs = list(runs)
    known = [run.seconds for run in runs if run.state == "done" and run.seconds is not None]
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


# --- litter -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Litter:
    """Something that may be deleted, and why."""

    path: Path
    why: str
    size: int
    """Bytes."""


def clean(study_dir: Path, dry: bool = True, *, interrupted: bool = False) -> list[Litter]:
    """What dead or finished work left behind; deletes it unless ``dry``. Never touches a live run.

    Attempts that can be continued are kept unless ``interrupted`` asks for them too. Each attempt is
    judged and deleted under its key's lock, so that nobody can take it up meanwhile.
    Raises :class:`StorageError` if the study is missing or something cannot be deleted.
    """
    workspace = Workspace(study_dir)
    plan = load_plan(workspace)
    wanted = {run.key for run in plan.runs}
    litter: list[Litter] = []
    for path in sorted(workspace.attempts.glob("*")):
        key = path.name.removesuffix(".reuse")
        lock = KernelLock(workspace.key_lock(key))
        if not lock.try_acquire():
            continue
        with lock:
            why = _attempt_litter(workspace, path, key, wanted, interrupted)
            if why:
                litter.append(_dispose(path, why, dry))
    litter += _session_litter(workspace, dry)
    for path in sorted(workspace.logs.glob("*.log")):
        if path.stem not in wanted and not path.name.startswith("worker-"):
            lock = KernelLock(workspace.key_lock(path.stem))
            if lock.try_acquire():
                with lock:
                    litter.append(_dispose(path, "log of a run that is not in the plan", dry))
    return litter


def _attempt_litter(
    workspace: Workspace, path: Path, key: str, wanted: set[str], interrupted: bool
) -> str | None:
    """Why an attempt folder that nobody owns may go; None if it should stay."""
    if path.name != key:
        return "unfinished copy of another study's run"
    if workspace.committed(key):
        return "the run is finished"
    if key not in wanted:
        return "the run is not in the plan"
    return "interrupted attempt" if interrupted else None


def _session_litter(workspace: Workspace, dry: bool) -> list[Litter]:
    """Live files of supervisors and workers that are gone."""
    litter = []
    for path in sorted(workspace.workers.glob("*.lock")):
        lock = KernelLock(path)
        if not lock.try_acquire():
            continue
        with lock:
            files = sorted(workspace.workers.glob(f"{path.stem}[.-]*"))
            litter += [_dispose(file, "its supervisor is gone", dry) for file in files]
    return litter


def _dispose(path: Path, why: str, dry: bool) -> Litter:
    files = [path] if path.is_file() else [f for f in path.rglob("*") if f.is_file()]
    item = Litter(path, why, sum(file.stat().st_size for file in files))
    if not dry:
        with storage_errors(path):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    return item


def dump_status(state: StudyStatus) -> str:
    """``status --json``: one JSON object."""
    return json.dumps(state.as_dict())
