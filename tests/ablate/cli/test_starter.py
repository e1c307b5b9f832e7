"""Behavioural: what ``ablate init`` writes is valid, means what the options say, and never varies."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from ablate.cli.starter import Options, init_text
from ablate.study.plan import Sources, make_plan
from ablate.study.reading import parse_spec
from ablate.study.spec import StudySpec
from model.config import Schedule
from model.errors import ConfigError
from model.presets import PRESETS

SOURCES = Sources(lambda _: ("a", "b"), lambda *_: "d", lambda _: "e")


def made(**options: Any) -> StudySpec:
    return parse_spec(init_text(Options("fresh", **options)), Path("fresh.yaml"), (), {})


def test_every_option_arrives_in_the_study() -> None:
    spec = made(
        dataset="mvtec",
        root="/data/domains",
        categories=["01", "domain c"],
        preset="dinomaly-small",
        q=[0.01, 0.05],
        alpha=[0.5],
        mask=["segment", "stripe"],
        bias=[0.0, 0.2],
        schedule=["constant", "cosine"],
        seeds=3,
        per_category=True,
    )
    assert (spec.study, spec.preset, spec.seeds) == ("fresh", "dinomaly-small", (0, 1, 2))
    assert (spec.data.dataset, spec.data.root, spec.data.setting) == (
        "mvtec", "/data/domains", "per_category",
    )  # fmt: skip
    assert spec.data.categories == ("01", "domain c")
    assert list(spec.variants) == [
        "baseline", "q-0.01", "q-0.01-cosine", "q-0.05", "q-0.05-cosine", "alpha-0.5", "alpha-0.5-vertical",
        "mask-segment", "mask-segment-cosine", "mask-stripe", "mask-stripe-cosine", "bias-0", "bias-0.2",
        "bias-0.2-cosine",
    ]  # fmt: skip
    scheduled = spec.config(spec.variants["q-0.01-cosine"]).tail
    assert (scheduled.q, scheduled.ramp) == (Schedule(1.0, 0.01, "cosine"), 0)
    assert spec.config(spec.variants["mask-stripe"]).token_dropout.pattern == "stripe"
    assert spec.baseline == "baseline"


def test_a_bias_of_zero_is_the_baselines_run() -> None:
    plan = make_plan(made(bias=[0.0, 0.2], seeds=2), cache_dir=Path("unused"), sources=SOURCES)
    assert plan.duplicates == 2
    assert len(plan.runs) == 4


def test_a_grid_crosses_all_levels() -> None:
    spec = made(q=[0.01, 0.1], bias=[0.0, 0.2], mask=["none", "segment"], design="grid")
    assert len(spec.rows()) == 1 + 2 * 2 * 2
    assert spec.baseline == "base"


def test_a_grid_schedules_the_dropout_rate_too() -> None:
    spec = made(mask=["segment"], schedule=["constant", "cosine"], design="grid")
    rates = {spec.config(row.overrides).token_dropout.rate for row in spec.rows()}
    assert rates == {0.2, Schedule(0.0, 0.2, "cosine")}


def test_without_options_it_is_a_study_all_the_same() -> None:
    assert list(made().variants) == ["baseline", "q-0.02"]
    assert len(made(design="grid").rows()) == 3


@pytest.mark.parametrize(
    ("preset", "design", "schedule"),
    list(
        itertools.product(
            PRESETS, ["grid", "one-at-a-time"], ["constant", "linear", "cosine", "exponential", "step"]
        )
    ),
)
def test_any_combination_loads(preset: str, design: str, schedule: str) -> None:
    options: dict[str, Any] = {"preset": preset, "design": design, "schedule": [schedule]}
    spec = made(q=[0.02], alpha=[0, 0.5, 1], mask=["token", "block"], bias=[0, 1], **options)
    assert len(spec.rows()) > 3


def test_the_text_is_the_same_every_time() -> None:
    options = Options("fresh", q=[0.02], mask=["segment"], schema="study.schema.json")
    assert init_text(options) == init_text(options)
    assert init_text(options).startswith("# yaml-language-server: $schema=study.schema.json\n")


@pytest.mark.parametrize("name", ["true", "null", "2", "1e3", "a b: c", 'quo"te', "back\\slash", "0x1"])
def test_text_that_looks_like_something_else_stays_text(name: str) -> None:
    assert made(dataset="mvtec", root=name).data.root == name


def test_environment_variables_are_left_to_be_expanded() -> None:
    text = init_text(Options("fresh", dataset="mvtec", root="${DATA:-/x}/d"))
    assert parse_spec(text, Path("f.yaml"), (), {"DATA": "/y"}).data.root == "/y/d"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preset": "dinomaly-bse"}, "--preset: unknown preset 'dinomaly-bse' "
         "(did you mean 'dinomaly-base'?)"),
        ({"mask": ["segmnt"]}, "token_dropout.pattern: 'segmnt' is not one of none, token, segment, "
         "stripe, block (did you mean 'segment'?)"),
        ({"q": [2.0]}, "tail.q: 2 is outside the allowed range (0, 1] (a fraction; 2 % is 0.02)"),
        ({"dataset": "mvtec"}, "data: dataset mvtec needs root: the dataset's folder"),
        ({"design": "gird"}, "--design: 'gird' is not one of grid, one-at-a-time (did you mean 'grid'?)"),
        ({"schedule": ["cosin"]}, "--schedule: 'cosin' is not one of constant, linear, "
         "cosine, exponential, step (did you mean 'cosine'?)"),
    ],
    ids=str,
)  # fmt: skip
def test_a_mistaken_option_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        init_text(Options("fresh", **options))
    assert str(caught.value) == message
