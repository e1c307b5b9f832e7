"""A worker's part in a search: hold a configuration, run what judges it, record its objective.

Invariants, beyond those of :mod:`ablate.running.ledger`:

- A configuration is proposed inside the study's critical section, by a sampler seeded with the
  search's seed and the trial's number, so that what is proposed depends on what is known and on
  nothing else; running trials count as bad ones (constant liar), so that workers spread out.
- A trial is held by one worker, by a kernel lock of its own. RUNNING with a free lock means that its
  owner is gone, and the next worker goes on with the same parameters; its finished runs are kept.
- The first trial is the baseline itself, where its values lie within the space: the winner is never
  worse than the baseline on what selects.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import Trial, TrialState

from ablate.running.attempt import Attempt
from ablate.running.journal import Journal
from ablate.running.judged import BREACHES, Tally
from ablate.running.ledger import Ledger, Nothing
from ablate.running.locks import KernelLock
from ablate.running.process import load_function
from ablate.running.reporter import Executor
from ablate.running.search_definition import load_definition
from ablate.running.search_space import (
    complete,
    distribution,
    make_pruner,
    make_sampler,
    next_of_grid,
    suggest,
    values_of,
)
from ablate.running.status import open_configurations, proposed
from ablate.running.worker import IDLE_POLL, Ending, Worker
from ablate.study.plan import Plan, Run, Sources
from ablate.study.rows import Row
from model.errors import ConfigError


@dataclass(frozen=True)
class Held:
    """A trial that this worker holds."""

    number: int
    trial_id: int
    params: Mapping[str, Any]
    lock: KernelLock


class Searcher:
    """A worker's part in a search."""

    def __init__(self, worker: Worker, journal: Journal) -> None:
        self.worker = worker
        self.workspace = worker.workspace
        self.journal = journal
        self.definition = load_definition(self.workspace)
        self.search = self.definition.search
        self.configurations = open_configurations(
            journal, self.definition.study, objectives=len(self.search.judged_by)
        )
        self.ledger = Ledger(journal, self.definition.study)
        self.sources: Sources = load_function(worker.options.sources)(worker.session.cache)
        self.space = {path: distribution(dimension) for path, dimension in self.search.space.items()}

    def prepare(self) -> Ending:
        """Encode what the baseline reads; a configuration with another encoder does it for itself."""
        return self.worker.prepare(self._plan([self.definition.baseline]))

    def work(self) -> Ending:
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
                return Ending.DONE
        return Ending.STOPPED

    # --- proposing ---------------------------------------------------------------------------

    def hold(self) -> Held | Nothing:
        """A trial whose owner is gone, else a new one, with its lock; or why there is none."""
        with self.journal.critical():
            running = [t for t in proposed(self.configurations) if t.state == TrialState.RUNNING]
            for trial in running:
                lock = KernelLock(self.workspace.search_lock(trial.number))
                if lock.try_acquire():
                    if complete(self.search.space, trial.params):
                        return Held(trial.number, trial._trial_id, trial.params, lock)
                    lock.release()
                    void = {"void": True, "reason": "worker died while proposing it"}
                    self.configurations.end(trial._trial_id, TrialState.FAIL, void)
            begun = [t for t in proposed(self.configurations) if t.state != TrialState.WAITING]
            if len(begun) < self.search.trials:
                return self._propose()
            return Nothing.BUSY if running else Nothing.DONE

    def _propose(self) -> Held:
        """Ask for a configuration; called in the critical section, so numbers are in order."""
        number = len(self.configurations.all())
        study = self._study(number)
        given = self._given(number)
        if given is not None:
            study.enqueue_trial(given)
        trial = suggest(study, self.search.space, self.space)
        lock = KernelLock(self.workspace.search_lock(trial.number))
        lock.acquire(timeout=5.0)
        return Held(trial.number, trial._trial_id, trial.params, lock)

    def _given(self, number: int) -> dict[str, Any] | None:
        """What trial ``number`` has to try, if that is known beforehand."""
        baseline = self.definition.baseline_params
        if self.search.sampler != "grid":
            return baseline if number == 0 else None
        known = self.configurations.all()
        if any(trial.state == TrialState.WAITING for trial in known):
            return None  # it was given before, by a worker that died before asking for it
        tried = [trial.params for trial in proposed(self.configurations)]
        return next_of_grid(self.search, tried, baseline)

    def _study(self, number: int) -> optuna.Study:
        sampler, pruner = make_sampler(self.search, number), make_pruner(self.search)
        return self.configurations.optimiser(sampler, pruner)

    # --- judging -----------------------------------------------------------------------------

    def judge(self, held: Held, executor: Executor) -> Ending | None:
        """Run a configuration and record its objective; None if the worker may go on."""
        study = self._study(held.number)
        try:
            values = values_of(self.search, held.params)
            overrides = {**self.definition.baseline.overrides, **values}
            plan = self._plan([Row(f"search-{held.number:04d}", dict(held.params), overrides)])
        except ConfigError as error:
            self._fail(held, f"settings do not go together: {error.message}")
            return None
        trial = Trial(study, held.trial_id)
        known = set(self.journal.storage.get_trial(held.trial_id).intermediate_values)
        tally = Tally(self.search, None if self.definition.selected_on_reported else "selection")
        single = len(self.search.judged_by) == 1
        for step, run in enumerate(plan.runs):
            ending = self._finish(run, executor)
            if ending in (Ending.STOPPED, Ending.DONE):
                return ending  # the trial stays as it is, for the next one who finds it free
            missing = self._count(run, tally)
            if missing:
                self._fail(held, missing)
                return ending
            if single and step not in known and tally.objectives:
                trial.report(tally.objectives[0], step)
            if single and step + 1 < len(plan.runs) and self._prune(held, trial):
                study.tell(held.number, state=TrialState.PRUNED)
                return ending
            if ending is not None:
                return ending
        if self.search.constraints:
            self.configurations.annotate(held.trial_id, {BREACHES: tally.breaches})
        study.tell(held.number, tally.objectives)
        return None

    def _prune(self, held: Held, trial: Trial) -> bool:
        """Whether the trial is to be stopped; by the median never that of the baseline."""
        if self.search.pruner == "median" and held.params == self.definition.baseline_params:
            return False
        return trial.should_prune()

    def _finish(self, run: Run, executor: Executor) -> Ending | None:
        """See to it that ``run`` has an outcome, and give None; DONE or STOPPED if it was left without.

        FAILED: it failed just now, in this process.
        """
        options = self.worker.options
        self.ledger.enqueue(run, retries=options.retries)
        while not self.worker.stop.raised:
            taken = self.ledger.take([run], self.worker.id, max_runs=options.max_runs)
            if isinstance(taken, Attempt):
                ending = self.worker.compute(taken, executor, self.ledger)
                return None if ending is Ending.DONE else ending
            if taken is Nothing.DONE:
                return None
            if taken is Nothing.LIMIT:
                return Ending.DONE
            self.worker.stop.wait(IDLE_POLL)
        return Ending.STOPPED

    def _count(self, run: Run, tally: Tally) -> str:
        """Count what a run has measured; why it lacks something, or nothing."""
        if not self.workspace.committed(run.key):
            trial = self.ledger.latest().get(run.key)
            reason = trial.user_attrs.get("reason") if trial else None
            missing = reason or f"{self.search.objective} is undefined"
        else:
            undefined = tally.add(run, self.workspace.run_dir(run.key) / "metrics.csv")
            missing = f"{undefined} is undefined" if undefined else ""
        what = f"seed {run.seed}" + (f", {run.category}" if run.category else "")
        return f"{what}: {missing}" if missing else ""

    def _fail(self, held: Held, reason: str) -> None:
        self.configurations.end(held.trial_id, TrialState.FAIL, {"reason": reason})

    def _plan(self, rows: Sequence[Row]) -> Plan:
        return self.definition.plan(rows, self.search.seeds, self.sources)
