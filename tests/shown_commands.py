"""Lines such as ``ablate run study.yaml --workers 2`` in text that people copy from, held against the
command line itself."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

import typer
from markdown_it import MarkdownIt

from ablate.cli.commands import app

_COMMAND = typer.main.get_command(app)
_STARTS = re.compile(r"^(?:\$ |!|[A-Z_]+=\S+ )*(?:python -m )?ablate(?= [a-z-])")
"""A line's beginning: a prompt, a notebook's escape, variables of the environment."""


def shown_in_shell(text: str) -> Iterator[str]:
    """The ``ablate ...`` commands of a piece of shell, what follows one on its line left out."""
    for line in re.sub(r"\s*\\\n\s*", " ", text).splitlines():
        for part in re.split(r"&&|;|\|\s", line.strip()):
            if found := _STARTS.match(part.strip()):
                words = part.strip()[found.end() :].strip()
                # Two spaces set off what the command does from the command.
                yield re.split(r" {2,}#| {3,}| #|[<>]", words)[0]


def shown_in_page(text: str) -> Iterator[str]:
    """The ``ablate ...`` commands of a Markdown page: in its blocks of code and between backticks."""
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        if token.type in ("fence", "code_block"):
            yield from shown_in_shell(token.content)
        for part in token.children or ():
            if part.type == "code_inline":
                yield from shown_in_shell(part.content)


def mistake(line: str) -> str | None:
    """What is wrong with the words behind ``ablate``, or None. Values of options are not looked at."""
    command: Any = _COMMAND
    words = [word for word in shlex.split(line) if word != "..."]
    options, places = _parameters(command)
    while words:
        word = words.pop(0)
        if word.startswith("-") and word != "-":
            name, _, value = word.partition("=")
            if name not in options:
                return f"no option {name} in: ablate {line}"
            if options[name] and not value and words:
                words.pop(0)
        elif subcommands := getattr(command, "commands", None):
            if word not in subcommands:
                return f"no command {word} in: ablate {line}"
            command = subcommands[word]
            options, places = _parameters(command)
        elif places == 0:
            return f"one argument too many, {word}, in: ablate {line}"
        else:
            places -= 1
    return None


def _parameters(command: Any) -> tuple[Mapping[str, bool], int]:
    """Option -> whether a value follows it; how many arguments there may be."""
    options = {"--help": False}
    places = 0
    for parameter in command.params:
        if parameter.param_type_name == "argument":
            places += 1 if parameter.nargs == 1 else 1000
        else:
            names = [*parameter.opts, *parameter.secondary_opts]
            options |= dict.fromkeys(names, not parameter.is_flag)
    return options, places
