"""How numbers print: one number of decimals per column, percent or fractions, and errors that help."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from ablate.evidence.stats import interval
from ablate.report.numbers import USUAL, Style, ends, read_style, style_of, write_style
from ablate.report.tables.every import all_tables
from model.errors import ConfigError
from tests.ablate.report_inputs import every_table, judged

NUMBER = re.compile(r"[−+]?\d+\.(\d+)")


def decimals_in(text: str) -> set[int]:
    return {len(found) for found in NUMBER.findall(text)}


def test_a_column_has_one_number_of_decimals() -> None:
    for table in every_table():
        for i, column in enumerate(table.columns):
            if column.label.startswith("p ") or column.label == "p" or column.group == "components":
                continue
            cells = [row.cells[i] for row in table.rows]
            found = set().union(*(decimals_in(f"{c.text} {c.spread} {c.delta}") for c in cells))
            assert len(found) <= 1, (table.name, column.label, found)


def test_no_spread_and_no_end_prints_as_zero() -> None:
    digits = USUAL.column([0.31, 0.03])
    assert (digits.text(97.0), digits.spread(0.03), digits.spread(0.31)) == ("97.00", "± 0.03", "± 0.31")
    assert USUAL.column([0.31, 0.0]).spread(0.0) == "± 0.0"
    made = interval([0.5, 0.9]).scaled(1.0)
    assert USUAL.column(ends([made, None])).interval(made).startswith("[−")
    assert Style(decimals=1).column([0.03]).spread(0.03) == "± 0.0"  # as asked for


def test_fractions_have_the_decimals_of_their_percentages() -> None:
    digits = Style(percent=False).column([0.3])
    assert (digits.text(97.24), digits.spread(0.31)) == ("0.972", "± 0.003")


def test_a_style_changes_tables_and_nothing_behind_them() -> None:
    usual = {t.name: t for t in all_tables(judged())}
    other = {t.name: t for t in all_tables(judged(), Style(2, False, ("image_auroc", "aupro")))}
    assert [c.label for c in other["main"].columns if c.group in ("image", "pixel")] == ["I-AUROC", "AUPRO"]
    assert re.fullmatch(r"0\.\d{4}", other["main"].rows[0].cells[-3].text)
    assert "fractions" in other["main"].caption and "percent" in usual["main"].caption
    assert other["levels"].raw.equals(usual["levels"].raw)
    assert other["differences"].raw.equals(usual["differences"].raw)


def test_a_command_line_gives_a_style_or_says_what_is_wrong(tmp_path: Path) -> None:
    style = style_of(2, False, "I-AUROC, aupro", "column", "icml")
    assert style.metrics == ("image_auroc", "aupro") and style.width == pytest.approx(234.9)
    write_style(tmp_path / "s.json", style)
    assert read_style(tmp_path / "s.json") == style and read_style(tmp_path / "none") == USUAL
    wrong: tuple[Any, ...]
    for wrong, words in (
        ((9, True, "", "wide", "cvpr"), "--decimals"),
        ((None, True, "aupr", "wide", "cvpr"), "--metrics"),
        ((None, True, "", "tall", "cvpr"), "--layout"),
        ((None, True, "", "wide", "cvrp"), "did you mean 'cvpr'"),
    ):
        with pytest.raises(ConfigError, match=words):
            style_of(*wrong)
