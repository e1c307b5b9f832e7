"""Commands that read what a study has left: where it stands, what it shows, what is damaged."""

from __future__ import annotations

import os
import sys
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
    from ablate.cli.printing import make_console, print_status, watched
    from ablate.running.remote import read_shared
    from ablate.running.status import status as read_status

    # A program is told to name one: what it reads has one form.
    if study is None and not as_json and _several(results):
        ls(results=results)
        return
    joined = joined_study(study, results, storage)
    folder = None if joined else study_folder(study, results)

    def read() -> StudyStatus:
        return read_shared(joined) if joined else read_status(folder or results)

    if as_json:
        from ablate.cli.emitting import emit

        emit(read())
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
    """List the studies of a results folder: where each stands, its claims' verdicts, its age and size."""
    from ablate.cli.printing import make_console, print_studies
    from ablate.running.journal import quiet_optuna
    from ablate.running.listing import listed

    quiet_optuna()
    found = [listed(folder) for folder in studies_in(results)]
    if as_json:
        from ablate.cli.emitting import emit
        from ablate.cli.output import Listed

        emit(
            [
                Listed(
                    one.study,
                    None if one.state is None else one.state.finished,
                    None if one.state is None else one.state.counts,
                    one.verdicts,
                    one.age,
                    one.size,
                )
                for one in found
            ]
        )
    else:
        print_studies(make_console(), found)


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
    as_json: Json = False,
    results: Results = RESULTS,
) -> None:
    """List the logs of a study's runs, or print the end of some. A RUN alone is of the study here."""
    from ablate.cli.printing import log_end, make_console, print_log_ends, print_logs
    from ablate.cli.tailing import chosen_runs, follow_log
    from ablate.running.status import status as read_status

    folder, run_name = _study_and_run(study, run_name, results)
    state = read_status(folder)
    if as_json:
        from ablate.cli.emitting import emit
        from ablate.cli.output import Log

        emit(
            [
                Log(
                    run.key, run.variant, run.seed, run.category, run.state, run.log,
                    () if run_name is None else tuple(log_end(run, lines)),
                )
                for run in chosen_runs(state, run_name)
            ]
        )  # fmt: skip
    elif run_name is None and not follow:
        print_logs(make_console(), state)
    elif follow:
        follow_log(folder, run_name, lines, print_at_once=lambda text: print(text, end="", flush=True))
    else:
        print_log_ends(make_console(), chosen_runs(state, run_name), lines)


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


def open_report(study: Study = None, as_json: Json = False, results: Results = RESULTS) -> None:
    """Open a study's report in the browser; it is made first where there is none."""
    import webbrowser

    folder = find_study(study, results)
    page = folder / "report" / "report.html"
    if not page.is_file():
        from ablate.doors import make_report

        page = make_report(folder)
    if as_json:
        from ablate.cli.emitting import emit
        from ablate.cli.output import Reported

        emit(Reported(str(page)))
    else:
        print(page)
    if not webbrowser.open(page.absolute().as_uri()):
        raise ConfigError("no browser can be opened here", hint="open the file above by hand")


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
    as_json: Json = False,
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
        found = unused_caches(cache_dir(cache), folders, dry=not yes)
        litter += found.litter
        if found.left_alone:
            print(f"the cache is left alone: {found.left_alone}", file=sys.stderr)
    if as_json:
        from ablate.cli.emitting import emit
        from ablate.cli.output import Cleaned, Litter

        items = tuple(Litter(str(item.path), item.why, item.size) for item in litter)
        emit(Cleaned(yes, sum(item.bytes for item in items), items))
        return
    print_litter(make_console(), litter, dry=not yes)


def repair(study: Study = None, as_json: Json = False, results: Results = RESULTS) -> None:
    """Check every file of a study's finished runs; set damaged runs aside, for `resume` to compute."""
    from ablate.running.folder import Workspace
    from ablate.running.frame import FrameWriter
    from ablate.running.manifest import set_aside_damaged
    from ablate.running.recorded import load_plan

    workspace = Workspace(study_folder(study, results))
    made = load_plan(workspace)
    found = set_aside_damaged(workspace, [run.key for run in made.runs])
    finished = sum(workspace.committed(run.key) for run in made.runs)
    if finished:
        FrameWriter(workspace, made).write()
    if as_json:
        from ablate.cli.emitting import emit
        from ablate.cli.output import Repaired

        emit(Repaired(made.study, finished, len(made.runs), tuple(map(str, found))))
        return
    for line in found:
        print(line)
    print(f"{finished} of {len(made.runs)} runs are finished and whole; runs.csv is remade from them")
    if found:
        print(f"continue with: ablate resume {workspace.study_dir}")


def dashboard(study: Study = None, port: int = 8080, results: Results = RESULTS) -> None:
    """Open the study in optuna-dashboard (an optional extra)."""
    command = dashboard_command(find_study(study, results), port)
    os.execvp(command[0], command)
