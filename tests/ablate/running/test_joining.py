"""Behavioural: workers of other hosts join a study by its own journal, where a probe allows it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ablate.cli.commands import main
from ablate.running.file_systems import Mount
from ablate.running.joining import join_here
from ablate.running.progress import PlainView
from ablate.running.session import RunOptions
from ablate.running.status import live_worker
from ablate.running.worker import LiveFile
from model.errors import ConfigError
from tests.ablate import runner_fakes as fakes
from tests.ablate.running.studies import WORKER, allow_sharing, open_ledger, open_study, states

JOIN = (
    "import sys; from pathlib import Path; from tests.ablate import runner_fakes as fakes; "
    "fakes.join_here(Path(sys.argv[1]), 'quick')"
)


def test_two_that_join_compute_every_run_once(tmp_path: Path, log: Path) -> None:
    workspace, plan, _ = open_study(tmp_path, fakes.make_fake_plan(seeds=6))
    allow_sharing(tmp_path)
    joining = [subprocess.Popen([sys.executable, "-c", JOIN, str(tmp_path)]) for _ in range(2)]
    assert [process.wait() for process in joining] == [0, 0]
    assert all(workspace.committed(run.key) for run in plan.runs)
    assert len(fakes.notes(log, "ran")) == 6
    assert states(open_ledger(workspace)) == ["COMPLETE"] * 6


def test_without_a_probe_nobody_joins(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    open_study(tmp_path, fakes.make_fake_plan())
    with pytest.raises(SystemExit) as left:
        main(["worker", "study", "--results", str(tmp_path)])
    assert left.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("error: ablate worker needs a queue that several hosts can share: no probe")


def test_on_nfs_nobody_joins_whatever_a_probe_says(tmp_path: Path) -> None:
    workspace, _, _ = open_study(tmp_path, fakes.make_fake_plan())
    allow_sharing(tmp_path)
    view = PlainView(lambda _: None)
    with pytest.raises(ConfigError, match="lies on NFS"):
        join_here(workspace, RunOptions(), view, mounts=lambda: [Mount("server:/export", "/", "nfs4")])


def test_a_host_with_other_code_does_not_join(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace, _, _ = open_study(tmp_path, fakes.make_fake_plan())
    allow_sharing(tmp_path)
    monkeypatch.setattr("ablate.running.recorded.run_codes", lambda: lambda _config, _metrics: "other")
    with pytest.raises(ConfigError, match="code is not the one"):
        join_here(workspace, RunOptions(), PlainView(lambda _: None))
    assert states(open_ledger(workspace)) == ["WAITING"] * len(states(open_ledger(workspace)))


def test_a_worker_of_a_job_says_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def said() -> tuple[str, str]:
        LiveFile(tmp_path / "w.json", WORKER, 1).say(now=True)
        worker = live_worker(json.loads((tmp_path / "w.json").read_text()))
        return worker.host, worker.job

    for name in ("SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID", "SLURM_JOB_ID"):
        monkeypatch.delenv(name, raising=False)
    assert said() == ("", "")
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "12")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    host, job = said()
    assert job == "12_3"
    assert host
