"""Behavioural: what a search proposes, judges, keeps through kills, and tabulates at the end.

Reference-checked: its trials against Optuna's own reader. Fake runs score best at tail.q = 0.3.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from ablate.running.conclusion import Result
from ablate.running.folder import Workspace
from ablate.running.journal import Journal
from ablate.running.judged import BREACHES, best_trial, front, keeps
from ablate.running.ledger import Nothing
from ablate.running.locks import KernelLock
from ablate.running.progress import PlainView
from ablate.running.recorded import load_plan
from ablate.running.search import run_search, search_table
from ablate.running.search_definition import Definition, dump_definition, load_definition
from ablate.running.search_space import MEDIAN_TRIALS, PRUNE_RUNS, BelowMedian, distribution, values_of
from ablate.running.searcher import Held, Searcher
from ablate.running.session import RunOptions, Session, WorkerId
from ablate.running.status import read_searched, status
from ablate.running.worker import Worker
from ablate.study.dimensions import Choices, Range
from ablate.study.reading import parse_spec
from ablate.study.spec import StudySpec
from model.errors import ConfigError, StorageError
from tests.ablate import runner_fakes as fakes
from tests.ablate.running.studies import PATIENCE, wait_for

SPEC = """
study: s
data: {dataset: stripes, selection: SELECTION}
base: {train: {iterations: ITERATIONS}, tail: {q: 0.1}}
search:
  space:
    tail.q: {low: 0.05, high: 0.95}
  trials: TRIALS
  seeds: SEEDS
  fresh_seeds: 2
  pruner: PRUNER
"""


def make_spec(
    trials: int | None = 3,
    seeds: int = 2,
    *,
    selection: str = "half",
    pruner: str = "none",
    iterations: int = 1,
    space: str = "",
    sampler: str = "tpe",
    rest: str = "",
    categories: str = "",
) -> StudySpec:
    text = SPEC.replace("  trials: TRIALS\n", f"  trials: {trials}\n" if trials else "")
    if categories:
        text = text.replace("stripes,", f"stripes, categories: [{categories}],")
    text = text.replace("SEEDS", str(seeds)) + f"  sampler: {sampler}\n{rest}"
    text = text.replace("SELECTION", selection).replace("PRUNER", pruner)
    text = text.replace("ITERATIONS", str(iterations))
    if space:
        text = text.replace("    tail.q: {low: 0.05, high: 0.95}", space)
    return parse_spec(text, Path("s.yaml"))


def options(executor: str = "quick", **changes: Any) -> RunOptions:
    plain = RunOptions(
        executor=f"tests.ablate.runner_fakes:{executor}",
        preparer=None,
        sources="tests.ablate.runner_fakes:make_sources",
    )
    return dataclasses.replace(plain, **changes)


def run(root: Path, spec: StudySpec, executor: str = "quick", **changes: Any) -> Result:
    view = PlainView(lambda _: None)
    return run_search(spec, root, options(executor, **changes), view=view)


def trials(root: Path) -> list[FrozenTrial]:
    """The search's trials as Optuna itself reads them."""
    backend = optuna.storages.journal.JournalFileBackend(str(root / "s" / "optuna.journal"))
    storage = optuna.storages.JournalStorage(backend)
    return optuna.load_study(study_name="s/search", storage=storage).trials


def searcher(root: Path, spec: StudySpec, **changes: Any) -> Searcher:
    """A worker's part of a search, in this process."""
    workspace = Workspace(root / spec.study)
    workspace.create()
    workspace.search.write_bytes(dump_definition(Definition.of(spec)))
    session = Session("session", os.getpid(), "digest", time.time(), (), options(**changes), True)
    return Searcher(Worker(workspace, session, WorkerId("session", 1, 1)), Journal(workspace))


# --- the whole ----------------------------------------------------------------------------------


def test_a_search_ends_in_a_table_of_winner_and_baseline_on_fresh_seeds(tmp_path: Path, log: Path) -> None:
    result = run(tmp_path, make_spec(trials=6), workers=2)
    assert result.exit_code == 0
    done = trials(tmp_path)
    assert len(done) == 6
    assert done[0].params == {"tail.q": 0.1}  # the baseline itself
    best = max(done, key=lambda trial: trial.value or 0)
    assert best.value == pytest.approx(0.9 - (best.params["tail.q"] - 0.3) ** 2 + 0.0005, abs=1e-6)

    frame = pd.read_csv(tmp_path / "s" / "runs.csv")
    assert set(frame["variant"]) == {"base", "best"}
    assert set(frame["seed"]) == {2, 3}
    plan = load_plan(Workspace(tmp_path / "s"))
    assert {run.config.tail.q for run in plan.runs} == {0.1, best.params["tail.q"]}
    assert plan.selected_on_reported is False
    assert f"tail.q = {best.params['tail.q']}" in result.lines[0]
    with (tmp_path / "s" / "search.csv").open() as stream:
        table = list(csv.DictReader(stream))
    assert [float(line["objective"]) for line in table] == [trial.value for trial in done]
    assert len(fakes.notes(log, "ran")) == 6 * 2 + 2 * 2


@pytest.mark.slow
def test_a_repeated_search_computes_nothing_and_a_longer_one_goes_on(tmp_path: Path, log: Path) -> None:
    run(tmp_path, make_spec(trials=1))
    before = log.read_text()
    assert run(tmp_path, make_spec(trials=1)).exit_code == 0
    assert log.read_text() == before
    first = [trial.params for trial in trials(tmp_path)]
    run(tmp_path, make_spec(trials=2))
    assert [trial.params for trial in trials(tmp_path)][:1] == first
    assert len(trials(tmp_path)) == 2


def test_trials_judged_by_another_measure_are_not_mixed(tmp_path: Path) -> None:
    run(tmp_path, make_spec(trials=1))
    for changed in (make_spec(seeds=3), make_spec(iterations=2), make_spec(space="    tail.q: [0.1, 0.2]")):
        with pytest.raises(ConfigError, match="another name"):
            run(tmp_path, changed)


def test_without_a_selection_split_the_plan_says_so(tmp_path: Path) -> None:
    result = run(tmp_path, make_spec(trials=1, selection="none"))
    plan = load_plan(Workspace(tmp_path / "s"))
    assert plan.selected_on_reported is True
    assert "on the reported images" in result.lines[0]
    backend = optuna.storages.journal.JournalFileBackend(str(tmp_path / "s" / "optuna.journal"))
    storage = optuna.storages.JournalStorage(backend)
    for name in ("s", "s/search"):
        assert optuna.load_study(study_name=name, storage=storage).user_attrs["selected_on_reported"]


def test_a_search_that_fails_everywhere_says_so(tmp_path: Path) -> None:
    result = run(tmp_path, make_spec(trials=1), executor="fail")
    assert result.exit_code == 1
    assert "0 of 1 configurations judged, 1 failed" in result.lines[0]
    assert {trial.user_attrs["reason"] for trial in trials(tmp_path)} == {"seed 0: ValueError: no"}


@pytest.mark.slow
def test_an_interrupted_search_continues_with_the_same_configurations(tmp_path: Path, log: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.ablate.running import test_search as t; "
        "r = t.run_search(t.make_spec(trials=3, iterations=12), Path(sys.argv[1]), "
        "t.options('steps', workers=2)); print(r.lines); sys.exit(r.exit_code)"
    )
    hold = Path(f"{log}.hold")  # no trial ends before both workers have been seen
    hold.touch()
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])},
    )

    def both_work() -> bool:
        steps = Counter(key for key, _ in fakes.notes(log, "step"))
        return len(steps) == 2 and min(steps.values()) > 2

    wait_for(both_work, log.read_text)
    state = status(tmp_path / "s")
    assert state.search is not None
    assert (state.search.trials, state.search.running) == (3, 2)
    os.kill(int(fakes.notes(log, "ran")[0][1]), signal.SIGKILL)  # a worker: its trial goes on
    wait_for(lambda: len(fakes.notes(log, "ran")) == 3, log.read_text)
    process.send_signal(signal.SIGTERM)
    text, _ = process.communicate(timeout=PATIENCE)
    hold.unlink()
    assert process.returncode == 143, text
    assert "continue with" in text
    before = {trial.number: trial.params for trial in trials(tmp_path)}
    assert run(tmp_path, make_spec(trials=3, iterations=12), executor="steps", workers=2).exit_code == 0
    after = {trial.number: trial.params for trial in trials(tmp_path)}
    assert {number: after[number] for number in before} == before
    assert Counter(trial.state.name for trial in trials(tmp_path)) == {"COMPLETE": 3}
    steps = Counter(map(tuple, fakes.notes(log, "step")))
    assert sum(steps.values()) - len(steps) <= 1  # the one killed between its note and its checkpoint


# --- proposing ----------------------------------------------------------------------------------


def test_proposals_depend_on_what_is_known_and_nothing_else(tmp_path: Path) -> None:
    held = []
    for name in ("one", "two"):
        part = searcher(tmp_path / name, make_spec(trials=3))
        held.append([part.hold() for _ in range(3)])
        assert part.hold() is Nothing.BUSY
    first, second = ([h.params for h in each if isinstance(h, Held)] for each in held)
    assert first == second
    assert len({params["tail.q"] for params in first}) == 3


def test_a_trial_whose_owner_is_gone_is_held_again(tmp_path: Path) -> None:
    part = searcher(tmp_path, make_spec(trials=2))
    first, second = part.hold(), part.hold()
    assert isinstance(first, Held) and isinstance(second, Held)
    assert part.hold() is Nothing.BUSY
    first.lock.release()
    again = part.hold()
    assert isinstance(again, Held)
    assert (again.number, again.params) == (first.number, first.params)


def test_a_trial_that_was_never_fully_proposed_does_not_count(tmp_path: Path) -> None:
    part = searcher(tmp_path, make_spec(trials=1))
    part._study(0).ask()  # and then the worker died
    held = part.hold()
    assert isinstance(held, Held)
    assert held.number == 1
    assert part.configurations.all()[0].user_attrs["void"] is True
    assert read_searched(part.configurations, 1).running == 1


def test_settings_that_do_not_go_together_fail_by_name(tmp_path: Path) -> None:
    space = "    groups: [two, dense]\n    decoder.depth: [2, 8]"
    part = searcher(tmp_path, make_spec(trials=1, space=space))
    held = Held(0, 0, {"groups": "dense", "decoder.depth": 2}, KernelLock(tmp_path / "x"))
    trial = part._study(0).ask(part.space)
    assert part.judge(dataclasses.replace(held, trial_id=trial._trial_id), fakes.quick) is None
    (failed,) = part.configurations.all()
    assert failed.state.name == "FAIL"
    assert "do not go together" in failed.user_attrs["reason"]


def test_a_worker_judges_on_the_selection_split(tmp_path: Path) -> None:
    def executor(_: Any, folder: Path, __: Any) -> None:
        lines = [
            f"{c},{s},all,image_auroc,{v}," for c in "ab" for s, v in (("report", 0.9), ("selection", 0.4))
        ]
        (folder / "metrics.csv").write_text(
            "\n".join(["category,split,stratum,metric,value,reason", *lines])
        )

    part = searcher(tmp_path, make_spec(trials=1))
    held = part.hold()
    assert isinstance(held, Held)
    assert part.judge(held, executor) is None
    assert part.configurations.all()[0].value == pytest.approx(0.4)


def test_dimensions_become_distributions() -> None:
    assert distribution(Range(0.1, 1.0, log=True)) == FloatDistribution(0.1, 1.0, log=True)
    assert distribution(Range(0.0, 1.0, step=0.25)) == FloatDistribution(0.0, 1.0, step=0.25)
    assert distribution(Range(2, 8, step=2, integer=True)) == IntDistribution(2, 8, step=2)
    schedule = {"from": 1.0, "to": 0.1}
    choices = Choices((0.1, schedule, "row"))
    assert distribution(choices) == CategoricalDistribution([0.1, json.dumps(schedule), "row"])
    config = make_spec().search
    assert config is not None
    config = dataclasses.replace(config, space={"tail.q": choices})
    assert values_of(config, {"tail.q": json.dumps(schedule)}) == {"tail.q": schedule}


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        ("    tail.q: {low: 0.05, high: 0.95}", {"tail.q": 0.1}),
        ("    tail.q: {low: 0.2, high: 0.95}", None),
        ("    tail.q: {low: 0.05, high: 0.95, step: 0.05}", {"tail.q": 0.1}),
        ("    tail.q: {low: 0.03, high: 0.95, step: 0.04}", None),
        ("    tail.q: [0.1, 0.2]", {"tail.q": 0.1}),
        ("    tail.direction: [vertical, both]", None),
    ],
)
def test_the_baseline_is_tried_first_where_the_space_holds_it(
    space: str, expected: dict[str, Any] | None
) -> None:
    assert Definition.of(make_spec(space=space)).baseline_params == expected


@pytest.mark.parametrize(("name", "sampler"), [("tpe", TPESampler), ("random", RandomSampler)])
def test_a_space_without_conditions_is_proposed_as_optuna_does(
    tmp_path: Path, name: str, sampler: type[BaseSampler]
) -> None:
    space = "    tail.q: {low: 0.2, high: 0.95}\n    tail.direction: [vertical, both]"
    part = searcher(tmp_path, make_spec(trials=3, space=space, sampler=name))
    study = optuna.create_study(direction="maximize")
    for number in range(3):
        held = part.hold()
        assert isinstance(held, Held)
        seed = int(np.random.SeedSequence([0, number]).generate_state(1)[0])
        study.sampler = sampler(seed=seed)
        assert study.ask(part.space).params == held.params


def test_a_grid_is_tried_in_order_from_the_baseline_on(tmp_path: Path) -> None:
    space = "    tail.q: {low: 0.05, high: 0.15, step: 0.05}\n    tail.direction: [both, horizontal]"
    part = searcher(tmp_path, make_spec(trials=None, space=space, sampler="grid"))
    part._study(0).ask()  # and then the worker died: its number is not taken from the grid
    held = [part.hold() for _ in range(6)]
    assert part.hold() is Nothing.BUSY
    params = [tuple(h.params.values()) for h in held if isinstance(h, Held)]
    assert params == [
        (0.1, "horizontal"),
        *[(0.05, "both"), (0.05, "horizontal"), (0.1, "both"), (0.15, "both"), (0.15, "horizontal")],
    ]


def test_what_a_dead_worker_had_given_of_a_grid_is_tried_once(tmp_path: Path) -> None:
    space = "    tail.q: {low: 0.05, high: 0.15, step: 0.05}"
    part = searcher(tmp_path, make_spec(trials=None, space=space, sampler="grid"))
    part._study(0).enqueue_trial({"tail.q": 0.1})  # and then the worker died
    held = [part.hold() for _ in range(3)]
    assert [h.params["tail.q"] for h in held if isinstance(h, Held)] == [0.1, 0.05, 0.15]
    assert part.hold() is Nothing.BUSY


def test_a_grid_is_no_continuation_of_another_search(tmp_path: Path) -> None:
    space = "    tail.q: {low: 0.05, high: 0.15, step: 0.05}"
    run(tmp_path, make_spec(trials=1, space=space))
    with pytest.raises(ConfigError, match="another name"):
        run(tmp_path, make_spec(trials=None, space=space, sampler="grid"))


def test_a_gaussian_process_proposes_by_seed_and_number_near_what_is_good(tmp_path: Path) -> None:
    found = []
    for name in ("one", "two"):
        part = searcher(tmp_path / name, make_spec(trials=13, seeds=1, sampler="gp"))
        for _ in range(13):
            held = part.hold()
            assert isinstance(held, Held)
            with held.lock:
                value = 0.9 - (held.params["tail.q"] - 0.3) ** 2
                part._study(held.number).tell(held.number, value)
        found.append([trial.params["tail.q"] for trial in part.configurations.all()])
    assert found[0] == found[1]
    assert found[0][0] == 0.1
    assert min(abs(q - 0.3) for q in found[0][10:]) < 0.03


GRID = """\
    tail.direction: [vertical, both]
    tail.q: {low: 0.2, high: 0.4, points: 3, when: {tail.direction: both}}"""
CONDITIONAL = """\
    tail.q: {low: 0.05, high: 0.95, when: {tail.direction: both}}
    tail.direction: [vertical, both]"""


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_dimension_is_proposed_only_where_its_condition_holds(tmp_path: Path, sampler: str) -> None:
    part = searcher(tmp_path, make_spec(trials=12, space=CONDITIONAL, sampler=sampler))
    held = [part.hold() for _ in range(12)]
    params = [h.params for h in held if isinstance(h, Held)]
    assert {("tail.q" in p) == (p["tail.direction"] == "both") for p in params} == {True}
    assert {p["tail.direction"] for p in params} == {"vertical", "both"}
    assert part.definition.baseline_params is None  # its direction is another


def test_a_trial_that_lacks_what_its_condition_asks_for_is_not_held_again(tmp_path: Path) -> None:
    part = searcher(tmp_path, make_spec(trials=1, space=CONDITIONAL))
    study = part._study(0)
    study.enqueue_trial({"tail.direction": "both"})
    study.ask({"tail.direction": part.space["tail.direction"]})  # and then the worker died
    held = part.hold()
    assert isinstance(held, Held) and held.number == 1
    held.lock.release()
    again = part.hold()
    assert isinstance(again, Held) and (again.number, again.params) == (1, held.params)


@pytest.mark.usefixtures("log")
def test_a_conditional_search_ends_in_a_table(tmp_path: Path) -> None:
    result = run(tmp_path, make_spec(trials=None, space=GRID, sampler="grid"), workers=2)
    assert result.exit_code == 0
    assert "tail.direction = both, tail.q = 0.3 (" in result.lines[0]
    table = pd.read_csv(tmp_path / "s" / "search.csv")
    assert list(table["tail.q"].isna()) == [True, False, False, False]


# --- constraints and two objectives ---------------------------------------------------------------


def judge_all(part: Searcher, executor: Any) -> list[FrozenTrial]:
    while isinstance(held := part.hold(), Held):
        with held.lock:
            part.judge(held, executor)
    return part.configurations.all()


DOMAINS = "domain_a, domain_b"
Q = "    tail.q: {low: 0.1, high: 0.5, step: 0.1}"


def test_a_trial_that_breaks_a_constraint_cannot_win(tmp_path: Path) -> None:
    bounds = "  constraints: [aupro on domain_b >= 53.5, I-AUROC <= 89.5]"
    part = searcher(
        tmp_path, make_spec(trials=None, space=Q, sampler="grid", seeds=1, rest=bounds, categories=DOMAINS)
    )
    done = judge_all(part, fakes.with_aupro)
    assert [t.params["tail.q"] for t in done] == [0.1, 0.2, 0.3, 0.4, 0.5]
    # q = 0.3 is best but has aupro 53; q = 0.4 has 54 and image_auroc 89; 0.5 has 55 and 86.
    best = best_trial(part.configurations)
    assert best is not None and best.params["tail.q"] == 0.4
    assert done[2].user_attrs["breaches"] == pytest.approx([0.5, 0.5])
    assert [keeps(trial) for trial in done] == [False, False, False, True, True]
    assert part.search.constraints == ("aupro on domain_b >= 53.5", "image_auroc <= 89.5")
    state = read_searched(part.configurations, 1)
    assert state.best == pytest.approx(0.89) and state.done == 5
    table = pd.read_csv(io.StringIO(search_table(part.configurations, part.search)))
    assert table["broken"][2] == "aupro on domain_b >= 53.5 by 0.5; image_auroc <= 89.5 by 0.5"
    assert table["broken"].isna().tolist() == [False, False, False, True, True]


@pytest.mark.parametrize("sampler", ["tpe", "gp"])
def test_samplers_know_constraints(tmp_path: Path, sampler: str) -> None:
    """Only q >= 0.6 is allowed, though 0.3 is best: the samplers learn to stay near 0.6."""
    bounds = "  constraints: [aupro >= 56]"
    part = searcher(tmp_path, make_spec(trials=25, sampler=sampler, seeds=1, rest=bounds))
    done = judge_all(part, fakes.with_aupro)
    assert {trial.state.name for trial in done} == {"COMPLETE"}
    away = [abs(trial.params["tail.q"] - 0.6) for trial in done]
    assert float(np.mean(away[15:])) < 0.6 * float(np.mean(away[:10]))
    best = best_trial(part.configurations)
    assert best is not None and 0.6 <= best.params["tail.q"] < 0.7


def test_a_metric_that_is_missing_for_a_constraint_fails_the_trial(tmp_path: Path) -> None:
    part = searcher(tmp_path, make_spec(trials=1, seeds=1, rest="  constraints: [pixel_ap >= 5]"))
    (failed,) = judge_all(part, fakes.with_aupro)
    assert failed.user_attrs["reason"] == "seed 0: pixel_ap is undefined"


def test_a_category_without_such_defects_is_left_out_of_a_constraint(tmp_path: Path) -> None:
    rest = "  constraints: [aupro on orientation=horizontal >= 5, aupro on orientation=vertical >= 5]"
    part = searcher(tmp_path, make_spec(trials=1, seeds=2, rest=rest))

    def one_has_some(run: Any, folder: Path, _: Any) -> None:
        fakes.write_metrics(run, folder, 0.8)
        if run.seed == part.search.seeds[0]:
            with (folder / "metrics.csv").open("a") as stream:
                stream.write("domain_a,selection,orientation=horizontal,aupro,0.4,\n")

    (trial,) = judge_all(part, one_has_some)
    assert trial.state == TrialState.COMPLETE and not keeps(trial)
    assert trial.user_attrs[BREACHES] == pytest.approx([-35.0, 100.0])


@pytest.mark.usefixtures("log")
def test_a_search_whose_constraints_nothing_keeps_names_the_nearest(tmp_path: Path) -> None:
    def grid(rest: str) -> StudySpec:
        return make_spec(trials=None, space=Q, sampler="grid", seeds=1, rest=rest, categories=DOMAINS)

    result = run(tmp_path, grid("  constraints: [image_auroc on domain_a >= 95]"))
    assert result.exit_code == 1
    assert result.lines[-1] == (
        "no configuration keeps the constraints; nearest: trial 2 (image_auroc on domain_a >= 95 by 5)"
    )
    with pytest.raises(ConfigError, match="another name"):
        run(tmp_path, grid(""))
    with pytest.raises(ConfigError, match=r"unknown category 'domain_c'"):
        run(tmp_path / "other", grid("  categories: [domain_c]"))


def test_of_two_objectives_the_first_decides_on_the_front(tmp_path: Path, log: Path) -> None:
    both = "  objectives: [image_auroc, aupro]"
    spec = make_spec(trials=None, space=Q, sampler="grid", seeds=1, rest=both)
    part = searcher(tmp_path, spec)
    done = judge_all(part, fakes.with_aupro)
    assert [t.values for t in done[:2]] == [pytest.approx([0.86, 0.51]), pytest.approx([0.89, 0.52])]
    assert [t.params["tail.q"] for t in front(done)] == [0.3, 0.4, 0.5]
    table = pd.read_csv(io.StringIO(search_table(part.configurations, part.search)))
    assert list(table.columns[:7]) == [
        "trial", "state", "objective", "seconds", "reason", "aupro", "front",
    ]  # fmt: skip
    assert table["front"].tolist()[2:] == ["yes"] * 3 and table["front"][:2].isna().all()
    result = run(tmp_path, spec)
    assert result.exit_code == 0 and not fakes.notes(log, "searched")
    assert result.lines[0].startswith(
        "best of the search: tail.q = 0.3 (image_auroc 0.9000, aupro 0.5300 on"
    )


@pytest.mark.parametrize("sampler", ["tpe", "gp", "random"])
def test_samplers_know_two_objectives(tmp_path: Path, sampler: str) -> None:
    rest = "  objectives: [image_auroc, aupro]\n  constraints: [aupro >= 51]"
    proposed_by = []
    for name in ("one", "two"):
        part = searcher(tmp_path / name, make_spec(trials=12, sampler=sampler, seeds=1, rest=rest))
        proposed_by.append([trial.params for trial in judge_all(part, fakes.with_aupro)])
    assert proposed_by[0] == proposed_by[1]


def test_the_front_holds_what_nothing_beats() -> None:
    def trial(*values: float, breach: float = -1.0) -> FrozenTrial:
        attributes = {"breaches": [breach]}
        return optuna.trial.create_trial(values=list(values), user_attrs=attributes)

    made = [trial(1, 5), trial(2, 4), trial(2, 3), trial(3, 1), trial(3, 1), trial(9, 9, breach=0.1)]
    assert front(made) == [made[0], made[1], made[3], made[4]]


# --- pruning ------------------------------------------------------------------------------------


def test_wilcoxon_pruning_with_too_few_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"smallest p-value of the test is 0\.03125"):
        run(tmp_path, make_spec(seeds=5, pruner="wilcoxon"))
    assert not (tmp_path / "s").exists()


def test_wilcoxon_pruning_stops_what_cannot_win(tmp_path: Path) -> None:
    part = searcher(tmp_path, make_spec(trials=2, seeds=8, pruner="wilcoxon"))
    ran: list[float] = []

    def executor(run: Any, folder: Path, _: Any) -> None:
        ran.append(run.config.tail.q)
        good = run.config.tail.q == 0.1
        fakes.write_metrics(run, folder, (0.9 if good else 0.5) + 0.001 * run.seed)

    for _ in range(2):
        held = part.hold()
        assert isinstance(held, Held)
        with held.lock:
            part.judge(held, executor)
    assert [trial.state.name for trial in part.configurations.all()] == ["COMPLETE", "PRUNED"]
    assert Counter(ran)[0.1] == 8
    assert len(ran) == 8 + PRUNE_RUNS


def test_median_pruning_on_one_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="it stops between runs"):
        run(tmp_path, make_spec(seeds=1, pruner="median"))


def test_median_pruning_looks_at_the_mean_so_far_not_at_the_best_one() -> None:
    """An easy first category does not keep a trial that falls behind in the others."""
    study = optuna.create_study(direction="maximize")
    for _ in range(MEDIAN_TRIALS):
        trial = study.ask()
        for step in range(3):
            trial.report(0.9, step)
        study.tell(trial, 0.9)
    late = optuna.create_trial(value=None, state=TrialState.RUNNING, intermediate_values={0: 0.95})
    pruner = BelowMedian()
    assert not pruner.prune(study, late)
    later = optuna.create_trial(value=None, state=TrialState.RUNNING, intermediate_values={0: 0.95, 1: 0.7})
    assert pruner.prune(study, later)
    alone = optuna.create_study(direction="maximize")
    assert not pruner.prune(alone, later)


def test_median_pruning_stops_the_worse_half_but_not_the_baseline(tmp_path: Path) -> None:
    space = "    tail.q: {low: 0.1, high: 0.8, step: 0.1}"
    spec = make_spec(trials=None, space=space, sampler="grid", seeds=3, pruner="median")
    part = searcher(tmp_path, spec)
    baseline = part.hold()  # its worker comes to it last
    assert isinstance(baseline, Held) and baseline.params == {"tail.q": 0.1}
    ran: list[float] = []

    def executor(run: Any, folder: Path, _: Any) -> None:
        ran.append(round(run.config.tail.q, 6))
        fakes.write_metrics(run, folder, 0.5 + 0.1 * run.config.tail.q * (-1 if ran[-1] > 0.65 else 1))

    while isinstance(held := part.hold(), Held):
        with held.lock:
            part.judge(held, executor)
    with baseline.lock:
        part.judge(baseline, executor)
    found = {round(t.params["tail.q"], 6): t.state.name for t in part.configurations.all()}
    pruned = [q for q, state in found.items() if state == "PRUNED"]
    assert pruned == [0.7, 0.8] and Counter(ran)[0.7] == Counter(ran)[0.8] == 1
    assert Counter(ran)[0.1] == 3 and found[0.1] == "COMPLETE"


# --- kills --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sampler", "count"),
    [("tpe", 5), ("random", 5), pytest.param("gp", 12, marks=pytest.mark.slow), ("grid", 5)],
)
def test_kills_change_neither_proposals_nor_winner(tmp_path: Path, sampler: str, count: int) -> None:
    """Every worker of the second search dies: holding a trial, or between two of its runs."""
    space = "    tail.q: {low: 0.1, high: 0.5, step: 0.1}"
    if sampler == "gp":
        space = "    tail.q: {low: 0.1, high: 0.5}"
    spec = make_spec(trials=None if sampler == "grid" else count, sampler=sampler, space=space)
    calm = searcher(tmp_path / "calm", spec)
    judge_all(calm, fakes.with_aupro)

    def once(run: Any, folder: Path, reporter: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            died.append(kill)
            raise KeyboardInterrupt
        fakes.with_aupro(run, folder, reporter)

    died: list[int] = []
    for kill in range(40):
        part, left = searcher(tmp_path / "killed", spec), kill % 3
        held = part.hold()
        if not isinstance(held, Held):
            break
        with held.lock, contextlib.suppress(KeyboardInterrupt):
            part.judge(held, once)
    assert len(died) >= count
    stormy = searcher(tmp_path / "killed", spec)
    judge_all(stormy, fakes.with_aupro)

    def told(part: Searcher) -> list[tuple[Any, ...]]:
        return [(t.params, t.values, t.state.name) for t in part.configurations.all()]

    assert told(stormy) == told(calm) and len(told(calm)) == count
    winners = [best_trial(part.configurations) for part in (calm, stormy)]
    assert winners[0] is not None and winners[1] is not None
    assert winners[0].number == winners[1].number


# --- the definition -----------------------------------------------------------------------------


def test_a_definition_survives_its_file(tmp_path: Path) -> None:
    space = "    tail.q: {low: 0.05, high: 0.95, log: true}\n    tail.direction: [vertical, both]"
    spec = make_spec(space=space)
    workspace = Workspace(tmp_path)
    workspace.search.write_bytes(dump_definition(Definition.of(spec)))
    again = load_definition(workspace)
    assert again.search == spec.search
    assert again.baseline.variant == spec.baseline
    assert again.spec.data == spec.data
    q = {"tail.q": 0.5}
    assert again.spec.config(q) == spec.config(q)
    workspace.search.write_text("{}")
    with pytest.raises(StorageError, match="damaged, or written by another version"):
        load_definition(workspace)
