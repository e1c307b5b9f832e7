"""A search's optimism: the lead where it was selected, minus the lead on fresh seeds."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ablate.evidence.judgement import Judgement
from ablate.evidence.searched import Searched, read_searched
from ablate.report.findings import caveats
from ablate.report.tables.notes import search_note
from ablate.study.dimensions import Choices, Range
from ablate.study.spec import SearchConfig
from tests.ablate.report_inputs import results

SEARCH = SearchConfig(
    space={"tail.q": Range(0.01, 0.5), "tail.direction": Choices(("horizontal", "vertical"))},
    seeds=(0, 1),
    objective="image_auroc",
    categories=("domain_c",),
)
TRIALS = """\
trial,state,objective,seconds,reason,tail.q,tail.direction
0,complete,0.80,1,,0.1,horizontal
1,fail,,1,NaN loss,0.2,horizontal
2,complete,0.86,1,,0.02,vertical
3,pruned,0.70,1,,0.3,vertical
"""
BASE = {"tail.q": 0.1, "tail.direction": "horizontal"}


def read(folder: Path, text: str = TRIALS, base: Any = BASE) -> Searched | None:
    (folder / "search.csv").write_text(text)
    frame = results({"dinomaly": 0.0, "best": 0.02}, noise=0.0, strata=False).frame
    return read_searched(folder / "search.csv", SEARCH, frame, base, "dinomaly", "best")


def test_the_optimism_is_what_the_lead_loses(tmp_path: Path) -> None:
    found = read(tmp_path)
    assert found is not None and (found.tried, found.failed, found.seeds) == (4, 1, 2)
    assert found.promised == pytest.approx(6.0) and found.kept == pytest.approx(2.0)
    assert found.optimism == pytest.approx(4.0)


def test_what_breaks_a_constraint_promised_nothing(tmp_path: Path) -> None:
    lines = TRIALS.splitlines()
    marked = [lines[0] + ",broken", lines[1] + ",", lines[2] + ",", lines[3] + ",aupro >= 50 by 2"]
    lower = "4,complete,0.83,1,,0.03,vertical,"
    (tmp_path / "search.csv").write_text("\n".join([*marked, lower]) + "\n")
    search = replace(SEARCH, constraints=("aupro >= 50",))
    frame = results({"dinomaly": 0.0, "best": 0.02}, noise=0.0, strata=False).frame
    found = read_searched(tmp_path / "search.csv", search, frame, BASE, "dinomaly", "best")
    assert found is not None and found.promised == pytest.approx(3.0) and found.broken == 1
    note = search_note(replace(results(), searched=(found,)))
    assert "1 broke what the winner has to keep (AUPRO ≥ 50), on the images that select" in note


def test_the_front_of_two_objectives_is_counted(tmp_path: Path) -> None:
    rows = ["trial,state,objective,seconds,reason,aupro,front,tail.q,tail.direction"]
    rows += ["0,complete,0.80,1,,0.5,,0.1,horizontal", "1,complete,0.86,1,,0.6,yes,0.02,vertical"]
    (tmp_path / "search.csv").write_text("\n".join([*rows, "2,complete,0.84,1,,0.7,yes,0.3,vertical"]))
    search = replace(SEARCH, objectives=("image_auroc", "aupro"))
    frame = results({"dinomaly": 0.0, "best": 0.02}, noise=0.0, strata=False).frame
    found = read_searched(tmp_path / "search.csv", search, frame, BASE, "dinomaly", "best")
    assert found is not None and found.front == 2 and found.promised == pytest.approx(6.0)
    note = search_note(replace(results(), searched=(found,)))
    assert "by I-AUROC and AUPRO; of the 2 that no other beats in both, the best by I-AUROC." in note


def test_without_the_baseline_among_the_trials_nothing_is_said_of_it(tmp_path: Path) -> None:
    found = read(tmp_path, base={"tail.q": 0.5, "tail.direction": "horizontal"})
    assert found is not None and math.isnan(found.optimism)


def test_no_search_or_no_outcome(tmp_path: Path) -> None:
    assert read(tmp_path, TRIALS.splitlines()[0] + "\n") is None
    assert read(tmp_path, "nonsense") is None


def test_the_best_of_equals_is_optimistic_in_expectation(tmp_path: Path) -> None:
    """Twenty configurations without any difference: the winner's lead is luck, and is seen to be."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(50):
        values = 0.8 + 0.01 * rng.normal(size=20)
        rows = [f"{i},complete,{v},1,,{0.1 if i == 0 else 0.2},horizontal" for i, v in enumerate(values)]
        text = "\n".join([TRIALS.splitlines()[0], *rows]) + "\n"
        (tmp_path / "search.csv").write_text(text)
        frame = results({"dinomaly": 0.0, "best": 0.0}, noise=0.0, strata=False).frame
        made = read_searched(tmp_path / "search.csv", SEARCH, frame, BASE, "dinomaly", "best")
        assert made is not None
        found.append(made.optimism)
    assert 1.5 < float(pd.Series(found).mean()) < 2.2  # 1.87 sd: the expected maximum of 20


def test_it_stands_under_tables_and_among_the_caveats(tmp_path: Path) -> None:
    one = read(tmp_path)
    assert one is not None
    made = replace(results(), searched=(one,))
    note = search_note(made)
    assert "best of 4 configurations (1 failed)" in note and "optimism 4.0" in note
    assert note in caveats(Judgement(made)) and search_note(results()) == ""
    arms = (replace(one, winner="a"), replace(one, winner="b", tried=9))
    assert search_note(replace(made, searched=arms)).startswith(
        "The arms had different budgets. a is the best"
    )
    assert "the same budget" in search_note(replace(made, searched=(one, one)))
