"""What the site's generator (MkDocs) is told beyond ``mkdocs.yml``.

The page of every command and option is made from the command line itself while the site is built, so
that it cannot go stale.
"""

from __future__ import annotations

import re

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from typer.cli import get_docs_for_click

from ablate.cli.commands import app

COMMAND_LINE = "reference/command-line.md"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Called by MkDocs when it has listed the pages."""
    files.append(File.generated(config, COMMAND_LINE, content=command_line()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    r"""Called by MkDocs before it renders a page: in a table, GitHub wants ``\|`` inside code, and
    Python-Markdown shows the backslash."""
    return re.sub(
        r"^\|.*$",
        lambda row: re.sub(r"`[^`]*`", lambda code: code[0].replace(r"\|", "|"), row[0]),
        markdown,
        flags=re.MULTILINE,
    )


def command_line() -> str:
    """Markdown with a section per command."""
    command = typer.main.get_command(app)
    text = get_docs_for_click(obj=command, ctx=typer.Context(command, info_name="ablate"), name="ablate")
    # The list of commands shortens what each says, and the page's contents list them anyway.
    return re.sub(r"^\*\*Commands\*\*:\n\n(\* .*\n)+", "", text, flags=re.MULTILINE)
