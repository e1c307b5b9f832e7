"""Runs of the same configuration by other code: why a run is new, and adopting the old one on purpose.

What a study has adopted stands in its ``accepted.json``, from each key to the one that fills its place:
only as long as the code stays what it was then, since another code has other keys.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ablate.running.folder import Workspace
from ablate.running.manifest import cached, damage
from ablate.study.code import run_modules
from ablate.study.plan import Plan, Run
from model.code_identity import changed
from model.files import read_json, write_text

ACCEPTED = "accepted.json"


@dataclass(frozen=True)
class Earlier:
    """The committed runs under a results root, by configuration."""

    root: Path

    @cached_property
    def _by_configuration(self) -> Mapping[str, list[tuple[Path, Mapping[str, Any]]]]:
        found: dict[str, list[tuple[Path, Mapping[str, Any]]]] = {}
        for path in sorted(self.root.glob("*/runs/*/provenance.json")):
            facts = read_json(path) or {}
            if facts.get("configuration") and damage(path.parent, path.parent.name) is None:
                found.setdefault(str(facts["configuration"]), []).append((path.parent, facts))
        return found

    def of(self, run: Run) -> tuple[Path, tuple[str, ...]] | None:
        """The folder whose code differs in the fewest files from the run's, and these files; or None."""
        known = self._by_configuration.get(run.configuration, [])
        now = run_modules(run.config, run.metrics) if known else {}
        told = [(folder, changed(facts.get("modules", {}), now)) for folder, facts in known]
        return min(told, key=lambda item: len(item[1]), default=None)

    def why(self, run: Run) -> str:
        """``model/losses.py changed since results/study/runs/<key>``; empty if it never ran."""
        found = self.of(run)
        if found is None or not found[1]:
            return ""
        folder, files = found
        named = ", ".join(files[:3]) + (f" and {len(files) - 3} more" if len(files) > 3 else "")
        return f"{named} changed since {folder}"


def accept_code(plan: Plan, root: Path, *, record: bool = True) -> Plan:
    """The plan with what earlier code has computed in place of what is new.

    ``record``: write this down in the study's folder. Raises StorageError if the disk refuses.
    """
    workspace, earlier = Workspace(root / plan.spec.study), Earlier(root)
    accepted = accepted_runs(workspace.study_dir)
    for run in plan.runs:
        found = None if cached(workspace, run.key) else earlier.of(run)
        if found:
            accepted[run.key] = {"run": found[0].name, "changed": list(found[1])}
    if accepted and record:
        write_text(workspace.study_dir / ACCEPTED, json.dumps(accepted, indent=1))
    return _adopted(plan, workspace, accepted)


def with_accepted(plan: Plan, root: Path) -> Plan:
    """The plan with the runs that its study has adopted, as far as they are still on disk."""
    workspace = Workspace(root / plan.spec.study)
    return _adopted(plan, workspace, accepted_runs(workspace.study_dir))


def _adopted(plan: Plan, workspace: Workspace, accepted: Mapping[str, Mapping[str, Any]]) -> Plan:
    instead: dict[str, str] = {}
    for key, found in accepted.items():
        old = str(found["run"])
        if cached(workspace, old):
            instead[key] = old
    if not instead:
        return plan
    runs = [
        # Never computed under the old key: the code is not that of its digest.
        replace(run, key=instead[run.key], code_digest="adopted") if run.key in instead else run
        for run in plan.runs
    ]
    rows = [replace(row, key=instead.get(row.key, row.key)) for row in plan.rows]
    return replace(plan, runs=tuple(runs), rows=tuple(rows))


def accepted_runs(study_dir: Path) -> dict[str, dict[str, Any]]:
    """Key to ``run`` (the adopted one's key) and ``changed`` (files), as the study's folder says."""
    found = (read_json(study_dir / ACCEPTED) or {}).items()
    return {key: value for key, value in found if isinstance(value, dict) and "run" in value}
