"""Commands that read what a study has left: where it stands, what it shows, what is damaged."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ablate.cli.arguments import (
    Json,
    Results,
    Storage,
    Study,
    dashboard_command,
    find_study,
    study_folder,
)
from ablate.cli.cluster_commands import joined_study

if TYPE_CHECKING:
    from ablate.running.status import StudyStatus


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
    folder = None if joined else study_folder(study, results)

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

    state = read_status(study_folder(study, results))
    if run_name is None:
        print_logs(make_console(), state)
    else:
        print_log_ends(make_console(), state, run_name, lines)


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

    litter = find_litter(study_folder(study, results), dry=not yes, interrupted=interrupted)
    print_litter(make_console(), litter, dry=not yes)


def repair(study: Study, results: Results = Path("results")) -> None:
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


def dashboard(study: Study, port: int = 8080, results: Results = Path("results")) -> None:
    """Open the study in optuna-dashboard (an optional extra)."""
    command = dashboard_command(find_study(study, results), port)
    os.execvp(command[0], command)
