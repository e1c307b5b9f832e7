"""The table of a search: which trials it shows, what it says of them, and that the CSV has all."""

from __future__ import annotations

from dataclasses import replace

from ablate.evidence.judgement import Judgement
from ablate.evidence.searched import Searched
from ablate.evidence.tried import Trial
from ablate.report.tables.every import all_tables
from ablate.report.tables.searches import MOST, search_tables
from ablate.report.words import DASH
from ablate.study.dimensions import Choices, Range, Space
from tests.ablate.report_inputs import results

SPACE: Space = {
    "bias.direction": Choices(("horizontal", "vertical")),
    "bias.lambda": Range(0.0, 1.0, when={"bias.direction": ["horizontal"]}),
}


def trial(number: int, *values: float, **changes: object) -> Trial:
    turned = {"bias.direction": "vertical"}
    params = turned if number % 2 else {"bias.direction": "horizontal", "bias.lambda": 0.5}
    return replace(Trial(number, "complete" if values else "fail", values, params), **changes)  # type: ignore[arg-type]


def search(*trials: Trial, **changes: object) -> Searched:
    plain = Searched(len(trials), 0, 2, "image_auroc", "best", 1.0, 0.5, trials=trials, space=SPACE)
    return replace(plain, **changes)  # type: ignore[arg-type]


def table_of(one: Searched):  # type: ignore[no-untyped-def]
    (table,) = search_tables(Judgement(replace(results(), searched=(one,))))
    return table


def test_winner_front_and_what_broke_are_marked() -> None:
    trials = (
        trial(0, 0.80, 0.5),
        trial(1, 0.95, 0.9, broken=True),
        trial(2, 0.90, 0.6, front=True),
        trial(3, 0.85, 0.7, front=True),
        trial(4),
    )
    two = ("image_auroc", "aupro")
    table = table_of(search(*trials, objectives=two, constraints=("aupro <= 80",)))
    assert [column.label for column in table.columns] == [
        "I-AUROC", "AUPRO", "remark", "bias.direction", "bias.lambda",
    ]  # fmt: skip
    assert [(row.label, *(cell.text for cell in row.cells)) for row in table.rows] == [
        ("1", "95.00", "90.00", "breaks a constraint", "vertical", DASH),
        ("2", "90.00", "60.00", "winner, front", "horizontal", "0.5"),
        ("3", "85.00", "70.00", "front", "vertical", DASH),
        ("0", "80.00", "50.00", "", "horizontal", "0.5"),
    ]
    assert "To be kept: AUPRO ≤ 80." in table.caption and "on the images that select" in table.caption
    assert len(table.raw) == 5 and list(table.raw["image_auroc"].dropna()) == [0.80, 0.95, 0.90, 0.85]


def test_of_many_trials_the_best_and_the_first_are_shown() -> None:
    trials = [trial(i, 0.5 + 0.01 * i) for i in range(30)]
    table = table_of(search(*trials))
    labels = [row.label for row in table.rows]
    assert labels == [*map(str, range(29, 29 - MOST + 1, -1)), "0"]
    assert "Not shown: 18 further ones" in table.caption and len(table.raw) == 30


def test_every_arm_has_a_table_and_no_search_has_none() -> None:
    arms = tuple(search(trial(0, 0.5), winner=name) for name in ("a b", "c"))
    made = Judgement(replace(results(), searched=arms))
    assert [table.name for table in search_tables(made)] == ["search_a_b", "search_c"]
    assert {"search_a_b", "search_c"} <= {table.name for table in all_tables(made)}
    assert search_tables(Judgement(results())) == []
