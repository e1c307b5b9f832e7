"""Commands for what studies say: report on them, judge their claims, verify and compare them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ablate.cli.arguments import (
    RESULTS,
    Cache,
    Device,
    Json,
    Results,
    Storage,
    Study,
    cache_dir,
    torch_device,
)
from ablate.cli.cluster_commands import joined_study
from ablate.cli.completion import offer_studies
from ablate.cli.studies import find_study, study_folder


def report(
    studies: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[STUDY...]",
            help="One study; or several, side by side.",
            show_default="the study here",
            autocompletion=offer_studies,
        ),
    ] = None,
    decimals: Annotated[
        int | None, typer.Option(help="Decimals of a percentage.", show_default="as a column needs")
    ] = None,
    percent: Annotated[
        bool, typer.Option("--percent/--fraction", help="Percent and points, or fractions.")
    ] = True,
    metrics: Annotated[
        str, typer.Option(help="Metrics of the tables, with commas.", show_default="the usual ones")
    ] = "",
    layout: Annotated[
        str, typer.Option(help="LaTeX tables as wide as the page (wide), or as one column of it (column).")
    ] = "wide",
    venue: Annotated[
        str,
        typer.Option(
            help="Make tables and figures for its pages: cvpr, icml, neurips, iclr, eccv, ieee, ...",
            show_default="as the study file says",
        ),
    ] = "",
    methods: Annotated[
        bool, typer.Option("--methods", help="Print the paragraph for a paper's experimental section.")
    ] = False,
    as_json: Json = False,
    storage: Storage = None,
    results: Results = RESULTS,
) -> None:
    """Remake tables, figures and the report from what has finished so far, on whatever machine.

    Several studies: one report of all their variants, in a folder named after them.
    """
    from ablate.doors import make_report, report_together
    from ablate.report.numbers import style_of

    style = style_of(decimals, percent, metrics, layout, venue)
    named: list[str | None] = [*studies] if studies else [None]
    for study in named:
        if joined := joined_study(study, results, storage):
            from ablate.running.cluster import fetch_results

            fetch_results(joined)
    folders = [find_study(study, results) for study in named]
    page = make_report(folders[0], style) if len(folders) == 1 else report_together(folders, results, style)
    if as_json:
        from ablate.cli.emitting import emit
        from ablate.cli.output import Reported

        emit(Reported(str(page)))
        return
    print(page)
    if methods:
        print(page.with_name("methods.md").read_text(encoding="utf-8"), end="")


def claims(
    study: Study = None,
    as_json: Json = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 unless all are supported or equivalent.")
    ] = False,
    results: Results = RESULTS,
) -> None:
    """Say what became of a study's claims, and what would decide those that are open."""
    from ablate.cli.printing import make_console
    from ablate.doors import judge
    from ablate.evidence.claim_verdicts import SETTLED
    from ablate.report.findings import claim_findings
    from ablate.report.tables.claims import claims_json

    judgement = judge(find_study(study, results))
    if as_json:
        from ablate.cli.emitting import emit
        from ablate.cli.output import Judged

        emit(Judged(**claims_json(judgement)))
    else:
        console = make_console()
        for finding in claim_findings(judgement) or ():
            console.print(f"{finding.subject}: {finding.text}", markup=False, soft_wrap=True)
        if not judgement.claims:
            console.print("the study states no claims")
    if strict and any(judged.verdict not in SETTLED for judged in judgement.claims):
        raise typer.Exit(1)


def compare(
    first: Annotated[str, typer.Argument(metavar="A", help="A study.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another.")],
    as_json: Json = False,
    results: Results = RESULTS,
) -> None:
    """Compare the variants of two studies that have one name, paired by seed: B minus A."""
    from ablate.cli.printing import make_console
    from ablate.doors import gather
    from ablate.report.rendering import to_rich
    from ablate.report.tables.compared import compared_table

    folders = [find_study(study, results) for study in (first, second)]
    table = compared_table(gather(folders[0]), gather(folders[1]))
    if as_json:
        from ablate.cli.emitting import emit
        from ablate.cli.output import Compared

        emit([Compared(*row) for row in table.raw.itertuples(index=False, name=None)])
        return
    console = make_console()
    console.print(to_rich(table))
    console.print(table.caption, markup=False, soft_wrap=True)


def import_rows(
    study: Annotated[str, typer.Argument(metavar="STUDY", help="A study.", autocompletion=offer_studies)],
    file: Annotated[
        Path, typer.Argument(metavar="CSV", help="variant, metric, value; or a column per metric.")
    ],
    source: Annotated[str, typer.Option(help="Where the numbers come from: paper and table.")] = "",
    percent: Annotated[
        bool, typer.Option("--percent/--fraction", help="What the file's values are.")
    ] = True,
    as_json: Json = False,
    results: Results = RESULTS,
) -> None:
    """Add rows from elsewhere to a study's tables: quoted, marked as such, and never compared."""
    from ablate.evidence.quoted import import_quoted
    from ablate.report.words import plural

    folder = find_study(study, results)
    count = import_quoted(folder, file, source=source, percent=percent)
    if as_json:
        from ablate.cli.emitting import emit
        from ablate.cli.output import Imported

        emit(Imported(folder.name, count))
        return
    print(f"{plural(count, 'value')} added; remake the tables with: ablate report {folder.name}")


def verify(
    study: Study = None,
    rerun: Annotated[
        int, typer.Option(min=0, metavar="K", help="Also compute K random runs again, from scratch.")
    ] = 0,
    tolerance: Annotated[
        float | None,
        typer.Option(min=0.0, help="Points by which such a run may differ.", show_default="report.margin"),
    ] = None,
    as_json: Json = False,
    device: Device = "auto",
    cache: Cache = None,
    results: Results = RESULTS,
) -> None:
    """Compute again all that a report's tables print; exit with 1 at the first thing that differs."""
    from ablate.cli.printing import EncodingProgress, make_console
    from ablate.report.verifying import verify as recompute

    folder = study_folder(study, results)
    found = recompute(folder)
    lines: tuple[str, ...] = ()
    wrong = bool(found.wrong)
    if rerun and not wrong:
        from ablate.report.rerunning import rerun_some, rerun_summary

        console = make_console(aside=as_json)
        with EncodingProgress(console, cache_dir(cache), torch_device(device)) as reporter:
            checked = rerun_some(folder, rerun, reporter, tolerance=tolerance)
        lines, wrong = tuple(rerun_summary(checked)), bool(checked.wrong)
    if as_json:
        from ablate.cli.emitting import emit
        from ablate.cli.output import Verified

        emit(Verified(not wrong, found.files, found.numbers, found.seal, found.wrong, lines))
    elif found.wrong:
        make_console().print(found.wrong, markup=False, soft_wrap=True)
    else:
        sealed = f"; claims sealed as {found.seal}" if found.seal else "; no claims were sealed"
        agreed = f"{found.numbers} numbers in {found.files} files, all as recomputed{sealed}"
        for line in (agreed, *lines):
            make_console().print(line, markup=False, soft_wrap=True)
    if wrong:
        raise typer.Exit(1)
