r"""A table in memory, and as LaTeX, Markdown, CSV and terminal text.

All renderings (the HTML report's too) read one :class:`Table`, so that no two outputs can disagree.
The LaTeX is written here and not by pandas' ``Styler``, which draws no ``\cmidrule`` under grouped
headers and cannot grey a row.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from rich import box
from rich.table import Table as RichTable
from rich.text import Text

from ablate.report.lettering import pieces
from ablate.report.words import CHECK, DASH, MINUS


@dataclass(frozen=True)
class Cell:
    """One entry: the number, its spread and its change, formatted but not yet marked up."""

    text: str = ""
    spread: str = ""
    """Printed smaller behind ``text``: ``± 0.1`` or ``[−0.3, 2.7]``."""
    delta: str = ""
    """Printed smaller behind that: the difference to the baseline."""
    bold: bool = False
    underline: bool = False
    mark: str = ""
    """Letter of a note below the table."""


@dataclass(frozen=True)
class Column:
    """A column's header; neighbours with the same ``group`` share a header above."""

    label: str
    group: str = ""
    align: str = "r"
    small: bool = False
    """Print the whole column smaller (deltas)."""
    baseline: bool = False


@dataclass(frozen=True)
class Row:
    """A labelled row; ``rule`` draws a line above it."""

    label: str
    cells: tuple[Cell, ...]
    baseline: bool = False
    rule: bool = False


@dataclass(frozen=True)
class Table:
    """A table in memory."""

    name: str
    """File name without suffix, and LaTeX label."""
    title: str
    caption: str
    corner: str
    """Header of the label column."""
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    raw: pd.DataFrame = field(default_factory=pd.DataFrame, compare=False)
    """The same at full precision."""


# ---------------------------------------------------------------------------------- renderings

_NUMBER = re.compile(r"[-+]?\d+(\.\d+)?(e[-+]?\d+)?")

_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"$<$",
    ">": r"$>$",
    "[": r"{[}",
    "]": r"{]}",
    MINUS: r"$-$",
    "±": r"$\pm$",
    DASH: "--",
    CHECK: r"\checkmark{}",
    "Δ": r"$\Delta$",
    "×": r"$\times$",
    "≥": r"$\geq$",
    "→": r"$\to$",
}


def latex_escape(text: str) -> str:
    """Text as LaTeX prints it (brackets too: after ``\\\\`` they would be an argument).

    The mathematics of a label stays as it was written.
    """
    return "".join(part if math else "".join(map(_latex_character, part)) for math, part in pieces(text))


def _latex_character(character: str) -> str:
    greek = re.fullmatch(r"GREEK (SMALL|CAPITAL) LETTER (\w+)", unicodedata.name(character, ""))
    if character in _LATEX or not greek:
        return _LATEX.get(character, character)
    name = greek[2].lower().replace("lamda", "lambda")
    return rf"$\{name.capitalize() if greek[1] == 'CAPITAL' else name}$"


@dataclass(frozen=True)
class _Widths:
    """Longest spread and delta of a column, in characters: the numbers in front line up with them."""

    spread: int = 0
    delta: int = 0


def _widths(table: Table) -> list[_Widths]:
    return [
        _Widths(
            max((len(row.cells[i].spread) for row in table.rows), default=0),
            max((len(row.cells[i].delta) for row in table.rows), default=0),
        )
        for i in range(len(table.columns))
    ]


def _latex_padded(text: str, width: int, *, before: str = "", left: bool = False) -> str:
    """Small text, filled up with invisible digits to ``width`` characters."""
    if not width:
        return ""
    gap = rf"\phantom{{{'0' * (width - len(text))}}}" if width > len(text) else ""
    body = f"{gap}{latex_escape(text)}" if left else f"{latex_escape(text)}{gap}"
    return rf"{{\scriptsize{before} {body}}}"


def _latex_cell(cell: Cell, widths: _Widths, small: bool = False) -> str:
    text = latex_escape(cell.text)
    if cell.underline:
        text = rf"\underline{{{text}}}"
    if cell.bold:
        text = rf"\textbf{{{text}}}"
    if small:
        text = rf"{{\scriptsize {text}}}"
    if cell.mark:
        text += rf"\textsuperscript{{{cell.mark}}}"
    text += _latex_padded(cell.spread, widths.spread, before=r"\,")
    return text + _latex_padded(cell.delta, widths.delta, before=r"\enspace\color{black!60}", left=True)


def _latex_head(column: Column, widths: _Widths) -> str:
    text = latex_escape(column.label)
    if column.small:
        return rf"{{\scriptsize {text}}}"
    return rf"\multicolumn{{1}}{{c}}{{{text}}}" if widths.spread or widths.delta else text


def _groups(columns: Sequence[Column]) -> list[tuple[str, int, int]]:
    """Runs of columns with one group: (group, first, last), 0-based, ungrouped ones included."""
    runs: list[tuple[str, int, int]] = []
    for i, column in enumerate(columns):
        if runs and runs[-1][0] == column.group and column.group:
            runs[-1] = (column.group, runs[-1][1], i)
        else:
            runs.append((column.group, i, i))
    return runs


def to_latex(table: Table) -> str:
    r"""A ``table*`` environment with booktabs rules; never wider than the text block.

    Needs ``\usepackage{booktabs,graphicx,amssymb}`` and ``\usepackage[table]{xcolor}``.
    """
    columns = table.columns
    align = "".join((r">{\columncolor{black!8}}" if c.baseline else "") + c.align for c in columns)
    lines = [
        r"% needs: \usepackage{booktabs,graphicx,amssymb} \usepackage[table]{xcolor}",
        r"\begin{table*}[t]",
        r"\centering",
        rf"\caption{{{latex_escape(table.caption)}}}",
        rf"\label{{tab:{table.name.replace('_', '-')}}}",
        r"\smallskip\small",
        r"\setlength{\tabcolsep}{4pt}",
        r"\resizebox{\ifdim\width>\textwidth\textwidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{l{align}}}",
        r"\toprule",
    ]
    runs = _groups(columns)
    if any(group for group, _, _ in runs):
        heads = [
            rf"\multicolumn{{{b - a + 1}}}{{c}}{{{latex_escape(group)}}}" if group else ""
            for group, a, b in runs
        ]
        lines.append(" & " + " & ".join(heads) + r" \\")
        # Columns count from 1 and the label column is the first.
        rules = [rf"\cmidrule(lr){{{a + 2}-{b + 2}}}" for group, a, b in runs if group]
        lines.append("".join(rules))
    widths = _widths(table)
    labels = [_latex_head(c, w) for c, w in zip(columns, widths, strict=True)]
    lines.append(" & ".join([latex_escape(table.corner), *labels]) + r" \\")
    lines.append(r"\midrule")
    for row in table.rows:
        if row.rule:
            lines.append(r"\midrule")
        if row.baseline:
            lines.append(r"\rowcolor{black!8}")
        cells = [
            _latex_cell(cell, w, c.small) for cell, w, c in zip(row.cells, widths, columns, strict=True)
        ]
        lines.append(" & ".join([latex_escape(row.label), *cells]) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}}"]
    if table.notes:
        lines += [r"\\[3pt]", r"\begin{minipage}{\textwidth}\scriptsize"]
        lines += [
            latex_escape(note) + (r" \\" if i + 1 < len(table.notes) else "")
            for i, note in enumerate(table.notes)
        ]
        lines.append(r"\end{minipage}")
    lines.append(r"\end{table*}")
    return "\n".join(lines) + "\n"


def _markdown_escape(text: str) -> str:
    for character in "\\|*_<>`[]":
        text = text.replace(character, "\\" + character)
    return text


def _markdown_cell(cell: Cell) -> str:
    text = _markdown_escape(cell.text)
    text = f"<u>{text}</u>" if cell.underline else f"**{text}**" if cell.bold else text
    parts = [text, _markdown_escape(cell.spread), f"({cell.delta})" if cell.delta else ""]
    return " ".join(p for p in parts if p) + (f" <sup>{cell.mark}</sup>" if cell.mark else "")


def to_markdown(table: Table) -> str:
    """A GitHub table with caption and notes; the baseline's label is in italics."""
    rule = {"l": ":--", "r": "--:", "c": ":-:"}
    labels = [_markdown_escape(c.label) for c in table.columns]
    lines = [
        f"**{_markdown_escape(table.title)}.** {_markdown_escape(table.caption)}",
        "",
        "| " + " | ".join([_markdown_escape(table.corner), *labels]) + " |",
        "| " + " | ".join([":--", *(rule[c.align] for c in table.columns)]) + " |",
    ]
    for row in table.rows:
        label = _markdown_escape(row.label)
        cells = [_markdown_cell(c) for c in row.cells]
        lines.append("| " + " | ".join([f"*{label}*" if row.baseline else label, *cells]) + " |")
    if table.notes:
        lines += ["", *(f"- {_markdown_escape(note)}" for note in table.notes)]
    return "\n".join(lines) + "\n"


def to_csv(table: Table) -> str:
    """The numbers behind the table at full precision.

    Text that a spreadsheet would take for a formula (it begins with ``= + - @``) gets an apostrophe.
    """
    raw = table.raw.copy()
    raw.columns = raw.columns.map(_harmless)
    for name in raw.select_dtypes(exclude="number").columns:
        raw[name] = raw[name].map(_harmless)
    return raw.to_csv(index=False)


def _harmless(value: Any) -> Any:
    if not isinstance(value, str) or value[:1] not in ("=", "+", "-", "@", "\t", "\r"):
        return value
    return value if all(map(_NUMBER.fullmatch, value.split())) else f"'{value}"


RENDERINGS: dict[str, Callable[[Table], str]] = {
    ".tex": to_latex,
    ".md": to_markdown,
    ".csv": to_csv,
}


def to_rich(table: Table) -> RichTable:
    """The table for a terminal."""
    out = RichTable(
        title=Text(table.title),
        title_justify="left",
        caption=Text("\n".join(table.notes)) if table.notes else None,
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    # Text, not str: brackets in a str are markup to rich.
    out.add_column(Text(table.corner), overflow="fold")
    for column in table.columns:
        out.add_column(Text(column.label), justify="left" if column.align == "l" else "right", no_wrap=True)
    for row in table.rows:
        texts = [_rich_cell(cell) for cell in row.cells]
        out.add_row(Text(row.label, style="dim" if row.baseline else ""), *texts)
    return out


def _rich_cell(cell: Cell) -> Text:
    style = " ".join(s for s, on in (("bold", cell.bold), ("underline", cell.underline)) if on)
    text = Text(cell.text, style=style)
    for part in (cell.spread, cell.delta):
        if part:
            text.append(f" {part}", style="dim")
    if cell.mark:
        text.append(f" {cell.mark}", style="yellow")
    return text
