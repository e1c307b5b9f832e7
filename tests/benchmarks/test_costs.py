"""Behavioural: a line of the table of costs says what was measured."""

from __future__ import annotations

import pytest
import torch

from benchmarks.costs import COLUMNS, Cost, main, measure


def test_a_line_extrapolates_from_the_measured_step() -> None:
    cost = Cost("p", "d", 16, 10_000, step=0.06, encode=0.01, score=0.02, memory=2.5e9, cache=4_840_000)
    values = dict(zip(COLUMNS, cost.cells(), strict=True))
    assert values["it/s"] == "16.7"
    assert values["run, min"] == "10"
    assert (values["encode, img/s"], values["score, img/s"]) == ("100", "50")
    assert (values["memory, GB"], values["cache, MB/img"]) == ("2.5", "4.8")


def test_a_preset_is_measured_at_another_batch_size() -> None:
    cost = measure("pocket", torch.device("cpu"), steps=1, batch=2)
    assert cost.batch == 2
    assert min(cost.step, cost.encode, cost.score, cost.memory) > 0
    assert cost.cache == 2 * 28 * 28 * 76 * 4


def test_the_command_prints_a_markdown_table(capsys: pytest.CaptureFixture[str]) -> None:
    main(["pocket", "--steps", "1", "--batch", "1"])
    lines = capsys.readouterr().out.strip().splitlines()
    assert len(lines) == 3
    assert {line.count("|") for line in lines} == {len(COLUMNS) + 1}
    assert lines[2].startswith("| pocket | 1 thread, ")
