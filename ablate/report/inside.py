"""What the page carries inside, so that it can be moved alone: data, study file, settings, keys, commands.

The page's scripts read one block of JSON; :func:`embedded` writes it so that nothing in it can end the
block, whatever studies, variants or files are called.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

import pandas as pd
from markupsafe import Markup

from ablate.evidence.results import Results
from ablate.report.latex import to_latex
from ablate.report.numbers import Style
from ablate.report.rendering import to_csv, to_markdown
from ablate.report.table import Cell, Column, Row, Table
from ablate.report.words import setting_text, variant_label
from ablate.running.folder import Workspace
from model.files import read_json

if TYPE_CHECKING:
    import jinja2

LOG_LINES = 25
MAX_LOGS = 20
"""Ends of logs that a page shows; further failures are in the table of runs."""
SCRIPTS = ("tables.js", "gallery.js")


@dataclass(frozen=True)
class LogEnd:
    """The last lines of a run that did not finish."""

    run: str
    text: str


def template_text(name: str) -> str:
    """A file that is inlined as it is."""
    return (resources.files("ablate.report") / "templates" / name).read_text(encoding="utf-8")


def template(name: str) -> jinja2.Template:
    """A page's template; what is filled in is escaped."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("ablate.report", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template(name)


def script() -> tuple[Markup, str]:
    """The page's program, and its hash as a content security policy takes it (SHA-256, base64)."""
    text = "\n".join(template_text(name) for name in SCRIPTS)
    digest = base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
    return Markup(text), digest


def embedded(data: Any) -> Markup:
    """``data`` as JSON inside a script element: no character in it can end the element."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def table_files(tables: Sequence[Table], style: Style) -> dict[str, dict[str, str]]:
    """Per table what its buttons copy."""
    return {
        t.name: {"LaTeX": to_latex(t, style), "CSV": to_csv(t), "Markdown": to_markdown(t)}
        for t in tables
        if t.columns
    }


# ---------------------------------------------------------------------------------- the study


def study_file(results: Results) -> str:
    """The study file as it was run; empty where the folder has none."""
    try:
        return Workspace(results.folder).spec.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def commands(results: Results) -> str:
    """The commands that remake the study and its report, as far as the folder tells."""
    workspace = Workspace(results.folder)
    if not workspace.spec.is_file():
        return ""
    invocation = read_json(workspace.invocation) or {}
    argv = ["ablate", "run", f"results/{results.name}/spec.yaml"]
    for override in invocation.get("overrides") or ():
        argv += ["--set", str(override)]
    if invocation.get("smoke"):
        argv.append("--smoke")
    if invocation.get("threads", 1) != 1:
        argv += ["--threads", str(invocation["threads"])]
    return f"{shlex.join(argv)}\n{shlex.join(['ablate', 'report', results.name])}\n"


def settings_table(results: Results) -> Table:
    """One row per variant, one column per setting in which two of them differ."""
    variants = [v for v in results.variants if v in results.settings]
    paths = [p for p, values in _by_path(results).items() if len(set(values.values())) > 1]
    texts = {v: {p: _text(results.settings[v].get(p)) for p in paths} for v in variants}
    return Table(
        name="settings",
        title="Settings",
        caption="As resolved: preset, base, variant and overrides together.",
        corner="variant",
        columns=tuple(Column(p, align="l") for p in paths),
        rows=tuple(
            Row(variant_label(results, v), tuple(Cell(texts[v][p]) for p in paths), v == results.baseline)
            for v in (variants if paths else ())
        ),
        raw=pd.DataFrame([{"variant": v, **texts[v]} for v in variants]),
    )


def common_settings(results: Results) -> str:
    """The settings that all variants share, one a line."""
    return "\n".join(
        f"{path}: {next(iter(values.values()))}"
        for path, values in _by_path(results).items()
        if len(set(values.values())) == 1
    )


def _by_path(results: Results) -> Mapping[str, dict[str, str]]:
    paths = dict.fromkeys(p for at in results.settings.values() for p in at)
    return {p: {v: _text(at.get(p)) for v, at in results.settings.items()} for p in paths}


def _text(value: Any) -> str:
    return "" if value is None else setting_text(value)


# ---------------------------------------------------------------------------------- runs

MAX_RUNS = 1200
"""Rows of the page's table of runs; beyond, only runs without results are listed (all in the CSV)."""


def runs_table(results: Results) -> Table:
    """Every run with state, time and key."""
    shown = results.runs
    if len(shown) > MAX_RUNS:
        shown = tuple(run for run in shown if run.state != "done")[:MAX_RUNS]
    rows = [
        Row(
            variant_label(results, run.variant),
            (
                *(Cell(str(run.seed)), Cell(run.category or "all"), Cell(run.state)),
                *(Cell("" if run.seconds != run.seconds else f"{run.seconds:.0f}"), Cell(run.key)),
            ),
        )
        for run in shown
    ]
    left_out = len(results.runs) - len(shown)
    return Table(
        name="runs",
        title="Runs",
        caption="Seconds: computing time. Key: the run's folder below runs/."
        + (f" {left_out} finished runs stand in the CSV only." if left_out else ""),
        corner="variant",
        columns=(
            *(Column("seed"), Column("category", align="l"), Column("state", align="l")),
            *(Column("seconds"), Column("key", align="l")),
        ),
        rows=tuple(rows),
        raw=pd.DataFrame(
            [
                (r.variant, r.seed, r.category or "all", r.state, r.seconds, r.key, r.reason)
                for r in results.runs
            ],
            columns=["variant", "seed", "category", "state", "seconds", "key", "reason"],
        ),
    )


def log_ends(results: Results) -> list[LogEnd]:
    """The ends of the logs of runs that failed or were lost, where they were kept."""
    workspace = Workspace(results.folder)
    found: list[LogEnd] = []
    for run in results.runs:
        if run.state not in ("failed", "lost") or len(found) == MAX_LOGS:
            continue
        try:
            text = workspace.log(run.key).read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        name = f"{variant_label(results, run.variant)}, seed {run.seed}" + (
            f", {run.category}" if run.category else ""
        )
        found.append(LogEnd(name, "\n".join(text.splitlines()[-LOG_LINES:])))
    return found
