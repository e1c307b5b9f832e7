"""Commands for studies: run them, look at them, report on them."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ablate.cli.arguments import (
    AcceptCode,
    Account,
    Array,
    Cache,
    Device,
    Gres,
    Json,
    JsonLines,
    KeepGoing,
    Lease,
    MaxPlan,
    MaxRuns,
    Memory,
    Partition,
    Results,
    Retries,
    RetryFailed,
    Sets,
    SharedFolder,
    Slurm,
    Smoke,
    SpecFile,
    Storage,
    Study,
    Threads,
    Time,
    Timeout,
    Venue,
    Workers,
    cache_dir,
    dashboard_command,
    find_study,
    load_study,
    run_options,
    set_threads,
)
from ablate.cli.cluster_commands import joined_study

if TYPE_CHECKING:
    from ablate.running.server import Remote
    from ablate.running.session import RunOptions
    from ablate.running.slurm import SlurmOptions
    from ablate.running.status import StudyStatus
    from ablate.study.spec import StudySpec


def run(
    spec: SpecFile,
    sets: Sets = None,
    workers: Workers = None,
    max_plan: MaxPlan = None,
    max_runs: MaxRuns = None,
    timeout: Timeout = None,
    retries: Retries = 1,
    retry_failed: RetryFailed = False,
    keep_going: KeepGoing = True,
    smoke: Smoke = False,
    accept_code: AcceptCode = False,
    until_decided: Annotated[
        bool, typer.Option("--until-decided", help="Add seeds, only for claims that are still open.")
    ] = False,
    max_seeds: Annotated[
        int, typer.Option(min=2, help="Most seeds with --until-decided; declared before the first run.")
    ] = 20,
    futility: Annotated[
        bool, typer.Option("--futility/--no-futility", help="Give up claims that luck would not decide.")
    ] = True,
    storage: Storage = None,
    shared_folder: SharedFolder = False,
    lease: Lease = 60.0,
    slurm: Slurm = False,
    array: Array = 1,
    partition: Partition = None,
    gres: Gres = None,
    time: Time = "4:00:00",
    mem: Memory = None,
    account: Account = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print the plan.")] = False,
    as_json: JsonLines = False,
    device: Device = "auto",
    threads: Threads = None,
    results: Results = Path("results"),
    cache: Cache = None,
) -> None:
    """Run a study: what is missing of it; finished runs are never repeated."""
    if until_decided:
        count = len(load_study(spec, sets, echo=False).seeds)
        sets = [*(sets or ()), f"seeds={{start: {count}, max: {max_seeds}}}"]
    study = load_study(spec, sets, smoke, echo=not as_json, max_plan=max_plan)
    set_threads(threads)
    options = run_options(
        workers=workers,
        max_runs=max_runs,
        timeout=timeout,
        retries=retries,
        retry_failed=retry_failed,
        fail_fast=not keep_going,
        device=device,
        cache=cache,
    )
    if dry_run:
        cache_at = cache_dir(cache)
        _print_plan(study, results, cache_at, options.workers, as_json, accept_code, options.device)
        return
    place = _remote(storage, shared_folder, lease)
    asked = None
    if slurm:
        from ablate.running.slurm import SlurmOptions

        asked = SlurmOptions(array, partition, gres, time, mem, account)
    raise typer.Exit(_start(study, results, options, as_json, accept_code, futility, place, asked))


def resume(
    study: Study,
    workers: Workers = None,
    max_runs: MaxRuns = None,
    timeout: Timeout = None,
    retries: Retries = 1,
    retry_failed: RetryFailed = False,
    keep_going: KeepGoing = True,
    as_json: JsonLines = False,
    device: Device = "auto",
    threads: Threads = None,
    results: Results = Path("results"),
    cache: Cache = None,
) -> None:
    """Go on with a study as it was started, overrides included."""
    from ablate.running.server import Remote
    from ablate.study.reading import load_recorded

    folder = find_study(study, results)
    set_threads(threads)
    options = run_options(
        workers=workers,
        max_runs=max_runs,
        timeout=timeout,
        retries=retries,
        retry_failed=retry_failed,
        fail_fast=not keep_going,
        device=device,
        cache=cache,
    )
    joined = joined_study(study, results, None)
    place = Remote(joined.server.address, joined.shared, joined.timing.lease) if joined else None
    raise typer.Exit(_start(load_recorded(folder), folder.parent, options, as_json, remote=place))


def plan(
    spec: SpecFile,
    sets: Sets = None,
    smoke: Smoke = False,
    as_json: Json = False,
    max_plan: MaxPlan = None,
    accept_code: AcceptCode = False,
    workers: Annotated[int, typer.Option(min=1, help="Workers to estimate the time for.")] = 1,
    results: Results = Path("results"),
    cache: Cache = None,
) -> None:
    """Say what a study would run: cells, duplicates, what is cached, how long it takes."""
    study = load_study(spec, sets, smoke, echo=not as_json, max_plan=max_plan)
    _print_plan(study, results, cache_dir(cache), workers, as_json, accept_code)


def show(
    spec: SpecFile,
    sets: Sets = None,
    variant: Annotated[str | None, typer.Option(help="Only this one.")] = None,
) -> None:
    """Show what every variant resolves to, and its schedules over training."""
    from ablate.cli.printing import make_console, print_study

    print_study(make_console(), load_study(spec, sets), variant)


def status(
    study: Study,
    as_json: Json = False,
    watch: Annotated[bool, typer.Option("--watch", help="Keep looking until nobody works on it.")] = False,
    storage: Storage = None,
    results: Results = Path("results"),
) -> None:
    """Say where a study stands, also while it is running: its runs, and the workers of all machines."""
    from ablate.cli.printing import make_console, print_json, print_status, watched
    from ablate.running.remote import read_shared
    from ablate.running.status import status as read_status

    joined = joined_study(study, results, storage)
    folder = None if joined else _study_dir(study, results)

    def read() -> StudyStatus:
        return read_shared(joined) if joined else read_status(folder or results)

    if as_json:
        print_json(read().as_dict())
        return
    console = make_console()
    for state in watched(read, console) if watch else [read()]:
        print_status(console, state)


def ls(as_json: Json = False, results: Results = Path("results")) -> None:
    """List the studies of a results folder, and where each stands."""
    from ablate.cli.arguments import studies_in
    from ablate.cli.printing import make_console, print_json, print_studies
    from ablate.running.journal import quiet_optuna
    from ablate.running.status import status as read_status

    quiet_optuna()
    folders = studies_in(results)
    started = [folder for folder in folders if (folder / "plan.json").is_file()]
    states = {folder.name: read_status(folder) if folder in started else None for folder in folders}
    if as_json:
        print_json(
            [
                {"study": name, "finished": state and state.finished, "counts": state and state.counts}
                for name, state in states.items()
            ]
        )
    else:
        print_studies(make_console(), states)


def logs(
    study: Study,
    run_name: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN]", help="Start of a run's key, or its variant.", show_default="list all"
        ),
    ] = None,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="Last lines to print.")] = 40,
    results: Results = Path("results"),
) -> None:
    """List the logs of a study's runs, or print the end of some."""
    from ablate.cli.printing import make_console, print_log_ends, print_logs
    from ablate.running.status import status as read_status

    state = read_status(_study_dir(study, results))
    if run_name is None:
        print_logs(make_console(), state)
    else:
        print_log_ends(make_console(), state, run_name, lines)


def report(
    study: Study, venue: Venue = None, storage: Storage = None, results: Results = Path("results")
) -> None:
    """Remake tables, figures and the report from what has finished so far, on whatever machine."""
    from ablate.doors import make_report

    joined = joined_study(study, results, storage)
    if joined:
        from ablate.running.cluster import fetch_results

        fetch_results(joined)
    print(make_report(find_study(study, results), venue=venue))


def claims(
    study: Study,
    as_json: Json = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 unless all are supported or equivalent.")
    ] = False,
    results: Results = Path("results"),
) -> None:
    """Say what became of a study's claims, and what would decide those that are open."""
    from ablate.cli.printing import make_console, print_json
    from ablate.doors import judge
    from ablate.evidence.claim_verdicts import SETTLED
    from ablate.report.findings import claim_findings
    from ablate.report.tables.claims import claims_json

    judgement = judge(find_study(study, results))
    if as_json:
        print_json(claims_json(judgement))
    else:
        console = make_console()
        for finding in claim_findings(judgement) or ():
            console.print(f"{finding.subject}: {finding.text}", markup=False, soft_wrap=True)
        if not judgement.claims:
            console.print("the study states no claims")
    if strict and any(judged.verdict not in SETTLED for judged in judgement.claims):
        raise typer.Exit(1)


def verify(study: Study, results: Path = Path("results")) -> None:
    """Compute again all that a report's tables print; exit with 1 at the first thing that differs."""
    from ablate.cli.printing import make_console
    from ablate.report.verifying import verify as recompute

    found = recompute(_study_dir(study, results))
    console = make_console()
    if found.wrong:
        console.print(found.wrong, markup=False, soft_wrap=True)
        raise typer.Exit(1)
    sealed = f"; claims sealed as {found.seal}" if found.seal else "; no claims were sealed"
    console.print(
        f"{found.numbers} numbers in {found.files} files, all as recomputed{sealed}", soft_wrap=True
    )


def clean(
    study: Study,
    yes: Annotated[bool, typer.Option("--yes", help="Delete; without it, only list.")] = False,
    interrupted: Annotated[
        bool, typer.Option("--interrupted", help="Also attempts that could be continued.")
    ] = False,
    results: Results = Path("results"),
) -> None:
    """List (or delete) what dead or finished work left behind; never anything of a live run."""
    from ablate.cli.printing import make_console, print_litter
    from ablate.running.clean import clean as find_litter

    litter = find_litter(_study_dir(study, results), dry=not yes, interrupted=interrupted)
    print_litter(make_console(), litter, dry=not yes)


def repair(study: Study, results: Results = Path("results")) -> None:
    """Check every file of a study's finished runs; set damaged runs aside, for `resume` to compute."""
    from ablate.running.folder import Workspace
    from ablate.running.frame import FrameWriter
    from ablate.running.manifest import set_aside_damaged
    from ablate.running.recorded import load_plan

    workspace = Workspace(_study_dir(study, results))
    made = load_plan(workspace)
    found = set_aside_damaged(workspace, [run.key for run in made.runs])
    finished = sum(workspace.committed(run.key) for run in made.runs)
    for line in found:
        print(line)
    if finished:
        FrameWriter(workspace, made).write()
    print(f"{finished} of {len(made.runs)} runs are finished and whole; runs.csv is remade from them")
    if found:
        print(f"continue with: ablate resume {workspace.study_dir}")


def dashboard(study: Study, port: int = 8080, results: Results = Path("results")) -> None:
    """Open the study in optuna-dashboard (an optional extra)."""
    command = dashboard_command(find_study(study, results), port)
    os.execvp(command[0], command)


def _study_dir(study: str, results: Path) -> Path:
    """The folder of a study whose journal is about to be read, without Optuna's remarks on it."""
    from ablate.running.journal import quiet_optuna

    quiet_optuna()
    return find_study(study, results)


def _remote(storage: str | None, shared: bool, lease: float) -> Remote | None:
    """The server that a run's options name; None: the study's own journal."""
    from ablate.running.server import Remote, find_address

    address = find_address(storage, arguments=sys.argv)
    return None if address is None else Remote(address, shared, lease)


def _start(
    spec: StudySpec,
    results: Path,
    options: RunOptions,
    as_json: bool,
    accept_code: bool = False,
    futility: bool = True,
    remote: Remote | None = None,
    slurm: SlurmOptions | None = None,
) -> int:
    """Run a study or a search, remake its report, and say how it went; returns the exit code."""
    from ablate.cli.printing import make_console, print_at_once
    from ablate.doors import judge, start
    from ablate.report.page import terminal_table, write_report
    from ablate.running.progress import JsonView, make_view

    console = make_console()
    events = JsonView(print_at_once) if as_json else None
    view = events or make_view(console)
    result = start(
        spec,
        results,
        options,
        view,
        accept_code=accept_code,
        futility=futility,
        remote=remote,
        slurm=slurm,
    )

    def say(line: str) -> None:
        if events:
            events.say(line)
        else:
            console.print(line, markup=False, soft_wrap=True)

    for line in result.lines:
        say(line)
    interrupted = result.exit_code > 2
    if not interrupted and result.state.finished:
        judgement = judge(results / spec.study)
        page = write_report(judgement)
        if not events:
            console.print(terminal_table(judgement))
        say(f"report: {page}")
    return result.exit_code


def _print_plan(
    spec: StudySpec,
    results: Path,
    cache: Path,
    workers: int,
    as_json: bool,
    accept_code: bool,
    device: str | None = None,
) -> None:
    from ablate.cli.printing import make_console, plan_json, print_json, print_plan
    from ablate.running.earlier import Earlier, with_accepted
    from ablate.running.earlier import accept_code as accepting
    from ablate.running.folder import Workspace
    from ablate.running.manifest import cached
    from ablate.running.process import device_name
    from ablate.running.timings import Timings
    from ablate.study.plan import make_plan, plan_lines, total_seconds

    made = with_accepted(make_plan(spec, cache_dir=cache), results)
    if accept_code:
        made = accepting(made, results, record=False)
    place = Workspace(results / spec.study)
    timings, name = Timings.read(results), device_name(device)
    lines = plan_lines(
        made,
        cached=lambda key: cached(place, key),
        seconds=lambda run: timings.estimate(run, device=name),
        why=Earlier(results).why,
    )
    total = total_seconds(lines)
    if as_json:
        print_json(plan_json(made, lines, total))
    else:
        print_plan(make_console(), made, lines, total, workers)
