"""Behavioural: runs of the same configuration by other code are found, named, and adopted when asked."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from ablate.evidence.gather import gather
from ablate.running.earlier import ACCEPTED, Earlier, accept_code, with_accepted
from ablate.running.folder import Workspace
from ablate.running.frame import refresh_frame
from ablate.running.manifest import seal
from ablate.running.recorded import StoredPlan, dump_run, write_plan, write_spec
from ablate.study.code import run_modules
from ablate.study.plan import Plan, make_plan
from tests.ablate.runner_fakes import SOURCES, make_fake_plan, value_of, write_metrics

OLD = replace(SOURCES, code=lambda *_: "old code")


def computed_by_old_code(root: Path) -> Plan:
    """Commit a study's runs as another version of losses.py computed them; the plan of today."""
    plan = make_fake_plan(["a", "b"])
    old = make_plan(plan.spec, cache_dir=Path(), sources=OLD)
    workspace = Workspace(root / "study")
    write_spec(workspace, plan.spec)
    for run in old.runs:
        folder = workspace.run_dir(run.key)
        folder.mkdir(parents=True)
        write_metrics(run, folder, value_of(run))
        modules = {**run_modules(run.config), "model.losses": "another digest"}
        facts = {**dump_run(run), "modules": modules, "code": {"commit": "abc", "dirty": False}}
        (folder / "provenance.json").write_text(json.dumps(facts))
        seal(folder, run.key)
    return plan


def test_a_new_run_says_what_has_changed(tmp_path: Path) -> None:
    plan = computed_by_old_code(tmp_path)
    why = Earlier(tmp_path).why(plan.runs[0])
    assert why.startswith(f"model/losses.py changed since {tmp_path}/study/runs/")
    other = make_fake_plan(["a"], iterations=11).runs[0]
    assert Earlier(tmp_path).why(other) == ""


def test_old_runs_are_adopted_when_asked_and_the_report_says_so(tmp_path: Path) -> None:
    plan = computed_by_old_code(tmp_path)
    workspace = Workspace(tmp_path / "study")
    assert with_accepted(plan, tmp_path) == plan
    assert accept_code(plan, tmp_path, record=False) != plan
    assert not (workspace.study_dir / ACCEPTED).exists()

    accepted = accept_code(plan, tmp_path)
    assert all(workspace.committed(run.key) for run in accepted.runs)
    assert with_accepted(plan, tmp_path) == accepted
    write_plan(workspace, StoredPlan.of(accepted))
    refresh_frame(workspace.study_dir)
    results = gather(workspace.study_dir)
    assert len(results.frame) == 4
    assert any("2 of 2 runs" in line and "model/losses.py" in line for line in results.warnings)


def test_what_was_adopted_is_not_for_the_next_code(tmp_path: Path) -> None:
    plan = computed_by_old_code(tmp_path)
    accept_code(plan, tmp_path)
    newer = make_plan(plan.spec, cache_dir=Path(), sources=replace(SOURCES, code=lambda *_: "newer"))
    assert with_accepted(newer, tmp_path) == newer


def test_runs_of_uncommitted_or_several_codes_are_named(tmp_path: Path) -> None:
    plan = computed_by_old_code(tmp_path)
    accepted = accept_code(plan, tmp_path)
    workspace = Workspace(tmp_path / "study")
    write_plan(workspace, StoredPlan.of(accepted))
    path = workspace.run_dir(accepted.runs[1].key) / "provenance.json"
    code = {"commit": "def", "dirty": True, "diff": "1"}
    path.write_text(json.dumps({**json.loads(path.read_text()), "code": code}))
    seal(path.parent, path.parent.name)
    warnings = " ".join(gather(workspace.study_dir).warnings)
    assert "1 of 2 runs were computed by code that is in no commit" in warnings
    assert "2 states of the code" in warnings
