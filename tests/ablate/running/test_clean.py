"""Behavioural: what is litter, and what never is."""

from __future__ import annotations

from pathlib import Path

from ablate.running.clean import clean
from ablate.running.locks import locked
from ablate.running.session import RunOptions, new_session, open_session, write_session
from model.files import write_text
from tests.ablate import runner_fakes as fakes
from tests.ablate.running.studies import open_study, take


def test_clean_lists_first_and_never_touches_a_live_run(tmp_path: Path) -> None:
    workspace, plan, ledger = open_study(tmp_path, fakes.make_fake_plan(("live", "interrupted")))
    live = take(ledger, plan)
    stopped = take(ledger, plan)
    ledger.release(stopped)
    stopped.lock.release()
    stray = workspace.attempt_dir("0" * 20)
    stray.mkdir()
    (stray / "checkpoint.pt").write_text("12345")
    workspace.log("0" * 20).write_text("old")
    session = locked(workspace.session_lock("alive"))
    write_text(workspace.session_file("alive"), "{}")
    locked(workspace.session_lock("dead")).release()
    write_text(workspace.session_file("dead"), "{}")
    write_text(workspace.worker_file("dead-1.1"), "{}")

    found = clean(workspace.study_dir)
    names = {item.path.name for item in found}
    dead = {"dead.lock", "dead.session.json", "dead-1.1.worker.json"}
    assert names == {"0" * 20, f"{'0' * 20}.log", *dead}
    assert sum(item.size for item in found if item.path == stray) == 5
    assert all(item.path.exists() for item in found)

    assert {item.path.name for item in clean(workspace.study_dir, dry=False)} == names
    assert clean(workspace.study_dir) == []
    assert live.attempt_dir.exists()
    assert stopped.attempt_dir.exists()
    assert workspace.session_file("alive").exists()
    (more,) = clean(workspace.study_dir, dry=False, interrupted=True)
    assert more.path == stopped.attempt_dir
    assert live.attempt_dir.exists()
    session.release()


def test_what_a_killed_writer_left_half_done_is_litter_once_nobody_works(tmp_path: Path) -> None:
    workspace, _, _ = open_study(tmp_path, fakes.make_fake_plan())
    drafts = [workspace.study_dir / f".{name}.0a1b2c3d.tmp" for name in ("runs.csv", "plan.json")]
    half_said = workspace.workers / ".dead-1.1.worker.json.0a1b2c3d.tmp"
    for path in (*drafts, half_said, workspace.session_lock("dead")):
        path.touch()
    session = new_session("digest", RunOptions())
    with open_session(workspace, session):
        write_session(workspace, session)
        assert {item.path for item in clean(workspace.study_dir)} == {
            half_said,
            workspace.session_lock("dead"),
        }
    with locked(workspace.lock):
        assert not {item.path for item in clean(workspace.study_dir)} & set(drafts)
    clean(workspace.study_dir, dry=False)
    assert not [path for path in (*drafts, half_said) if path.exists()]
