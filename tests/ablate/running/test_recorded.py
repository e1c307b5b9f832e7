"""Behavioural: what a folder records of its study, and what is refused there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ablate.running.folder import Workspace
from ablate.running.recorded import (
    StoredPlan,
    dump_plan,
    load_plan,
    read_invocation,
    write_invocation,
    write_plan,
    write_spec,
)
from ablate.study.plan import Plan
from model.errors import StorageError
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


def test_an_invocation_survives_its_file(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    assert read_invocation(workspace) == ((), False)
    overrides = ("base.train.iterations=100", "study=ä")
    write_spec(workspace, "study: s\r\n# no newline at the end", overrides, smoke=True)
    assert read_invocation(workspace) == (overrides, True)
    assert workspace.spec.read_bytes() == b"study: s\r\n# no newline at the end"
    write_invocation(workspace, [], smoke=False)
    assert read_invocation(workspace) == ((), False)


@pytest.mark.parametrize("content", ["", "[]", '{"overrides": "a=b", "smoke": false}', '{"smoke": true}'])
def test_a_damaged_invocation_is_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "invocation.json").write_text(content)
    with pytest.raises(StorageError, match="damaged"):
        read_invocation(Workspace(tmp_path))
