# ruff: noqa: ARG001 - an executor has one signature
"""Studies that run until their claims are decided: who gets more seeds, when it stops, going on again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from ablate.running.folder import Workspace
from ablate.running.seal import read_sealed
from ablate.running.session import RunOptions
from ablate.study.reading import parse_spec
from ablate.until_decided import run_until_decided
from model.errors import ConfigError
from tests.ablate import runner_fakes as fakes

TEXT = """\
study: s
data: {dataset: stripes, categories: [domain_a]}
variants: {base: {tail.q: 0.1}, clear: {tail.q: 0.3}, twin: {tail.q: 0.1, train.lr: 0.01}}
seeds: {start: 3, max: 6}
claims: [clear > base, twin > base]
"""
OPTIONS = RunOptions(workers=1, executor="tests.ablate.test_until_decided:noisy", preparer=None)


def noisy(run: fakes.Run, folder: Path, reporter: fakes.Reporter) -> None:
    """``clear`` is better by 2 points, ``twin`` by nothing; both with noise of its own."""
    wobble = [0.001, -0.0012, 0.0002, 0.0011, -0.0009, 0.0001][run.seed]
    gain = {"clear": 0.02 + wobble / 4, "twin": wobble, "base": 0.0}[run.variant]
    fakes.write_metrics(run, folder, 0.8 + 0.003 * run.seed + gain)


def seeds_of(root: Path) -> dict[str, int]:
    frame = pd.read_csv(Workspace(root / "s").frame)
    return {str(v): int(n) for v, n in frame.groupby("variant")["seed"].nunique().items()}


def go(root: Path, *, max_runs: int | None = None, futility: bool = False) -> tuple[str, ...]:

    spec = parse_spec(TEXT, Path("s.yaml"))
    options = replace(OPTIONS, max_runs=max_runs)
    made = run_until_decided(spec, root, options, sources=fakes.SOURCES, futility=futility)
    return made.lines


def test_only_open_claims_get_seeds_and_going_on_comes_to_the_same(tmp_path: Path) -> None:
    lines = go(tmp_path / "whole")
    assert seeds_of(tmp_path / "whole") == {"base": 6, "clear": 3, "twin": 6}
    assert any("clear > base" in line and "supported after 3 seeds" in line for line in lines)
    assert any("twin > base" in line and "declared maximum of 6 seeds" in line for line in lines)
    sealed = read_sealed(Workspace(tmp_path / "whole" / "s"))
    # Every round judges, and what is judged has been looked at.
    assert [entry.kind for entry in sealed.entries] == ["seal", *["look"] * 4] and sealed.max_seeds == 6

    for runs in (4, 7):
        go(tmp_path / "parts", max_runs=runs)
    assert go(tmp_path / "parts")[1:] == lines[1:]
    assert seeds_of(tmp_path / "parts") == seeds_of(tmp_path / "whole")


@pytest.mark.parametrize(
    "seeds", ["{start: 3}", "{start: 1, max: 4}", "{start: 5, max: 4}", "{start: x, max: 4}"]
)
def test_seeds_that_say_no_start_and_end_are_refused(seeds: str) -> None:
    with pytest.raises(ConfigError, match=r"s.yaml:4:\d+: seeds: .*(start: 5, max: 20|2 <= start <= max)"):
        parse_spec(TEXT.replace("{start: 3, max: 6}", seeds), Path("s.yaml"))
