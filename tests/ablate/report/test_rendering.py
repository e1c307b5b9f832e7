"""Renderings: one table as LaTeX, Markdown, CSV and terminal text, all well formed.

LaTeX is compiled where pdflatex is installed and checked for balance always.
"""

from __future__ import annotations

import functools
import io
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from ablate.evidence.judgement import Judgement
from ablate.report import rendering
from ablate.report.rendering import Table
from ablate.report.tables.every import all_tables
from ablate.report.tables.main import main_table
from ablate.report.tables.summary import summary_table
from ablate.study.claims import Claim
from tests.ablate.report_inputs import FOUR, MVTEC, judged, results


@functools.cache
def every_table() -> list[Table]:
    """All tables of three very different studies, with names that need escaping."""
    nasty = {"dinomaly": 0.0, "a_b & 50% #1": 0.01, "x<y>|{z}~^$\\": -0.01}
    made = [
        replace(results(), claims=(Claim("top-q", "control", "domain_c", "pixel_ap", ">"),)),
        results(nasty, seeds=2, categories=["bottle_1"]),
        results(
            {**FOUR, **{f"variant_{i}": 0.001 * i for i in range(4)}},
            categories=MVTEC,
            seeds=2,
            strata=False,
        ),
        results({"dinomaly": 0.0}, seeds=1),
    ]
    return [table for m in made for table in all_tables(Judgement(m))]


def test_latex_is_balanced_and_escaped() -> None:
    for table in every_table():
        text = rendering.to_latex(table)
        assert text.isascii() or not set(text) & set("−±–✓Δ×")
        bare = re.sub(r"\\[{}\\%&#_$]", "", text)
        assert bare.count("{") == bare.count("}")
        assert sorted(re.findall(r"\\begin{(\w+\*?)}", text)) == sorted(
            re.findall(r"\\end{(\w+\*?)}", text)
        )
        body = text[text.index(r"\midrule") : text.index(r"\bottomrule")]
        for line in body.splitlines():
            if line.endswith(r" \\"):
                assert len(re.findall(r"(?<!\\)&", line)) == len(table.columns), line


def test_latex_has_booktabs_and_rules_under_groups() -> None:
    text = rendering.to_latex(main_table(judged()))
    assert r"\toprule" in text and r"\bottomrule" in text and r"\rowcolor{black!8}" in text
    assert r"\cmidrule(lr){2-4}\cmidrule(lr){5-7}\cmidrule(lr){8-11}" in text
    assert r"\checkmark{}" in text and r"\textbf{" in text and r"$\pm$" in text


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
def test_latex_compiles(tmp_path: Path) -> None:
    inputs = []
    for i, table in enumerate(every_table()):
        (tmp_path / f"t{i}.tex").write_text(rendering.to_latex(table), encoding="utf-8")
        inputs.append(rf"\input{{t{i}.tex}}\clearpage")
    (tmp_path / "all.tex").write_text(
        r"\documentclass[twocolumn]{article}\usepackage[utf8]{inputenc}\usepackage[T1]{fontenc}"
        r"\usepackage{booktabs,graphicx,amssymb}\usepackage[table]{xcolor}\begin{document}"
        + "".join(inputs)
        + r"\end{document}"
    )
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout


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
