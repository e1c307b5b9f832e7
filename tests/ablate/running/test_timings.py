"""Behavioural: estimates from what runs took."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from ablate.running.recorded import dump_run
from ablate.running.timings import Timings
from tests.ablate import runner_fakes as fakes


def test_past_timings_estimate_those_to_come(tmp_path: Path) -> None:
    (run,) = fakes.make_fake_plan(iterations=100).runs
    config = dump_run(run)["config"]
    for number, (seconds, iterations) in enumerate([(10.0, 100), (14.0, 100), (30.0, 200)]):
        folder = tmp_path / "study" / "runs" / str(number)
        folder.mkdir(parents=True)
        config["train"]["iterations"] = iterations
        content = {
            "config": config, "timings": {"total": seconds}, "hardware": {"device": "cpu"},
        }  # fmt: skip
        (folder / "provenance.json").write_text(json.dumps(content))
    (tmp_path / "study" / "runs" / "0" / "provenance.json").with_name("x").write_text("not read")
    timings = Timings.read(tmp_path)
    assert timings.estimate(run) == 12.0
    longer = dataclasses.replace(
        run,
        config=dataclasses.replace(
            run.config, train=dataclasses.replace(run.config.train, iterations=1000)
        ),
    )
    assert timings.estimate(longer) == pytest.approx(140.0)
    image = dataclasses.replace(run.config.image, resize=(224, 224), crop=(196, 196))
    smaller = dataclasses.replace(run, config=dataclasses.replace(run.config, image=image))
    assert timings.estimate(smaller) is None
    row = dataclasses.replace(run, config=dataclasses.replace(run.config, method="knn"))
    assert timings.estimate(row) is None
    assert Timings.read(tmp_path / "nowhere").estimate(run) is None
