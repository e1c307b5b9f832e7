"""A table in memory: what every rendering reads, so that no two of them can disagree."""

from __future__ import annotations

from dataclasses import dataclass, field

import pandas as pd


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
    keys: tuple[str, ...] = ()
    """Of the runs behind it."""


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
    """File name without suffix; with the study's, the LaTeX label."""
    title: str
    caption: str
    corner: str
    """Header of the label column."""
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    raw: pd.DataFrame = field(default_factory=pd.DataFrame, compare=False)
    """The same at full precision."""
    study: str = ""
