"""Behavioural: constraints of a search, and two objectives: how they are read, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ablate.study.constraints import Constraint, constraint_of
from ablate.study.reading import parse_spec
from ablate.study.schema import study_schema
from ablate.study.spec import SearchConfig
from model.errors import ConfigError

HEAD = "study: s\ndata: {dataset: stripes}\nsearch:\n  space: {tail.q: [0.1, 0.2]}\n"


def read(rest: str) -> SearchConfig:
    search = parse_spec(HEAD + rest, Path("s.yaml")).search
    assert search is not None
    return search


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("image_auroc >= 97", Constraint("image_auroc", None, "all", True, 97.0)),
        ("I-AUROC on all>=97.5", Constraint("image_auroc", None, "all", True, 97.5)),
        (" aupro on domain_a <= 40 ", Constraint("aupro", "domain_a", "all", False, 40.0)),
        (
            "aupro on domain_c & faintness=faint >= 5",
            Constraint("aupro", "domain_c", "faintness=faint", True, 5.0),
        ),
    ],
)
def test_a_constraint_is_read_and_survives_its_text(text: str, expected: Constraint) -> None:
    (kept,) = read(f'  constraints: ["{text}"]').constraints
    assert constraint_of(kept) == expected
    definitions = study_schema()["definitions"]["SearchConfig"]["properties"]["constraints"]
    assert re.search(definitions["items"]["anyOf"][0]["pattern"], text)


def test_a_breach_is_measured_in_points() -> None:
    assert constraint_of("image_auroc >= 97").breach(96.5) == pytest.approx(0.5)
    assert constraint_of("image_auroc >= 97").breach(97.0) == 0
    assert constraint_of("image_auroc <= 97").breach(98.0) == pytest.approx(1.0)


def test_the_first_objective_is_the_one_that_decides() -> None:
    search = read("  objectives: [AUPRO, image_auroc]")
    assert search.judged_by == ("aupro", "image_auroc") and search.objective == "aupro"
    assert read("").judged_by == ("image_auroc",)


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        (
            "  constraints: [image_auroc > 97]",
            "s.yaml:5:17: cannot read the constraint 'image_auroc > 97' (write: metric on category >= "
            "points, e.g. image_auroc on domain_a >= 97)",
        ),
        (
            "  constraints: [image_auroc >= many]",
            "s.yaml:5:17: the constraint's bound must be a number of points, got 'many'",
        ),
        (
            "  constraints: [image_auroc >= 970]",
            "s.yaml:5:17: the constraint's bound 970 is outside the allowed range [0, 100] points",
        ),
        (
            "  constraints: [image_aurok >= 97]",
            "s.yaml:5:17: the constraint names an unknown metric 'image_aurok' (did you mean "
            "'image_auroc'?)",
        ),
        (
            "  constraints: [image_auroc on domain_d >= 97]",
            "s.yaml:5:17: the constraint names an unknown category 'domain_d' (did you mean 'domain_c'?)",
        ),
        (
            "  constraints: [pixel_auroc on faintness=faint >= 97]",
            "s.yaml:5:17: 'pixel_auroc' is not measured on the stratum 'faintness=faint' (by image_auroc, "
            "pixel_ap, aupro, ",
        ),
        (
            "  constraints: [aupro >= 5, AUPRO on all >= 5.0]",
            "s.yaml:5:29: the constraint 'aupro >= 5' is given twice",
        ),
        (
            "  objective: aupro\n  objectives: [aupro, image_auroc]",
            "s.yaml:6:3: search has both objective and objectives (keep one)",
        ),
        (
            "  objectives: [aupro]",
            "s.yaml:5:15: search.objectives takes two metrics, got 1 (one alone is the objective)",
        ),
        ("  objectives: [aupro, aupro]", "s.yaml:5:15: search.objectives: 'aupro' is given twice"),
        (
            "  pruner: wilcoxon\n  constraints: [aupro >= 5]",
            "s.yaml:5:11: search.pruner: wilcoxon knows one objective and no constraints (pruner: none)",
        ),
        (
            "  pruner: median\n  objectives: [aupro, image_auroc]",
            "s.yaml:5:11: search.pruner: median knows one objective and no constraints (pruner: none)",
        ),
    ],
)
def test_a_mistake_names_its_place(rest: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(rest)
    assert str(caught.value).startswith(message)
