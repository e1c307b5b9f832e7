"""Search: Optuna proposes configurations, runs judge them, the winner is tabulated on fresh seeds.

A *trial* of the Optuna study ``<study>/search`` is a configuration. Its runs (the search's seeds, and
categories where models are trained per category) are ordinary runs, claimed and committed like any
other through the ledger ``<study>/search/runs``: repeated and resumed configurations cost nothing.

Invariants, beyond those of :mod:`ablate.running.ledger`:

- A configuration is proposed inside the study's critical section, by a sampler seeded with the
  search's seed and the trial's number, so that what is proposed depends on what is known and on
  nothing else; running trials count as bad ones (constant liar), so that workers spread out.
- A trial is held by one worker, by a kernel lock of its own. RUNNING with a free lock means that its
  owner is gone, and the next worker goes on with the same parameters; its finished runs are kept.
- The first trial is the baseline itself, where its values lie within the space: the winner is never
  worse than the baseline on what selects.
- Runs are judged on the *selection* split. A study without one selects on what it reports; this is
  stored with the plan, and every table has to say so.
- The winner and the baseline are then run with seeds that the search has not used.

Wilcoxon pruning pairs a trial's runs with the best trial's. A one-sided signed-rank test over n pairs
cannot give a p-value below 2^-n, and looking after every run makes a loose threshold prune equals; at
the threshold of 0.02 used here, nothing can be pruned before the sixth run. A search with fewer runs
per trial that asks for it is refused.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
import statistics
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner, NopPruner, WilcoxonPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, Trial, TrialState
from pydantic import TypeAdapter

from ablate.running.folder import (
    Workspace,
    digest_of,
    encode_parts,
    load_plan,
    read_json,
    write_plan,
    write_text,
)
from ablate.running.ledger import Attempt, Ledger, Nothing, quiet_optuna
from ablate.running.locks import KernelLock
from ablate.running.progress import PlainView, View
from ablate.running.scores import summarise
from ablate.running.session import Exit, RunOptions, Session, new_session, write_session
from ablate.running.store import StudyStatus, read_searched, read_status, search_name
from ablate.running.supervisor import Result, Supervisor, announced, conclude, print_error, supervise
from ablate.running.worker import IDLE_POLL, Executor, Worker, load_function, one_line
from ablate.study import settings as fields
from ablate.study.plan import Plan, Run, Sources, make_plan
from ablate.study.spec import (
    Choices,
    Invocation,
    KeepConfig,
    Range,
    ReportConfig,
    Row,
    SearchConfig,
    StudySpec,
)
from ablate.study.text import label
from model.config import ModelConfig, dump_config
from model.data.config import DataConfig
from model.errors import ConfigError, StorageError

PRUNE_RUNS = 6
"""Runs per trial from which Wilcoxon pruning can ever act."""
PRUNE_P = 0.02
"""Its threshold: above 2^-6, low enough for repeated looks."""
BEST = "best"
"""Name of the winner's row."""

_SCHEMA = 1
_DATA: TypeAdapter[DataConfig] = TypeAdapter(DataConfig)
_REPORT: TypeAdapter[ReportConfig] = TypeAdapter(ReportConfig)
_KEEP: TypeAdapter[KeepConfig] = TypeAdapter(KeepConfig)
_DIMENSIONS: Mapping[str, Callable[..., Range | Choices]] = {"range": Range, "choices": Choices}


@dataclass(frozen=True)
class Definition:
    """What a search looks for: the part of its study file that workers need."""

    spec: StudySpec
    """Without its text, its claims and what it was made from."""
    rows: tuple[Row, ...]
    """Rows of the final table besides the winner's; the baseline is among them."""
    search: SearchConfig

    @property
    def baseline(self) -> Row:
        """The configuration that the search departs from, and that the winner is compared with."""
        return next(row for row in self.rows if row.variant == self.spec.report.baseline)

    @property
    def selected_on_reported(self) -> bool:
        """Whether it selects on the images that its tables report."""
        return self.spec.data.selection == "none"


def run_search(
    spec: StudySpec, root: Path, options: RunOptions | None = None, *, view: View | None = None
) -> Result:
    """Search as ``spec.search`` says, then run winner and baseline with fresh seeds.

    Interrupted, it continues where it was; asked for more trials than before, it goes on from those
    it has. Raises as :func:`ablate.running.supervisor.run_study`, and ConfigError for a search that
    cannot work.
    """
    if spec.search is None:
        raise ConfigError("the study has no search", where=str(spec.path))
    rows = spec.rows()
    kept = replace(spec, text="", claims=(), invocation=Invocation(), applied=(), variants={}, factors=None)
    definition = Definition(
        replace(kept, report=replace(spec.report, baseline=spec.baseline)), rows, spec.search
    )
    return _run(
        definition, Workspace(root / spec.study), options or RunOptions(), view, spec_text=spec.text
    )


def resume_search(
    study_dir: Path, options: RunOptions | None = None, *, view: View | None = None
) -> Result:
    """As :func:`run_search`, with the search that the study's folder holds."""
    workspace = Workspace(study_dir)
    return _run(load_definition(workspace), workspace, options or RunOptions(), view, spec_text=None)


def _run(
    definition: Definition,
    workspace: Workspace,
    options: RunOptions,
    view: View | None,
    *,
    spec_text: str | None,
) -> Result:
    quiet_optuna()
    text = dump_definition(definition)
    session = new_session(digest_of(text), options, search=True)
    sources = load_function(options.sources)(session.cache)
    judges = plan_of(definition, [definition.baseline], definition.search.seeds, sources)
    check_pruner(definition.search, len(judges.runs))
    workspace.create()
    check_comparable(definition, judges.runs, open_search(workspace, definition))
    plan_text = _first_plan(workspace, definition, session.digest)
    with (
        announced(workspace, session, text=plan_text, spec_text=spec_text),
        contextlib.closing(view or PlainView(print_error)) as shown,
    ):
        write_text(workspace.search, text)
        state, stopped_by, elapsed = _search(definition, workspace, session, shown)
        best = best_trial(open_search(workspace, definition))
        if stopped_by or best is None or _left(definition, workspace):
            return _unfinished(workspace, state, stopped_by, elapsed, best)
        write_session(workspace, replace(session, search=False))
        rows = final_rows(definition, best)
        plan = plan_of(definition, rows, definition.search.fresh_seeds, sources)
        final_text, stored = encode_parts(
            plan.spec.study,
            plan.spec.report.primary,
            plan.runs,
            plan.rows,
            search=session.digest,
            selected_on_reported=definition.selected_on_reported,
        )
        write_plan(workspace, final_text)
        result = supervise(workspace, stored, replace(session, search=False), shown)
    return replace(result, lines=(describe_best(definition, best), *result.lines))


def _first_plan(workspace: Workspace, definition: Definition, digest: str) -> str | None:
    """A plan without runs, to stand until the winner is known; None if this search has one already."""
    with contextlib.suppress(StorageError):
        if load_plan(workspace).search == digest:
            return None
    spec = definition.spec
    flag = definition.selected_on_reported
    text, _ = encode_parts(
        spec.study, spec.report.primary, (), (), search=digest, selected_on_reported=flag
    )
    return text


def _search(
    definition: Definition, workspace: Workspace, session: Session, view: View
) -> tuple[StudyStatus, int | None, float]:
    """Propose and judge until there are enough trials; returns state, stopping signal and seconds."""
    spec, search = definition.spec, definition.search
    configurations = open_search(workspace, definition)
    configurations.describe(
        trials=search.trials,
        objective=search.objective,
        seeds=list(search.seeds),
        selected_on_reported=definition.selected_on_reported,
    )
    runs = Ledger(workspace, f"{configurations.name}/runs", storage=configurations.storage)
    runs.describe(primary=search.objective)
    main = Ledger(workspace, spec.study, storage=configurations.storage)
    main.describe(primary=spec.report.primary, selected_on_reported=definition.selected_on_reported)
    _, empty = encode_parts(spec.study, spec.report.primary, (), (), search=session.digest)
    left = _left(definition, workspace)
    supervisor = Supervisor(
        workspace,
        session,
        [runs],
        view,
        read=lambda: read_status(
            workspace, empty, main, search=read_searched(configurations, session.options.workers)
        ),
        wanted=min(session.options.workers, left),
        prepare=bool(left),
        committed=lambda: write_text(workspace.search_frame, search_table(configurations, search)),
    )
    state = supervisor.run()
    return state, supervisor.stopped_by, supervisor.elapsed


def _left(definition: Definition, workspace: Workspace) -> int:
    """Trials without an outcome, proposed or not."""
    finished = [t for t in proposed(open_search(workspace, definition).trials()) if t.state.is_finished()]
    return max(definition.search.trials - len(finished), 0)


def _unfinished(
    workspace: Workspace,
    state: StudyStatus,
    stopped_by: int | None,
    elapsed: float,
    best: FrozenTrial | None,
) -> Result:
    """What to say of a search that has not come to its final table."""
    assert state.search is not None
    result = conclude(workspace, state, stopped_by, elapsed)
    found = state.search
    done = f"{found.done} of {found.trials} configurations judged, {found.failed} failed"
    lines = [f"{state.study}: {done}"]
    if stopped_by or found.done + found.failed < found.trials:
        lines.append(f"continue with: ablate resume {workspace.study_dir}")
    elif best is None:
        lines.append(f"no configuration could be judged; see {workspace.search_frame}")
    code = result.exit_code or int(best is None and not stopped_by and bool(found.failed))
    return Result(code, state, tuple(lines))


# --- what is searched --------------------------------------------------------------------------


def dump_definition(definition: Definition) -> str:
    """The text of ``search.json``."""
    spec, search = definition.spec, definition.search
    kinds = {cls: kind for kind, cls in _DIMENSIONS.items()}
    content = {
        "schema": _SCHEMA,
        "study": spec.study,
        "data": _DATA.dump_python(spec.data, mode="json", by_alias=True),
        "base": dict(spec.base),
        "pinned": dict(spec.pinned),
        "report": _REPORT.dump_python(spec.report, mode="json"),
        "keep": _KEEP.dump_python(spec.keep, mode="json"),
        "seeds": list(spec.seeds),
        "rows": [row._asdict() for row in definition.rows],
        "search": {
            **{name: value for name, value in vars(search).items() if name != "space"},
            "space": {path: {"kind": kinds[type(d)], **vars(d)} for path, d in search.space.items()},
        },
    }
    return json.dumps(content, indent=1)


def load_definition(workspace: Workspace) -> Definition:
    """Read ``search.json``. Raises StorageError if it is missing or damaged."""
    content = read_json(workspace.search)
    try:
        if content is None or content["schema"] != _SCHEMA:
            raise ValueError("missing, or of another version")
        given = content["search"]
        space = {path: _load_dimension(values) for path, values in given.pop("space").items()}
        given = {name: tuple(v) if isinstance(v, list) else v for name, v in given.items()}
        search = SearchConfig(space=space, **given)
        spec = StudySpec(
            study=content["study"],
            data=_DATA.validate_json(json.dumps(content["data"]), strict=True),
            preset=None,
            base=content["base"],
            variants={},
            factors=None,
            seeds=tuple(content["seeds"]),
            claims=(),
            report=_REPORT.validate_json(json.dumps(content["report"]), strict=True),
            search=search,
            keep=_KEEP.validate_json(json.dumps(content["keep"]), strict=True),
            path=workspace.spec,
            text="",
            pinned=content["pinned"],
        )
        return Definition(spec, tuple(Row(**row) for row in content["rows"]), search)
    except (KeyError, TypeError, ValueError) as error:
        raise StorageError(
            f"damaged, or written by another version ({one_line(error)})",
            where=str(workspace.search),
            hint="run the study file again: finished runs are kept",
        ) from error


def _load_dimension(values: Mapping[str, Any]) -> Range | Choices:
    plain = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items() if name != "kind"}
    return _DIMENSIONS[values["kind"]](**plain)


def plan_of(definition: Definition, rows: Sequence[Row], seeds: Sequence[int], sources: Sources) -> Plan:
    """The runs of some configurations."""
    return make_plan(definition.spec, cache_dir=Path(), rows=rows, seeds=seeds, sources=sources)


def distribution(dimension: Range | Choices) -> BaseDistribution:
    """A dimension as Optuna knows it."""
    if isinstance(dimension, Choices):
        return CategoricalDistribution([_label(value) for value in dimension.values])
    if dimension.integer:
        step = int(dimension.step or 1)
        return IntDistribution(int(dimension.low), int(dimension.high), log=dimension.log, step=step)
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log, step=dimension.step)


def _label(value: Any) -> str | int | float | bool | None:
    """A choice as Optuna can hold it: lists and schedules by their text."""
    return value if value is None or isinstance(value, (str, int, float, bool)) else json.dumps(value)


def values_of(search: SearchConfig, params: Mapping[str, Any]) -> dict[str, Any]:
    """Optuna's parameters as settings: the inverse of :func:`distribution`'s labels."""
    return {path: _value(dimension, params[path]) for path, dimension in search.space.items()}


def _value(dimension: Range | Choices, param: Any) -> Any:
    if isinstance(dimension, Range):
        return param
    return next(v for v in dimension.values if type(_label(v)) is type(param) and _label(v) == param)


def baseline_params(definition: Definition) -> dict[str, Any] | None:
    """The baseline as a point of the space; None if it lies outside."""
    config = definition.spec.config(definition.baseline.overrides)
    settings = fields.unnest(dump_config(config), ModelConfig)
    inside = {
        path: _label(settings[path])
        for path, dimension in definition.search.space.items()
        if _contains(dimension, settings[path])
    }
    return inside if len(inside) == len(definition.search.space) else None


def _contains(dimension: Range | Choices, value: Any) -> bool:
    if isinstance(dimension, Choices):
        return value in dimension.values
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    if not dimension.low <= value <= dimension.high:
        return False
    steps = (value - dimension.low) / dimension.step if dimension.step else 0.0
    return math.isclose(steps, round(steps), abs_tol=1e-9)


def make_sampler(search: SearchConfig, number: int) -> BaseSampler:
    """The sampler for trial ``number``: its draws depend on the search and that number alone."""
    seed = int(np.random.SeedSequence([search.seeds[0], number]).generate_state(1)[0])
    with _experimental():
        makers = {
            "tpe": lambda: TPESampler(seed=seed, constant_liar=True),
            "random": lambda: RandomSampler(seed),
        }
        return makers[search.sampler]()


def make_pruner(search: SearchConfig) -> BasePruner:
    """The pruner that the search asks for."""
    if search.pruner == "wilcoxon":
        with _experimental():
            return WilcoxonPruner(p_threshold=PRUNE_P, n_startup_steps=PRUNE_RUNS - 1)
    return NopPruner()


@contextlib.contextmanager
def _experimental() -> Iterator[None]:
    """Without Optuna's notes that a feature may change: its version is pinned by provenance."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield


def check_pruner(search: SearchConfig, runs: int) -> None:
    """Refuse Wilcoxon pruning where it could never prune. Raises ConfigError."""
    if search.pruner == "wilcoxon" and runs < PRUNE_RUNS:
        raise ConfigError(
            f"search.pruner: wilcoxon cannot act on {runs} runs per trial: the smallest p-value of the "
            f"test is {0.5**runs:g}, its threshold {PRUNE_P:g}",
            hint=f"use at least {PRUNE_RUNS} seeds x categories, or pruner: none",
        )


def check_comparable(definition: Definition, judges: Sequence[Run], configurations: Ledger) -> None:
    """Refuse to mix trials that were judged by different measures. Raises ConfigError.

    Trials compare if they share space, objective, seeds, data and everything else that the baseline's
    runs have in their keys. More trials, or another sampler, are welcome.
    """
    search = definition.search
    space = json.loads(dump_definition(definition))["search"]["space"]
    measure = [space, search.objective, search.categories, [run.key for run in judges]]
    digest = digest_of(json.dumps(measure, sort_keys=True))
    if configurations.study.user_attrs.get("measure", digest) != digest:
        raise ConfigError(
            "the search's space, objective, seeds, data or base has changed since its first trials",
            where=str(configurations.workspace.study_dir),
            hint="give the study another name: finished runs are reused",
        )
    configurations.describe(measure=digest)


# --- the trials --------------------------------------------------------------------------------


def open_search(workspace: Workspace, definition: Definition) -> Ledger:
    """The Optuna study whose trials are configurations."""
    return Ledger(workspace, search_name(definition.spec.study))


def proposed(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Trials without those whose worker died while proposing them."""
    return [trial for trial in trials if not trial.user_attrs.get("void")]


def best_trial(configurations: Ledger) -> FrozenTrial | None:
    """The trial with the highest objective, the oldest of equals; None if none was judged."""
    done = [t for t in configurations.trials() if t.state == TrialState.COMPLETE and t.value is not None]
    return max(done, key=lambda trial: (trial.value, -trial.number), default=None)


def final_rows(definition: Definition, best: FrozenTrial) -> list[Row]:
    """The study's rows and the winner's."""
    names = {row.variant for row in definition.rows}
    name = BEST if BEST not in names else f"search-{BEST}"
    values = values_of(definition.search, best.params)
    return [*definition.rows, Row(name, {}, {**definition.baseline.overrides, **values})]


def describe_best(definition: Definition, best: FrozenTrial) -> str:
    """The winner in one line."""
    values = values_of(definition.search, best.params)
    found = ", ".join(f"{path} = {label(value)}" for path, value in values.items())
    split = "the reported images (data.selection: none)" if definition.selected_on_reported else "selection"
    score = f"{definition.search.objective} {best.value:.4f} on {split}"
    return f"best of the search: {found} ({score}; the highest of its trials, hence optimistic)"


def search_table(configurations: Ledger, search: SearchConfig) -> str:
    """search.csv: trial, state, objective, seconds, reason and the parameters."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trial", "state", "objective", "seconds", "reason", *search.space])
    for trial in proposed(configurations.trials()):
        seconds = "" if trial.duration is None else round(trial.duration.total_seconds(), 1)
        value = "" if trial.value is None else trial.value
        reason = trial.user_attrs.get("reason", "")
        params = [trial.params.get(path, "") for path in search.space]
        writer.writerow([trial.number, trial.state.name.lower(), value, seconds, reason, *params])
    return text.getvalue()


@dataclass(frozen=True)
class Held:
    """A trial that this worker holds."""

    number: int
    trial_id: int
    params: Mapping[str, Any]
    lock: KernelLock


class Searcher:
    """A worker's part in a search."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.workspace = worker.workspace
        self.definition = load_definition(self.workspace)
        self.search = self.definition.search
        self.configurations = open_search(self.workspace, self.definition)
        self.runs = Ledger(
            self.workspace, f"{self.configurations.name}/runs", storage=self.configurations.storage
        )
        self.sources: Sources = load_function(worker.options.sources)(worker.session.cache)
        self.space = {path: distribution(dimension) for path, dimension in self.search.space.items()}

    def prepare(self) -> Exit:
        """Encode what the baseline reads; a configuration with another encoder does it for itself."""
        return self.worker.prepare(self._plan([self.definition.baseline]))

    def work(self) -> Exit:
        """Hold one trial after another until there are enough."""
        executor = self.worker.executor()
        while not self.worker.stop.raised:
            held = self.hold()
            if isinstance(held, Held):
                with held.lock:
                    ending = self.judge(held, executor)
                if ending is not None:
                    return ending
            elif held is Nothing.BUSY:
                self.worker.stop.wait(IDLE_POLL)
            else:
                return Exit.DONE
        return Exit.STOPPED

    # --- proposing ---------------------------------------------------------------------------

    def hold(self) -> Held | Nothing:
        """A trial whose owner is gone, else a new one, with its lock; or why there is none."""
        with self.configurations.critical():
            trials = proposed(self.configurations.trials())
            running = [trial for trial in trials if trial.state == TrialState.RUNNING]
            for trial in running:
                lock = KernelLock(self.workspace.search_lock(trial.number))
                if lock.try_acquire():
                    if set(trial.params) == set(self.space):
                        return Held(trial.number, trial._trial_id, trial.params, lock)
                    lock.release()
                    self._void(trial)
            begun = [t for t in proposed(self.configurations.trials()) if t.state != TrialState.WAITING]
            if len(begun) < self.search.trials:
                return self._propose()
            return Nothing.BUSY if running else Nothing.DONE

    def _propose(self) -> Held:
        """Ask for a configuration; called in the critical section, so numbers are in order."""
        number = len(self.configurations.trials())
        study = self._study(number)
        first = baseline_params(self.definition) if number == 0 else None
        if first is not None:
            study.enqueue_trial(first)
        trial = study.ask(self.space)
        lock = KernelLock(self.workspace.search_lock(trial.number))
        lock.acquire(timeout=5.0)
        return Held(trial.number, trial._trial_id, trial.params, lock)

    def _void(self, trial: FrozenTrial) -> None:
        storage = self.configurations.storage
        storage.set_trial_user_attr(trial._trial_id, "void", True)
        storage.set_trial_user_attr(trial._trial_id, "reason", "worker died while proposing it")
        storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)

    def _study(self, number: int) -> optuna.Study:
        return optuna.load_study(
            study_name=self.configurations.name,
            storage=self.configurations.storage,
            sampler=make_sampler(self.search, number),
            pruner=make_pruner(self.search),
        )

    # --- judging -----------------------------------------------------------------------------

    def judge(self, held: Held, executor: Executor) -> Exit | None:
        """Run a configuration and record its objective; None if the worker may go on."""
        study = self._study(held.number)
        try:
            values = values_of(self.search, held.params)
            overrides = {**self.definition.baseline.overrides, **values}
            plan = self._plan([Row(f"search-{held.number:04d}", dict(held.params), overrides)])
        except ConfigError as error:
            self._fail(study, held, f"settings do not go together: {error.message}")
            return None
        trial = Trial(study, held.trial_id)
        known = set(self.configurations.storage.get_trial(held.trial_id).intermediate_values)
        scores: list[float] = []
        for step, run in enumerate(plan.runs):
            ending = self._finish(run, executor)
            if ending in (Exit.STOPPED, Exit.DONE):
                return ending  # the trial stays as it is, for the next one who finds it free
            score = self._score(run)
            if score is None:
                self._fail(study, held, self._why(run))
                return ending
            scores += score
            if step not in known:
                trial.report(statistics.fmean(score), step)
            if step + 1 < len(plan.runs) and trial.should_prune():
                study.tell(held.number, state=TrialState.PRUNED)
                return ending
            if ending is not None:
                return ending
        study.tell(held.number, statistics.fmean(scores))
        return None

    def _finish(self, run: Run, executor: Executor) -> Exit | None:
        """See to it that ``run`` has an outcome; DONE or STOPPED if it was left without one."""
        options = self.worker.options
        self.runs.enqueue(run, retries=options.retries)
        while not self.worker.stop.raised:
            claimed = self.runs.claim([run], self.worker.id, max_runs=options.max_runs)
            if isinstance(claimed, Attempt):
                ending = self.worker.compute(claimed, executor, self.runs)
                return Exit.RECYCLE if ending is Exit.DONE else ending
            if claimed is Nothing.DONE:
                return None
            if claimed is Nothing.LIMIT:
                return Exit.DONE
            self.worker.stop.wait(IDLE_POLL)
        return Exit.STOPPED

    def _score(self, run: Run) -> list[float] | None:
        """The objective per category on what selects; None if the run has none."""
        if not self.workspace.committed(run.key):
            return None
        split = None if self.definition.selected_on_reported else "selection"
        path = self.workspace.run_dir(run.key) / "metrics.csv"
        found = summarise(path, self.search.objective, split=split)
        wanted = self.search.categories
        return [v for name, v in found.items() if wanted is None or name in wanted] or None

    def _why(self, run: Run) -> str:
        """Why a run has no objective."""
        trial = self.runs.latest().get(run.key)
        reason = trial.user_attrs.get("reason") if trial else None
        what = f"seed {run.seed}" + (f", {run.category}" if run.category else "")
        return f"{what}: {reason or f'{self.search.objective} is undefined'}"

    def _fail(self, study: optuna.Study, held: Held, reason: str) -> None:
        self.configurations.storage.set_trial_user_attr(held.trial_id, "reason", reason)
        study.tell(held.number, state=TrialState.FAIL)

    def _plan(self, rows: Sequence[Row]) -> Plan:
        return plan_of(self.definition, rows, self.search.seeds, self.sources)
