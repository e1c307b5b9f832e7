"""Behavioural: how one worker ends its attempts, in this process; what it leaves in the run's folder."""

from __future__ import annotations

import csv
import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from ablate.running.attempt import Attempt
from ablate.running.ledger import Ledger
from ablate.running.recorded import StoredPlan
from ablate.running.session import RunOptions, Session, WorkerId
from ablate.running.worker import Ending, Worker, classify
from model.errors import ConfigError, DataError, DivergedError, StorageError
from model.files import read_json
from tests.ablate import runner_fakes as fakes
from tests.ablate.running.studies import open_study


def make_worker(
    root: Path, variant: str = "base", *, executor: str = "behave", **options: Any
) -> tuple[Worker, StoredPlan, Ledger]:
    """A worker on a planned study of one run."""
    made = fakes.make_fake_plan((variant,), iterations=options.pop("iterations", 10))
    workspace, plan, ledger = open_study(root, made)
    chosen = RunOptions(executor=f"tests.ablate.runner_fakes:{executor}", **options)
    session = Session("session", os.getpid(), plan.digest, 0.0, ("ablate", "run", "s.yaml"), chosen)
    return Worker(workspace, session, WorkerId("session", 1, 1)), plan, ledger


@pytest.mark.parametrize(
    ("variant", "kind", "reason"),
    [
        ("diverges", "diverged", "diverged: loss is nan at iteration 7"),
        ("raises", "error", "ValueError: no such thing on two lines"),
        ("user", "error", "image a.png is unreadable (remove it)"),
        ("memory", "memory", "out of memory: host memory"),
        ("exits", "error", "SystemExit: 4"),
        ("full", "disk", "disk full: could not write the checkpoint"),
        ("nan", "diverged", "diverged: image_auroc of a (report, all) is nan"),
        ("silent", "error", "ValueError: no usable metrics.csv"),
    ],
)
def test_a_failed_run_has_a_name_and_a_reason(tmp_path: Path, variant: str, kind: str, reason: str) -> None:
    worker, plan, ledger = make_worker(tmp_path, variant)
    assert worker.work(plan.runs, ledger) is Ending.FAILED
    (trial,) = ledger.trials()
    assert trial.state.name == "FAIL"
    assert trial.user_attrs["kind"] == kind
    assert trial.user_attrs["reason"].startswith(reason)
    assert "\n" not in trial.user_attrs["reason"]
    assert not worker.workspace.committed(plan.runs[0].key)
    log = worker.workspace.log(plan.runs[0].key).read_text()
    assert "Traceback" in log
    assert worker.work(plan.runs, ledger) is Ending.DONE


def test_a_diverged_attempt_is_thrown_away_and_others_are_kept(tmp_path: Path) -> None:
    for variant, kept in (("diverges", False), ("raises", True)):
        worker, plan, ledger = make_worker(tmp_path / variant, variant)
        worker.work(plan.runs, ledger)
        assert worker.workspace.attempt_dir(plan.runs[0].key).exists() is kept


def test_a_committed_run_documents_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", "hunter2")
    worker, plan, ledger = make_worker(tmp_path)
    assert worker.work(plan.runs, ledger) is Ending.DONE
    folder = worker.workspace.run_dir(plan.runs[0].key)
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.json", "manifest.json", "metrics.csv", "provenance.json",
    ]  # fmt: skip
    text = (folder / "provenance.json").read_text()
    found = json.loads(text)
    assert found["key"] == plan.runs[0].key
    assert found["seed"] == 0
    assert found["config"]["train"]["iterations"] == 10
    assert found["argv"] == ["ablate", "run", "s.yaml"]
    assert found["packages"]["optuna"]
    assert found["hardware"]["cores"] >= 1
    assert found["timings"]["total"] >= 0
    assert "hunter2" not in text
    assert os.uname().nodename not in text
    (trial,) = ledger.trials()
    assert trial.user_attrs["timings"] == found["timings"]


def test_what_the_executor_recorded_is_kept(tmp_path: Path) -> None:
    def executor(run: Any, folder: Path, _: Any) -> None:
        (folder / "provenance.json").write_text('{"data": "abc", "timings": {"train": 3.0}}')
        fakes.write_metrics(run, folder, 0.5)

    worker, plan, ledger = make_worker(tmp_path)
    attempt = ledger.take(plan.runs, worker.id)
    assert isinstance(attempt, Attempt)
    assert worker.compute(attempt, executor, ledger) is Ending.DONE
    found = read_json(worker.workspace.run_dir(plan.runs[0].key) / "provenance.json")
    assert found is not None
    assert found["data"] == "abc"
    assert found["timings"]["train"] == 3.0
    assert set(found["timings"]) == {"train", "total"}


def test_a_run_that_takes_too_long_stops_with_its_checkpoint(tmp_path: Path) -> None:
    worker, plan, ledger = make_worker(tmp_path, executor="steps", timeout=0.1, iterations=500)
    assert worker.work(plan.runs, ledger) is Ending.FAILED
    (trial,) = ledger.trials()
    assert (trial.user_attrs["kind"], trial.user_attrs["reason"]) == (
        "timeout",
        "stopped after 0.1 s (--timeout)",
    )
    assert (worker.workspace.attempt_dir(plan.runs[0].key) / "checkpoint.pt").exists()


def test_fail_fast_ends_the_worker(tmp_path: Path) -> None:
    worker, plan, ledger = make_worker(tmp_path, "raises", fail_fast=True)
    assert worker.work(plan.runs, ledger) is Ending.DONE


def test_a_run_without_any_defined_score_is_a_result(tmp_path: Path) -> None:
    worker, plan, ledger = make_worker(tmp_path, "undefined")
    assert worker.work(plan.runs, ledger) is Ending.DONE
    (trial,) = ledger.trials()
    assert trial.value == -float("inf")
    with (worker.workspace.run_dir(plan.runs[0].key) / "metrics.csv").open() as stream:
        assert {line["reason"] for line in csv.DictReader(stream)} == {"no defects"}


def test_a_full_disk_when_recording_stops_the_worker_not_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, plan, ledger = make_worker(tmp_path)

    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("ablate.running.ledger.move_into_place", refuse)
    with pytest.raises(StorageError, match="finished runs are kept"):
        worker.work(plan.runs, ledger)
    monkeypatch.undo()
    monkeypatch.setenv("FAKE_LOG", str(tmp_path / "log"))
    other = Worker(worker.workspace, worker.session, WorkerId("later", 1, 1))
    assert other.work(plan.runs, ledger) is Ending.DONE
    assert worker.workspace.committed(plan.runs[0].key)


def test_a_device_that_is_not_there_stops_the_worker_and_fails_no_run(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    worker, plan, ledger = make_worker(tmp_path, device="nonsense")
    with pytest.raises(ConfigError, match="torch cannot use 'nonsense'"):
        worker.work(plan.runs, ledger)
    assert [trial.state.name for trial in ledger.trials()] == ["WAITING"]


def test_causes_are_looked_through() -> None:
    class OutOfMemoryError(RuntimeError):
        """Named as torch's."""

    assert classify(OutOfMemoryError("CUDA out of memory")).kind == "memory"
    assert classify(DivergedError("x")).kind == "diverged"
    assert classify(DataError("x", where="f")).reason == "f: x"
    full = StorageError("no")
    full.__cause__ = OSError(errno.EDQUOT, "quota")
    assert classify(full).kind == "disk"
    assert len(classify(ValueError("x" * 1000)).reason) < 320
