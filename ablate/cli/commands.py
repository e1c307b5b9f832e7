"""The command line: parse, call, print. No logic, and nothing slow is imported before it is needed.

Exit codes: 0 done; 1 some runs failed or are left; 2 a mistake that the user can mend (spec, data, weights,
disk); 130 and 143 stopped by SIGINT and SIGTERM.
"""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ablate.cli import (
    cluster_commands,
    data_commands,
    gate_commands,
    report_commands,
    results_commands,
    setup_commands,
    study_commands,
)
from ablate.cli.defaults import read_defaults
from model import __version__
from model.errors import ConfigError, StorageError, UserError

app = typer.Typer(
    name="ablate",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Ablation studies for anomaly detection: one YAML file in, paper-ready evidence out.",
)
data_app = typer.Typer(no_args_is_help=True, help="Look at datasets, or draw the built-in one.")

_NAMES: dict[Callable[..., None], str] = {results_commands.open_report: "open"}
"""Commands whose name is not their function's."""

for command in (
    study_commands.run,
    study_commands.resume,
    cluster_commands.worker,
    study_commands.plan,
    study_commands.show,
    results_commands.status,
    results_commands.ls,
    results_commands.logs,
    report_commands.report,
    results_commands.open_report,
    report_commands.claims,
    gate_commands.gate,
    report_commands.verify,
    report_commands.compare,
    results_commands.clean,
    results_commands.repair,
    results_commands.dashboard,
    data_commands.encode,
    data_commands.evaluate,
    data_commands.export,
    setup_commands.init,
    setup_commands.schema,
    setup_commands.doctor,
    setup_commands.priors,
):
    app.command(_NAMES.get(command))(command)
app.command("import")(report_commands.import_rows)
data_app.command("stripes")(data_commands.draw_stripes)
data_app.command("check")(data_commands.check_data)
app.add_typer(data_app, name="data")


def _print_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit()


@app.callback()
def _global(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of user errors too.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options of every command."""


def _defaults() -> dict[str, Any]:
    """What the project's folder says of options, for every command; environment variables win."""
    given = read_defaults(Path.cwd()).given()
    if "ABLATE_STORAGE" in os.environ:
        given.pop("storage", None)
    if not given:
        return {}
    commands = [(command.name, command.callback) for command in app.registered_commands]
    return {
        **{name or getattr(callback, "__name__", ""): given for name, callback in commands},
        "data": {str(command.name): given for command in data_app.registered_commands},
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    sys.exit(_run(given, debug="--debug" in given))


def _say_mistake(error: UserError, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"errors": error.plain()}), file=sys.stderr)
        return
    for line in error.lines:
        print(f"error: {line}", file=sys.stderr)


def _run(arguments: list[str], debug: bool) -> int:
    as_json = "--json" in arguments
    try:
        # Not standalone: typer would turn Ctrl-C into exit code 1.
        code = app(args=arguments, prog_name="ablate", standalone_mode=False, default_map=_defaults())
    except UserError as error:
        if debug:
            raise
        _say_mistake(error, as_json)
        return 2
    except (typer.Abort, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of a pipe has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        if debug or not (full or error.filename):  # without a file it is not the user's
            raise
        what, hint = ("the disk is full", "free some space") if full else (str(error.strerror), None)
        _say_mistake(StorageError(what, where=str(error.filename or error), hint=hint), as_json)
        return 2
    except Exception as error:
        # A mistake in the arguments; which class it is depends on typer's version.
        if not (
            hasattr(error, "show") and hasattr(error, "exit_code") and hasattr(error, "format_message")
        ):
            raise
        if as_json:
            context = getattr(error, "ctx", None)
            hint = context and f"see: {context.command_path} --help"
            _say_mistake(ConfigError(str(error.format_message()), hint=hint), as_json)
        else:
            error.show()
        return int(error.exit_code)
    return code if isinstance(code, int) else 0
