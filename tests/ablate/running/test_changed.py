"""Behavioural: what has changed since the last plan, and which finished runs it would compute again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ablate.running.changed import Changed, compare, since_last_plan
from ablate.running.folder import Workspace
from ablate.running.recorded import StoredPlan
from ablate.study.plan import Plan, Sources, make_plan
from ablate.study.reading import parse_spec

STUDY = """\
study: s
data: {dataset: stripes}
base: {preset: pocket}
variants: {a: {}, b: {tail.q: 0.02}}
seeds: 2
"""


def plan_of(text: str = STUDY, *, data: str = "0", code: str = "0") -> Plan:
    sources = Sources(
        categories=lambda _data: ("domain_a",),
        data=lambda _data, _held: data,
        encoder=lambda _encoder: "0",
        code=lambda _config, _metrics: code,
    )
    return make_plan(parse_spec(text, Path("s.yaml"), env={}), cache_dir=Path(), sources=sources)


def changed(after: Plan, finished: int | None = None) -> Changed:
    before = StoredPlan.of(plan_of())
    return compare(before, after, {run.key for run in before.runs[:finished]})


@pytest.mark.parametrize(
    ("after", "rerun", "lines"),
    [
        (plan_of(), 0, ()),
        (plan_of(STUDY.replace("0.02", "0.05")), 2, ("tail.q: 0.02 -> 0.05 (b)",)),
        (plan_of(data="1"), 4, ("the data, or the encoder's weights (a, b)",)),
        (plan_of(code="1"), 4, ("the code (--accept-code adopts earlier runs) (a, b)",)),
        (plan_of(STUDY.replace("seeds: 2", "seeds: 5")), 0, ()),
        (plan_of(STUDY.replace("b: {", "c: {tail.q: 0.05}, b: {")), 0, ()),
        (plan_of(STUDY.replace("{a: {}, b", "{b")), 0, ()),
        (plan_of(STUDY.replace("b: {tail.q: 0.02}", "b: {}")), 0, ()),  # the runs of a
        (plan_of(STUDY.replace("b: {", "b: {label: ours, ")), 0, ()),
    ],
)
def test_only_finished_runs_under_new_keys_count(after: Plan, rerun: int, lines: tuple[str, ...]) -> None:
    assert changed(after) == Changed(rerun, lines)


def test_what_was_not_finished_is_no_loss() -> None:
    assert changed(plan_of(data="1"), finished=0) == Changed(0, ())
    assert changed(plan_of(data="1"), finished=1).rerun == 1


def test_a_study_that_was_never_planned_has_not_changed(tmp_path: Path) -> None:
    assert since_last_plan(Workspace(tmp_path), plan_of()) == Changed(0, ())
    plan = plan_of()
    assert compare(StoredPlan.of(replace(plan, rows=(), runs=())), plan, set()) == Changed(0, ())
