"""The table by category turns where categories are many."""

from __future__ import annotations

from ablate.report.tables.categories import category_table
from tests.ablate.report_inputs import MVTEC, column, judged


def test_per_category_table_turns_with_many_categories() -> None:
    few = category_table(judged())
    assert [c.label for c in few.columns] == ["domain_a", "domain_b", "domain_c", "mean"]
    assert column(few, "mean")["directional"].delta.startswith("+")
    many = category_table(judged(categories=MVTEC, seeds=2))
    assert [row.label for row in many.rows] == [*MVTEC, "mean"]
    assert [c.label for c in many.columns if c.baseline] == ["dinomaly"]
