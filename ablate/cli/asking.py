"""Asking before finished runs are computed again because spec, data or code have changed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from ablate.study.spec import StudySpec


def ask_if_changed(
    spec: StudySpec, results: Path, cache: Path, *, yes: bool, quiet: bool, accept_code: bool
) -> None:
    """Say what has changed since the study was last planned, and ask whether to compute it again.

    Asked on a terminal only, and not with ``yes``; else it is said on standard error and goes on.
    ``quiet``: as where nobody can answer. ``accept_code``: earlier code's runs are adopted.

    Raises
    ------
    typer.Abort: the answer is no.
    """
    from ablate.running.changed import since_last_plan
    from ablate.running.earlier import accept_code as accepting
    from ablate.running.earlier import with_accepted
    from ablate.running.folder import Workspace
    from ablate.study.plan import make_plan

    workspace = Workspace(results / spec.study)
    if spec.search is not None or not workspace.plan.is_file():
        return
    plan = with_accepted(make_plan(spec, cache_dir=cache), results)
    if accept_code:
        plan = accepting(plan, results, record=False)
    changed = since_last_plan(workspace, plan)
    if not changed.rerun:
        return
    print(f"changed since {spec.study} was last run:", file=sys.stderr)
    for line in changed.lines:
        print(f"  {line}", file=sys.stderr)
    runs = f"{changed.rerun} finished run{'s' * (changed.rerun > 1)}"
    if yes or quiet or not sys.stdin.isatty():
        print(f"{runs} will be computed again; earlier results stay on disk", file=sys.stderr)
    elif not typer.confirm(f"compute {runs} again?", err=True):
        raise typer.Abort()
