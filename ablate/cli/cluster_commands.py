"""Commands for several machines: join a study that is planned on a server."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ablate.cli.arguments import (
    RESULTS,
    Cache,
    Device,
    JsonLines,
    MaxRuns,
    Results,
    Retries,
    Storage,
    Study,
    Timeout,
    Workers,
    run_options,
)
from ablate.cli.studies import place_of
from model.errors import ConfigError, StorageError

if TYPE_CHECKING:
    from ablate.running.cluster import Joined


def worker(
    study: Study = None,
    storage: Storage = None,
    workers: Workers = None,
    max_runs: MaxRuns = None,
    timeout: Timeout = None,
    retries: Retries = 1,
    as_json: JsonLines = False,
    device: Device = "auto",
    results: Results = RESULTS,
    cache: Cache = None,
) -> None:
    """Work on a study that `ablate run --storage` has planned, from any machine, until nothing is left.

    Without a storage it joins a study in a folder that hosts may share, as `ablate doctor --probe` shows.
    """
    from ablate.cli.printing import make_console, print_at_once
    from ablate.running.cluster import remembered
    from ablate.running.folder import Workspace
    from ablate.running.joining import join_here
    from ablate.running.progress import JsonView, make_view
    from ablate.running.recorded import load_plan
    from ablate.running.remote import join, work_on
    from ablate.running.server import find_address

    place = study_place(study, results)
    address = find_address(storage or remembered(place), arguments=sys.argv)
    here = Workspace(place)
    if address is None and not here.plan.exists():
        raise ConfigError("which server?", hint="--storage postgresql://user@host/database")
    joined = None if address is None else join(place.name, place.parent, address)
    options = run_options(
        workers=workers,
        max_runs=max_runs,
        timeout=timeout,
        retries=retries,
        device=device,
        cache=cache,
        threads=(joined.plan if joined else load_plan(here)).threads,
    )
    console = make_console()
    events = JsonView(print_at_once) if as_json else None
    view = events or make_view(console)
    result = join_here(here, options, view) if joined is None else work_on(joined, options, view)
    for line in result.lines:
        if events:
            events.say(line)
        else:
            console.print(line, markup=False, soft_wrap=True)
    if events:
        state = result.state
        content = {"finished": state.finished, "runs": len(state.runs), "failed": len(state.failed)}
        ending = {"study": place.name, "exit_code": result.exit_code, **content}
        events.emit("finished", {**ending, "page": None, "claims": ()})
    raise typer.Exit(result.exit_code)


def study_place(target: str | None, results: Path) -> Path:
    """The results folder, there or not, of a study that a server may know while this machine does not."""
    try:
        return place_of(target, results).folder
    except StorageError:
        if target is None:
            raise
        return results / Path(target).name


def joined_study(target: str | None, results: Path, storage: str | None) -> Joined | None:
    """The study on its server, if it is on one: as given, or as its folder says; else None.

    Raises StorageError if the server is away or has no such study.
    """
    from ablate.running.cluster import join_study, remembered
    from ablate.running.server import find_address, open_server

    place = study_place(target, results)
    known = remembered(place)
    if storage is None and known is None:
        return None

    address = find_address(storage, arguments=sys.argv) or find_address(known)
    assert address is not None
    return join_study(open_server(address, name="ablate status"), place.name, place.parent)
