"""Behavioural: what a study file may say, and that every mistake in one names its line and column."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ablate.study import settings as fields
from ablate.study.claims import Claim
from ablate.study.dimensions import Choices, Range
from ablate.study.located import parse_yaml
from ablate.study.reading import load_recorded, load_spec, parse_spec
from ablate.study.resolved import means, plot, resolve, schedules
from ablate.study.schema import study_schema
from ablate.study.smoke import smoke
from ablate.study.spec import Invocation, StudySpec
from model.config import ModelConfig, Schedule, build_config, dump_config
from model.data.config import DataConfig
from model.errors import ConfigError
from model.metric_names import METRICS
from model.presets import PRESETS

ROOT = Path(__file__).parents[3]
STUDIES = sorted((ROOT / "studies").glob("*.yaml"))
PUBLISHED = sorted(path.parent for path in (ROOT / "results").glob("*/spec.yaml"))

STUDY = """\
study: directional-tail
data: {dataset: stripes, categories: [domain_a, domain_c]}
base: {preset: dinomaly-small, train: {iterations: 300}}
variants:
  dinomaly: {}
  top-q: {tail.q: 0.02}
  control: {tail: {q: 0.02, alpha: 0.5}, tail.direction: vertical}
factors:
  design: one-at-a-time
  bias.lambda: [0.1, {from: 0, to: 0.2, shape: cosine}]
seeds: 2
claims:
  - control > top-q on domain_c by image_auroc
  - control < dinomaly
report: {baseline: dinomaly, primary: pixel_ap}
keep: {maps: 3}
"""

SEARCH = """\
study: s
data: {dataset: stripes}
search:
  space:
    tail.q: {low: 0.01, high: 0.2, log: true}
    train.iterations: {low: 100, high: 300, step: 100}
    tail: {form: [gradient, masked]}
  trials: 7
  seeds: 2
  categories: [domain_c]
"""


def parse(text: str, *overrides: str, env: dict[str, str] | None = None) -> StudySpec:
    return parse_spec(text, Path("s.yaml"), overrides, env or {})


def error_of(text: str, *overrides: str, env: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(text, *overrides, env=env)
    return str(caught.value)


def edited(old: str, new: str, text: str = STUDY) -> str:
    assert text.count(old) >= 1, old
    return text.replace(old, new, 1)


# ------------------------------------------------------------------------------ what is accepted


def test_a_study_is_read_whole() -> None:
    spec = parse(STUDY)
    assert spec.study == "directional-tail"
    assert spec.data == DataConfig(dataset="stripes", categories=("domain_a", "domain_c"))
    assert spec.preset == "dinomaly-small"
    assert spec.base == {"encoder.name": "vit_small_patch14_reg4_dinov2", "train.iterations": 300}
    assert spec.variants["control"] == {"tail.q": 0.02, "tail.alpha": 0.5, "tail.direction": "vertical"}
    assert spec.seeds == (0, 1)
    assert spec.claims == (
        Claim("control", "top-q", "domain_c", "image_auroc", ">"),
        Claim("control", "dinomaly", None, "pixel_ap", "<"),
    )
    assert (spec.baseline, spec.report.primary, spec.report.aupro) == ("dinomaly", "pixel_ap", "exact")
    assert (spec.keep.maps, spec.keep.weights) == (3, False)
    assert spec.text == STUDY


def test_rows_are_variants_then_factors_with_names_made_of_levels() -> None:
    rows = {row.variant: row for row in parse(STUDY).rows()}
    assert list(rows) == [
        "dinomaly", "top-q", "control", "bias.lambda=0.1", "bias.lambda=0>0.2:cosine"
    ]  # fmt: skip
    assert rows["top-q"].factors == {}
    assert rows["bias.lambda=0.1"].factors == {"bias.lambda": 0.1}
    assert rows["bias.lambda=0>0.2:cosine"].factors == {"bias.lambda": "0>0.2:cosine"}


def test_a_grid_crosses_each_variant_with_each_combination() -> None:
    text = edited("one-at-a-time", "grid\n  tail.form: [gradient, masked]")
    names = [row.variant for row in parse(text).rows()]
    assert len(names) == 3 + 3 * 4
    assert "control,tail.form=masked,bias.lambda=0.1" in names


def test_factors_alone_have_the_base_as_baseline() -> None:
    text = "study: s\ndata: {}\nfactors: {design: grid, tail.q: [0.1, 0.2], tail.alpha: [0, 1]}\n"
    spec = parse(text)
    assert spec.baseline == "base"
    assert [row.variant for row in spec.rows()][:2] == ["base", "tail.q=0.1,tail.alpha=0"]
    assert len(spec.rows()) == 5


def test_variants_resolve_over_base_over_preset_over_defaults() -> None:
    spec = parse(STUDY)
    config = spec.config(spec.variants["control"])
    assert config.encoder.name == "vit_small_patch14_reg4_dinov2"  # preset
    assert config.train.iterations == 300  # base
    assert (config.tail.q, config.tail.direction) == (0.02, "vertical")  # variant
    assert config.train.batch_size == ModelConfig().train.batch_size  # default


def test_schedules_stay_whole_where_they_replace_numbers() -> None:
    spec = parse(edited("tail.q: 0.02}", "tail.q: {from: 1, to: 0.02, shape: cosine, end: 0.5}}"))
    assert spec.config(spec.variants["top-q"]).tail.q == Schedule(1.0, 0.02, "cosine", 0.0, 0.5)


def test_seeds_may_be_listed() -> None:
    assert parse(edited("seeds: 2", "seeds: [3, 1]")).seeds == (3, 1)


def test_merge_keys_and_anchors() -> None:
    text = edited("  top-q: {tail.q: 0.02}", "  top-q: &q {tail.q: 0.02}\n  both: {<<: *q, tail.alpha: 1}")
    assert parse(text).variants["both"] == {"tail.alpha": 1, "tail.q": 0.02}


def test_yaml_is_1_2() -> None:
    node = parse_yaml("{a: on, b: 1e-3, c: 012, d: 2020-01-01, e: ~, 01: x}", "s", {})
    assert node.plain() == {"a": "on", "b": 1e-3, "c": 12, "d": "2020-01-01", "e": None, "01": "x"}


def test_environment_is_expanded_quoted_or_not() -> None:
    text = edited("dataset: stripes,", "dataset: mvtec, root: ${DATA}/x, split_seed: ${SEED:-7},")
    assert parse(text, env={"DATA": "/d"}).data.root == "/d/x"
    assert parse(text, env={"DATA": "/d"}).data.split_seed == 7
    assert parse(text, env={"DATA": "/d", "SEED": "8"}).data.split_seed == 8
    quoted = text.replace("${SEED:-7}", '"${SEED:-7}"')
    assert "expected a whole number, got '7' (without quotes)" in error_of(quoted, env={"DATA": "/d"})
    assert parse(text, env={"DATA": "/d", "SEED": ""}).data.split_seed == 7  # as the shell has it


def test_a_search_is_read() -> None:
    search = parse(SEARCH).search
    assert search is not None
    assert search.space == {
        "tail.q": Range(0.01, 0.2, log=True),
        "train.iterations": Range(100, 300, step=100, integer=True),
        "tail.form": Choices(("gradient", "masked")),
    }
    assert (search.trials, search.sampler, search.pruner) == (7, "tpe", "none")
    assert (search.objective, search.categories) == ("image_auroc", ("domain_c",))
    assert search.seeds == (0, 1)
    assert search.fresh_seeds == (2, 3, 4, 5, 6)
    assert parse(SEARCH + "  fresh_seeds: 2\n").search.fresh_seeds == (2, 3)  # type: ignore[union-attr]
    assert [row.variant for row in parse(SEARCH).rows()] == ["base"]


def test_a_grid_has_as_many_trials_as_configurations() -> None:
    search = parse(edited("trials: 7", "sampler: grid", edited("log: true", "points: 3", SEARCH))).search
    assert search is not None
    assert search.space["tail.q"] == Range(0.01, 0.2, points=3)
    assert (search.sampler, search.trials) == ("grid", 3 * 3 * 2)


def test_a_dimension_may_have_a_condition() -> None:
    form = "{choices: [gradient, masked], when: {train: {iterations: 200}}}"
    text = edited("{low: 100, high: 300, step: 100}", "[100, 200, 300]", SEARCH)
    search = parse(edited("tail: {form: [gradient, masked]}", f"tail.form: {form}", text)).search
    assert search is not None
    assert search.space["tail.form"] == Choices(("gradient", "masked"), {"train.iterations": [200]})


# ------------------------------------------------------------------------------ what is refused

MISTAKES: list[tuple[str, str, str]] = [
    # syntax and structure
    ("seeds: 2", "seeds: [2", "s.yaml:12:7: not valid YAML: while parsing a flow sequence expected "
     "',' or ']', but got ':'"),
    ("seeds: 2", "\tseeds: 2", "s.yaml:11:1: not valid YAML: while scanning for the next token found "
     "character '\\t' that cannot start any token"),
    ("seeds: 2", "seeds: 2\nseeds: 3", "s.yaml:12:1: duplicate key 'seeds' (first given in line 11)"),
    ("seeds: 2", "seeds: !x 2", "s.yaml:11:8: the tag !x is not used here"),
    ("seeds: 2", "seeds: *x", "s.yaml:11:8: not valid YAML: found undefined alias 'x'"),
    ("study: directional-tail\n", "", "s.yaml:1:1: missing key 'study' "
     "(the study's name, also its results folder)"),
    ("study: directional-tail", "study: a/b", "s.yaml:1:8: study: 'a/b' cannot name a folder (letters, "
     "digits, '.', '_' and '-', starting with a letter or digit)"),
    ("study: directional-tail", "study: 3", "s.yaml:1:8: study must be text, got 3 (put it in quotes)"),
    ("data:", "dat:", "s.yaml:2:1: unknown key 'dat' in a study (did you mean 'data'?)"),
    ("seeds: 2", "tail.q: 2", "s.yaml:11:1: unknown key 'tail.q' in a study (settings of the model go "
     "under base: or a variant: 'base.tail.q')"),
    ("seeds: 2", "search: {}", "s.yaml:4:1: 'variants' and 'search' exclude each other (a search "
     "compares its winner with the base; keep one of the two, or make the variants its arms)"),
    # unknown keys, at every level
    ("train:", "tain:", "s.yaml:3:32: unknown key 'tain' in base (did you mean 'train'?)"),
    ("iterations", "iteration", "s.yaml:3:40: unknown key 'iteration' in base.train "
     "(did you mean 'iterations'?)"),
    ("tail.q: 0.02}", "tail.qq: 0.02}", "s.yaml:6:11: unknown key 'tail.qq' in variants.top-q "
     "(did you mean 'tail.q'?)"),
    ("tail.q: 0.02}", "q: 0.02}", "s.yaml:6:11: unknown key 'q' in variants.top-q "
     "(did you mean 'tail.q'?)"),
    ("bias.lambda:", "bias.lamda:", "s.yaml:10:3: unknown key 'bias.lamda' in factors "
     "(did you mean 'bias.lambda'?)"),
    ("dataset:", "datset:", "s.yaml:2:8: unknown key 'datset' in data (did you mean 'dataset'?)"),
    ("primary:", "primry:", "s.yaml:15:30: unknown key 'primry' in report (did you mean 'primary'?)"),
    ("maps:", "map:", "s.yaml:16:8: unknown key 'map' in keep (did you mean 'maps'?)"),
    ("shape: cosine", "shap: cosine", "s.yaml:10:41: bias.lambda: unknown key 'shap' in a schedule "
     "(did you mean 'shape'?)"),
    # unknown names
    ("stripes", "strips", "s.yaml:2:17: data.dataset: 'strips' is not one of stripes, mvtec, mvtec_ad2, "
     "loco, btad, visa, realiad, magnetic_tile, folder (did you mean 'stripes'?)"),
    ("domain_c]", "domain_d]", "s.yaml:2:49: data.categories: stripes has no category 'domain_d' "
     "(did you mean 'domain_c'?)"),
    ("dinomaly-small", "dino", "s.yaml:3:16: base.preset: unknown preset 'dino' "
     f"(known: {', '.join(PRESETS)})"),
    ("vertical", "vert", "s.yaml:7:58: tail.direction: 'vert' is not one of horizontal, vertical, both "
     "(did you mean 'vertical'?)"),
    ("shape: cosine", "shape: cosin", "s.yaml:10:48: bias.lambda: 'cosin' is not one of constant, linear, "
     "cosine, exponential, step (did you mean 'cosine'?)"),
    ("design: one-at-a-time", "design: gird", "s.yaml:9:11: factors.design: 'gird' is not one of grid, "
     "one-at-a-time (did you mean 'grid'?)"),
    ("> top-q", "> topq", "s.yaml:13:5: the claim names an unknown variant 'topq' (did you mean 'top-q'?)"),
    ("on domain_c", "on domain_b", "s.yaml:13:5: the claim names an unknown category 'domain_b' "
     "(did you mean 'domain_c'?)"),
    ("by image_auroc", "by image_roc", "s.yaml:13:5: the claim names an unknown metric 'image_roc' "
     "(did you mean 'image_auroc'?)"),
    ("baseline: dinomaly", "baseline: dinmaly", "s.yaml:15:20: report.baseline: no variant is called "
     "'dinmaly' (did you mean 'dinomaly'?)"),
    ("primary: pixel_ap", "primary: pixelap", "s.yaml:15:39: report.primary: 'pixelap' is not one of "
     f"{', '.join(METRICS)} (did you mean 'pixel_ap'?)"),
    # wrong types
    ("tail.q: 0.02}", 'tail.q: "0.02"}', "s.yaml:6:19: tail.q: expected a number or a schedule {from, to, "
     "shape, begin, end}, got '0.02' (without quotes)"),
    ("tail.q: 0.02}", "tail.q: true}", "s.yaml:6:19: tail.q: expected a number or a schedule {from, to, "
     "shape, begin, end}, got true"),
    ("tail.q: 0.02}", "tail: 0.02}", "s.yaml:6:17: variants.top-q.tail must be a mapping (key: value), "
     "got 0.02"),
    ("tail.q: 0.02}", "bias.lambda: lerned}", "s.yaml:6:24: bias.lambda: expected a number or a schedule "
     "{from, to, shape, begin, end} or learned, got 'lerned' (did you mean 'learned'?)"),
    ("tail.q: 0.02}", "train.betas: [0.9]}", "s.yaml:6:24: train.betas: expected a list of 2, got [0.9]"),
    ("tail.q: 0.02}", "image.crop: [1, 2, 3]}", "s.yaml:6:23: image.crop: expected a whole number or a "
     "list of 2, got [1, 2, 3]"),
    ("tail.q: 0.02}", "recentre: yes}", "s.yaml:6:21: variants.top-q.recentre must be a mapping "
     "(key: value), got 'yes'"),
    ("tail.q: 0.02}", "recentre: true}", "s.yaml:6:21: recentre is no longer true "
     "(recentre: {mode: both} is what true meant)"),
    ("tail.q: 0.02}", "method: knn, tail.q: 0.02}", "s.yaml:6:24: 'tail.q' is not a setting of method knn "
     "(it belongs to method: dinomaly)"),
    ("tail.q: 0.02}", "knn.share: 0.2}", "s.yaml:6:11: 'knn.share' is not a setting of method "
     "dinomaly (it belongs to method: knn)"),
    ("tail.q: 0.02}", "method: knn, knn: {radius: 1}}", "s.yaml:6:30: unknown key 'radius' in "
     "variants.top-q.knn (known: metric, subsample, share, pool, image_score, support)"),
    ("iterations: 300", "iterations: 3.5", "s.yaml:3:52: train.iterations: expected a whole number, "
     "got 3.5"),
    ("[domain_a,", "[01,", "s.yaml:2:39: data.categories: expected text, got 1 (put it in quotes)"),
    ("shape: cosine", "shape: 3", "s.yaml:10:48: bias.lambda: expected one of constant, linear, cosine, "
     "exponential, step, got 3"),
    ("from: 0, ", "", "s.yaml:10:22: bias.lambda: a schedule needs 'from'"),
    ("seeds: 2", "seeds: two", "s.yaml:11:8: seeds: expected a number of seeds, a list of them, "
     "or {start, max}, got 'two'"),
    ("seeds: 2", "seeds: [1, 1]", "s.yaml:11:12: seeds: the seed 1 is given twice"),
    ("control < dinomaly", "control dinomaly", "s.yaml:14:5: cannot read the claim 'control dinomaly' "
     "(write: left > right on category by metric)"),
    ("control < dinomaly", "control < control", "s.yaml:14:5: the claim compares 'control' with itself"),
    # out of range
    ("tail.q: 0.02}", "tail.q: 0}", "s.yaml:6:19: tail.q: 0 is outside the allowed range (0, 1]"),
    ("tail.q: 0.02}", "tail.q: {from: 2, to: 1}}", "s.yaml:6:19: tail.q: 2 is outside the allowed range "
     "(0, 1]"),
    ("to: 0.2,", "to: 0.2, begin: 3,", "s.yaml:10:48: bias.lambda: 3 is outside the allowed range [0, 1] "
     "(a fraction; 3 % is 0.03)"),
    ("tail.q: 0.02}", "bias.blocks: [1, -1]}", "s.yaml:6:28: bias.blocks: -1 is outside the allowed range "
     "[0, inf)"),
    ("tail.q: 0.02}", "train.betas: [0.9, 1]}", "s.yaml:6:30: train.betas: 1 is outside the allowed range "
     "[0, 1)"),
    ("iterations: 300", "iterations: 0", "s.yaml:3:52: train.iterations: 0 is outside the allowed range "
     "[1, inf)"),
    ("seeds: 2", "seeds: 0", "s.yaml:11:8: seeds: 0 is outside the allowed range [1, inf)"),
    ("[0.1, {", "[0.1, 0.1, {", "s.yaml:10:22: factors.bias.lambda: the level 0.1 is given twice"),
    ("maps: 3", "maps: -1", "s.yaml:16:14: keep.maps: -1 is outside the allowed range [0, inf)"),
    # rows train on other images, and are tested on the same
    ("tail.q: 0.02}", "data.max_test: 3}", "s.yaml:6:11: 'data.max_test' cannot differ between rows: all "
     "rows are tested on the same images (set it under data:; rows may have data.max_train, "
     "data.contamination and data.pseudo)"),
    ("bias.lambda: [0.1,", "data.selection: [none, half]\n  bias.lambda: [0.1,", "s.yaml:10:3: "
     "'data.selection' cannot differ between rows: all rows are tested on the same images (set it under "
     "data:; rows may have data.max_train, data.contamination and data.pseudo)"),
    ("tail.q: 0.02}", "data.contamination: 1}", "s.yaml:6:31: data.contamination: 1 is outside the allowed "
     "range [0, 1)"),
    ("tail.q: 0.02}", "data: {pseudo: {kind: horizontl}}}", "s.yaml:6:33: data.pseudo.kind: 'horizontl' is "
     "not one of none, horizontal, vertical, blob (did you mean 'horizontal'?)"),
    ("tail.q: 0.02}", "method: knn, data.pseudo.kind: blob}", "s.yaml:6:24: 'data.pseudo.kind' is not a "
     "setting of method knn (it belongs to method: dinomaly)"),
    ("iterations: 300}", "iterations: 300}, data.max_train: 3", "s.yaml:3:58: unknown key 'data.max_train' "
     "in base (what every row reads goes under data:)"),
    # values that do not go together
    ("tail.q: 0.02}", "tail.q: 0.02, tail: {q: 0.1}}", "s.yaml:6:32: 'tail.q' is given twice "
     "(first at s.yaml:6:11)"),
    ("tail.q: 0.02}", "decoder.depth: 1}", "s.yaml:6:3: variant top-q: groups: two needs at least 2 "
     "encoder and decoder blocks"),
    ("tail.q: 0.02}", "decoder.neighbour_mask: 3}", "s.yaml:6:11: variant top-q: decoder: neighbour_mask "
     "needs attention: softmax (a zeroed pair has no linear form)"),
    ("train: {", "image: {crop: 500}, train: {", "s.yaml:3:40: base: image: crop [500, 500] is larger "
     "than resize [448, 448]"),
    ("bias.lambda: [0.1,", "decoder.depth: [1, 4]\n  bias.lambda: [0.1,", "s.yaml:10:3: row "
     "decoder.depth=1: groups: two needs at least 2 encoder and decoder blocks"),
    ("dataset: stripes", "dataset: mvtec", "s.yaml:2:1: data: dataset mvtec needs root: the dataset's "
     "folder"),
    # the environment
    ("directional-tail", "${NAME}", "s.yaml:1:8: the environment variable NAME is not set (export "
     "NAME=..., or give a default: ${NAME:-...})"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "message"), MISTAKES, ids=[m[1].strip() or m[0] for m in MISTAKES])
def test_a_mistake_names_its_place(old: str, new: str, message: str) -> None:
    assert error_of(edited(old, new)) == message


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("low: 0.01", "low: 0", "s.yaml:5:19: tail.q: 0 is outside the allowed range (0, 1]"),
        ("low: 0.01", "low: 0.5", "s.yaml:5:19: search.space: tail.q has low 0.5 >= high 0.2"),
        ("low: 100", "low: 1.5", "s.yaml:6:29: train.iterations: expected a whole number, got 1.5"),
        ("step: 100", "step: 0.5", "s.yaml:6:51: search.space: train.iterations takes whole numbers, so "
         "step must be whole"),
        ("log: true", "log: true, step: 0.01", "s.yaml:5:47: search.space: tail.q cannot have both log and "
         "step"),
        ("[gradient, masked]", "[gradient]", "s.yaml:7:18: search.space: tail.form has 1 choice(s), "
         "nothing to search"),
        ("[gradient, masked]", "{low: 1, high: 2}", "s.yaml:7:18: search.space: tail.form is not a number "
         "(give a list of choices)"),
        ("high: 0.2,", "", "s.yaml:5:13: missing key 'high' in search.space.tail.q"),
        ("trials:", "trails:", "s.yaml:8:3: unknown key 'trails' in search (did you mean 'trials'?)"),
        ("trials: 7", "pruner: wilcox", "s.yaml:8:11: search.pruner: 'wilcox' is not one of none, "
         "wilcoxon, median (did you mean 'wilcoxon'?)"),
        ("trials: 7", "fresh_seeds: [1, 9]", "s.yaml:8:16: search.fresh_seeds: the search itself uses 1 "
         "(the winner must be judged on seeds it was not chosen by)"),
        ("[domain_c]", "[domain_d]", "s.yaml:10:3: search.categories: unknown category 'domain_d' "
         "(did you mean 'domain_c'?)"),
        ("search:", "claims: [base > base]\nsearch:", "s.yaml:3:1: a search has no claims: its one "
         "question is whether the winner beats the base"),
        ("trials: 7", "sampler: grid", "s.yaml:5:5: search.space: tail.q has no values that a grid could "
         "take (add a step or a number of points, e.g. points: 5, or give a list of choices)"),
        ("log: true", "points: 5", "s.yaml:5:36: search.space: tail.q has a number of points, but the "
         "sampler is tpe (write sampler: grid, or a step instead)"),
        ("trials: 7", "sampler: gri", "s.yaml:8:12: search.sampler: 'gri' is not one of tpe, random, gp, "
         "grid (did you mean 'grid'?)"),
        ("log: true", "when: {tail.form: none}", "s.yaml:5:54: search.space: tail.q depends on tail.form = "
         "'none', which is not among its choices"),
        ("log: true", "when: {tail.alpha: 1}", "s.yaml:5:43: search.space: tail.q depends on tail.alpha, "
         "which is not searched (a condition names another setting of the space)"),
        ("log: true", "when: {train.iterations: 100}", "s.yaml:5:43: search.space: tail.q depends on "
         "train.iterations, which is a range (give train.iterations as a list of choices)"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_search_names_its_place(old: str, new: str, message: str) -> None:
    assert error_of(edited(old, new, SEARCH)) == message


def test_an_empty_file_and_a_missing_one(tmp_path: Path) -> None:
    assert error_of("") == "s.yaml:1:1: the file is empty (start with: ablate init NAME)"
    assert error_of("- a") == "s.yaml:1:1: a study must be a mapping (key: value), got ['a']"
    with pytest.raises(ConfigError, match=r"cannot read .*nothing\.yaml: No such file"):
        load_spec(tmp_path / "nothing.yaml")
    (tmp_path / "latin.yaml").write_bytes("study: caf\xe9".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"latin\.yaml is not UTF-8 text: byte 10 \(save it as UTF-8\)"):
        load_spec(tmp_path / "latin.yaml")


def test_a_value_inside_itself_is_refused() -> None:
    assert error_of(edited("{tail.q: 0.02}", "&x {tail: *x}")).startswith("s.yaml:6:10: an alias refers to")


# -------------------------------------------------------------------------------- --set


def test_overrides_apply_and_say_what_they_replace() -> None:
    spec = parse(
        STUDY,
        "base.train.iterations=100",
        "base.tail.factor=0.2",
        "seeds=[4]",
        "variants.top-q.tail.q=0.03",
        "variants.control.tail.q=0.04",
        "factors.bias.lambda=[0.3]",
    )
    assert [str(override) for override in spec.applied] == [
        "base.train.iterations = 100 (was 300)",
        "base.tail.factor = 0.2 (was 0.1)",
        "seeds = [4] (was 2)",
        "variants.top-q.tail.q = 0.03 (was 0.02)",
        "variants.control.tail.q = 0.04 (was 0.02)",
        "factors.bias.lambda = [0.3] (was [0.1, {from: 0, to: 0.2, shape: cosine}])",
    ]
    assert spec.base["train.iterations"] == 100
    assert spec.base["tail.factor"] == 0.2
    assert spec.seeds == (4,)
    assert spec.variants["top-q"] == {"tail.q": 0.03}
    assert spec.variants["control"]["tail.q"] == 0.04
    assert spec.factors is not None
    assert spec.factors.levels == {"bias.lambda": (0.3,)}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seeds", "--set seeds: an override is written path=value (e.g. --set base.train.iterations=100)"),
        ("sed=3", "--set sed=3: unknown key 'sed' in a study (did you mean 'seeds'?)"),
        ("tail.q=1", "--set tail.q=1: unknown key 'tail.q' (did you mean 'base.tail.q'?)"),
        ("base.tail.qq=1", "--set base.tail.qq=1: unknown key 'qq' in base.tail (did you mean 'q'?)"),
        ("base.tail.q=7", "--set base.tail.q=7: tail.q: 7 is outside the allowed range (0, 1] "
 "(a fraction; 7 % is 0.07)"),
        ("variants.topq.tail.q=1", "--set variants.topq.tail.q=1: unknown variant 'topq' "
         "(did you mean 'top-q'?)"),
        ("study.x=1", "--set study.x=1: 'study' has no settings inside: it is 'directional-tail'"),
        ("seeds=[1", "--set seeds=[1: not valid YAML: while parsing a flow sequence expected ',' or ']', "
         "but got '<stream end>'"),
    ],
)  # fmt: skip
def test_a_mistaken_override_is_refused(override: str, message: str) -> None:
    assert error_of(STUDY, override) == message


def test_what_was_asked_beside_the_file_is_kept_beside_it(tmp_path: Path) -> None:
    spec = parse_spec(STUDY, Path("s.yaml"), ("seeds=3", 'base.preset="pocket"'), {}, smoke=True)
    assert spec.text == STUDY
    assert spec.invocation == Invocation(("seeds=3", 'base.preset="pocket"'), smoke=True)
    assert spec == smoke(parse(STUDY, "seeds=3", 'base.preset="pocket"'))
    (tmp_path / "spec.yaml").write_text(spec.text)
    assert load_recorded(tmp_path).seeds == (0, 1)
    (tmp_path / "invocation.json").write_text(spec.invocation.to_json())
    again = load_recorded(tmp_path)
    assert (again.study, again.seeds, again.preset) == ("directional-tail-smoke", (0, 1), "pocket")
    assert replace(again, path=spec.path) == spec


@pytest.mark.parametrize("text", ["", "{}]", '{"overrides": "seeds=3"}', '{"smoke": true, "more": 1}'])
def test_a_damaged_record_of_the_invocation_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(STUDY)
    (tmp_path / "invocation.json").write_text(text)
    with pytest.raises(ConfigError, match=r"invocation\.json: cannot read how the study was started"):
        load_recorded(tmp_path)


@pytest.mark.parametrize("folder", PUBLISHED, ids=lambda folder: folder.name)
def test_published_studies_are_recorded_as_they_were_run(folder: Path) -> None:
    spec = load_recorded(folder, env={"DATA": "unset", "MAGNETIC_TILE": "unset"})
    assert spec.study == folder.name
    seeds = set(pd.read_csv(folder / "runs.csv", usecols=["seed"])["seed"])
    expected = set(spec.search.fresh_seeds if spec.search else spec.seeds)
    further = set(range(spec.max_seeds or 0))  # of a study that adds seeds while claims are open
    assert expected <= seeds <= expected | further


def test_a_smoke_test_is_small_whatever_the_variants_say() -> None:
    spec = smoke(parse(edited("tail.q: 0.02}", "train.iterations: 5000}")))
    assert {spec.config(row.overrides).train.iterations for row in spec.rows()} == {4}
    assert spec.data.max_test is not None and spec.data.max_test <= 2


# --------------------------------------------------------------------- schema, show, studies


def test_schedules_stay_whole_in_dotted_paths() -> None:
    values = {"tail": {"q": {"from": 1, "to": 0.1}, "alpha": 0}, "groups": "two"}
    flat = {"tail.q": {"from": 1, "to": 0.1}, "tail.alpha": 0, "groups": "two"}
    assert fields.unnest(values, ModelConfig) == flat
    assert fields.nest(flat) == values


def test_the_paths_of_the_files_are_those_of_the_dataclasses() -> None:
    flat = fields.unnest(dump_config(ModelConfig()), ModelConfig)
    assert list(flat) == list(fields.leaves(ModelConfig))
    assert fields.nest(flat) == dump_config(ModelConfig())
    assert {path: leaf.default for path, leaf in fields.leaves(ModelConfig).items()} == flat
    assert all(leaf.description for leaf in fields.leaves(ModelConfig).values())


def test_the_schema_knows_every_path_and_all_its_references_lead_somewhere() -> None:
    schema = study_schema()
    json.dumps(schema)
    settings = schema["definitions"]["Settings"]["properties"]
    assert set(fields.leaves(ModelConfig)) < set(settings)
    assert all(settings[path]["description"] for path in settings)
    references = [part["$ref"] for part in _parts(schema) if "$ref" in part]
    assert len(references) > 100
    for reference in references:
        target: Any = schema
        for step in reference.removeprefix("#/").split("/"):
            target = target[step]


def test_the_schema_knows_what_rows_may_train_on() -> None:
    schema = study_schema()
    row = schema["definitions"]["RowSettings"]["properties"]
    assert {"data", "data.max_train", "data.contamination", "data.pseudo", "data.pseudo.kind"} <= set(row)
    assert set(row["data"]["properties"]) == {"max_train", "contamination", "pseudo"} | {
        f"pseudo.{name}" for name in ("kind", "copies", "share", "strength")
    }
    assert set(row["data.pseudo"]["properties"]) == {"kind", "copies", "share", "strength"}
    assert not any(path.startswith("data") for path in schema["definitions"]["Settings"]["properties"])
    levels = schema["definitions"]["Factors"]["properties"]
    assert levels["data.max_train"]["type"] == "array"
    assert levels["data"]["properties"]["pseudo.kind"]["type"] == "array"
    assert "reserve" not in schema["definitions"]["DataConfig"]["properties"]


def _parts(schema: Any) -> list[dict[str, Any]]:
    inner = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ()
    own = [schema] if isinstance(schema, dict) else []
    return own + [part for item in inner for part in _parts(item)]


def test_resolved_rows_differ_from_the_baseline_by_what_was_written() -> None:
    rows = {row.variant: row for row in resolve(parse(STUDY))}
    assert rows["dinomaly"].changes == {}
    assert rows["top-q"].changes == {"tail.q": (0.1, 0.02)}
    assert schedules(rows["bias.lambda=0>0.2:cosine"].config) == {
        "bias.lambda": Schedule(0.0, 0.2, "cosine")
    }


def test_what_a_row_trains_on_is_resolved_as_its_other_settings_are() -> None:
    text = edited("tail.q: 0.02}", "data: {max_train: 4, pseudo.kind: blob}}")
    rows = {row.variant: row for row in resolve(parse(text))}
    assert rows["top-q"].changes == {"data.max_train": (None, 4), "data.pseudo.kind": ("none", "blob")}
    assert rows["dinomaly"].changes == {}


def test_schedules_inside_lists_and_matched_rates_are_shown_as_they_are_used() -> None:
    dropout = {
        "pattern": "segment", "length": [2, {"from": 2, "to": 8}],
        "rate": {"from": 0.0, "to": 0.4}, "mean_rate": 0.1,
    }  # fmt: skip
    config = build_config({"token_dropout": dropout, "train": {"iterations": 1000}})
    found = schedules(config)
    assert set(found) == {"token_dropout.length[1]", "token_dropout.rate"}
    assert found["token_dropout.length[1]"] == Schedule(2.0, 8.0)
    assert found["token_dropout.rate"].to == pytest.approx(0.2, rel=0.01)
    average = {"token_dropout.length[1]": 4.997, "token_dropout.rate": 0.1}
    assert means(config) == pytest.approx(average, abs=1e-3)
    assert means(ModelConfig()) == {}


def test_a_schedule_is_drawn_between_its_ends() -> None:
    lines = plot(Schedule(1.0, 0.0, "step"), width=10, height=3)
    assert lines == [
        "1 ┤█████     ",
        "  ┤█████     ",
        "0 ┤█████     ",
        "  └0training progress1",
    ]
    assert {len(line) for line in plot(Schedule(0.1, 0.4, "cosine"))[:-1]} == {3 + 2 + 60}


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_the_studies_that_come_along_load_and_say_what_they_ask(path: Path) -> None:
    spec = load_spec(path, env={})
    assert spec.study == path.stem.replace("_", "-")
    head = spec.text.partition("study:")[0]
    for word in ("# Question:", "# Cost:", "two cores", "GPU", "# Reading the answer:"):
        assert word.casefold() in head.casefold(), word


def test_reading_a_spec_needs_no_torch() -> None:
    code = (
        "import sys; from ablate.study.reading import load_spec; import ablate.study.plan;"
        "import ablate.study.schema, ablate.cli.starter;"
        f"load_spec({str(STUDIES[0])!r}); assert 'torch' not in sys.modules, 'torch'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[3])
