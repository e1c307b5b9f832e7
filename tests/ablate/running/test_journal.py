"""Behavioural: Optuna's journal file after crashes, and what its categoricals hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from ablate.running.journal import Journal, categorical
from model.errors import StorageError
from tests.ablate import runner_fakes as fakes
from tests.ablate.running.studies import finish, open_ledger, open_study, states, take


@pytest.mark.parametrize("torn", [b'{"op_code": 5, "wor', b"\x00\x00"])
def test_a_line_cut_off_by_a_crash_does_not_spoil_the_journal(tmp_path: Path, torn: bytes) -> None:
    workspace, plan, ledger = open_study(tmp_path, fakes.make_fake_plan(("base", "other")))
    with workspace.journal.open("ab") as stream:
        stream.write(torn)
    assert states(open_ledger(workspace)) == ["WAITING"] * 2
    finish(ledger, take(ledger, plan))
    assert states(open_ledger(workspace)) == ["COMPLETE", "WAITING"]


def test_a_damaged_journal_is_one_line(tmp_path: Path) -> None:
    workspace, _, _ = open_study(tmp_path, fakes.make_fake_plan())
    lines = workspace.journal.read_bytes().splitlines(keepends=True)
    workspace.journal.write_bytes(b"".join([lines[0], b"rubbish\n", *lines[1:]]))
    with pytest.raises(StorageError, match="journal is damaged"):
        Journal(workspace)


def test_categoricals_hold_scalars_as_they_are_and_the_rest_by_its_text() -> None:
    for value in (None, True, 2, 0.5, "row"):
        assert categorical(value) is value
    assert categorical({"from": 1.0, "to": 0.1}) == '{"from": 1.0, "to": 0.1}'
