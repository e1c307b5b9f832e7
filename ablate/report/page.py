"""The report: one self-contained page, and every table and figure as a file of its own.

Made from the study's folder alone, at any time, as often as wanted: nothing is trained. Each file is
replaced in one step and the page comes last, so a reader never meets half a report.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table as RichTable

from ablate.evidence.figure_data import forest
from ablate.evidence.gather import gather
from ablate.evidence.results import Results, metric_label
from ablate.evidence.stats import SIGN_FLIP_FROM, Difference, Judged, judge, smallest_sign_flip_p
from ablate.report.rendering import RENDERINGS, Table, to_rich
from ablate.report.tables import (
    SELECTION_WARNING,
    all_tables,
    common_notes,
    encoder_note,
    fixed,
    interval_text,
    p_text,
    plural,
    summary_table,
)
from model.errors import StorageError
from model.files import write_bytes

PAGE = "index.html"
_MANIFEST = ".files.json"


@dataclass(frozen=True)
class Finding:
    """One sentence of the headline."""

    verdict: str
    """``better``, ``worse``, ``supported``, ``refuted``, ``undecided``, ``equal`` or ``missing``."""
    subject: str
    text: str


# ---------------------------------------------------------------------------------- plain words


def claim_findings(results: Results) -> list[Finding]:
    """What became of the claims stated before the runs."""
    return [_claim_finding(j) for j in judge(results.frame, results.claims, results.alpha)]


def headline(results: Results) -> list[Finding]:
    """Which variants differ from the baseline for real and which are noise, in plain words."""
    return [_difference_finding(d, results.same_as.get(d.variant)) for d in forest(results)]


def _claim_finding(judged: Judged) -> Finding:
    d = judged.difference
    where = f" on {d.category}" if d.category else ""
    subject = f"{judged.claim.left} {judged.claim.direction} {judged.claim.right}{where}"
    if not d.n:
        return Finding("missing", subject, f"no pair of {metric_label(d.metric)} values yet.")
    return Finding(judged.verdict, subject, f"{judged.verdict}: {_evidence(d)}")


def _difference_finding(d: Difference, original: str | None) -> Finding:
    subject = f"{d.variant} vs {d.baseline}"
    if original is not None:
        return Finding(d.verdict, subject, f"is the configuration of {original}: the same runs.")
    if not d.n:
        return Finding("missing", subject, f"no pair of {metric_label(d.metric)} values yet.")
    words = {"better": "better", "worse": "worse", "equal": "identical", "undecided": "undecided"}
    return Finding(d.verdict, subject, f"{words[d.verdict]}: {_evidence(d)}")


def _evidence(d: Difference) -> str:
    """The number, its interval, and what it takes to know more."""
    points = f"{fixed(d.estimate.mean, signed=True)} points {metric_label(d.metric)}"
    if d.n == 1:
        return f"{points} at one seed. One seed has no interval, so nothing follows from it."
    if d.identical:
        return f"{points} in each of {d.n} seeds. The seeds do not differ, so they test nothing."
    numbers = f"{points} {interval_text(d.estimate)} at {d.n} seeds"
    if d.verdict in ("better", "worse"):
        return f"{numbers}, p = {p_text(d.p_holm)} (Holm over {d.family}).".replace("= <", "<")
    return f"{numbers}. {_needs(d)}"


def _needs(d: Difference) -> str:
    """What would decide an undecided comparison."""
    blind = f"With {d.n} seeds only differences from {fixed(d.detectable)} points on are found reliably"
    needed = d.seeds_needed
    if needed is None or needed > 50:
        return f"{blind}; if there is one of the size observed, seeds alone will hardly show it."
    clause = " The interval excludes 0, but not after Holm." if d.apart else ""
    more = f"Needs about {needed - d.n} more seeds ({needed} in all) if the effect is as observed."
    return f"{more}{clause} {blind}."


def caveats(results: Results) -> list[str]:
    """What a reader must know before believing a number."""
    found = list(results.warnings)
    seeds = len(results.seeds)
    if seeds == 1:
        found.append("One seed: no spread, no interval, no test. Differences below may be noise.")
    elif seeds < SIGN_FLIP_FROM:
        found.append(
            f"With {plural(seeds, 'seed')} the sign-flip permutation test cannot reach p < 0.05: its "
            f"smallest two-sided p is {smallest_sign_flip_p(seeds):.3g}. All tests here are t-tests."
        )
    if seeds == 2:
        found.append("Two seeds leave a t-test one degree of freedom: read a verdict from them as a hint.")
    states = Counter(run.state for run in results.runs)
    if open_ := sum(n for state, n in states.items() if state not in ("done", "failed")):
        found.append(
            f"{open_} of {plural(len(results.runs), 'run')} are not finished; their cells are missing."
        )
    if states["failed"]:
        found.append(f"{plural(states['failed'], 'run')} failed; see Runs.")
    if results.selects_on_report:
        found.append(
            "This study selected on what it reports, so its best rows are optimistic. "
            "With data.selection: half it would not."
        )
    if note := encoder_note(results.encoder):
        found.append(f"Encoder: {results.encoder}. {note}")
    return found


# ---------------------------------------------------------------------------------- the page


@dataclass(frozen=True)
class Picture:
    """A drawn figure, ready for the page."""

    name: str
    title: str
    caption: str
    png: bytes
    pdf: bytes
    inches: float
    """Width on paper."""

    @property
    def source(self) -> str:
        """As an ``img`` tag takes it."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode("ascii")


def draw(results: Results) -> dict[str, list[Picture]]:
    """Every figure of the study, by section of the report."""
    from ablate.report.figures import study as figures

    found: dict[str, list[Picture]] = {}
    with figures.style():
        for section, drawings in figures.SECTIONS.items():
            for drawing in drawings(results):
                png, pdf = io.BytesIO(), io.BytesIO()
                drawing.figure.savefig(png, format="png", dpi=drawing.dpi)
                # Without a date the same results give the same file.
                drawing.figure.savefig(pdf, format="pdf", metadata={"CreationDate": None})
                picture = Picture(
                    drawing.name,
                    drawing.title,
                    drawing.caption,
                    png.getvalue(),
                    pdf.getvalue(),
                    float(drawing.figure.get_figwidth()),
                )
                found.setdefault(section, []).append(picture)
    return found


def render(results: Results, tables: Sequence[Table], pictures: dict[str, list[Picture]]) -> str:
    """The page as HTML: no external file, no script."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("ablate.report", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template("report.html").render(
        results=results,
        label=metric_label(results.primary),
        claims=claim_findings(results),
        findings=headline(results),
        repeated=set(common_notes(results)) - {SELECTION_WARNING},
        caveats=caveats(results),
        tables={table.name: table for table in tables},
        strata_tables=[table for table in tables if table.name.startswith("strata_")],
        pictures=pictures,
        header_groups=_header_groups,
        states=Counter(run.state for run in results.runs),
        troubled=_troubled(results),
        provenance=_facts(results),
        hours=_hours(results),
    )


def _header_groups(table: Table) -> list[tuple[str, int]]:
    """(group, columns) of the header's upper row; empty if no column is grouped."""
    if not any(column.group for column in table.columns):
        return []
    runs: list[tuple[str, int]] = []
    for column in table.columns:
        if runs and column.group and runs[-1][0] == column.group:
            runs[-1] = (column.group, runs[-1][1] + 1)
        else:
            runs.append((column.group, 1))
    return runs


def _troubled(results: Results) -> list[tuple[str, str, str, str, str]]:
    """Runs without results, those with the same state and reason in one line."""
    grouped: dict[tuple[str, str, str, str], list[int]] = {}
    for run in results.runs:
        if run.state != "done":
            at = (run.state, run.variant, run.category or "", run.reason)
            grouped.setdefault(at, []).append(run.seed)
    order = {"failed": 0, "lost": 1, "interrupted": 2, "running": 3, "waiting": 4}
    lines = sorted(grouped.items(), key=lambda item: order.get(item[0][0], 5))
    return [
        (state, variant, category, ", ".join(map(str, sorted(set(seeds)))), reason)
        for (state, variant, category, reason), seeds in lines
    ]


def _hours(results: Results) -> str:
    """Computing time of the distinct finished runs."""
    seconds = {run.key: run.seconds for run in results.runs if run.state == "done"}
    known = [s for s in seconds.values() if math.isfinite(s)]
    if not known:
        return ""
    total = sum(known)
    return (
        f"{total / 3600:.1f} h"
        if total >= 3600
        else f"{total / 60:.0f} min"
        if total >= 60
        else f"{total:.0f} s"
    )


def _facts(results: Results) -> list[tuple[str, str]]:
    """Provenance as name and value, only what one of the runs recorded."""
    p = results.provenance
    code = p.get("code") or {}
    hardware = p.get("hardware") or {}
    dirty = " with uncommitted changes" if code.get("dirty") else ""
    machine = ", ".join(str(hardware[k]) for k in ("gpu", "cpu") if hardware.get(k))
    packages = ", ".join(f"{name} {version}" for name, version in (p.get("packages") or {}).items())
    found: list[tuple[str, Any]] = [
        ("dataset", f"{results.dataset}, {results.setting}" if results.dataset else ""),
        ("split", results.split),
        ("encoder", results.encoder),
        ("encoder weights", p.get("encoder_weights")),
        ("data contents", p.get("data_contents")),
        ("code", f"{code['commit'][:12]}{dirty}" if code.get("commit") else ""),
        ("command", " ".join(map(str, p.get("argv") or []))),
        ("machine", machine),
        ("python", p.get("python")),
        ("packages", packages),
    ]
    return [(name, str(value)) for name, value in found if value]


# ---------------------------------------------------------------------------------- files


def make_report(study_dir: Path) -> Path:
    """Remake ``report/`` of a study; returns the page's path.

    Files that an earlier report made and this one does not are removed; others are left alone.

    Raises
    ------
    StorageError: nothing to report yet, or the folder cannot be written.
    """
    results = gather(study_dir)
    tables = all_tables(results)
    pictures = draw(results)
    page = render(results, tables, pictures)
    folder = study_dir / "report"
    made: list[str] = []
    with _storage_errors(folder):
        before = _manifest(folder)
        for name, content in _contents(tables, pictures):
            write_bytes(folder / name, content)
            made.append(name)
        write_bytes(folder / PAGE, page.encode("utf-8"))
        write_bytes(folder / _MANIFEST, json.dumps(sorted(made)).encode("ascii"))
        for name in set(before) - set(made):
            (folder / name).unlink(missing_ok=True)
    return folder / PAGE


def _contents(tables: Iterable[Table], pictures: dict[str, list[Picture]]) -> Iterator[tuple[str, bytes]]:
    for table in tables:
        for suffix, rendering in RENDERINGS.items():
            yield f"{table.name}{suffix}", rendering(table).encode("utf-8")
    for picture in (p for group in pictures.values() for p in group):
        yield f"figures/{picture.name}.png", picture.png
        yield f"figures/{picture.name}.pdf", picture.pdf


def _manifest(folder: Path) -> list[str]:
    """Files of the previous report; nothing outside its folder, whatever the manifest says."""
    try:
        names = json.loads((folder / _MANIFEST).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return []
    root = folder.resolve()
    return [str(n) for n in names if (folder / str(n)).resolve().is_relative_to(root)]


@contextlib.contextmanager
def _storage_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"the report cannot be written: {error.strerror or error}", where=str(error.filename or folder)
        ) from error


def terminal_table(study_dir: Path) -> RichTable:
    """A few columns for the end of a run, at most 80 characters wide where names are short.

    Raises :class:`StorageError` if there is nothing to show.
    """
    return to_rich(summary_table(gather(study_dir)))
