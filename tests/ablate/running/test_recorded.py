"""Behavioural: what a folder records of its study, and what is refused there."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ablate.running.folder import Workspace
from ablate.running.recorded import (
    StoredPlan,
    dump_plan,
    load_plan,
    write_plan,
    write_spec,
)
from ablate.study.plan import Plan
from ablate.study.reading import load_recorded, parse_spec
from ablate.study.spec import Invocation
from model.errors import ConfigError, StorageError
from tests.ablate import runner_fakes as fakes

FACTORS = (
    "factors: {design: one-at-a-time, token_dropout.rate: [0.1, {from: 0.0, to: 0.3}], bias.lambda: [0.5]}"
)


@pytest.mark.parametrize(
    "plan",
    [
        fakes.make_fake_plan(("base", "other"), 2),
        fakes.make_fake_plan(extra=FACTORS),
    ],
)
def test_a_plan_survives_its_file(tmp_path: Path, plan: Plan) -> None:
    stored = StoredPlan.of(plan)
    workspace = Workspace(tmp_path / "study")
    workspace.create()
    write_plan(workspace, stored)
    again = load_plan(workspace)
    assert again == stored
    assert again.digest == stored.digest
    assert again.runs == plan.runs
    assert again.rows == plan.rows
    assert again.factors == stored.factors


def test_plans_that_differ_have_other_digests() -> None:
    one, two = (StoredPlan.of(fakes.make_fake_plan(seeds=seeds)) for seeds in (1, 2))
    assert one.digest != two.digest


def damaged(change: str) -> bytes:
    """A plan's text, spoilt in one way."""
    content: dict[str, Any] = json.loads(dump_plan(StoredPlan.of(fakes.make_fake_plan(seeds=2))))
    run = content["runs"][0]
    match change:
        case "version":
            content["schema"] = 99
        case "extra":
            content["more"] = 1
        case "missing":
            del content["primary"]
        case "type":
            run["seed"] = "0"
        case "setting":
            run["config"]["tail"]["q"] = 7
        case "path":
            run["key"] = content["rows"][0]["key"] = "../../../../home/me"
        case "twice":
            content["runs"].append(run)
        case "orphan":
            del content["runs"][0]
    return json.dumps(content).encode()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"schema": 1}',
        b'{"name": "a project plan"}',
    ]
    + [damaged(c) for c in ("version", "extra", "missing", "type", "setting", "path", "twice", "orphan")],
)
def test_a_damaged_or_foreign_plan_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "plan.json").write_bytes(content)
    with pytest.raises(StorageError, match="damaged, or written by another version") as caught:
        load_plan(Workspace(tmp_path))
    assert str(caught.value).startswith(str(tmp_path / "plan.json"))


def test_a_missing_plan_is_no_study(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no such study"):
        load_plan(Workspace(tmp_path / "nothing"))


def test_a_study_is_recorded_with_how_it_was_started(tmp_path: Path) -> None:
    text = "study: s\ndata: {dataset: stripes}\nvariants: {base: {}}\n"
    spec = parse_spec(text, tmp_path / "study.yaml", ["base.train.iterations=7"], smoke=True)
    workspace = Workspace(tmp_path / "s")
    workspace.create()
    write_spec(workspace, spec)
    assert workspace.spec.read_text() == text
    assert replace(load_recorded(workspace.study_dir), path=spec.path) == spec


def test_a_folder_without_an_invocation_was_started_as_its_file_says(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text("study: s\ndata: {dataset: stripes}\nvariants: {base: {}}\n")
    assert load_recorded(tmp_path).invocation == Invocation()


@pytest.mark.parametrize("content", ["", "{", '{"overrides": 3}', '{"smoke": 1}', '{"other": []}'])
def test_a_damaged_invocation_is_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "spec.yaml").write_text("study: s\ndata: {dataset: stripes}\nvariants: {base: {}}\n")
    (tmp_path / "invocation.json").write_text(content)
    with pytest.raises(ConfigError, match="cannot read how the study was started") as caught:
        load_recorded(tmp_path)
    assert "\n" not in str(caught.value)
