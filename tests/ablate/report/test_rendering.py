"""Renderings: one table as Markdown, CSV and terminal text, all well formed."""

from __future__ import annotations

import io
import re

import pandas as pd
import pytest
from rich.console import Console

from ablate.evidence.judgement import Judgement
from ablate.report import rendering
from ablate.report.table import Table
from ablate.report.tables.main import main_table
from ablate.report.tables.summary import summary_table
from tests.ablate.report_inputs import every_table, judged, results


def test_markdown_rows_have_one_width() -> None:
    for table in every_table():
        lines = [line for line in rendering.to_markdown(table).splitlines() if line.startswith("|")]
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in lines}
        assert widths == {len(table.columns) + 2}


def test_csv_has_full_precision() -> None:
    made = results()
    back = pd.read_csv(io.StringIO(rendering.to_csv(main_table(Judgement(made)))))
    row = back[(back["variant"] == "dinomaly") & (back["metric"] == "aupro")].iloc[0]
    rows = made.frame.query("metric == 'aupro' and variant == 'dinomaly'")
    assert row["mean"] == pytest.approx(100 * rows["value"].mean(), abs=1e-9)
    assert row["seeds"] == 5


def test_terminal_table_shows_brackets_and_fits() -> None:
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(rendering.to_rich(summary_table(judged())))
    text = console.export_text()
    assert "Δ [interval]" in text and "[" in text.split(" directional ")[1].splitlines()[0]
    assert "…" not in text


def test_csv_cells_are_never_formulas() -> None:
    raw = pd.DataFrame(
        {"variant": ["=1+1", "@x", "-a", "+b", "plain"], "seeds": ["-0.1 0.2", "-1", "1", "", "2"]}
    )
    table = Table("t", "T", "", "variant", (), (), raw=raw)
    lines = rendering.to_csv(table).splitlines()
    assert lines[1:] == ["'=1+1,-0.1 0.2", "'@x,-1", "'-a,1", "'+b,", "plain,2"]
