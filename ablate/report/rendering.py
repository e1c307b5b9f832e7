"""A table as Markdown, CSV and terminal text; LaTeX is in :mod:`ablate.report.latex`."""

from __future__ import annotations

import re
from typing import Any

from rich import box
from rich.table import Table as RichTable
from rich.text import Text

from ablate.report.latex import to_latex
from ablate.report.numbers import Style
from ablate.report.table import Cell, Table

# ---------------------------------------------------------------------------------- renderings

_NUMBER = re.compile(r"[-+]?\d+(\.\d+)?(e[-+]?\d+)?")


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


def rendered(table: Table, style: Style | None = None) -> dict[str, str]:
    """The files of a table: suffix -> content."""
    return {".tex": to_latex(table, style), ".md": to_markdown(table), ".csv": to_csv(table)}


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
