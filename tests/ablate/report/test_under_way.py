"""Claims of a running study: their intervals, no verdict, no look noted, and never for much of the time."""

from __future__ import annotations

import itertools
from pathlib import Path

from ablate.report.under_way import SHARE, ClaimsUnderWay
from ablate.running.folder import Workspace
from tests.ablate.report_inputs import write_study

STUDY = """\
study: s
data: {dataset: stripes}
variants: {a: {}, b: {tail.q: 0.02}}
seeds: 5
claims: [b > a]
"""


def test_the_interval_so_far_is_shown_and_no_look_is_noted(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    write_study(folder, STUDY, skip=[("a", 4), ("b", 4)], pictures=False)
    before = {path.name for path in folder.iterdir()}
    (line,) = ClaimsUnderWay(folder)(8)
    assert line.plain.startswith("  b > a by I-AUROC  +")
    assert "[" in line.plain and line.plain.endswith("at 4 seeds")
    assert {path.name for path in folder.iterdir()} - before <= {
        "runs.csv",
        ".runs.csv.digest.json",
        ".runs.csv.lock",
    }
    assert not Workspace(folder).study_dir.joinpath("claims.jsonl").exists()


def test_a_study_without_results_says_nothing(tmp_path: Path) -> None:
    assert ClaimsUnderWay(tmp_path / "none")(1) == ()


def test_it_takes_a_small_share_of_the_time(tmp_path: Path, monkeypatch) -> None:
    """Making the lines takes 2 s by this clock: the next come after 2 / SHARE, however often asked."""
    now = [0.0]
    made: list[float] = []

    def gathering(_: Path) -> None:
        made.append(now[0])
        now[0] += 2.0

    monkeypatch.setattr("ablate.report.under_way.refresh_frame", gathering)
    monkeypatch.setattr("ablate.report.under_way.gather", lambda _: None)
    monkeypatch.setattr("ablate.report.under_way.Judgement", lambda _: None)
    monkeypatch.setattr("ablate.report.under_way.lines", lambda _: [])
    claims = ClaimsUnderWay(tmp_path, clock=lambda: now[0])
    for done in range(1, 200):
        claims(done)
        claims(done)
        now[0] += 1.0
    waits = [b - a for a, b in itertools.pairwise(made)]
    assert waits and all(2.0 / SHARE + 2.0 <= wait <= 2.0 / SHARE + 4.0 for wait in waits)
