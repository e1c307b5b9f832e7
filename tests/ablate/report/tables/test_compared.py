"""Two studies compared: the second minus the first, variants of one name, same runs said to be."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ablate.report.tables.compared import compared_table
from model.errors import StorageError
from tests.ablate.evidence.test_across import A, B, named
from tests.ablate.report_inputs import column


def test_variants_of_one_name_are_paired_by_seed() -> None:
    table = compared_table(A, B)
    assert [row.label for row in table.rows] == ["dinomaly", "prior"]
    raw = table.raw.set_index("variant")
    assert raw.loc["prior", "difference_points"] == pytest.approx(
        raw.loc["prior", "second"] - raw.loc["prior", "first"]
    )
    assert raw.loc["prior", "seeds"] == 5 and raw.loc["prior", "p_holm"] >= raw.loc["prior", "p"]
    assert column(table, "verdict")["prior"].text == "better"


def test_the_same_runs_are_not_compared() -> None:
    table = compared_table(A, named(A, "twin", ""))
    assert {c.text for c in column(table, "verdict").values()} == {"the same runs"}
    row = table.raw.iloc[0]
    assert row["verdict"] == "the same runs" and row.isna()["difference_points":"p_holm"].all()


def test_studies_without_a_common_name() -> None:
    frame = B.frame.assign(variant="other-" + B.frame["variant"])
    other = replace(B, frame=frame, variants=tuple(f"other-{v}" for v in B.variants))
    with pytest.raises(StorageError, match="no variant of one name"):
        compared_table(A, other)
