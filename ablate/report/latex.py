r"""A table as LaTeX, for the width of a venue's page.

Written here and not by pandas' ``Styler``, which draws no ``\cmidrule`` under grouped headers and cannot
grey a row. A table that is wider than the page is not shrunk: its columns are split into panels, one below
the other, each with the label column; between groups of columns where that is possible. Every entry names
the runs behind it in a comment, so that a number in a paper can be traced to ``runs/``.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ablate.report.lettering import pieces
from ablate.report.numbers import Style
from ablate.report.table import Cell, Column, Row, Table
from ablate.report.words import CHECK, DASH, MINUS

PACKAGES = r"\usepackage{booktabs,graphicx,amssymb}\usepackage[table]{xcolor}"
KEY_DIGITS = 8
"""Digits of a run's key in comments; the folder below ``runs/`` begins with them."""
SMALL, SCRIPT = 4.8, 4.05
"""Width of a character in ``\\small`` and ``\\scriptsize``, in points: rather too wide than too narrow."""
GAP = 8.0
"""Between columns."""

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
    "…": r"\ldots{}",
    "’": "'",
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


# ---------------------------------------------------------------------------------- panels


def _text_width(text: str, each: float) -> float:
    return each * len(text)


def _cell_width(cell: Cell, widths: _Widths) -> float:
    small = widths.spread + widths.delta + 1.5 * bool(widths.spread) + 2.5 * bool(widths.delta)
    return _text_width(cell.text, SMALL) + SCRIPT * small + SCRIPT * len(cell.mark)


def _column_widths(table: Table) -> list[float]:
    found = []
    for i, (column, widths) in enumerate(zip(table.columns, _widths(table), strict=True)):
        head = _text_width(column.label, SCRIPT if column.small else SMALL)
        found.append(max(head, *(_cell_width(row.cells[i], widths) for row in table.rows), 0.0) + GAP)
    return found


def _label_width(table: Table) -> float:
    return (
        max(_text_width(text, SMALL) for text in (table.corner, *(row.label for row in table.rows))) + GAP
    )


def panels(table: Table, width: float) -> list[Table]:
    """The table's columns in as few tables as fit ``width`` (points), each at least one column."""
    room = width - _label_width(table)
    widths = _column_widths(table)
    blocks: list[list[int]] = []
    for _, first, last in _groups(table.columns):
        for part in _fitting(list(range(first, last + 1)), widths, room):
            if blocks and sum(widths[i] for i in (*blocks[-1], *part)) <= room:
                blocks[-1] += part
            else:
                blocks.append(part)
    return [
        replace(
            table,
            columns=tuple(table.columns[i] for i in block),
            rows=tuple(replace(row, cells=tuple(row.cells[i] for i in block)) for row in table.rows),
        )
        for block in blocks or [[]]
    ]


def _fitting(group: list[int], widths: Sequence[float], room: float) -> Iterator[list[int]]:
    """A group of columns, cut only if it does not fit by itself."""
    part: list[int] = []
    for i in group:
        if part and sum(widths[j] for j in (*part, i)) > room:
            yield part
            part = []
        part.append(i)
    yield part


# ---------------------------------------------------------------------------------- the table


@dataclass
class _Runs:
    """The sets of runs behind entries, numbered as they appear."""

    numbers: dict[tuple[str, ...], int]

    def comment(self, cell: Cell) -> str:
        """``% [3]`` behind an entry; nothing where no run is behind it."""
        if not cell.keys:
            return ""
        return f" % [{self.numbers.setdefault(cell.keys, len(self.numbers) + 1)}]"

    def lines(self) -> list[str]:
        """What the numbers stand for."""
        return [
            f"% [{number}] runs {' '.join(key[:KEY_DIGITS] for key in keys)}"
            for keys, number in self.numbers.items()
        ]


def label(table: Table) -> str:
    r"""What ``\ref`` takes: unique among the tables of all studies."""
    return "tab:" + re.sub(r"[^A-Za-z0-9]+", "-", f"{table.study} {table.name}").strip("-").lower()


def to_latex(table: Table, style: Style | None = None) -> str:
    """A floating table with booktabs rules, as wide as ``style`` says; needs the packages it names."""
    style = style or Style()
    environment = "table*" if style.layout == "wide" else "table"
    runs = _Runs({})
    body: list[str] = []
    for i, panel in enumerate(panels(table, style.width)):
        body += [r"\par\medskip"] if i else []
        body += _tabular(panel, runs)
    lines = [
        f"% needs: {PACKAGES}",
        *runs.lines(),
        rf"\begin{{{environment}}}[t]",
        r"\centering",
        rf"\caption{{{latex_escape(table.caption)}}}",
        rf"\label{{{label(table)}}}",
        r"\smallskip\small",
        r"\setlength{\tabcolsep}{4pt}",
        *body,
    ]
    if table.notes:
        lines += [r"\par\smallskip", r"\begin{minipage}{\linewidth}\scriptsize"]
        lines += [
            latex_escape(note) + (r" \\" if i + 1 < len(table.notes) else "")
            for i, note in enumerate(table.notes)
        ]
        lines.append(r"\end{minipage}")
    lines.append(rf"\end{{{environment}}}")
    return "\n".join(lines) + "\n"


def _tabular(table: Table, runs: _Runs) -> list[str]:
    """One panel. The box shrinks what is wider than the page all the same: one column that is too wide."""
    columns = table.columns
    align = "".join((r">{\columncolor{black!8}}" if c.baseline else "") + c.align for c in columns)
    lines = [
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{l{align}}}",
        r"\toprule",
    ]
    found = _groups(columns)
    if any(group for group, _, _ in found):
        heads = [
            rf"\multicolumn{{{b - a + 1}}}{{c}}{{{latex_escape(group)}}}" if group else ""
            for group, a, b in found
        ]
        lines.append(" & " + " & ".join(heads) + r" \\")
        # Columns count from 1 and the label column is the first.
        lines.append("".join(rf"\cmidrule(lr){{{a + 2}-{b + 2}}}" for group, a, b in found if group))
    widths = _widths(table)
    labels = [_latex_head(c, w) for c, w in zip(columns, widths, strict=True)]
    lines.append(" & ".join([latex_escape(table.corner), *labels]) + r" \\")
    lines.append(r"\midrule")
    for row in table.rows:
        lines += _row(row, columns, widths, runs)
    return [*lines, r"\bottomrule", r"\end{tabular}}"]


def _row(row: Row, columns: Sequence[Column], widths: Sequence[_Widths], runs: _Runs) -> list[str]:
    """A row, one entry a line where its runs are known."""
    lines = ([r"\midrule"] if row.rule else []) + ([r"\rowcolor{black!8}"] if row.baseline else [])
    entries = [
        f" & {_latex_cell(cell, w, c.small)}{runs.comment(cell)}"
        for cell, w, c in zip(row.cells, widths, columns, strict=True)
    ]
    if any(cell.keys for cell in row.cells):
        return [*lines, latex_escape(row.label), *entries, r"\\"]
    return [*lines, latex_escape(row.label) + "".join(entries) + r" \\"]
