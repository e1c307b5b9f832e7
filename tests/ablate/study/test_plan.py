"""Behavioural: expansion, order, keys and deduplication. The pinned key is checked against itself: it
changes only together with ``RESULT_SCHEMA`` or the config's defaults, and then on purpose."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ablate.study import settings as fields
from ablate.study.plan import Plan, Run, Sources, configuration_key, make_plan, plan_lines, total_seconds
from ablate.study.reading import parse_spec
from ablate.study.spec import Invocation
from model.canonical import canonical
from model.config import ModelConfig, build_config, dump_config
from model.data import config as data_config
from model.data.config import PseudoConfig
from model.errors import ConfigError

CATEGORIES = ("domain_a", "domain_b", "domain_c")
SOURCES = Sources(
    categories=lambda data: data.categories or CATEGORIES,
    data=lambda _, categories: "contents of " + ",".join(categories),
    encoder=lambda encoder: encoder.weights or f"{encoder.name} {encoder.pretrained} {encoder.seed}",
)

STUDY = """\
study: s
data: {dataset: stripes}
variants: {dinomaly: {}, top-q: {tail.q: 0.02}, same: {tail.q: 0.1}}
seeds: 2
"""


def plan_of(text: str = STUDY, *overrides: str, **options: Any) -> Plan:
    spec = parse_spec(text, Path("s.yaml"), overrides, {})
    return make_plan(spec, cache_dir=Path("unused"), sources=SOURCES, **options)


def test_another_number_of_threads_is_another_run() -> None:
    spec = parse_spec(STUDY, Path("s.yaml"), (), {})
    one, two = (
        make_plan(replace(spec, invocation=Invocation(threads=n)), cache_dir=Path(), sources=SOURCES)
        for n in (1, 2)
    )
    assert [run.key for run in one.runs] == [run.key for run in plan_of().runs]
    assert not {run.key for run in one.runs} & {run.key for run in two.runs}
    assert {run.threads for run in two.runs} == {2}


def key_of(config: ModelConfig, **changes: Any) -> str:
    given_values: dict[str, Any] = {
        "seed": 0, "categories": CATEGORIES, "aupro": "exact", "data_fingerprint": "d",
        "encoder_fingerprint": "e",
    }  # fmt: skip
    return configuration_key(config, **(given_values | changes))


# --------------------------------------------------------------------------------- expansion


def test_runs_are_ordered_by_seed_so_that_pairs_complete_early() -> None:
    cells = [(row.seed, row.category, row.variant) for row in plan_of().rows]
    names = ("dinomaly", "top-q", "same")
    assert cells == [(seed, None, name) for seed in (0, 1) for name in names]


def test_per_category_runs_hold_one_category_each() -> None:
    plan = plan_of(STUDY, "data.setting=per_category")
    assert [row.category for row in plan.rows[:4]] == ["domain_a"] * 3 + ["domain_b"]
    assert {run.categories for run in plan.runs} == {(name,) for name in CATEGORIES}
    assert {run.contents for run in plan.runs} == {f"contents of {name}" for name in CATEGORIES}
    assert len(plan.rows) == 2 * 3 * 3


def test_equal_rows_share_a_run_under_the_first_name() -> None:
    plan = plan_of()
    assert [run.variant for run in plan.runs] == ["dinomaly", "top-q"] * 2
    assert plan.duplicates == 2
    assert plan.rows[0].key == plan.rows[2].key
    assert len({run.key for run in plan.runs}) == len(plan.runs)


def test_other_rows_and_seeds_can_be_planned_with_the_same_spec() -> None:
    spec = parse_spec(STUDY, Path("s.yaml"), (), {})
    rows = spec.rows()[1:2]
    plan = make_plan(spec, cache_dir=Path("unused"), sources=SOURCES, rows=rows, seeds=(1, 7))
    assert [(run.variant, run.seed) for run in plan.runs] == [("top-q", 1), ("top-q", 7)]
    assert plan.runs[0].key == plan_of().runs[3].key


def test_a_search_plans_its_baseline() -> None:
    text = "study: s\ndata: {}\nsearch: {space: {tail.q: [0.1, 0.2]}, seeds: 3}\n"
    assert [(run.variant, run.seed) for run in plan_of(text).runs] == [("base", s) for s in (0, 1, 2)]


def test_claims_are_checked_against_the_categories_found() -> None:
    text = STUDY.replace("stripes", "mvtec, root: x") + "claims: [top-q > same on domain_x]\n"
    with pytest.raises(ConfigError, match=r"s\.yaml: the claim .* unknown category 'domain_x'"):
        plan_of(text)


def test_what_a_run_should_keep_travels_with_it() -> None:
    run = plan_of(STUDY, "keep.maps=2", "keep.weights=true", "report.aupro=reference200").runs[0]
    assert (run.keep_maps, run.keep_weights, run.aupro) == (2, True, "reference200")


# -------------------------------------------------------------------------------------- keys


def test_the_key_is_pinned() -> None:
    assert key_of(ModelConfig()) == "bc12cf006b51f1524121"
    assert plan_of().runs[0].configuration == key_of(
        ModelConfig(),
        data_fingerprint="contents of domain_a,domain_b,domain_c",
        encoder_fingerprint="vit_base_patch14_reg4_dinov2 True 0",
    )


def test_keys_ignore_spelling() -> None:
    reordered = """\
seeds: [0, 1]
variants:
  dinomaly: {tail.alpha: 0, tail.q: 1.0e-1}
  top-q: {tail: {alpha: 0.0, q: 0.02}}
  same: {}
base: {train: {iterations: 10000}}
data: {dataset: stripes, categories: null}
study: another
"""
    assert [run.key for run in plan_of(reordered).runs] == [run.key for run in plan_of().runs]


OTHER_VALUES: dict[str, Any] = {
    # Changes of one setting that change the result; most with its own context where it is read.
    "image.resize": {"image.resize": 460},
    "image.crop": {"image.crop": 378},
    "encoder.name": {"encoder.name": "vit_small_patch14_reg4_dinov2"},
    "encoder.blocks": {"encoder.blocks": [1, 2, 3, 4, 5, 6, 7, 8]},
    "groups": {"groups": "one"},
    "method": {"method": "subspace"},
    "recentre.mode": {"recentre.mode": "both"},
    "recentre.norm": {"recentre.mode": "both", "recentre.norm": "layernorm"},
    "recentre.drop_prefix": {"recentre.mode": "both", "recentre.drop_prefix": True},
    "bottleneck.rank": {"bottleneck.rank": 64},
    "bottleneck.rank_lr": {"bottleneck.rank": 256, "bottleneck.rank_lr": 1e-3},
    "score.threshold.quantile": {"score.threshold.quantile": 0.95},
    "score.threshold.holdout": {"score.threshold.quantile": 0.95, "score.threshold.holdout": 0.5},
    "train.amsgrad": {"train.amsgrad": False},
    "train.until": {"train.until": "plateau"},
    "train.plateau_window": {"train.until": "plateau", "train.plateau_window": 100},
    "train.plateau_gain": {"train.until": "plateau", "train.plateau_gain": 0.05},
    "knn.metric": {"method": "knn", "knn.metric": "euclidean"},
    "knn.subsample": {"method": "knn", "knn.subsample": "random"},
    "knn.share": {"method": "knn", "knn.share": 0.2},
    "knn.pool": {"method": "knn", "knn.pool": 500},
    "knn.image_score": {"method": "knn", "knn.image_score": "patchcore"},
    "knn.support": {"method": "knn", "knn.image_score": "patchcore", "knn.support": 3},
    "position_knn.images": {"method": "position-knn", "position_knn.images": 5},
    "position_knn.radius": {"method": "position-knn", "position_knn.radius": 2},
    "position_knn.pool": {"method": "position-knn", "position_knn.pool": 10},
    "subspace.variance": {"method": "subspace", "subspace.variance": 0.9},
    "subspace.pool": {"method": "subspace", "subspace.pool": 10},
    "bottleneck.dropout": {"bottleneck.dropout": 0.3},
    "bottleneck.noise": {"bottleneck.noise": "gaussian"},
    "bottleneck.mlp_ratio": {"bottleneck.mlp_ratio": 2.0},
    "decoder.depth": {"decoder.depth": 4},
    "decoder.heads": {"decoder.heads": 6},
    "decoder.attention": {"decoder.attention": "softmax"},
    "decoder.neighbour_mask": {"decoder.attention": "softmax", "decoder.neighbour_mask": 3},
    "decoder.neighbour_mask_form": {
        "decoder.attention": "softmax",
        "decoder.neighbour_mask": 3,
        "decoder.neighbour_mask_form": "masked",
    },
    "decoder.mlp_ratio": {"decoder.mlp_ratio": 2.0},
    "decoder.attention_eps": {"decoder.attention_eps": 1e-6},
    "token_dropout.pattern": {"token_dropout.pattern": "segment"},
    "token_dropout.direction": {"token_dropout.pattern": "segment", "token_dropout.direction": "vertical"},
    "token_dropout.rate": {"token_dropout.pattern": "segment", "token_dropout.rate": 0.3},
    "token_dropout.mean_rate": {
        "token_dropout.pattern": "segment",
        "token_dropout.rate": {"from": 0.0, "to": 0.4},
        "token_dropout.mean_rate": 0.15,
    },
    "token_dropout.budget": {"token_dropout.pattern": "segment", "token_dropout.budget": "exact"},
    "token_dropout.strength": {"token_dropout.pattern": "segment", "token_dropout.strength": 0.5},
    "token_dropout.length": {"token_dropout.pattern": "segment", "token_dropout.length": [1, 3]},
    "token_dropout.fill": {"token_dropout.pattern": "segment", "token_dropout.fill": "mean"},
    "token_dropout.rescale": {"token_dropout.pattern": "segment", "token_dropout.rescale": True},
    "token_dropout.site": {"token_dropout.pattern": "segment", "token_dropout.site": "bottleneck_input"},
    "token_dropout.blocks": {
        "token_dropout.pattern": "segment",
        "token_dropout.site": "decoder_blocks",
        "token_dropout.blocks": [2],
    },
    "tail.q": {"tail.q": 0.02},
    "tail.ramp": {"tail.ramp": 0},
    "tail.scope": {"tail.scope": "image"},
    "tail.alpha": {"tail.alpha": 0.5},
    "tail.structure": {"tail.alpha": 0.5, "tail.structure": "coherence"},
    "tail.direction": {"tail.alpha": 0.5, "tail.direction": "vertical"},
    "tail.length": {"tail.alpha": 0.5, "tail.length": 5},
    "tail.beta": {"tail.alpha": 0.5, "tail.beta": 0.7},
    "tail.combine": {"tail.alpha": 0.5, "tail.combine": "union"},
    "tail.background": {"tail.form": "masked", "tail.background": 0.2},
    "tail.form": {"tail.form": "masked"},
    "tail.factor": {"tail.factor": 0.2},
    "bias.lambda": {"bias.lambda": 0.2},
    "bias.kernel": {"bias.lambda": 0.2, "bias.kernel": "triangle"},
    "bias.half_width": {"bias.lambda": 0.2, "bias.half_width": 3},
    "bias.direction": {"bias.lambda": 0.2, "bias.direction": "vertical"},
    "bias.form": {"bias.lambda": 0.2, "bias.form": "values"},
    "bias.rows": {"bias.lambda": 0.2, "bias.rows": 1},
    "bias.relative": {"bias.relative": "learned"},
    "bias.lr_multiplier": {"bias.lambda": "learned", "bias.lr_multiplier": 10.0},
    "bias.blocks": {"bias.lambda": 0.2, "bias.blocks": [0]},
    "train.iterations": {"train.iterations": 9},
    "train.batch_size": {"train.batch_size": 4},
    "train.lr": {"train.lr": 1e-3},
    "train.final_lr": {"train.final_lr": 1e-4},
    "train.warmup": {"train.warmup": 10},
    "train.betas": {"train.betas": [0.9, 0.99]},
    "train.weight_decay": {"train.weight_decay": 0.0},
    "train.eps": {"train.eps": 1e-8},
    "train.update_clip": {"train.update_clip": 2.0},
    "train.grad_clip": {"train.grad_clip": 1.0},
    "train.precision": {"train.precision": "bfloat16"},
    "train.deterministic": {"train.deterministic": False},
    "score.map_size": {"score.map_size": 128},
    "score.kernel": {"score.kernel": 3},
    "score.sigma": {"score.sigma": 2.0},
    "score.max_ratio": {"score.max_ratio": 0.0},
    "score.mask_threshold": {"score.mask_threshold": "half"},
    "cache.dtype": {"cache.dtype": "float16"},
}
# The encoder's weights count by their fingerprint; the rest concerns resources only.
NOT_IN_THE_KEY = {
    "encoder.pretrained", "encoder.weights", "encoder.seed", "cache.budget_gb", "train.checkpoint_every",
}  # fmt: skip


def test_any_changed_setting_changes_the_key() -> None:
    assert set(OTHER_VALUES) | NOT_IN_THE_KEY == set(fields.leaves(ModelConfig))
    keys = {path: key_of(build_config(fields.nest(values))) for path, values in OTHER_VALUES.items()}
    assert len({*keys.values(), key_of(ModelConfig())}) == len(keys) + 1


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"pseudo": PseudoConfig(kind="blob")},
        {"categories": ("domain_a",)},
        {"aupro": "reference200"},
        {"data_fingerprint": "other"},
        {"encoder_fingerprint": "other"},
    ],
    ids=str,
)
def test_whatever_else_can_change_a_result_changes_the_key(changes: dict[str, Any]) -> None:
    assert key_of(ModelConfig(), **changes) != key_of(ModelConfig())


@pytest.mark.parametrize(
    "values",
    [
        {"cache.budget_gb": 1.0},
        {"train.checkpoint_every": 0},
        {"encoder.weights": "/moved/weights.pth"},
    ],
    ids=str,
)
def test_resources_and_places_do_not_change_the_key(values: dict[str, Any]) -> None:
    assert key_of(build_config(fields.nest(values))) == key_of(ModelConfig())


def test_no_pseudo_defects_are_no_setting() -> None:
    assert key_of(ModelConfig(), pseudo=PseudoConfig(copies=7)) == key_of(ModelConfig())


def test_what_draws_pseudo_defects_is_in_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = PseudoConfig(kind="blob")
    before, plain = key_of(ModelConfig(), pseudo=drawn), key_of(ModelConfig())
    monkeypatch.setattr(data_config, "GENERATOR_VERSION", 99)
    assert key_of(ModelConfig(), pseudo=drawn) != before and key_of(ModelConfig()) == plain


def test_one_category_is_one_run_in_either_setting() -> None:
    unified = plan_of(STUDY, "data.categories=[domain_a]")
    alone = plan_of(STUDY, "data.categories=[domain_a]", "data.setting=per_category")
    among = plan_of(STUDY, "data.setting=per_category")
    assert [run.key for run in unified.runs] == [run.key for run in alone.runs]
    assert {run.key for run in alone.runs} < {run.key for run in among.runs}


# --------------------------------------------------------------------------------- canonical

EQUIVALENT: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"token_dropout.rate": 0.5, "token_dropout.fill": "mean", "token_dropout.direction": "both"}, {}),
    ({"token_dropout.pattern": "segment", "token_dropout.rate": 0.0}, {}),
    ({"train.plateau_window": 3, "train.plateau_gain": 0.5}, {}),
    (
        {"token_dropout.pattern": "token", "token_dropout.length": [1, 1]},
        {"token_dropout.pattern": "token"},
    ),
    (
        {"token_dropout.pattern": "block", "token_dropout.direction": "both"},
        {"token_dropout.pattern": "block"},
    ),
    (
        {"tail.alpha": 0.5, "tail.structure": "coherence", "tail.beta": 0.7},
        {"tail.alpha": 0.5, "tail.structure": "coherence"},
    ),
    ({"token_dropout.pattern": "segment", "token_dropout.rate": 0.0, "token_dropout.site": "decoder_blocks",
      "token_dropout.blocks": [1, 3]}, {}),
    ({"token_dropout.pattern": "token", "token_dropout.site": "decoder_blocks",
      "token_dropout.blocks": [3, 1, 3]},
     {"token_dropout.pattern": "token", "token_dropout.site": "decoder_blocks",
      "token_dropout.blocks": [1, 3]}),
    ({"token_dropout.pattern": "segment", "token_dropout.length": [2, {"from": 5.6, "to": 6.4}]},
     {"token_dropout.pattern": "segment"}),
    ({"token_dropout.pattern": "stripe", "token_dropout.length": [2, {"from": 2, "to": 6}]},
     {"token_dropout.pattern": "stripe"}),
    ({"token_dropout.pattern": "segment", "token_dropout.rate": 0.4, "token_dropout.mean_rate": 0.2},
     {"token_dropout.pattern": "segment"}),
    ({"token_dropout.strength": 0.5, "token_dropout.budget": "exact"}, {}),
    ({"token_dropout.pattern": "segment", "token_dropout.strength": {"from": 0.5, "to": 0.5}},
     {"token_dropout.pattern": "segment", "token_dropout.strength": 0.5}),
    ({"bias.kernel": "gaussian", "bias.half_width": 2, "bias.direction": "both"}, {}),
    ({"bias.lambda": 0.2, "bias.blocks": [7, 6, 5, 4, 3, 2, 1, 0]}, {"bias.lambda": 0.2}),
    ({"bias.lambda": 0.2, "bias.blocks": [1, 0]}, {"bias.lambda": 0.2, "bias.blocks": [0, 1]}),
    ({"bias.lambda": 0.2, "bias.blocks": []}, {}),
    ({"bias.form": "values", "bias.rows": 2, "bias.lr_multiplier": 3.0}, {}),
    ({"bias.lambda": 0.2, "bias.lr_multiplier": 3.0}, {"bias.lambda": 0.2}),
    ({"bias.relative": "learned", "bias.kernel": "triangle", "bias.half_width": 2},
     {"bias.relative": "learned"}),
    ({"decoder.neighbour_mask_form": "masked"}, {}),
    ({"bias.lambda": {"from": 0, "to": 0, "shape": "cosine"}}, {}),
    ({"tail.structure": "coherence", "tail.direction": "vertical", "tail.length": 9, "tail.beta": 0}, {}),
    ({"tail.q": {"from": 1, "to": 0.1, "shape": "constant"}}, {}),
    ({"tail.q": {"from": 0.1, "to": 0.1}}, {}),
    ({"tail.q": 1, "tail.alpha": 0.5, "tail.ramp": 0, "tail.scope": "image", "tail.factor": 0.5},
     {"tail.q": 1}),
    ({"tail.factor": 1, "tail.q": 0.02}, {"tail.q": 1}),
    ({"tail.form": "masked", "tail.factor": 0.7}, {"tail.form": "masked"}),
    ({"tail.combine": "union", "tail.structure": "line", "tail.background": 0.5}, {}),
    ({"tail.form": "masked", "tail.background": 1, "tail.q": 0.02, "tail.alpha": 0.5},
     {"tail.form": "masked", "tail.background": 1}),
    ({"bottleneck.dropout": 0, "bottleneck.noise": "gaussian"}, {"bottleneck.dropout": 0}),
    ({"decoder.attention": "softmax", "decoder.attention_eps": 1e-6}, {"decoder.attention": "softmax"}),
]  # fmt: skip


@pytest.mark.parametrize(("a", "b"), EQUIVALENT, ids=lambda values: str(values)[:60])
def test_settings_that_nobody_reads_do_not_count(a: dict[str, Any], b: dict[str, Any]) -> None:
    first, second = build_config(fields.nest(a)), build_config(fields.nest(b))
    assert canonical(first) == canonical(second)
    assert key_of(first) == key_of(second)


DIFFERENT: list[tuple[dict[str, Any], dict[str, Any]]] = [
    # A learned fill is trained (and decays) even where nothing is cut.
    ({"token_dropout.pattern": "segment", "token_dropout.rate": 0.0, "token_dropout.fill": "learned"}, {}),
    # A schedule that starts at 0 does not stay there.
    ({"bias.lambda": {"from": 0, "to": 0.2}}, {}),
    ({"tail.alpha": {"from": 0.5, "to": 0}}, {}),
    # The mean over all tokens is not the cosine of the whole maps.
    ({"tail.form": "masked", "tail.q": 1}, {"tail.q": 1}),
    ({"bias.lambda": "learned"}, {}),
    # Drawing an axis per image draws other masks, also for whole lines.
    ({"token_dropout.pattern": "stripe", "token_dropout.direction": "both"},
     {"token_dropout.pattern": "stripe"}),
    ({"tail.q": {"from": 1, "to": 0.1, "shape": "cosine"}}, {"tail.q": {"from": 1, "to": 0.1}}),
]  # fmt: skip


@pytest.mark.parametrize(("a", "b"), DIFFERENT, ids=lambda values: str(values)[:60])
def test_settings_that_matter_do_count(a: dict[str, Any], b: dict[str, Any]) -> None:
    assert key_of(build_config(fields.nest(a))) != key_of(build_config(fields.nest(b)))


_KNOB = st.one_of(
    st.sampled_from([0.25, 0.5, 1.0]),
    st.builds(
        lambda a, b, shape: {"from": a, "to": b, "shape": shape},
        st.sampled_from([0.25, 0.5]),
        st.sampled_from([0.25, 0.5]),
        st.sampled_from(["constant", "linear", "step"]),
    ),
)
_CONFIGS = st.fixed_dictionaries(
    {},
    optional={
        "tail.q": _KNOB,
        "tail.alpha": st.one_of(st.just(0.0), _KNOB),
        "tail.factor": _KNOB,
        "tail.form": st.sampled_from(["gradient", "masked"]),
        "tail.scope": st.sampled_from(["batch", "image"]),
        "tail.length": st.integers(1, 4),
        "tail.structure": st.sampled_from(["box", "coherence"]),
        "tail.beta": _KNOB,
        "token_dropout.pattern": st.sampled_from(["none", "token", "segment", "stripe", "block"]),
        "token_dropout.direction": st.sampled_from(["horizontal", "vertical", "both"]),
        "bias.lambda": st.one_of(st.just(0.0), st.just("learned"), _KNOB),
        "bias.blocks": st.lists(st.integers(0, 7)),
        "decoder.attention": st.sampled_from(["linear", "softmax"]),
        "encoder.pretrained": st.booleans(),
        "encoder.seed": st.integers(0, 2),
    },
)


@given(_CONFIGS)
@settings(max_examples=60, deadline=None)
def test_the_canonical_form_is_valid_and_final(values: dict[str, Any]) -> None:
    config = build_config(fields.nest(values))
    form = canonical(config)
    assert canonical(form) == form
    assert build_config(dump_config(form)) == form
    assert key_of(form) == key_of(config)


def test_runs_carry_the_canonical_configuration() -> None:
    run = plan_of(STUDY.replace("tail.q: 0.1", "tail.length: 7")).runs[0]
    assert run.config == canonical(run.config)


def test_what_a_run_needs_is_left_in_its_configuration() -> None:
    run = plan_of(STUDY, "base.cache.budget_gb=3", "base.train.checkpoint_every=5").runs[0]
    assert (run.config.cache.budget_gb, run.config.train.checkpoint_every) == (3.0, 5)


# --------------------------------------------------------------------------------- the table


def test_lines_say_what_is_cached_new_or_duplicate_and_how_long_it_takes() -> None:
    plan = plan_of()
    cached = plan.rows[1].key

    def seconds(run: Run) -> float:
        return 10.0 if run.seed == 0 else 20.0

    lines = plan_lines(plan, cached=lambda key: key == cached, seconds=seconds)
    assert [line.state for line in lines] == ["new", "cached", "duplicate", "new", "new", "duplicate"]
    assert [line.seconds for line in lines] == [10, 0, 0, 20, 20, 0]
    assert total_seconds(lines) == 50
    assert total_seconds(plan_lines(plan)) is None
    assert total_seconds(plan_lines(plan, cached=lambda _: True)) == 0


def test_plans_are_values() -> None:
    assert plan_of() == plan_of()
    assert replace(plan_of().runs[0], variant="x") != plan_of().runs[0]


# ------------------------------------------------------------------------- what rows train on

DATA_ROWS = """\
study: s
data: {dataset: stripes}
variants: {dinomaly: {}, knn: {method: knn}}
factors: {design: grid, data.max_train: [2, 8]}
seeds: 1
"""

DRAWN = ("dinomaly,data.pseudo.kind=horizontal", "dinomaly,data.pseudo.kind=vertical")
BY_DATA = replace(SOURCES, data=lambda data, held: f"{data.max_train} {data.contamination} {held}")


def planned(text: str) -> Plan:
    return make_plan(parse_spec(text, Path("s.yaml"), (), {}), cache_dir=Path("unused"), sources=BY_DATA)


def test_rows_may_train_on_other_images() -> None:
    plan = planned(DATA_ROWS)
    read = {run.variant: run.data.max_train for run in plan.runs}
    assert read == {
        "dinomaly": None, "knn": None, "dinomaly,data.max_train=2": 2, "dinomaly,data.max_train=8": 8,
        "knn,data.max_train=2": 2, "knn,data.max_train=8": 8,
    }  # fmt: skip
    assert {row.factors.get("data.max_train") for row in plan.rows} == {None, 2, 8}
    assert all(run.data.reserve == () for run in plan.runs)
    same = planned(DATA_ROWS.replace("stripes}", "stripes, max_train: 8}"))
    assert same.duplicates == 2  # the named variants are their rows at 8


def test_the_most_contaminated_row_decides_what_all_are_tested_on() -> None:
    levels = planned(DATA_ROWS.replace("data.max_train: [2, 8]", "data.contamination: [0.05, 0.1]"))
    assert {run.data.reserve for run in levels.runs} == {((0.0, None), (0.05, None), (0.1, None))}
    alone = planned(DATA_ROWS.replace("stripes}", "stripes, contamination: 0.1}"))
    assert {run.data.reserve for run in alone.runs} == {((0.1, 2), (0.1, 8), (0.1, None))}
    assert all(run.data.reserve == () for run in plan_of().runs)


def test_pseudo_defects_count_where_they_are_drawn() -> None:
    text = DATA_ROWS.replace("data.max_train: [2, 8]", "data.pseudo.kind: [none, horizontal, vertical]")
    plan = planned(text)
    assert len(plan.runs) == 4  # three of the decoder, one of the memory bank
    assert {run.data.pseudo.kind for run in plan.runs if run.variant.startswith("knn")} == {"none"}
    named = {row.variant: row.key for row in plan.rows}
    assert named["dinomaly,data.pseudo.kind=none"] == named["dinomaly"]
    unused = planned(text.replace("stripes}", "stripes, pseudo: {copies: 9, strength: 0.2}}"))
    assert {row.variant: row.key for row in unused.rows}["dinomaly"] == named["dinomaly"]
    drawn = {row.key for row in unused.rows if row.variant in DRAWN}
    assert len(drawn) == 2
    assert not set(named.values()) & drawn
