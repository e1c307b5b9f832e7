"""The report: one self-contained page, and every table and figure as a file of its own.

Made from the study's folder alone, at any time, as often as wanted: nothing is trained. Each file is
replaced in one step and the page comes last, so a reader never meets half a report.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from markupsafe import Markup
from rich.table import Table as RichTable

from ablate.evidence.gallery import kept_images
from ablate.evidence.gather import gather
from ablate.evidence.judgement import Judgement
from ablate.evidence.kept import keep
from ablate.evidence.results import Results
from ablate.report import inside, methods
from ablate.report.figures.pictures import Picture, draw
from ablate.report.figures.tiles import gallery_tiles
from ablate.report.findings import caveats, claim_findings, headline
from ablate.report.methods import methods_files, methods_text
from ablate.report.numbers import STYLE, USUAL, Style, family, figures_venue, write_style
from ablate.report.rendering import rendered, to_rich
from ablate.report.table import Table
from ablate.report.tables.every import all_tables
from ablate.report.tables.notes import SELECTION_WARNING, common_notes
from ablate.report.tables.summary import summary_table
from ablate.report.words import duration_text, metric_label, variant_label, verdict_text
from model.files import storage_errors, write_bytes

PAGE = "report.html"
_MANIFEST = ".files.json"


def render(
    judgement: Judgement,
    tables: Sequence[Table],
    pictures: Mapping[str, Sequence[Picture]],
    gallery: Mapping[str, Any] | None = None,
    style: Style = USUAL,
) -> str:
    """The page as HTML: one file that loads nothing.

    ``gallery``: what :func:`~ablate.report.figures.tiles.gallery_tiles` makes of the kept images.
    """
    results = judgement.results
    runs, settings = inside.runs_table(results), inside.settings_table(results)
    program, program_hash = inside.script()
    return inside.template("report.html").render(
        results=results,
        style=Markup(inside.template_text("report.css")),
        script=program,
        script_hash=program_hash,
        carried=inside.embedded(
            {"tables": inside.table_files([*tables, runs, settings], style), "gallery": gallery}
        ),
        carries_gallery=gallery is not None,
        runs=runs,
        settings=settings,
        common=inside.common_settings(results),
        spec=inside.study_file(results),
        commands=inside.commands(results),
        methods=methods_text(judgement),
        logs=inside.log_ends(results),
        label=metric_label(results.primary),
        baseline=variant_label(results, results.baseline),
        claims=claim_findings(judgement),
        findings=headline(judgement),
        repeated=set(common_notes(results)) - {SELECTION_WARNING},
        caveats=caveats(judgement),
        tables={table.name: table for table in tables},
        strata_tables=[table for table in tables if table.name.startswith("strata_")],
        factor_tables=[t for t in tables if t.name.startswith(("factors", "crossed"))],
        search_tables=[t for t in tables if t.name == "search" or t.name.startswith("search_")],
        pictures=pictures,
        header_groups=_header_groups,
        verdict_text=verdict_text,
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
        (state, variant_label(results, variant), category, ", ".join(map(str, sorted(set(seeds)))), reason)
        for (state, variant, category, reason), seeds in lines
    ]


def _hours(results: Results) -> str:
    """Computing time of the distinct finished runs."""
    seconds = {run.key: run.seconds for run in results.runs if run.state == "done"}
    known = [s for s in seconds.values() if math.isfinite(s)]
    if not known:
        return ""
    return duration_text(sum(known))


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


def make_report(study_dir: Path, style: Style = USUAL) -> Path:
    """Remake ``report/`` of a study from its folder; returns the page's path.

    Raises :class:`~model.errors.StorageError`: nothing to report yet, or the folder cannot be written.
    """
    return write_report(Judgement(gather(study_dir)), style)


def write_report(judgement: Judgement, style: Style = USUAL) -> Path:
    """Remake ``report/`` in the study's folder; returns the page's path.

    ``style``: how numbers and LaTeX tables print; noted, so that it can be verified.

    Files that an earlier report made and this one does not are removed; others are left alone.
    Raises :class:`~model.errors.StorageError` if the folder cannot be written.
    """
    if style.venue:
        venue = figures_venue(style.venue)
        judgement = Judgement(replace(judgement.results, venue=venue))
    else:
        style = replace(style, venue=family(judgement.results.venue))
    tables = all_tables(judgement, style)
    pictures = draw(judgement)
    kept = kept_images(judgement.results)
    shown = gallery_tiles(kept, judgement.results) if kept else None
    page = render(judgement, tables, pictures, shown, style)
    folder = judgement.results.folder / "report"
    before = _manifest(folder)
    made: list[str] = []
    for name, content in _contents(judgement, tables, pictures, style):
        _replace(folder / name, content)
        made.append(name)
    _replace(folder / PAGE, page.encode("utf-8"))
    write_style(folder / STYLE, style)
    keep(judgement.results, judgement.image_evidence.found)
    _replace(folder / _MANIFEST, json.dumps(sorted(made)).encode("ascii"))
    for name in set(before) - set(made):
        with storage_errors(folder / name):
            (folder / name).unlink(missing_ok=True)
    return folder / PAGE


def _contents(
    judgement: Judgement,
    tables: Iterable[Table],
    pictures: Mapping[str, Sequence[Picture]],
    style: Style,
) -> Iterator[tuple[str, bytes]]:
    for suffix, text in methods_files(judgement).items():
        yield f"{methods.NAME}{suffix}", text.encode("utf-8")
    for table in tables:
        for suffix, text in rendered(table, style).items():
            yield f"{table.name}{suffix}", text.encode("utf-8")
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


def _replace(path: Path, content: bytes) -> None:
    # Not durable: what a power cut takes is remade by asking again.
    write_bytes(path, content, durable=False)


def terminal_table(judgement: Judgement) -> RichTable:
    """A few columns for the end of a run, at most 80 characters wide where names are short."""
    return to_rich(summary_table(judgement))
