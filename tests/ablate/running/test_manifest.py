"""Behavioural: what is committed is found whole, or is named, set aside and computed again."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ablate.running.folder import Workspace
from ablate.running.frame import collect
from ablate.running.ledger import Nothing
from ablate.running.manifest import cached, damage, seal, set_aside_damaged
from tests.ablate import runner_fakes as fakes
from tests.ablate.running.studies import WORKER, finish, open_study, take


def digit(path: Path) -> None:
    path.write_text(path.read_text().replace("0.86", "0.96", 1))


def nuls(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:40] + bytes(20) + content[60:])


DAMAGES: dict[str, Callable[[Path], object]] = {
    "digit": digit,
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-30]),
    "emptied": lambda path: path.write_bytes(b""),
    "nuls": nuls,
    "random": lambda path: path.write_bytes(bytes(range(256))),
    "deleted": lambda path: path.unlink(),
    "no manifest": lambda path: (path.parent / "manifest.json").unlink(),
    "torn manifest": lambda path: (path.parent / "manifest.json").write_text('{"key":'),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_damage_is_named_set_aside_and_computed_again(tmp_path: Path, kind: str) -> None:
    workspace, plan, ledger = open_study(tmp_path, fakes.make_fake_plan(seeds=2))
    for _ in plan.runs:
        finish(ledger, take(ledger, plan))
    shutil.copytree(workspace.study_dir, tmp_path / "whole" / "study")  # a process checks a folder once
    whole = collect(tmp_path / "whole" / "study")
    key = plan.runs[0].key
    DAMAGES[kind](workspace.run_dir(key) / "metrics.csv")

    assert set(collect(workspace.study_dir)["key"]) == {plan.runs[1].key}
    (said,) = set_aside_damaged(workspace, [run.key for run in plan.runs])
    assert key in said
    assert ("manifest" if "manifest" in kind else "metrics.csv") in said
    assert [path.name for path in (workspace.study_dir / ".damaged").iterdir()] == [f"{key}.1"]
    ledger.plan(plan)
    finish(ledger, take(ledger, plan))
    assert collect(workspace.study_dir).equals(whole)


def test_damage_found_while_taking_is_computed_again(tmp_path: Path) -> None:
    workspace, plan, ledger = open_study(tmp_path, fakes.make_fake_plan())
    planted = workspace.run_dir(plan.runs[0].key)
    planted.mkdir()
    fakes.write_metrics(plan.runs[0], planted, 0.99)
    finish(ledger, take(ledger, plan))
    assert 0.99 not in set(collect(workspace.study_dir)["value"])


@pytest.mark.parametrize("kind", ["none", "of another key", "digit"])
def test_a_planted_or_damaged_run_of_another_study_is_not_adopted(tmp_path: Path, kind: str) -> None:
    plan = fakes.make_fake_plan()
    run = plan.runs[0]
    planted = Workspace(tmp_path / "other").run_dir(run.key)
    planted.mkdir(parents=True)
    fakes.write_metrics(run, planted, 0.86)
    if kind != "none":
        seal(planted, run.key if kind == "digit" else "0" * 20)
    if kind == "digit":
        digit(planted / "metrics.csv")
    workspace, stored, ledger = open_study(tmp_path, plan)
    assert not cached(workspace, run.key)
    finish(ledger, take(ledger, stored))


def test_a_sound_run_of_another_study_is_adopted_with_its_manifest(tmp_path: Path) -> None:
    _, first, ledger = open_study(tmp_path, fakes.make_fake_plan(study="first"))
    finish(ledger, take(ledger, first))
    workspace, second, ledger = open_study(tmp_path, fakes.make_fake_plan(study="second"))
    assert ledger.take(second.runs, WORKER) is Nothing.DONE
    assert damage(workspace.run_dir(second.runs[0].key), second.runs[0].key) is None
    shutil.rmtree(tmp_path / "first")
    assert len(collect(workspace.study_dir)) == 4
