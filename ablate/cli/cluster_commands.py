"""Commands for several machines: join a study that is planned on a server."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ablate.cli.arguments import (
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
from model.errors import ConfigError

if TYPE_CHECKING:
    from ablate.running.cluster import Joined


def worker(
    study: Study,
    storage: Storage = None,
    workers: Workers = None,
    max_runs: MaxRuns = None,
    timeout: Timeout = None,
    retries: Retries = 1,
    as_json: JsonLines = False,
    device: Device = "auto",
    results: Results = Path("results"),
    cache: Cache = None,
) -> None:
    """Work on a study that `ablate run --storage` has planned, from any machine, until nothing is left."""
    from ablate.cli.printing import make_console, print_at_once
    from ablate.running.progress import JsonView, make_view
    from ablate.running.remote import join
    from ablate.running.server import find_address

    options = run_options(
        workers=workers,
        max_runs=max_runs,
        timeout=timeout,
        retries=retries,
        retry_failed=False,
        fail_fast=False,
        device=device,
        cache=cache,
    )
    address = find_address(storage or _remembered(study, results), arguments=sys.argv)
    if address is None:
        raise ConfigError("which server?", hint="--storage postgresql://user@host/database")
    console = make_console()
    view = JsonView(print_at_once) if as_json else make_view(console)
    result = join(study_name(study), results, options, address, view)
    for line in result.lines:
        if not as_json:
            console.print(line, markup=False, soft_wrap=True)
    raise typer.Exit(result.exit_code)


def study_name(target: str) -> str:
    """The name of the study that a spec file, a results folder or a name means."""
    from ablate.study.reading import load_spec

    path = Path(target)
    return load_spec(path).study if path.suffix in (".yaml", ".yml") else path.name


def _remembered(target: str, results: Path) -> str | None:
    from ablate.running.cluster import remembered

    return remembered(results / study_name(target))


def joined_study(target: str, results: Path, storage: str | None) -> Joined | None:
    """The study on its server, if it is on one: as given, or as its folder says; else None.

    Raises StorageError if the server is away or has no such study.
    """
    from ablate.running.server import find_address

    known = _remembered(target, results)
    if storage is None and known is None:
        return None
    from ablate.running.cluster import join_study
    from ablate.running.server import open_server

    address = find_address(storage, arguments=sys.argv) or find_address(known)
    assert address is not None
    return join_study(open_server(address, name="ablate status"), study_name(target), results)
