"""Behavioural: how many images of which kinds and strata a dataset has."""

from __future__ import annotations

from pathlib import Path

from model.data.counts import count, count_strata
from model.data.samples import Sample
from tests.model.data import layouts
from tests.model.data.test_problems import load


def test_counts(tmp_path: Path) -> None:
    dataset = load(layouts.mvtec(tmp_path / "data"), selection="half")
    counts = count(dataset)
    assert [(c.split, c.defect_type, c.images) for c in counts] == [
        ("train", "good", 4),
        ("test", "good", 3),
        ("test", "crack", 3),
        ("test", "dent", 2),
    ]
    assert [c.selection for c in counts] == [0, 1, 1, 1]
    assert [c.missing_masks for c in counts] == [0, 0, 0, 0]


def test_missing_masks_are_counted(tmp_path: Path) -> None:
    dataset = load(layouts.folder(tmp_path / "data"), "folder")
    assert {c.defect_type: c.missing_masks for c in count(dataset)} == {
        "good": 0,
        "hole": 0,
        "abnormal": 1,
    }


def test_strata_come_from_the_caller(tmp_path: Path) -> None:
    dataset = load(layouts.mvtec(tmp_path / "data"))

    def strata_of(sample: Sample) -> list[str]:
        return ["faint", "horizontal"] if sample.defect_type == "dent" else ["faint"]

    assert [(c.stratum, c.images) for c in count_strata(dataset, strata_of)] == [
        ("faint", 5),
        ("horizontal", 2),
    ]
