"""LaTeX: well formed, split instead of shrunk, traceable to runs.

Compiled where pdflatex is installed, with the widths of several venues; checked for balance always.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from ablate.evidence.judgement import Judgement
from ablate.report.latex import KEY_DIGITS, PACKAGES, label, panels, to_latex
from ablate.report.numbers import GENERAL, VENUES, Style
from ablate.report.table import Cell, Column, Row, Table
from ablate.report.tables.main import main_table
from tests.ablate.report_inputs import every_table, judged, results


def code(text: str) -> str:
    """Without comments."""
    return re.sub(r"(?<!\\)%.*", "", text)


def test_latex_is_balanced_and_escaped() -> None:
    for table in every_table():
        text = code(to_latex(table))
        assert text.isascii() or not set(text) & set("−±–✓Δ×")
        bare = re.sub(r"\\[{}\\%&#_$]", "", text)
        assert bare.count("{") == bare.count("}")
        assert sorted(re.findall(r"\\begin{(\w+\*?)}", text)) == sorted(
            re.findall(r"\\end{(\w+\*?)}", text)
        )
        widths = [len(panel.columns) for panel in panels(table, Style().width)]
        bodies = re.findall(r"\\midrule(.*?)\\bottomrule", text, flags=re.DOTALL)
        assert len(bodies) == len(widths) and sum(widths) == len(table.columns)
        for body, width in zip(bodies, widths, strict=True):
            rows = [row for row in re.split(r"\\\\\n", body) if row.strip()]
            assert len(rows) == len(table.rows)
            assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {width}


def test_latex_has_booktabs_and_rules_under_groups() -> None:
    text = to_latex(main_table(judged()))
    assert r"\toprule" in text and r"\bottomrule" in text and r"\rowcolor{black!8}" in text
    assert r"\cmidrule(lr){2-4}\cmidrule(lr){5-7}" in text
    assert r"\checkmark{}" in text and r"\textbf{" in text and r"$\pm$" in text


def test_what_does_not_fit_is_split_between_groups() -> None:
    columns = tuple(Column(f"column {i}", group) for i, group in enumerate("aaabbbc"))
    row = Row("variant", tuple(Cell("97.2", "± 0.3") for _ in columns))
    table = Table("t", "T", "", "variant", columns, (row,))
    made = panels(table, 300.0)
    assert ["".join(c.group for c in panel.columns) for panel in made] == ["aaa", "bbbc"]
    assert [panel.rows[0].label for panel in made] == ["variant", "variant"]
    assert len(panels(table, 1000.0)) == 1
    narrow = panels(table, 150.0)
    assert [c for panel in narrow for c in panel.columns] == list(columns)  # cut where it must be, in order


def test_labels_are_those_of_one_table_of_one_study() -> None:
    tables = [replace(t, study=study) for study in ("a", "b_1") for t in every_table()[:8]]
    labels = [label(t) for t in tables]
    assert len(set(labels)) == len(labels) and all(re.fullmatch(r"tab:[a-z0-9-]+", x) for x in labels)
    assert all(rf"\label{{{x}}}" in to_latex(t) for x, t in zip(labels, tables, strict=True))


def test_every_number_names_its_runs() -> None:
    made = results()
    names = {key: f"{i:02d}" * 10 for i, key in enumerate(dict.fromkeys(made.frame["key"]))}
    frame = made.frame.assign(key=made.frame["key"].map(names))
    text = to_latex(main_table(Judgement(replace(made, frame=frame))))
    keys = dict(re.findall(r"^% \[(\d+)\] runs (.+)$", text, flags=re.MULTILINE))
    row = text.split("\ndirectional\n")[1]
    line = next(x for x in row.splitlines() if "% [" in x)
    number = re.search(r"% \[(\d+)\]$", line)
    assert number is not None
    own = {names[f"directional-{seed}"][:KEY_DIGITS] for seed in range(5)}
    assert set(keys[number[1]].split()) == own


# ------------------------------------------------------------------------------- compiled

SHRUNK = (
    r"\newsavebox{\made}\renewcommand{\resizebox}[3]{\sbox{\made}{#3}"
    r"\ifdim\wd\made>\linewidth\typeout{SHRUNK to \the\linewidth, was \the\wd\made}\fi\usebox{\made}}"
)
"""What a table would be shrunk by is said instead."""


def document(names: list[str], style: Style) -> str:
    venue = VENUES[style.venue or GENERAL]
    columns = "twocolumn" if venue.page != venue.column else "onecolumn"
    gap = max(10.0, venue.page - 2 * venue.column)
    return (
        rf"\documentclass[{columns},10pt]{{article}}\usepackage[utf8]{{inputenc}}\usepackage[T1]{{fontenc}}"
        rf"\usepackage[textwidth={venue.page}pt,columnsep={gap:.1f}pt,textheight=9.5in]{{geometry}}"
        rf"{PACKAGES}{SHRUNK}\begin{{document}}"
        + "".join(rf"\input{{{name}}}\clearpage" for name in names)
        + r"\end{document}"
    )


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="NOT TESTED: LaTeX, as pdflatex is missing")
@pytest.mark.parametrize("style", [Style(), Style(venue="neurips"), Style(venue="icml", layout="column")])
def test_latex_compiles_and_nothing_is_shrunk(tmp_path: Path, style: Style) -> None:
    names = []
    for i, table in enumerate(every_table()):
        names.append(f"t{i}.tex")
        (tmp_path / names[-1]).write_text(to_latex(table, style), encoding="utf-8")
    (tmp_path / "all.tex").write_text(document(names, style), encoding="utf-8")
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]
    if style.layout == "wide":
        assert "SHRUNK" not in done.stdout and "Overfull" not in done.stdout
