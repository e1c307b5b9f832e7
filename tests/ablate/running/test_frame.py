"""Behavioural: the tidy frame, and when it is remade."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ablate.evidence.reading import read_frame
from ablate.running.attempt import Attempt
from ablate.running.frame import FRAME_TAIL, FrameWriter, collect, refresh_frame
from ablate.running.recorded import StoredPlan, write_plan
from model.errors import StorageError
from tests.ablate import runner_fakes as fakes
from tests.ablate.running.studies import WORKER, finish, open_study, take


def test_the_frame_has_rows_for_every_cell(tmp_path: Path) -> None:
    plan = fakes.make_fake_plan(("base", "same"), 2, distinct=False)
    assert len(plan.runs) == 2
    workspace, stored, ledger = open_study(tmp_path, plan)
    assert collect(workspace.study_dir).empty
    finish(ledger, take(ledger, stored))
    frame = collect(workspace.study_dir, stored)
    assert list(frame.columns) == ["study", "variant", *FRAME_TAIL]
    assert len(frame) == 2 * 2 * 2  # two cells share the run; two categories; two splits
    assert set(frame["variant"]) == {"base", "same"}
    assert set(frame["category"]) == {"a", "b"}
    FrameWriter(workspace, stored).write()
    assert workspace.frame.read_text().count("\n") == 9


@pytest.mark.parametrize("damage", ["stale", "gone"])
def test_a_frame_that_was_left_behind_is_brought_up_to_date(tmp_path: Path, damage: str) -> None:
    workspace, stored, ledger = open_study(tmp_path, fakes.make_fake_plan(seeds=2))
    finish(ledger, take(ledger, stored))
    FrameWriter(workspace, stored).write()
    if damage == "gone":
        workspace.frame.unlink()
    finish(ledger, take(ledger, stored))
    refresh_frame(workspace.study_dir)
    assert workspace.frame.read_text() == collect(workspace.study_dir).to_csv(index=False)
    assert all(run.key in workspace.frame.read_text() for run in stored.runs)


@pytest.mark.parametrize("finished", [0, 1])
def test_a_frame_of_an_earlier_plan_is_remade(tmp_path: Path, finished: int) -> None:
    plan = fakes.make_fake_plan(("base", "same"), distinct=False)
    workspace, earlier, ledger = open_study(tmp_path, plan)
    finish(ledger, take(ledger, earlier))
    FrameWriter(workspace, earlier).write()
    changed = fakes.make_fake_plan(("base", "same"), iterations=20)
    workspace, stored, ledger = open_study(tmp_path, changed)
    for _ in range(finished):
        finish(ledger, take(ledger, stored))
    refresh_frame(workspace.study_dir)
    frame = read_frame(workspace, stored)
    assert set(frame["key"]) == {run.key for run in stored.runs[:finished]}


def test_a_published_frame_of_an_earlier_plan_stays(tmp_path: Path) -> None:
    workspace, earlier, ledger = open_study(tmp_path, fakes.make_fake_plan())
    finish(ledger, take(ledger, earlier))
    FrameWriter(workspace, earlier).write()
    before = workspace.frame.read_bytes()
    shutil.rmtree(workspace.runs)
    write_plan(workspace, StoredPlan.of(fakes.make_fake_plan(iterations=20)))
    refresh_frame(workspace.study_dir)
    assert workspace.frame.read_bytes() == before


@pytest.mark.parametrize("content", [b"\xe6\x00 no table", b"", b"0.9"])
def test_a_frame_that_someone_changed_is_refused(tmp_path: Path, content: bytes) -> None:
    workspace, stored, ledger = open_study(tmp_path, fakes.make_fake_plan())
    finish(ledger, take(ledger, stored))
    FrameWriter(workspace, stored).write()
    whole = workspace.frame.read_bytes()
    workspace.frame.write_bytes(content if len(content) != 3 else whole.replace(b"0.", b"1.", 1))
    refresh_frame(workspace.study_dir)
    with pytest.raises(StorageError, match="changed since it was written"):
        read_frame(workspace, stored)
    FrameWriter(workspace, stored).write()
    assert len(read_frame(workspace, stored)) == 4


def test_a_published_frame_is_not_replaced_by_fewer_runs(tmp_path: Path) -> None:
    workspace, stored, ledger = open_study(tmp_path, fakes.make_fake_plan(seeds=2))
    for _ in stored.runs:
        finish(ledger, take(ledger, stored))
    FrameWriter(workspace, stored).write()
    before = workspace.frame.read_text()
    shutil.rmtree(workspace.run_dir(stored.runs[0].key))
    refresh_frame(workspace.study_dir)
    shutil.rmtree(workspace.runs)
    refresh_frame(workspace.study_dir)
    assert workspace.frame.read_text() == before


@pytest.mark.parametrize("content", [b"category,spl", b"", b"category,split,stratum,metric,value\na,b"])
def test_a_run_that_is_torn_once_it_was_looked_at_is_left_out(tmp_path: Path, content: bytes) -> None:
    workspace, stored, ledger = open_study(tmp_path, fakes.make_fake_plan(seeds=2))
    runs = [finish(ledger, take(ledger, stored)) or key for key in (stored.runs[0].key, stored.runs[1].key)]
    whole = set(collect(workspace.study_dir, stored)["key"])
    assert len(whole) == len(runs) == 2  # and both folders have been looked at
    (workspace.run_dir(stored.runs[0].key) / "metrics.csv").write_bytes(content)
    FrameWriter(workspace, stored).write()
    assert set(read_frame(workspace)["key"]) == whole - {stored.runs[0].key}


def test_factors_are_columns(tmp_path: Path) -> None:
    extra = "factors: {design: one-at-a-time, tail.q: [0.02, 0.3]}"
    workspace, stored, ledger = open_study(tmp_path, fakes.make_fake_plan(extra=extra))
    while isinstance(attempt := ledger.take(stored.runs, WORKER), Attempt):
        attempt.begin()
        finish(ledger, attempt)
    frame = collect(workspace.study_dir)
    assert list(frame.columns[:4]) == ["study", "variant", "tail.q", "seed"]
    by_variant = frame.groupby("variant")["tail.q"].first()
    assert by_variant["tail.q=0.02"] == 0.02
    assert frame[frame["variant"] == "base"]["tail.q"].isna().all()
    assert ledger.trials()[1].params["tail.q"] == 0.02
