"""Behavioural: what people mean is understood, or said back to them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ablate.study.reading import parse_spec
from ablate.study.spec import StudySpec
from model.errors import ConfigError

STUDY = """\
study: small
data: {dataset: stripes}
base: {preset: pocket, train: {iterations: 100}}
variants: {baseline: {}, top-q: {tail.q: 0.02}}
claims: [top-q > baseline by image_auroc]
report: {primary: image_auroc}
"""


def parse(old: str, new: str) -> StudySpec:
    assert old in STUDY
    return parse_spec(STUDY.replace(old, new), Path("s.yaml"), env={})


def error_of(old: str, new: str) -> str:
    with pytest.raises(ConfigError) as error:
        parse(old, new)
    return str(error.value)


def test_a_whole_number_may_be_written_with_an_exponent() -> None:
    spec = parse("iterations: 100", "iterations: 1e4")
    iterations = spec.config({}).train.iterations
    assert (iterations, type(iterations)) == (10_000, int)
    assert "expected a whole number" in error_of("iterations: 100", "iterations: 1.5")


def test_a_percentage_is_told_from_a_fraction() -> None:
    said = error_of("tail.q: 0.02", "tail.q: 2")
    assert said.endswith("outside the allowed range (0, 1] (a fraction; 2 % is 0.02)")
    assert "fraction" not in error_of("tail.q: 0.02", "tail.q: -1")
    assert "fraction" not in error_of("tail.q: 0.02", "tail.q: 200")


@pytest.mark.parametrize(("label", "metric"), [("P-AP", "pixel_ap"), ("i-auroc", "image_auroc")])
def test_metrics_may_be_called_as_tables_call_them(label: str, metric: str) -> None:
    assert parse("primary: image_auroc", f"primary: {label}").report.primary == metric
    assert parse("by image_auroc", f"by {label}").claims[0].metric == metric


def test_a_metric_of_images_or_of_pixels_is_asked_back() -> None:
    hint = "(did you mean 'image_auroc' or 'pixel_auroc'?)"
    assert error_of("primary: image_auroc", "primary: auroc").endswith(hint)
    assert error_of("by image_auroc", "by auroc").endswith(hint)
