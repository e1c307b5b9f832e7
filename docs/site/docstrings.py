"""The project's docstrings as the site's generator reads them (a griffe extension).

In the code they are plain text for people: numpydoc's headings over ``name: meaning`` lines, names in
double backticks, reStructuredText's tables for glossaries. Here the same becomes Google's sections and
Markdown's tables, so that the code need not be written for a generator.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

_SECTION = re.compile(r"^(Parameters|Returns|Raises)\n-{3,}\n((?:.+\n?)*)", re.MULTILINE)
_ROLE = re.compile(r":(?:class|func|meth|mod|data|attr):`~?([^`]+)`")
_TABLE = re.compile(r"^=+  =+\n((?:.+\n)+?)=+  =+$", re.MULTILINE)


def as_google(text: str) -> str:
    """A docstring of this project with Google's sections and Markdown inside."""
    text = _ROLE.sub(r"`\1`", text)
    text = _SECTION.sub(lambda found: f"{found[1]}:\n{_indented(found[2])}", text)
    return _TABLE.sub(lambda found: _table(found[1]), text)


def _indented(lines: str) -> str:
    return "".join(f"    {line}\n" for line in lines.splitlines())


def _table(rows: str) -> str:
    cells = (re.split(r"\s{2,}", row.strip(), maxsplit=1) for row in rows.splitlines())
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {meaning} |" for name, meaning in cells)])


class HouseStyle(griffe.Extension):
    """Rewrites every docstring that the site shows."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called by griffe for every module, class, function and attribute it has read."""
        if obj.docstring is not None:
            obj.docstring.value = as_google(obj.docstring.value)
