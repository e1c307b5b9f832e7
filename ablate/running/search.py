"""Search: Optuna proposes configurations, runs judge them, the winner is tabulated on fresh seeds.

A *trial* of the Optuna study ``<study>/search`` is a configuration. Its runs (the search's seeds, and
categories where models are trained per category) are ordinary runs, taken and committed like any
other through the study's ledger: repeated and resumed configurations cost nothing.

A search is a study whose plan is not known before its winner is. It is supervised twice: first with
workers that search (:mod:`ablate.running.searcher`), then as any study, with the plan of winner and
baseline on seeds that the search has not used.

Configurations are judged on the *selection* split. A study without one selects on what it reports;
this is stored with the plan, and every table has to say so.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial

from ablate.running.conclusion import Result
from ablate.running.folder import Workspace
from ablate.running.journal import Journal, Trials, quiet_optuna, sound_journal
from ablate.running.judged import BREACHES, best_trial, check_places, front, nearest_trial
from ablate.running.ledger import Ledger
from ablate.running.process import load_function
from ablate.running.progress import PlainView, View
from ablate.running.recorded import StoredPlan, digest_of, load_plan, write_plan
from ablate.running.search_definition import (
    Definition,
    describe_best,
    dump_definition,
    dump_space,
    final_rows,
)
from ablate.running.search_space import check_pruner, values_of
from ablate.running.session import RunOptions, announced, live_sessions, new_session, write_session
from ablate.running.status import open_configurations, proposed, read_searched, read_status
from ablate.running.supervisor import Work, planned_work, print_error, supervise
from ablate.study.plan import Run
from ablate.study.spec import SearchConfig, StudySpec
from model.errors import ConfigError, StorageError
from model.files import write_bytes, write_text


def run_search(
    spec: StudySpec, root: Path, options: RunOptions | None = None, *, view: View | None = None
) -> Result:
    """Search as ``spec.search`` says, then run winner and baseline with fresh seeds.

    Interrupted, it continues where it was; asked for more trials than before, it goes on from those
    it has. Raises as :func:`ablate.running.supervisor.run_study`, and ConfigError for a search that
    cannot work.
    """
    quiet_optuna()
    options = options or RunOptions()
    definition = Definition.of(spec)
    search, workspace = definition.search, Workspace(root / spec.study)
    content = dump_definition(definition)
    session = new_session(digest_of(content), options, search=True)
    sources = load_function(options.sources)(session.cache)
    judges = definition.plan([definition.baseline], search.seeds, sources)
    check_pruner(search, len(judges.runs))
    check_places(search, judges.runs)
    workspace.create()
    journal, notes = sound_journal(workspace, alone=not live_sessions(workspace))
    configurations = open_configurations(journal, spec.study, objectives=len(search.judged_by))
    check_comparable(definition, judges.runs, configurations)
    first = _first_plan(definition, session.digest)
    with (
        announced(workspace, session, spec, None if _stands(workspace, first) else first),
        contextlib.closing(view or PlainView(print_error)) as shown,
    ):
        write_bytes(workspace.search, content)
        searching = replace(_searching(definition, first, configurations, options), notes=notes)
        searched = supervise(workspace, searching, session, shown)
        best = best_trial(configurations)
        if searched.stopped or best is None or _left(search, configurations):
            return _unfinished(workspace, searched, best, nearest_trial(configurations), search)
        rows = final_rows(definition, best)
        found = StoredPlan.of(definition.plan(rows, search.fresh_seeds, sources))
        plan = replace(first, runs=found.runs, rows=found.rows)
        write_plan(workspace, plan)
        session = replace(session, search=False)
        write_session(workspace, session)
        result = supervise(workspace, planned_work(journal, plan, options), session, shown)
    return replace(result, lines=(describe_best(definition, best), *result.lines))


def _first_plan(definition: Definition, digest: str) -> StoredPlan:
    """The plan until the winner is known: nothing to tabulate yet."""
    primary = definition.report.primary
    flag = definition.selected_on_reported
    return StoredPlan(definition.study, primary, (), (), search=digest, selected_on_reported=flag)


def _stands(workspace: Workspace, plan: StoredPlan) -> bool:
    """Whether the folder holds a plan of the same search, perhaps with its winner already."""
    with contextlib.suppress(StorageError):
        return load_plan(workspace).search == plan.search
    return False


def _searching(
    definition: Definition, plan: StoredPlan, configurations: Trials, options: RunOptions
) -> Work:
    """Propose and judge until there are enough trials."""
    journal, search = configurations.journal, definition.search
    configurations.describe(
        trials=search.trials,
        objective=search.objective,
        seeds=list(search.seeds),
        selected_on_reported=definition.selected_on_reported,
    )
    ledger = Ledger(journal, definition.study)
    ledger.describe(plan)
    workspace, left = journal.workspace, _left(search, configurations)

    def committed() -> None:
        write_text(workspace.search_frame, search_table(configurations, search))

    return Work(
        ledger,
        read=lambda: read_status(
            workspace, plan, ledger, search=read_searched(configurations, options.workers)
        ),
        committed=committed,
        parallel=left,
        prepare=bool(left),
        threads=definition.threads,
    )


def _left(search: SearchConfig, configurations: Trials) -> int:
    """Trials without an outcome, proposed or not."""
    finished = [trial for trial in proposed(configurations) if trial.state.is_finished()]
    return max(search.trials - len(finished), 0)


def _unfinished(
    workspace: Workspace,
    searched: Result,
    best: FrozenTrial | None,
    nearest: FrozenTrial | None,
    search: SearchConfig,
) -> Result:
    """What to say of a search that has not come to its final table."""
    found = searched.state.search
    assert found is not None
    done = f"{found.done} of {found.trials} configurations judged, {found.failed} failed"
    lines = [f"{searched.state.study}: {done}"]
    if searched.stopped or found.done + found.failed < found.trials:
        lines.append(f"continue with: ablate resume {workspace.study_dir}")
    elif best is None and nearest is not None:
        broken = broken_text(nearest, search)
        lines.append(f"no configuration keeps the constraints; nearest: trial {nearest.number} ({broken})")
    elif best is None:
        lines.append(f"no configuration could be judged; see {workspace.search_frame}")
    nothing = best is None and not searched.stopped and bool(found.failed or nearest)
    return replace(searched, exit_code=searched.exit_code or int(nothing), lines=tuple(lines))


def check_comparable(definition: Definition, judges: Sequence[Run], configurations: Trials) -> None:
    """Refuse to mix trials that were judged by different measures. Raises ConfigError.

    Trials compare if they share space, objective, seeds, data and everything else that the baseline's
    runs have in their keys. More trials, or another sampler, are welcome.
    """
    search = definition.search
    measure = [dump_space(definition), search.objective, search.categories, [run.key for run in judges]]
    if search.sampler == "grid":  # which tries all there is, and would not among others' trials
        measure.append("grid")
    if search.objectives or search.constraints:
        measure.append([search.objectives, search.constraints])
    digest = digest_of(json.dumps(measure, sort_keys=True).encode())
    if configurations.attributes.get("measure", digest) != digest:
        raise ConfigError(
            "the search's space, objective, seeds, data or base has changed since its first trials",
            where=str(configurations.journal.workspace.study_dir),
            hint="give the study another name: finished runs are reused",
        )
    configurations.describe(measure=digest)


def winner_of(spec: StudySpec, root: Path) -> dict[str, Any] | None:
    """What a finished search has found, by dotted path; None before its winner is tabulated."""
    workspace = Workspace(root / spec.study)
    assert spec.search is not None
    with contextlib.suppress(StorageError):
        if load_plan(workspace).rows:
            best = best_trial(open_configurations(Journal(workspace), spec.study))
            return None if best is None else values_of(spec.search, best.params)
    return None


def search_table(configurations: Trials, search: SearchConfig) -> str:
    """search.csv: trial, state, objective, seconds, reason and the parameters.

    With two objectives also the second one and whether the trial stands on their front; with constraints,
    which of them it breaks, and by how many points.
    """
    trials = proposed(configurations)
    best = {trial.number for trial in front(trials)}
    text = io.StringIO()
    writer = csv.DictWriter(text, search_columns(search), lineterminator="\n", restval="")
    writer.writeheader()
    for trial in trials:
        values = trial.values or []
        line: dict[str, Any] = {
            "trial": trial.number,
            "state": trial.state.name.lower(),
            "objective": values[0] if values else "",
            "seconds": "" if trial.duration is None else round(trial.duration.total_seconds(), 1),
            "reason": trial.user_attrs.get("reason", ""),
            **trial.params,
        }
        if search.objectives:
            line |= dict(zip(search.judged_by[1:], values[1:], strict=False))
            line["front"] = "yes" if trial.number in best else ""
        if search.constraints:
            line["broken"] = broken_text(trial, search)
        writer.writerow(line)
    return text.getvalue()


def search_columns(search: SearchConfig) -> list[str]:
    """The columns of search.csv."""
    second = [*search.judged_by[1:], "front"] if search.objectives else []
    broken = ["broken"] if search.constraints else []
    return ["trial", "state", "objective", "seconds", "reason", *second, *broken, *search.space]


def broken_text(trial: FrozenTrial, search: SearchConfig) -> str:
    """The constraints that a judged trial breaks, and by how many points."""
    breaches = trial.user_attrs.get(BREACHES, ())
    pairs = zip(search.constraints, breaches, strict=False)
    return "; ".join(f"{constraint} by {breach:.2g}" for constraint, breach in pairs if breach > 0)
