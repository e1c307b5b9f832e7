# ruff: noqa: ARG001 - an executor has one signature
"""Searches with arms: equal budgets, winners compared on seeds that no search has used, by sealed
claims."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from ablate.doors import start
from ablate.evidence.gather import gather
from ablate.evidence.judgement import Judgement
from ablate.report.tables.notes import search_note
from ablate.running.folder import Workspace
from ablate.running.progress import PlainView
from ablate.running.recorded import load_plan
from ablate.running.seal import read_sealed
from ablate.running.session import RunOptions
from ablate.running.status import StudyStatus
from ablate.study.arms import arm_of
from ablate.study.reading import load_recorded, parse_spec
from model.errors import ConfigError
from tests.ablate import runner_fakes as fakes

TEXT = """\
study: s
data: {dataset: stripes, categories: [domain_a], selection: half}
variants: {plain: {}, prior: {tail.alpha: 0.5}}
search:
  space: {tail.q: {low: 0.05, high: 0.95}}
  arms: {prior: {tail.length: [1, 3, 5]}}
  trials: 3
  seeds: 2
seeds: {start: 3, max: 6}
claims: [prior > plain by image_auroc]
"""
OPTIONS = RunOptions(
    workers=1,
    executor="tests.ablate.test_search_arms:scored",
    preparer=None,
    sources="tests.ablate.runner_fakes:make_sources",
)


def scored(run: fakes.Run, folder: Path, reporter: fakes.Reporter) -> None:
    """Best at q = 0.3, and two points better with the prior."""
    wobble = 0.001 * ((run.seed * 7) % 5 - 2) * (1 if run.config.tail.alpha else 0.3)
    prior = 0.02 if run.config.tail.alpha else 0.0
    fakes.write_metrics(run, folder, 0.9 - 0.05 * (run.config.tail.q - 0.3) ** 2 + prior + wobble)


class Watched(PlainView):
    """A view that knows what it was shown after it was closed, and how often it was."""

    def __init__(self) -> None:
        super().__init__(lambda _: None)
        self.closed, self.after = 0, 0

    def update(self, state: StudyStatus) -> None:
        super().update(state)
        self.after += bool(self.closed)

    def close(self) -> None:
        self.closed += 1


@pytest.fixture(scope="module")
def view() -> Watched:
    return Watched()


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory, view: Watched) -> tuple[Path, tuple[str, ...]]:
    root = tmp_path_factory.mktemp("results")
    made = start(parse_spec(TEXT, Path("s.yaml")), root, OPTIONS, view)
    assert made.exit_code == 0
    return root, made.lines


@pytest.mark.usefixtures("searched")
def test_one_view_shows_all_arms_and_their_comparison(view: Watched) -> None:
    assert (view.closed, view.after) == (1, 0)


def test_every_arm_has_the_same_budget_and_its_own_knobs(searched: tuple[Path, tuple[str, ...]]) -> None:
    root, _ = searched
    tables = {arm: pd.read_csv(root / f"s-{arm}" / "search.csv") for arm in ("plain", "prior")}
    assert {arm: len(table) for arm, table in tables.items()} == {"plain": 3, "prior": 3}
    assert "tail.length" in tables["prior"] and "tail.length" not in tables["plain"]
    assert {run.config.tail.alpha for run in load_plan(Workspace(root / "s-prior")).runs} == {0.5}


def test_winners_are_compared_on_seeds_that_no_search_has_used(
    searched: tuple[Path, tuple[str, ...]],
) -> None:
    root, _ = searched
    frame = pd.read_csv(root / "s" / "runs.csv")
    assert set(frame["variant"]) == {"plain", "prior"} and set(frame["seed"]) <= set(range(6))
    arm = arm_of(parse_spec(TEXT, Path("s.yaml")), "prior")
    assert arm.search is not None and set(arm.search.seeds) == {6, 7}
    best = pd.read_csv(root / "s-plain" / "search.csv").sort_values("objective").iloc[-1]["tail.q"]
    final = {run.variant: run.config for run in load_plan(Workspace(root / "s")).runs}
    assert final["plain"].tail.q == pytest.approx(best)


def test_the_comparison_is_sealed_and_judged_as_seeds_arrive(
    searched: tuple[Path, tuple[str, ...]],
) -> None:
    root, lines = searched
    sealed = read_sealed(Workspace(root / "s"))
    assert sealed.max_seeds == 6 and [str(c) for c in sealed.claims] == ["prior > plain by image_auroc"]
    made = Judgement(gather(root / "s"))
    (judged,) = made.claims
    assert judged.sequential is not None and judged.difference.estimate.mean > 1.5
    assert any(line.startswith("prior: tail.q = ") for line in lines)
    note = search_note(made.results)
    assert note.startswith("Every arm had the same budget. plain is the best of 3 configurations")
    assert len(re.findall(r"judged on 2 seeds", note)) == 2


def test_going_on_computes_nothing_twice(searched: tuple[Path, tuple[str, ...]]) -> None:
    root, _ = searched
    runs = sorted(path.name for path in root.glob("*/runs/*"))
    for folder in ("s", "s-prior"):
        again = start(load_recorded(root / folder), root, OPTIONS, PlainView(lambda _: None))
        assert again.exit_code == 0
    assert sorted(path.name for path in root.glob("*/runs/*")) == runs


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("arms: {prior:", "arms: {prio:", "no variant is called 'prio'.*prior"),
        ("{tail.length: [1, 3, 5]}", "{tail.q: [0.1, 0.2]}", "tail.q is in search.space already"),
        ("seeds: 2", "seeds: [3, 9]", "winners are compared on 3"),
        ("trials: 3", "fresh_seeds: 4", "compared on the study's seeds"),
        ("variants: {plain: {}, prior: {tail.alpha: 0.5}}\n", "", "each is an arm"),
    ],
)
def test_what_cannot_be_compared_is_refused(old: str, new: str, words: str) -> None:
    assert old in TEXT
    with pytest.raises(ConfigError, match=words):
        parse_spec(TEXT.replace(old, new), Path("s.yaml"))


def test_without_arms_variants_and_search_still_exclude_each_other() -> None:
    text = re.sub(r"  arms: .*\n", "", TEXT)
    with pytest.raises(ConfigError, match="exclude each other"):
        parse_spec(text, Path("s.yaml"))


def test_an_arm_is_recorded_as_what_it_is() -> None:
    spec = parse_spec(TEXT, Path("s.yaml"))
    arm = arm_of(spec, "prior")
    assert arm.invocation.arm == "prior" and '"arm": "prior"' in arm.invocation.to_json()
    assert '"arm"' not in spec.invocation.to_json()
