"""Reference-checked: the specs in ``results/`` still give the configurations that stand in their frames
(published when keys held no code).

One that changed unnoticed would compute every published run again, under another name. Where it must
change, publish the studies anew.
"""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from ablate.study.plan import Sources, make_plan
from ablate.study.reading import load_recorded
from model.encoders.build import weights_fingerprint

RESULTS = Path(__file__).parents[3] / "results"
STRIPES = "8b4b11b0f40e1c3ef955cc20dbd3757c"
"""Fingerprint of the built-in dataset with its default settings, three domains: drawing it takes longer
than planning."""


@pytest.mark.parametrize(
    "study", ["prior-a", "prior-b", "prior-c", "priors-combined", "known-effects", "encoders-stripes"]
)
def test_published_studies_keep_their_keys(study: str, tmp_path: Path) -> None:
    sources = Sources(
        categories=lambda _data: ("domain_a", "domain_b", "domain_c"),
        data=lambda _data, _categories: STRIPES,
        encoder=weights_fingerprint,
    )
    plan = make_plan(load_recorded(RESULTS / study), cache_dir=tmp_path, sources=sources)
    with (RESULTS / study / "runs.csv").open(newline="") as stream:
        published = {row["key"] for row in csv.DictReader(stream)}
    assert {run.configuration for run in plan.runs} == published
