"""Which images and tokens a run's probes look at, and what they report."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from model.completion_rows import LIMIT, completion_rows, defect_tokens, spread
from model.ground_truth import GroundTruth
from model.metric_names import COMPLETIONS, DEFECT_COMPLETIONS
from model.regions import label_regions
from model.strata import ALL, STRATA, stratify
from model.student import Student
from model.training import fit
from tests.model.tiny_model import RandomFeatures, tiny_config


def truth_of(masks: np.ndarray) -> GroundTruth:
    greys = np.random.default_rng(0).normal(0.5, 0.01, masks.shape) + 0.3 * masks
    labels = masks.reshape(len(masks), -1).any(axis=1).astype(np.int64)
    annotated = np.ones(len(masks), dtype=bool)
    return GroundTruth(masks, labels, annotated, label_regions(masks), stratify(greys, masks))


def masks_of(count: int) -> np.ndarray:
    """The second half have a horizontal bar in the upper part."""
    masks = np.zeros((count, 40, 40), dtype=bool)
    masks[count // 2 :, 8:11, 4:36] = True
    return masks


@pytest.fixture(scope="module")
def trained() -> tuple[Student, RandomFeatures]:
    config = tiny_config({"train.iterations": 20, "train.warmup": 0})
    features = RandomFeatures(groups=config.stored_count)
    student = Student(features.shape, config)
    fit(student, features, torch.arange(len(features)), seed=0)
    return student, features


def test_rows_are_those_of_normal_images_and_of_every_stratum(trained):
    student, features = trained
    rows = completion_rows(
        student, features, torch.arange(len(features)), truth_of(masks_of(len(features)))
    )
    names = {(row.stratum, row.metric) for row in rows}
    expected = {(ALL, name) for name in COMPLETIONS}
    assert names == expected | {(s, name) for s in (ALL, *STRATA) for name in DEFECT_COMPLETIONS}
    values = {(row.stratum, row.metric): row.value for row in rows}
    for stratum in (ALL, "orientation=horizontal"):
        h, v, difference = (values[stratum, name] for name in DEFECT_COMPLETIONS)
        assert difference == pytest.approx(h - v, nan_ok=True)
    assert math.isnan(values["orientation=vertical", "completion_defect_horizontal"])
    assert all(row.reason for row in rows if math.isnan(row.value))


def test_probing_leaves_the_student_and_its_scores_alone(trained):
    student, features = trained
    before = {name: value.clone() for name, value in student.state_dict().items()}
    groups = features[torch.arange(2)]
    with torch.no_grad():
        scores = student(groups)[1][0]
        completion_rows(student, features, torch.arange(len(features)), truth_of(masks_of(len(features))))
        assert torch.equal(student(groups)[1][0], scores)
    assert all(torch.equal(before[name], value) for name, value in student.state_dict().items())


def test_without_a_decoder_or_defects_the_reason_stands_in_the_row(trained):
    student, features = trained
    everything = torch.arange(len(features))
    none = completion_rows(None, features, everything, truth_of(masks_of(len(features))))
    assert {row.reason for row in none} == {"this method has no decoder"}
    clean = completion_rows(
        student, features, everything, truth_of(np.zeros((len(features), 40, 40), bool))
    )
    assert {row.reason for row in clean if row.metric in DEFECT_COMPLETIONS} == {"no defect of this kind"}


def test_defect_tokens_lie_under_the_defect_of_their_stratum():
    masks = masks_of(2)
    masks[1, 20:38, 20:23] = True  # and a vertical bar
    tokens = defect_tokens(masks, truth_of(masks).strata, np.array([1]), (8, 8))[0]
    by_name = dict(zip((ALL, *STRATA), tokens, strict=True))
    assert set(np.nonzero(by_name["orientation=horizontal"])[0]) == {1, 2}
    assert set(np.nonzero(by_name["orientation=vertical"])[1]) == {4}
    assert (by_name[ALL] == (by_name["orientation=horizontal"] | by_name["orientation=vertical"])).all()


def test_images_are_spread_evenly_within_the_limit():
    assert list(spread(np.arange(5), LIMIT)) == [0, 1, 2, 3, 4]
    chosen = spread(np.arange(101), 3)
    assert list(chosen) == [0, 50, 100]
