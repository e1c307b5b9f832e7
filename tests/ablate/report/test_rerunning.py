"""Runs computed a second time: honest numbers agree, invented ones are found, and the odds are stated.

The executor is the runner's fake: what is tested is what is drawn, compared and said.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from ablate.report.rerunning import rerun_some, rerun_summary
from ablate.running.folder import Workspace
from ablate.running.frame import FrameWriter
from ablate.running.recorded import load_plan
from ablate.running.reporter import Reporter
from ablate.running.rerun import escape_probability
from ablate.study.plan import Run
from tests.ablate.report_inputs import write_study
from tests.ablate.runner_fakes import Listener


@pytest.fixture
def study(tmp_path: Path) -> Path:
    folder = write_study(tmp_path / "directional-tail", pictures=False).folder
    workspace = Workspace(folder)
    FrameWriter(workspace, load_plan(workspace)).write()
    return folder


def again(study: Path, shift: float = 0.0, seen: list[str] | None = None):  # type: ignore[no-untyped-def]
    """An executor that gives what the study's run gave, the first value shifted."""

    def execute(run: Run, folder: Path, _: Reporter) -> None:
        text = (study / "runs" / run.key / "metrics.csv").read_text().splitlines()
        *head, value, reason = text[1].split(",")
        text[1] = ",".join([*head, str(float(value) + shift), reason])
        (folder / "metrics.csv").write_text("\n".join(text) + "\n")
        if seen is not None:
            seen.append(run.key)

    return execute


def test_honest_numbers_agree(study: Path, tmp_path: Path) -> None:
    seen: list[str] = []
    found = rerun_some(
        study,
        3,
        Listener(tmp_path),
        draw=random.Random(0),
        execute=again(study, seen=seen),
        prepare=lambda *_: None,
    )
    assert not found.wrong and len(set(seen)) == 3 and found.of == 20
    assert all(one.largest == 0 and one.values > 10 for one in found.again)
    lines = rerun_summary(found)
    assert "no digit differs" in lines[0] and lines[-1].startswith("3 of 3 runs agree")
    assert "50% 11%" in lines[-1]  # C(10, 3) / C(20, 3)


def test_invented_numbers_are_found(study: Path, tmp_path: Path) -> None:
    execute = again(study, shift=0.002)
    found = rerun_some(study, 2, Listener(tmp_path), execute=execute, prepare=lambda *_: None)
    assert len(found.wrong) == 2
    assert "DIFFERS" in rerun_summary(found)[0] and "0.2 points" in rerun_summary(found)[0]
    lenient = rerun_some(
        study, 2, Listener(tmp_path), tolerance=0.5, execute=execute, prepare=lambda *_: None
    )
    assert not lenient.wrong


def test_seeds_that_a_study_added_are_drawn_from_too(tmp_path: Path) -> None:
    text = (
        "study: added\ndata: {dataset: stripes}\nvariants: {a: {}, b: {tail.q: 0.2}, c: {tail.q: 0.3}}\n"
        "seeds: 4\nclaims: [a > b]\n"
    )
    folder = write_study(tmp_path / "added", text, skip=[("c", 3)], pictures=False).folder
    workspace = Workspace(folder)
    workspace.spec.write_text(text.replace("seeds: 4", "seeds: {start: 3, max: 6}"))
    workspace.plan.unlink()  # as a published folder is
    seen: list[str] = []
    found = rerun_some(
        folder, 99, Listener(tmp_path), execute=again(folder, seen=seen), prepare=lambda *_: None
    )
    assert found.of == len(set(seen)) == 11  # three of each, and the fourth of two


def test_the_odds_of_missing_a_fabrication() -> None:
    assert escape_probability(20, 3, 0.5) == pytest.approx(120 / 1140)
    assert escape_probability(10, 10, 0.1) == 0.0
    assert escape_probability(10, 1, 0.1) == pytest.approx(0.9)
