"""Behavioural: a run is computed again by the code and with the threads that it was planned with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ablate.running.one_run import same_code
from ablate.running.reporter import Reporter
from ablate.running.rerun import recompute
from ablate.study.plan import Run
from model import metric_names
from model.metric_names import MetricEntry
from tests.ablate import runner_fakes as fakes
from tests.ablate.runner_fakes import Listener
from tests.plugin_example.streak_ideas import pointing


@pytest.fixture
def run() -> Run:
    return fakes.make_fake_plan().runs[0]


@pytest.fixture
def plugged(monkeypatch: pytest.MonkeyPatch, run: Run) -> Run:
    entry = MetricEntry("pointing", "Pointing", pointing)
    monkeypatch.setitem(metric_names._PLUGGED, "pointing", entry)
    return replace(run, metrics=("pointing",))


@pytest.fixture
def five_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(5)
    yield
    torch.set_num_threads(before)


def compute(run: Run, folder: Path, _: Reporter) -> None:
    same_code(run)
    fakes.write_metrics(run, folder, 0.5)


def test_a_metric_of_a_plug_in_is_computed_by_its_own_code(plugged: Run, tmp_path: Path) -> None:
    known = {plugged.key: {("a", "report", "all", "image_auroc"): 0.5}}
    (again,) = recompute([plugged], known, Listener(tmp_path), execute=compute, prepare=lambda *_: None)
    assert again.largest == 0


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.usefixtures("five_threads")
def test_a_run_is_computed_with_the_threads_of_its_plan(run: Run, tmp_path: Path, fails: bool) -> None:
    seen: list[int] = []

    def look(run: Run, folder: Path, _: Reporter) -> None:
        seen.append(torch.get_num_threads())
        if fails:
            raise ValueError("no")
        fakes.write_metrics(run, folder, 0.5)

    again = recompute(
        [replace(run, threads=3)], {run.key: {}}, Listener(tmp_path), execute=look, prepare=lambda *_: None
    )
    if fails:
        with pytest.raises(ValueError, match="no"):
            list(again)
    else:
        list(again)
    assert seen == [3] and torch.get_num_threads() == 5
