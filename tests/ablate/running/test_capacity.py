"""Behavioural: how many workers there are where nobody says."""

from __future__ import annotations

import pytest

from ablate.running import capacity


@pytest.mark.parametrize(
    ("cores", "free", "workers"), [(8, 64e9, 8), (8, 5e9, 3), (8, 1e9, 1), (1, 64e9, 1)]
)
def test_a_worker_per_core_that_has_memory(cores: int, free: float, workers: int) -> None:
    assert capacity.cpu_workers(cores, free) == workers


def test_a_worker_per_gpu_and_on_a_cpu_one_per_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity, "cpu_workers", lambda *_: 7)
    assert capacity.default_workers("cuda", ("0", "2")) == 2
    assert capacity.default_workers(None, ()) == capacity.default_workers("cpu", ()) == 7
    assert capacity.default_workers("mps", ()) == 1


def test_a_worker_takes_as_many_cores_as_its_runs_have_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity, "available_cores", lambda: 8)
    monkeypatch.setattr(capacity, "cpu_workers", lambda cores, _: cores)
    assert [capacity.default_workers("cpu", (), threads) for threads in (1, 2, 3, 8)] == [8, 4, 2, 1]
    assert capacity.default_workers("cuda", ("0",), 4) == 1


def test_gpus_are_called_what_the_environment_calls_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert capacity.visible_gpus() == ("0", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5, 3")
    assert capacity.visible_gpus() == ("5", "3")
