"""How the command line prints: rich tables on a terminal, the same in plain lines when piped."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.style import Style
from rich.table import Table
from rich.text import Text

from ablate.study.resolved import Resolved, base_values, means, plot, resolve, schedules
from ablate.study.text import label
from model.errors import ConfigError
from model.suggest import suggestion

if TYPE_CHECKING:
    import pandas as pd

    from ablate.cli.doctor import Finding
    from ablate.evidence.judgement import Judgement
    from ablate.running.clean import Litter
    from ablate.running.listing import Listing
    from ablate.running.status import RunStatus, StudyStatus
    from ablate.study.plan import Plan, PlanLine
    from ablate.study.spec import StudySpec
    from model.data.counts import Count, StratumCount
    from model.data.problems import Problem

_PIPED_WIDTH = 200
"""Columns of a table that no terminal limits."""

_STATE_STYLE = {
    "cached": "green", "done": "green", "reused": "green", "ok": "green",
    "new": "cyan", "running": "cyan", "waiting": "", "duplicate": "dim", "interrupted": "yellow",
    "note": "yellow", "lost": "yellow", "failed": "red", "problem": "red",
}  # fmt: skip


def make_console(*, plain: bool = False, aside: bool = False) -> Console:
    """Standard output; without wrapping or colours when it is piped, or ``plain``.

    ``aside``: standard error, for what must not mix with a command's JSON.
    """
    console = Console(highlight=False, stderr=aside)
    if console.is_terminal and not plain:
        return console
    width = _PIPED_WIDTH
    return Console(highlight=False, width=width, force_terminal=False, color_system=None, stderr=aside)


@contextlib.contextmanager
def busy(console: Console | None, what: str) -> Iterator[None]:
    """Say what is being done while it is: a turning sign on a terminal, else a line; None: silence."""
    if console is None:
        yield
    elif console.is_terminal:
        with console.status(what):
            yield
    else:
        console.print(what, markup=False)
        yield


def print_notes(console: Console, notes: Iterable[str]) -> None:
    """What a user should know before anything begins."""
    for note in notes:
        console.print(f"note: {note}", markup=False, soft_wrap=True)


def print_ending(console: Console, judgement: Judgement, page: Path) -> None:
    """What a study says when it ends: the claims' verdicts, the table, and where the report is."""
    from ablate.report.ending import claim_lines
    from ablate.report.page import terminal_table

    for line in claim_lines(judgement):
        console.print(line, soft_wrap=True)
    console.print(terminal_table(judgement))
    place = Text(str(page))
    place.stylize(Style(link=page.absolute().as_uri()))
    console.print(Text("report: ") + place, soft_wrap=True)


def print_at_once(text: str) -> None:
    """Text that goes out before more is written: whoever reads a pipe wants to know now."""
    print(text, end="", flush=True)


def print_overrides(console: Console, spec: StudySpec) -> None:
    """Echo every ``--set``, so that a log says what was run."""
    for override in spec.applied:
        console.print(f"set {escape(str(override))}")


def print_plan(
    console: Console, plan: Plan, lines: Sequence[PlanLine], total: float | None, workers: int
) -> None:
    """The plan's cells, and what they add up to."""
    from ablate.cli.searches import search_lines
    from ablate.running.progress import duration

    factors = list(dict.fromkeys(path for line in lines for path in line.factors))
    per_category = any(line.category is not None for line in lines)
    table = _table(
        "variant", *factors, "seed", *(["category"] if per_category else []), "key", "state", "time"
    )
    for line in lines:
        levels = [str(line.factors.get(path, "")) for path in factors]
        category = [line.category or ""] if per_category else []
        time = duration(line.seconds) if line.state == "new" else ""
        cells = [line.variant, *levels, str(line.seed), *category, line.key[:10], _state(line.state), time]
        table.add_row(*cells)
    console.print(table)
    for text, variants in plan_means(plan).items():
        console.print(f"{text} on average over training: {', '.join(variants)}", markup=False)
    for why, count in Counter(line.why for line in lines if line.why).items():
        console.print(f"{count} new: {why} (--accept-code adopts earlier runs)", markup=False)
    states = [line.state for line in lines]
    new = states.count("new")
    console.print(
        f"{len(plan.rows)} cells, {len(plan.runs)} runs: {new} new, {states.count('cached')} cached, "
        f"{states.count('duplicate')} duplicates"
    )
    for text in search_lines(plan.spec):
        console.print(text, markup=False)
    if new:
        shared = (
            "" if total is None or workers == 1 else f", {duration(total / workers)} on {workers} workers"
        )
        unknown = "; known once a similar run has finished here" if total is None else ""
        console.print(f"expected time: {duration(total)}{shared}{unknown}")


def plan_means(plan: Plan) -> dict[str, list[str]]:
    """What scheduled knobs are on average, and in which rows: ``token_dropout.rate 0.2`` -> variants."""
    configs = {run.key: run.config for run in plan.runs}
    found: dict[str, list[str]] = {}
    for variant, key in {row.variant: row.key for row in plan.rows}.items():
        for path, mean in means(configs[key]).items():
            found.setdefault(f"{path} {mean:.4g}", []).append(variant)
    return found


def print_status(console: Console, status: StudyStatus) -> None:
    """Where a study stands: counts, then every run that is not simply finished or waiting."""
    from ablate.running.progress import duration

    counts = ", ".join(f"{count} {state}" for state, count in sorted(status.counts.items()))
    console.print(f"{status.study}: {status.finished} of {len(status.runs)} runs finished ({counts})")
    if status.searched:
        console.print(f"search: {_mapping(status.searched)}")
    if status.workers:
        console.print(
            f"{status.workers} workers in {len(status.sessions)} sessions, "
            f"about {duration(status.eta)} to go"
        )
    elif alone := status.counts.get("running"):
        console.print(f"{alone} workers whose supervisor is gone are about to stop")
    else:
        console.print("nobody is working on it")
    for worker in status.live:
        if worker.host:
            job = f", job {worker.job}" if worker.job else ""
            at = worker.label or "looking for a run"
            console.print(f"  worker on {worker.host}, process {worker.pid}{job}: {at}", markup=False)
    notable = [run for run in status.runs if run.state not in ("done", "reused", "waiting")]
    if not notable:
        return
    table = _table("run", "key", "state", "attempt", "progress", "time", "")
    for run in notable:
        progress = f"{run.done}/{run.total}" if run.total else ""
        time = "" if run.seconds is None else duration(run.seconds)
        text = escape(run.reason or run.note)
        table.add_row(run.label, run.key[:10], _state(run.state), str(run.attempt), progress, time, text)
    console.print(table)


def print_studies(console: Console, studies: Sequence[Listing]) -> None:
    """One line per study: how far it is, whether somebody works on it, its verdicts, age and size."""
    from ablate.report.words import recorded_verdict
    from ablate.running.progress import duration

    if not studies:
        console.print("no studies here")
        return
    table = _table("study", "finished", "failed", "working", "claims", "written", "MB")
    for one in studies:
        state = one.state
        finished, failed, working = "published", "", ""
        if state is not None:
            finished, failed = f"{state.finished} of {len(state.runs)}", str(len(state.failed) or "")
            working = f"{state.workers} workers" if state.workers else ""
        verdicts = ", ".join(f"{n} {recorded_verdict(verdict)}" for verdict, n in one.verdicts.items())
        age, size = f"{duration(one.age)} ago", f"{one.size / 1e6:.1f}"
        table.add_row(escape(one.study), finished, failed, working, verdicts, age, size)
    console.print(table)


def print_logs(console: Console, status: StudyStatus) -> None:
    """Which run logs to which file."""
    table = _table("run", "key", "state", "log")
    for run in status.runs:
        table.add_row(run.label, run.key[:10], _state(run.state), escape(run.log))
    console.print(table)


def log_end(run: RunStatus, lines: int) -> list[str]:
    """The last lines of a run's log."""
    path = Path(run.log)
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else "no log yet\n"
    return text.splitlines()[-lines:]


def print_log_ends(console: Console, runs: Iterable[RunStatus], lines: int) -> None:
    """The last lines of some runs' logs."""
    for run in runs:
        console.print(f"[bold]{escape(run.label)}[/] {_state(run.state)} {escape(run.log)}", soft_wrap=True)
        for line in log_end(run, lines):
            console.print(line, markup=False, soft_wrap=True)


def watched(read: Callable[[], StudyStatus], console: Console, every: float = 2.0) -> Iterator[StudyStatus]:
    """The state of a study again and again until nobody works on it; clears a terminal in between."""
    while True:
        state = read()
        if console.is_terminal:
            console.clear()
        yield state
        if not state.sessions:
            return
        time.sleep(every)


class EncodingProgress:
    """What encoding reports to when it is asked for on its own: a progress bar, or nothing if piped."""

    def __init__(self, console: Console, cache: Path, device: str) -> None:
        self.cache = cache
        self.device = device
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), console=console
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> EncodingProgress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def progress(self, done: int, total: int, note: str = "") -> None:
        """``done`` of ``total`` images; ``note``: what is being done."""
        if note not in self._tasks:
            self._tasks[note] = self._bar.add_task(note or "encoding", total=total)
        self._bar.update(self._tasks[note], completed=done, total=total)

    def should_stop(self) -> bool:
        """Never: Ctrl-C raises, and what has been encoded stays."""
        return False


def print_data(console: Console, counts: Sequence[Count], problems: Sequence[Problem]) -> None:
    """Images per category and kind, then everything that is wrong with them."""
    table = _table("category", "split", "defect type", "images", "selection", "without mask")
    for row in counts:
        table.add_row(
            row.category,
            row.split,
            row.defect_type,
            str(row.images),
            str(row.selection or ""),
            str(row.missing_masks or ""),
        )
    console.print(table)
    for problem in problems:
        level = "problem" if problem.fatal else "note"
        console.print(f"{_state(level)} {escape(f'{problem.path}: {problem.message}')}", soft_wrap=True)
    if not problems:
        console.print("every image and mask can be read")


def print_strata(console: Console, counts: Sequence[StratumCount]) -> None:
    """How many anomalous images of each category are of each kind."""
    table = _table("category", "defects are mostly", "images")
    for row in counts:
        table.add_row(row.category, row.stratum, str(row.images))
    console.print(table)


def print_metrics(console: Console, frame: pd.DataFrame) -> None:
    """The usual metrics per category and split, percent with one decimal, their mean last."""
    from ablate.report.words import TABLE_METRICS, metric_label

    table = _table("split", "category", *(metric_label(name) for name in TABLE_METRICS))
    rows = frame[(frame.stratum == "all") & frame.metric.isin(TABLE_METRICS)]
    for split, part in rows.groupby("split"):
        wide = part.pivot(index="category", columns="metric", values="value")[list(TABLE_METRICS)]
        for category, values in [*wide.iterrows(), ("mean", wide.mean())]:
            table.add_row(str(split), str(category), *(f"{100 * value:.1f}" for value in values))
    console.print(table)


def print_litter(console: Console, litter: Sequence[Litter], dry: bool) -> None:
    """What ``clean`` deletes, or would."""
    for item in litter:
        console.print(f"{item.path}  {item.size / 1e6:.1f} MB  {item.why}", soft_wrap=True, markup=False)
    total = sum(item.size for item in litter) / 1e6
    if not litter:
        console.print("nothing to clean")
    elif dry:
        console.print(f"{total:.1f} MB could be freed; nothing was deleted: add --yes to delete")
    else:
        console.print(f"{total:.1f} MB freed")


def print_findings(console: Console, findings: Iterable[Finding]) -> None:
    """What ``doctor`` found."""
    table = _table("", "part", "finding")
    for finding in findings:
        table.add_row(_state(finding.level), finding.subject, escape(finding.text))
    console.print(table)


def print_study(console: Console, spec: StudySpec, only: str | None) -> None:
    """Every variant's difference from the baseline, and its schedules over training.

    Raises :class:`ConfigError` if no variant is called ``only``.
    """
    resolved = resolve(spec)
    rows = [row for row in resolved if only in (None, row.variant)]
    if only is not None and not rows:
        hint = suggestion(only, [row.variant for row in resolved])
        raise ConfigError(f"no variant is called '{only}' in {spec.study}", hint=hint)
    preset = spec.preset or "defaults"
    console.print(
        f"[bold]{escape(spec.study)}[/]: {escape(spec.data.dataset)}, {spec.data.setting}, {preset}"
    )
    console.print(f"seeds {', '.join(map(str, spec.seeds))}; primary metric {spec.report.primary}")
    for claim in spec.claims:
        console.print(f"claim: {escape(str(claim))}")
    changed = base_values(spec)
    console.print(f"\n[bold]{escape(spec.baseline)}[/] (baseline)")
    _print_changes(console, changed, "as the model's defaults")
    for row in rows:
        if row.variant != spec.baseline:
            console.print(f"\n[bold]{escape(row.variant)}[/]")
            _print_changes(console, row.changes, f"the same as {spec.baseline}")
        _print_schedules(console, row)


def _print_changes(console: Console, changes: Mapping[str, tuple[Any, Any]], none: str) -> None:
    if not changes:
        console.print(f"  {none}", markup=False)
    width = max((len(path) for path in changes), default=0)
    for path, (before, after) in changes.items():
        console.print(f"  {path:<{width}}  {label(before)} -> {label(after)}", markup=False)


def _print_schedules(console: Console, row: Resolved) -> None:
    mean = means(row.config)
    for path, schedule in schedules(row.config).items():
        console.print(f"  {path} over training, {mean[path]:.4g} on average:", markup=False)
        for line in plot(schedule):
            console.print(f"    {line}", markup=False)


def _table(*headers: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for header in headers:
        table.add_column(header, overflow="fold")
    return table


def _state(state: str) -> str:
    style = _STATE_STYLE.get(state, "")
    return f"[{style}]{state}[/]" if style else state


def _mapping(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items() if value is not None)
