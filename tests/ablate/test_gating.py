"""Behavioural: a change is judged once, at its share of one budget; an accepted one is the incumbent."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ablate.evidence.judgement import Judgement
from ablate.gating import Gated, run_gate
from ablate.running.campaign import Campaign, share
from ablate.running.folder import Workspace
from ablate.running.recorded import write_spec
from ablate.study.changing import Change, read_change
from ablate.study.plan import Sources, make_plan
from ablate.study.reading import load_recorded, parse_spec
from ablate.study.spec import StudySpec
from model.errors import ConfigError, StorageError
from tests.ablate.report_inputs import results as made_results

STUDY = """\
study: tiny
data: {dataset: stripes}
base: {preset: pocket}
variants: {plain: {}, ours: {tail.q: 0.02}}
seeds: 5
report: {baseline: ours, margin: 0.1, alpha: 0.04}
"""
SOURCES = Sources(
    categories=lambda _data: ("domain_a",), data=lambda _data, _held: "0", encoder=lambda _encoder: "0"
)


class World:
    """Studies that are run and judged at once: the candidate is better by ``effect`` (a fraction)."""

    def __init__(self, folder: Path, effect: float = 0.02) -> None:
        self.folder, self.effect = folder, effect
        self.studies: list[StudySpec] = []
        self.exit_code = 0

    def start(self, spec: StudySpec) -> Any:
        self.studies.append(spec)
        runs = [
            SimpleNamespace(key=str(i), state=s, seconds=60.0) for i, s in enumerate(("done", "reused"))
        ]
        finished = 2 if self.exit_code == 0 else 1
        return SimpleNamespace(
            exit_code=self.exit_code, state=SimpleNamespace(runs=runs, finished=finished, failed=())
        )

    def judge(self, _folder: Path) -> Judgement:
        spec = self.studies[-1]
        made = made_results({"incumbent": 0.0, "candidate": self.effect}, strata=False, noise=0.001)
        return Judgement(replace(made, claims=spec.claims, alpha=spec.report.alpha, margin=0.1))

    def gate(self, name: str, spec: StudySpec | None = None, **overrides: Any) -> Gated:
        change = Change(name, {k.replace("__", "."): v for k, v in overrides.items()}, f"{name}.yaml")
        return run_gate(
            spec or parse_spec(STUDY, Path("tiny.yaml"), env={}),
            change,
            self.folder,
            cache=self.folder,
            start=self.start,
            judge=self.judge,
            sources=SOURCES,
        )


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_better_change_is_accepted_and_becomes_the_incumbent(world: World) -> None:
    found = world.gate("deeper", tail__alpha=0.5)
    (study,) = world.studies
    assert (found.exit_code, found.outcome and found.outcome.accepted) == (0, True)
    assert [row.overrides for row in study.rows()] == [
        {"tail.q": 0.02}, {"tail.q": 0.02, "tail.alpha": 0.5},
    ]  # fmt: skip
    assert [str(claim) for claim in study.claims] == ["candidate > incumbent by image_auroc"]
    assert study.report.alpha == pytest.approx(share(0.04, 1))
    assert (study.seeds, study.report.margin, study.labels["candidate"]) == ((0, 1, 2, 3, 4), 0.1, "deeper")
    assert found.outcome and (found.outcome.reused, found.outcome.computed, found.outcome.seconds) == (
        1,
        1,
        60,
    )
    world.gate("longer", tail__length=5)
    assert world.studies[1].rows()[0].overrides == {"tail.q": 0.02, "tail.alpha": 0.5}


def test_one_that_is_not_better_changes_nothing_but_the_budget(world: World) -> None:
    world.effect = 0.0
    found = world.gate("worse", tail__alpha=0.5)
    assert found.exit_code == 1 and found.outcome and not found.outcome.accepted
    world.gate("next", tail__alpha=0.6)
    assert world.studies[1].rows()[0].overrides == {"tail.q": 0.02}
    assert world.studies[1].report.alpha == pytest.approx(share(0.04, 2))


def test_a_configuration_is_judged_once_whatever_it_is_called(world: World) -> None:
    world.effect = 0.0
    first = world.gate("one", tail__alpha=0.5)
    again = world.gate("another name", tail__alpha=0.5, tail__q=0.02)
    assert len(world.studies) == 1 and again.again and not first.again
    assert again.outcome == first.outcome and again.spent == first.spent and again.exit_code == 1


def test_a_gate_whose_runs_were_stopped_goes_on_without_spending_more(world: World) -> None:
    world.exit_code = 130
    stopped = world.gate("deeper", tail__alpha=0.5)
    assert (stopped.exit_code, stopped.outcome) == (130, None)
    world.exit_code = 0
    done = world.gate("deeper", tail__alpha=0.5)
    assert done.outcome and done.gate == stopped.gate and done.spent == stopped.spent
    assert world.studies[0].study == world.studies[1].study == "tiny-gate-1"


def test_the_budget_is_never_overspent(world: World) -> None:
    assert sum(share(0.04, k) for k in range(1, 20_000)) < 0.04
    assert sum(share(0.04, k) for k in range(1, 20_000)) == pytest.approx(0.04, rel=1e-3)
    world.effect = 0.0
    spent = [world.gate(str(k), tail__alpha=k / 10).spent for k in range(1, 4)]
    assert spent == sorted(set(spent)) and spent[-1] < 0.04


def test_the_incumbent_itself_and_searches_are_refused(world: World) -> None:
    with pytest.raises(ConfigError, match="incumbent's configuration"):
        world.gate("same", tail__q=0.02)
    assert not world.studies and not Campaign(world.folder, "tiny").gates()


def test_an_altered_ledger_is_refused(world: World) -> None:
    world.gate("deeper", tail__alpha=0.5)
    path = world.folder / "campaigns" / "tiny.jsonl"
    lines = path.read_text().splitlines()
    entry = json.loads(lines[1])
    entry["content"]["accepted"] = False
    path.write_text("\n".join([lines[0], json.dumps(entry)]) + "\n")
    with pytest.raises(StorageError, match="altered"):
        world.gate("next", tail__alpha=0.6)


def keys_of(spec: StudySpec, variant: str, folder: Path) -> list[str]:
    plan = make_plan(spec, cache_dir=folder, sources=SOURCES)
    return [row.key for row in plan.rows if row.variant == variant]


@pytest.mark.parametrize("smoke", [False, True])
def test_a_study_is_gated_as_it_was_invoked(
    smoke: bool, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRAWN", "vertical")
    sets = [
        "base={preset: dinomaly-small}",
        "base.tail.direction=${DRAWN}",
        "data.stripes.size=96",
        "seeds=3",
    ]
    spec = parse_spec(STUDY, Path("tiny.yaml"), sets, smoke=smoke)
    spec = replace(spec, invocation=replace(spec.invocation, threads=4))
    found = world.gate("deeper", spec, tail__alpha=0.5)
    (study,) = world.studies
    assert keys_of(study, "incumbent", tmp_path) == keys_of(spec, "ours", tmp_path)
    assert study.study == found.gate.study == ("tiny-gate-1-smoke" if smoke else "tiny-gate-1")
    assert (study.data, study.seeds, study.pinned) == (spec.data, spec.seeds, spec.pinned)
    assert (study.invocation.smoke, study.invocation.threads) == (smoke, 4)
    recorded = Workspace(tmp_path / study.study)
    recorded.create()
    write_spec(recorded, study)
    monkeypatch.delenv("DRAWN")
    assert replace(load_recorded(recorded.study_dir), path=study.path) == study


def test_a_gated_study_finds_its_plug_ins_as_the_study_does(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "idea_of_mine.py").write_text("from model.plugins import Plugin\nPLUGIN = Plugin()\n")
    monkeypatch.setattr(sys, "path", [*sys.path])
    spec = parse_spec(f"{STUDY}plugins: [idea_of_mine]\n", tmp_path / "tiny.yaml")
    spec = replace(spec, path=tmp_path / "results" / "tiny" / "spec.yaml")
    world.gate("deeper", spec, tail__alpha=0.5)
    (study,) = world.studies
    assert study.invocation.plugins == ("idea_of_mine",) and study.invocation.folder == str(tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", "the change names no setting"),
        ("tail: {q: 2}\ntail.qq: 1", "c.yaml:1:11: tail.q: 2 is outside"),
        ("tail: {q: 2}\ntail.qq: 1", "c.yaml:2:1: unknown key 'tail.qq'"),
        ("data.dataset: mvtec", "cannot differ between rows"),
    ],
)
def test_what_is_wrong_with_a_change_is_said_with_its_place(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_change(path)
    assert said in str(caught.value)
