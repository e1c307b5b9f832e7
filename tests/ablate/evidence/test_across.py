"""Several studies as one record: names, one baseline, same runs once, and what makes numbers
incomparable."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from ablate.evidence.across import by_name, together
from ablate.evidence.judgement import Judgement
from ablate.evidence.results import Results
from model.errors import StorageError
from tests.ablate.report_inputs import results


def named(made: Results, name: str, keys: str) -> Results:
    frame = made.frame.assign(study=name, key=keys + made.frame["key"])
    return replace(made, name=name, frame=frame, folder=Path(name))


A = named(results({"dinomaly": 0.0, "prior": 0.01}), "a", "")
B = named(results({"dinomaly": 0.0, "prior": 0.02}, rng_seed=1), "b", "b-")


def test_variants_stand_side_by_side_against_the_first_baseline() -> None:
    made = together([A, B], Path("a+b"))
    assert made.variants == ("a/dinomaly", "a/prior", "b/dinomaly", "b/prior")
    assert made.baseline == "a/dinomaly" and made.claims == ()
    means = Judgement(made).primary.means
    own = Judgement(B).primary.means["prior"].estimate
    assert means["b/prior"].estimate.mean == pytest.approx(own.mean)
    assert set(Judgement(made).primary.differences) == {"a/prior", "b/dinomaly", "b/prior"}


def test_the_same_runs_are_shown_once() -> None:
    twin = named(replace(A, frame=A.frame[A.frame["variant"] == "dinomaly"]), "c", "")
    made = together([A, replace(twin, variants=("dinomaly",))], Path("a+c"))
    assert made.variants == ("a/dinomaly", "a/prior")
    assert any("c/dinomaly is a/dinomaly" in line for line in made.warnings)


def test_what_makes_numbers_incomparable_is_said() -> None:
    fewer = replace(
        B,
        dataset="mvtec",
        frame=B.frame[B.frame["category"] != "domain_b"],
        categories=("domain_a", "domain_c"),
        provenance={"data_contents": "2"},
    )
    made = together([replace(A, dataset="stripes", provenance={"data_contents": "1"}), fewer], Path())
    text = " ".join(made.warnings)
    assert "different datasets: stripes, mvtec" in text and "read different data" in text
    assert "left out: domain_b" in text and made.categories == ("domain_a", "domain_c")


def test_variants_of_one_name_are_paired_also_where_two_names_are_the_same_runs() -> None:
    three = {"dinomaly": 0.0, "base": 0.0, "prior": 0.01}

    def twice(made: Results, name: str, keys: str) -> Results:
        frame = made.frame
        one = frame[frame["variant"] == "dinomaly"]
        frame = pd.concat([frame[frame["variant"] != "base"], one.assign(variant="base")])
        return named(replace(made, frame=frame), name, keys)

    a, b = twice(results(three), "a", ""), twice(results(three, rng_seed=3), "b", "b-")
    found = by_name(a, b)
    assert found.names == ("dinomaly", "base", "prior")
    assert set(found.differences) == set(found.names)
    assert found.differences["base"].per_seed == found.differences["dinomaly"].per_seed
    itself = by_name(a, named(replace(a, name="c"), "c", ""))
    assert itself.names == found.names and itself.differences == {}


def test_a_study_that_added_seeds_is_compared_as_one_that_did() -> None:
    sequential = replace(A, max_seeds=20, first_look=3, labels={"prior": "A prior"})
    made = together([sequential, B], Path())
    assert (made.max_seeds, made.first_look) == (20, 3)
    assert made.labels["a/prior"] == "a/A prior"
    fixed = together([A, B], Path())
    for at, d in Judgement(made).primary.differences.items():
        plain = Judgement(fixed).primary.differences[at]
        assert d.looks and not plain.looks
        assert d.estimate.low < plain.estimate.low and d.estimate.high > plain.estimate.high
    assert all(d.looks for d in by_name(sequential, B).differences.values())


def test_what_was_noted_of_the_images_is_found_under_the_new_names() -> None:
    place = ("prior", "dinomaly", "image_auroc", "domain_a", (0, 1))
    made = together([replace(A, images={place: None}), B], Path())
    assert made.images == {("a/prior", "a/dinomaly", *place[2:]): None}


def test_studies_that_cannot_be_put_together_say_why() -> None:
    with pytest.raises(StorageError, match="two or more different"):
        together([A, A], Path())
    elsewhere = replace(B, categories=("x",))
    with pytest.raises(StorageError, match="no category in common"):
        together([A, elsewhere], Path())
