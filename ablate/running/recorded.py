"""What a study's folder records of what is to be run: spec.yaml, invocation.json and plan.json.

The plan alone is enough to run and to collect; spec and invocation are what it was made from.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, TypeAdapter

from ablate.running.folder import Workspace
from ablate.study.code import run_codes
from ablate.study.plan import Plan, PlanRow, Run
from ablate.study.spec import Invocation, StudySpec
from model.errors import ConfigError, StorageError
from model.files import write_bytes, write_text
from model.plugins import load_plugins

_KEY = re.compile(r"[0-9a-f]{20}")


@dataclass(frozen=True)
class StoredPlan:
    """What ``plan.json`` says: all that running and collecting need, without the study file."""

    study: str
    """The study's name."""
    primary: str
    """Metric summarised in the journal and shown in progress lines."""
    runs: tuple[Run, ...]
    """Distinct runs, in the order in which they are taken."""
    rows: tuple[PlanRow, ...]
    """All cells of the study; several may share a key."""
    search: str | None = None
    """Digest of the search that this study is; None if it is not one."""
    selected_on_reported: bool = False
    """Whether its winner was chosen on the images that its tables report; they must say so."""
    schema: Literal[1] = 1

    __pydantic_config__ = ConfigDict(extra="forbid")

    @classmethod
    def of(cls, plan: Plan) -> StoredPlan:
        """What there is to store of a plan."""
        return cls(plan.spec.study, plan.spec.report.primary, plan.runs, plan.rows)

    @cached_property
    def digest(self) -> str:
        """Hash of all of it; two supervisors work together only if theirs agree."""
        return digest_of(dump_plan(self))

    @property
    def threads(self) -> int:
        """CPU threads that its runs compute with."""
        return max((run.threads for run in self.runs), default=1)

    @property
    def factors(self) -> tuple[str, ...]:
        """Dotted names of the factors, in order of appearance."""
        return tuple(dict.fromkeys(name for row in self.rows for name in row.factors))


_RUN: TypeAdapter[Run] = TypeAdapter(Run)
_PLAN: TypeAdapter[StoredPlan] = TypeAdapter(StoredPlan)


def dump_plan(plan: StoredPlan) -> bytes:
    """The content of ``plan.json``."""
    return _PLAN.dump_json(plan, indent=1, by_alias=True)


def dump_run(run: Run) -> dict[str, Any]:
    """Plain data of a run, with the settings' YAML names."""
    return _RUN.dump_python(run, mode="json", by_alias=True)


def digest_of(content: bytes) -> str:
    """A short hash, to tell plans and searches apart."""
    return hashlib.blake2b(content, digest_size=8).hexdigest()


def write_plan(workspace: Workspace, plan: StoredPlan) -> None:
    """Replace ``plan.json`` in one step. Raises :class:`StorageError` if the disk refuses."""
    write_bytes(workspace.plan, dump_plan(plan))


def load_plan(workspace: Workspace) -> StoredPlan:
    """Read ``plan.json``.

    The plug-ins that the invocation names are loaded first: they add to what a plan may say.

    Raises :class:`StorageError` if it is missing, damaged, of another version or no plan of ours, and
    ConfigError if a plug-in is not there.
    """
    load_own_plugins(workspace)
    try:
        plan = _PLAN.validate_json(workspace.plan.read_bytes(), strict=True)
    except FileNotFoundError:
        raise StorageError(
            "no such study", where=str(workspace.study_dir), hint="start it with: ablate run STUDY.yaml"
        ) from None
    except OSError as error:
        raise StorageError(f"unreadable: {error.strerror}", where=str(workspace.plan)) from error
    except ValueError as error:  # pydantic's, too
        raise _unusable(workspace) from error
    keys = [run.key for run in plan.runs]
    # Keys become names of folders, some of which are deleted.
    if not all(map(_KEY.fullmatch, keys)) or len(set(keys)) < len(keys):
        raise _unusable(workspace)
    if {row.key for row in plan.rows} != set(keys):
        raise _unusable(workspace)
    return plan


def load_own_plugins(workspace: Workspace) -> None:
    """Load the plug-ins that the study's invocation names. Raises ConfigError if one is not there."""
    try:
        invocation = Invocation.from_json(workspace.invocation.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # published without one, or damaged: then the plan itself will tell
        return
    load_plugins(invocation.plugins, Path(invocation.folder or workspace.study_dir))


def _unusable(workspace: Workspace) -> StorageError:
    return StorageError(
        "damaged, or written by another version",
        where=str(workspace.plan),
        hint="run the study file again: finished runs are kept",
    )


# --- the study file, and what the command line changed of it ------------------------------------


def write_spec(workspace: Workspace, spec: StudySpec) -> None:
    """Record the study file verbatim, and beside it what the command line changed of it.

    :func:`ablate.study.reading.load_recorded` reads both. Raises :class:`StorageError` if the disk
    refuses.
    """
    write_text(workspace.invocation, spec.invocation.to_json())
    write_text(workspace.spec, spec.text)


def check_code(plan: StoredPlan) -> None:
    """Refuse to work on a plan of other code: a run's key holds its code. Raises ConfigError."""
    code = run_codes()
    for run in plan.runs:
        if run.code_digest not in ("", "adopted", code(run.config, run.metrics)):
            raise ConfigError(
                f"this machine's code is not the one that '{plan.study}' was planned with",
                hint="bring both to the same version, or plan the study again with this one",
            )
