"""Commands that read what a study has left: where it stands, what it shows, what is damaged."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ablate.cli.arguments import RESULTS, Cache, Json, Results, Storage, Study, cache_dir, dashboard_command
from ablate.cli.cluster_commands import joined_study
from ablate.cli.completion import offer_studies
from ablate.cli.studies import find_study, is_study, place_of, studies_in, study_folder
from model.errors import ConfigError, StorageError, UserError

if TYPE_CHECKING:
    from ablate.running.status import StudyStatus


def status(
    study: Study = None,
    as_json: Json = False,
    watch: Annotated[bool, typer.Option("--watch", help="Keep looking until nobody works on it.")] = False,
    storage: Storage = None,
    results: Results = RESULTS,
) -> None:
    """Say where a study stands, also while it is running: its runs, and the workers of all machines."""
    from ablate.cli.printing import make_console, print_json, print_status, watched
    from ablate.running.remote import read_shared
    from ablate.running.status import status as read_status

    if study is None and _several(results):
        ls(as_json, results)
        return
    joined = joined_study(study, results, storage)
    folder = None if joined else study_folder(study, results)

    def read() -> StudyStatus:
        return read_shared(joined) if joined else read_status(folder or results)

    if as_json:
        print_json(read().as_dict())
        return
    console = make_console()
    for state in watched(read, console) if watch else [read()]:
        print_status(console, state)


def _several(results: Path) -> bool:
    """Whether no study can be told from where one is, and there are some to list."""
    try:
        place_of(None, results)
    except UserError:
        return bool(studies_in(results))
    return False


def ls(as_json: Json = False, results: Results = RESULTS) -> None:
    """List the studies of a results folder, and where each stands."""
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
    study: Study = None,
    run_name: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN]", help="Start of a run's key, or its variant.", show_default="list all"
        ),
    ] = None,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="Last lines to print.")] = 40,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on printing until the run ends.")
    ] = False,
    results: Results = RESULTS,
) -> None:
    """List the logs of a study's runs, or print the end of some. A RUN alone is of the study here."""
    from ablate.cli.printing import make_console, print_log_ends, print_logs
    from ablate.cli.tailing import follow_log
    from ablate.running.status import status as read_status

    folder, run_name = _study_and_run(study, run_name, results)
    state = read_status(folder)
    if run_name is None and not follow:
        print_logs(make_console(), state)
    elif follow:
        follow_log(folder, run_name, lines, print_at_once=lambda text: print(text, end="", flush=True))
    else:
        print_log_ends(make_console(), state, run_name or "", lines)


def _study_and_run(study: str | None, run: str | None, results: Path) -> tuple[Path, str | None]:
    """``STUDY``, ``STUDY RUN`` or, in a study's place, ``RUN``."""
    if study is None or run is not None:
        return study_folder(study, results), run
    try:
        return study_folder(study, results), None
    except StorageError:
        try:
            here = place_of(None, results).folder
        except UserError:
            here = None
        if here is None or not is_study(here):
            raise
        return study_folder(None, results), study


def open_report(study: Study = None, results: Results = RESULTS) -> None:
    """Open a study's report in the browser; it is made first where there is none."""
    import webbrowser

    folder = find_study(study, results)
    page = folder / "report" / "report.html"
    if not page.is_file():
        from ablate.doors import make_report

        page = make_report(folder)
    print(page)
    if not webbrowser.open(page.absolute().as_uri()):
        raise ConfigError("no browser can be opened here", hint="open the file above by hand")


def report(
    study: Study = None,
    decimals: Annotated[
        int | None, typer.Option(help="Decimals of a percentage.", show_default="as a column needs")
    ] = None,
    percent: Annotated[
        bool, typer.Option("--percent/--fraction", help="Percent and points, or fractions.")
    ] = True,
    metrics: Annotated[
        str, typer.Option(help="Metrics of the tables, with commas.", show_default="the usual ones")
    ] = "",
    layout: Annotated[
        str, typer.Option(help="LaTeX tables as wide as the page (wide), or as one column of it (column).")
    ] = "wide",
    venue: Annotated[
        str, typer.Option(help="Page of LaTeX tables: cvpr, icml, neurips, iclr, eccv, ieee, article.")
    ] = "cvpr",
    storage: Storage = None,
    results: Results = RESULTS,
) -> None:
    """Remake tables, figures and the report from what has finished so far, on whatever machine."""
    from ablate.doors import make_report
    from ablate.report.numbers import style_of

    style = style_of(decimals, percent, metrics, layout, venue)
    joined = joined_study(study, results, storage)
    if joined:
        from ablate.running.cluster import fetch_results

        fetch_results(joined)
    print(make_report(find_study(study, results), style))


def claims(
    study: Study = None,
    as_json: Json = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 unless all are supported or equivalent.")
    ] = False,
    results: Results = RESULTS,
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


def verify(study: Study = None, results: Results = RESULTS) -> None:
    """Compute again all that a report's tables print; exit with 1 at the first thing that differs."""
    from ablate.cli.printing import make_console
    from ablate.report.verifying import verify as recompute

    found = recompute(study_folder(study, results))
    console = make_console()
    if found.wrong:
        console.print(found.wrong, markup=False, soft_wrap=True)
        raise typer.Exit(1)
    sealed = f"; claims sealed as {found.seal}" if found.seal else "; no claims were sealed"
    console.print(
        f"{found.numbers} numbers in {found.files} files, all as recomputed{sealed}", soft_wrap=True
    )


def clean(
    study: Annotated[
        str | None,
        typer.Argument(
            metavar="[STUDY]",
            help="A study's file, name or results folder.",
            show_default="all studies, and the cache",
            autocompletion=offer_studies,
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Delete; without it, only list.")] = False,
    interrupted: Annotated[
        bool, typer.Option("--interrupted", help="Also attempts that could be continued.")
    ] = False,
    results: Results = RESULTS,
    cache: Cache = None,
) -> None:
    """List (or delete) what dead or finished work left behind; never anything of a live run.

    Without STUDY: of all studies, and what of the cache none of them reads.
    """
    from ablate.cli.printing import make_console, print_litter
    from ablate.running.caches import unused_caches
    from ablate.running.clean import clean as find_litter
    from ablate.running.journal import quiet_optuna

    quiet_optuna()
    folders = studies_in(results) if study is None else [study_folder(study, results)]
    litter = [
        item
        for folder in folders
        if study is not None or (folder / "plan.json").is_file()
        for item in find_litter(folder, dry=not yes, interrupted=interrupted)
    ]
    if study is None:
        litter += unused_caches(cache_dir(cache), folders, dry=not yes)
    print_litter(make_console(), litter, dry=not yes)


def repair(study: Study = None, results: Results = RESULTS) -> None:
    """Check every file of a study's finished runs; set damaged runs aside, for `resume` to compute."""
    from ablate.running.folder import Workspace
    from ablate.running.frame import FrameWriter
    from ablate.running.manifest import set_aside_damaged
    from ablate.running.recorded import load_plan

    workspace = Workspace(study_folder(study, results))
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


def dashboard(study: Study = None, port: int = 8080, results: Results = RESULTS) -> None:
    """Open the study in optuna-dashboard (an optional extra)."""
    command = dashboard_command(find_study(study, results), port)
    os.execvp(command[0], command)
