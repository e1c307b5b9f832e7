"""Behavioural: Optuna's journal file after crashes, and what its categoricals hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from ablate.running.journal import DamagedJournal, Journal, categorical, sound_journal
from ablate.running.progress import PlainView
from ablate.running.session import RunOptions
from ablate.running.supervisor import run_study
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


DAMAGE = (b"rubbish\n", b"\x00" * 40 + b"\n", b'{"op_code": 5}\n', b"[1]\n", b"\xff\xfe\n")


def damaged(path: Path, line: bytes) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], line, *lines[1:]]))


@pytest.mark.parametrize("line", DAMAGE)
def test_a_damaged_journal_is_one_line(tmp_path: Path, line: bytes) -> None:
    workspace, _, _ = open_study(tmp_path, fakes.make_fake_plan())
    damaged(workspace.journal, line)
    with pytest.raises(DamagedJournal, match="journal is damaged"):
        Journal(workspace)
    with pytest.raises(DamagedJournal):
        sound_journal(workspace, alone=False)


def test_a_damaged_journal_is_written_anew_from_the_finished_runs(tmp_path: Path) -> None:
    plan = fakes.make_fake_plan(("base", "other"))
    workspace, stored, ledger = open_study(tmp_path, plan)
    finish(ledger, take(ledger, stored))
    damaged(workspace.journal, DAMAGE[1])
    content, lines = workspace.journal.read_bytes(), []
    options = RunOptions(executor="tests.ablate.runner_fakes:quick", preparer=None)
    result = run_study(plan, tmp_path, options, view=PlainView(lines.append))
    assert (result.exit_code, result.state.finished) == (0, 2)
    assert (workspace.study_dir / "optuna.journal.damaged.1").read_bytes() == content
    assert any("the journal was damaged; moved to" in line for line in lines)
    assert states(open_ledger(workspace)) == ["COMPLETE"] * 2


def test_a_batch_is_one_write_and_after_an_error_none(tmp_path: Path) -> None:
    workspace, _, ledger = open_study(tmp_path, fakes.make_fake_plan())
    before = workspace.journal.read_bytes()

    def fail() -> None:
        with ledger.journal.batch():
            ledger.book.add({}, {}, {"key": "lost"})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert workspace.journal.read_bytes() == before
    ledger = open_ledger(workspace)
    with ledger.journal.batch():
        for number in range(3):
            ledger.book.add({}, {}, {"key": str(number)})
        assert workspace.journal.read_bytes() == before
    ledger.book.add({}, {}, {"key": "after"})
    for seen in (ledger, open_ledger(workspace)):
        assert [trial.user_attrs["key"] for trial in seen.trials()][1:] == ["0", "1", "2", "after"]


def test_categoricals_hold_scalars_as_they_are_and_the_rest_by_its_text() -> None:
    for value in (None, True, 2, 0.5, "row"):
        assert categorical(value) is value
    assert categorical({"from": 1.0, "to": 0.1}) == '{"from": 1.0, "to": 0.1}'
