"""Behavioural: what workers and onlookers learn of a session."""

from __future__ import annotations

from pathlib import Path

import pytest

from ablate.running.folder import Workspace
from ablate.running.session import (
    RunOptions,
    live_sessions,
    load_session,
    new_session,
    open_session,
    write_session,
)
from model.errors import StorageError


def test_options_reach_the_workers(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    options = RunOptions(workers=3, gpus=("0", "1"), timeout=5.0, max_runs=2)
    session = new_session("digest", options)
    with open_session(workspace, session):
        assert load_session(workspace, session.id) == session
        assert live_sessions(workspace) == [session]
    assert live_sessions(workspace) == []
    with pytest.raises(StorageError, match="no such session"):
        load_session(workspace, "other")


def test_a_damaged_session_is_one_line_and_not_alive(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    session = new_session("digest", RunOptions())
    with open_session(workspace, session):
        workspace.session_file(session.id).write_text('{"id": "half')
        assert live_sessions(workspace) == []
        with pytest.raises(StorageError, match="damaged"):
            load_session(workspace, session.id)
        write_session(workspace, session)
        assert live_sessions(workspace) == [session]
