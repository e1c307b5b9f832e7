"""Behavioural: what a worker process may use, and how it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ablate.running.process import (
    THREAD_VARIABLES,
    death,
    dump_error,
    load_function,
    rebuild_error,
    redirected,
    worker_environment,
)
from model.errors import DataError
from tests.ablate import runner_fakes as fakes


def test_everything_printed_goes_to_the_log_and_back(tmp_path: Path, capfd: Any) -> None:
    with redirected(tmp_path / "logs" / "a.log", "title"):
        print("from python", flush=True)
        os.write(2, b"from C\n")
        subprocess.run([sys.executable, "-c", "print('from a child')"], check=True)
    print("after")
    text = (tmp_path / "logs" / "a.log").read_text()
    assert all(f"from {who}" in text for who in ("python", "C", "a child"))
    assert "title" in text
    assert capfd.readouterr().out == "after\n"


def test_a_worker_has_the_threads_of_its_plan_and_its_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    environment = worker_environment(2, gpu="1")
    assert {environment[name] for name in THREAD_VARIABLES} == {"2"}
    assert environment["CUDA_VISIBLE_DEVICES"] == "1"


def test_an_error_crosses_processes() -> None:
    error = DataError("the dataset is empty", where="data/", hint="fill it")
    again = rebuild_error(json.loads(json.dumps(dump_error(error))))
    assert (type(again), str(again)) == (DataError, str(error))
    assert "without saying why" in str(rebuild_error({}))


def test_deaths_have_names() -> None:
    assert "SIGKILL" in death(-9)
    assert "out of memory" in death(-9)
    assert "SIGSEGV" in death(-11)
    assert death(3) == "worker died (exit status 3)"


def test_a_function_is_found_by_name() -> None:
    assert load_function("tests.ablate.runner_fakes:quick") is fakes.quick
