"""Commands for studies: run them, look at them, report on them."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ablate.cli.arguments import (
    Cache,
    Device,
    Json,
    JsonLines,
    KeepGoing,
    MaxPlan,
    MaxRuns,
    Plain,
    Results,
    Retries,
    RetryFailed,
    Sets,
    Smoke,
    SpecFile,
    Study,
    Threads,
    Timeout,
    Workers,
    cache_dir,
    check_weights,
    dashboard_command,
    find_study,
    load_study,
    run_options,
    set_threads,
)

if TYPE_CHECKING:
    from ablate.running.session import RunOptions
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
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print the plan.")] = False,
    as_json: JsonLines = False,
    plain: Plain = False,
    device: Device = "auto",
    threads: Threads = None,
    results: Results = Path("results"),
    cache: Cache = None,
) -> None:
    """Run a study: what is missing of it; finished runs are never repeated."""
    from ablate.cli.printing import busy, make_console, print_notes

    with busy(None if as_json or dry_run else make_console(plain=plain), f"reading {spec}"):
        study = load_study(spec, sets, smoke, echo=not as_json, max_plan=max_plan)
        lacks = check_weights(study)
    if not as_json:
        print_notes(make_console(plain=plain), lacks)
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
        _print_plan(study, results, cache_dir(cache), options.workers, as_json, options.device)
        return
    raise typer.Exit(_start(study, results, options, as_json, plain))


def resume(
    study: Study,
    workers: Workers = None,
    max_runs: MaxRuns = None,
    timeout: Timeout = None,
    retries: Retries = 1,
    retry_failed: RetryFailed = False,
    keep_going: KeepGoing = True,
    as_json: JsonLines = False,
    plain: Plain = False,
    device: Device = "auto",
    threads: Threads = None,
    results: Results = Path("results"),
    cache: Cache = None,
) -> None:
    """Go on with a study as it was started, overrides included."""
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
    raise typer.Exit(_start(load_recorded(folder), folder.parent, options, as_json, plain))


def plan(
    spec: SpecFile,
    sets: Sets = None,
    smoke: Smoke = False,
    as_json: Json = False,
    max_plan: MaxPlan = None,
    workers: Annotated[int, typer.Option(min=1, help="Workers to estimate the time for.")] = 1,
    results: Results = Path("results"),
    cache: Cache = None,
) -> None:
    """Say what a study would run: cells, duplicates, what is cached, how long it takes."""
    from ablate.cli.printing import make_console, print_notes

    study = load_study(spec, sets, smoke, echo=not as_json, max_plan=max_plan)
    lacks = check_weights(study)
    if not as_json:
        print_notes(make_console(), lacks)
    _print_plan(study, results, cache_dir(cache), workers, as_json)


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
    results: Results = Path("results"),
) -> None:
    """Say where a study stands, also while it is running."""
    from ablate.cli.printing import make_console, print_json, print_status, watched
    from ablate.running.status import status as read_status

    folder = _study_dir(study, results)
    if as_json:
        print_json(read_status(folder).as_dict())
        return
    console = make_console()
    for state in watched(lambda: read_status(folder), console) if watch else [read_status(folder)]:
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


def report(study: Study, results: Results = Path("results")) -> None:
    """Remake tables, figures and the report from what has finished so far."""
    from ablate.doors import make_report

    print(make_report(find_study(study, results)))


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


def dashboard(study: Study, port: int = 8080, results: Results = Path("results")) -> None:
    """Open the study in optuna-dashboard (an optional extra)."""
    command = dashboard_command(find_study(study, results), port)
    os.execvp(command[0], command)


def _study_dir(study: str, results: Path) -> Path:
    """The folder of a study whose journal is about to be read, without Optuna's remarks on it."""
    from ablate.running.journal import quiet_optuna

    quiet_optuna()
    return find_study(study, results)


def _start(spec: StudySpec, results: Path, options: RunOptions, as_json: bool, plain: bool) -> int:
    """Run a study or a search, remake its report, and say how it went; returns the exit code."""
    from ablate.cli.printing import busy, make_console, print_at_once, print_ending

    console = make_console(plain=plain)
    # Before anything slow is imported: something is to be seen at once.
    with busy(None if as_json else console, f"starting {spec.study}"):
        from ablate.running.progress import JsonView, make_view

    events = JsonView(print_at_once) if as_json else None
    view = events or make_view(console, plain=plain)
    with contextlib.closing(view):
        from ablate.doors import start

        result = start(spec, results, options, view)

    def say(line: str) -> None:
        if events:
            events.say(line)
        else:
            console.print(line, markup=False, soft_wrap=True)

    for line in result.lines:
        say(line)
    interrupted = result.exit_code > 2
    if not interrupted and result.state.finished:
        with busy(None if events else console, "judging the results and drawing the report"):
            from ablate.evidence.gather import gather
            from ablate.evidence.judgement import Judgement
            from ablate.report.page import write_report

            judgement = Judgement(gather(results / spec.study))
            page = write_report(judgement)
        if events:
            say(f"report: {page}")
        else:
            print_ending(console, judgement, page)
    return result.exit_code


def _print_plan(
    spec: StudySpec,
    results: Path,
    cache: Path,
    workers: int,
    as_json: bool,
    device: str | None = None,
) -> None:
    from ablate.cli.printing import make_console, plan_json, print_json, print_plan
    from ablate.running.folder import Workspace
    from ablate.running.process import device_name
    from ablate.running.timings import Timings
    from ablate.study.plan import make_plan, plan_lines, total_seconds

    made = make_plan(spec, cache_dir=cache)
    place = Workspace(results / spec.study)
    timings, name = Timings.read(results), device_name(device)
    lines = plan_lines(
        made,
        cached=lambda key: place.committed(key) or place.found_elsewhere(key) is not None,
        seconds=lambda run: timings.estimate(run, device=name),
    )
    total = total_seconds(lines)
    if as_json:
        print_json(plan_json(made, lines, total))
    else:
        print_plan(make_console(), made, lines, total, workers)
