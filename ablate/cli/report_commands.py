"""Commands for what studies say: report on them, judge their claims, verify and compare them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ablate.cli.arguments import Json, Results, Storage, Study, find_study, quiet_study
from ablate.cli.cluster_commands import joined_study


def report(
    study: Study,
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
        str, typer.Option(help="Page of LaTeX tables: cvpr, icml, neurips, iclr, eccv, ieee, article.")
    ] = "cvpr",
    methods: Annotated[
        bool, typer.Option("--methods", help="Print the paragraph for a paper's experimental section.")
    ] = False,
    storage: Storage = None,
    results: Results = Path("results"),
) -> None:
    """Remake tables, figures and the report from what has finished so far, on whatever machine."""
    from ablate.doors import make_report
    from ablate.report.numbers import style_of

    style = style_of(decimals, percent, metrics, layout, venue)
    joined = joined_study(study, results, storage)
    if joined:
        from ablate.running.cluster import fetch_results

        fetch_results(joined)
    page = make_report(find_study(study, results), style)
    print(page)
    if methods:
        print(page.with_name("methods.md").read_text(encoding="utf-8"), end="")


def claims(
    study: Study,
    as_json: Json = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 unless all are supported or equivalent.")
    ] = False,
    results: Results = Path("results"),
) -> None:
    """Say what became of a study's claims, and what would decide those that are open."""
    from ablate.cli.printing import make_console, print_json
    from ablate.doors import judge
    from ablate.evidence.claim_verdicts import SETTLED
    from ablate.report.findings import claim_findings
    from ablate.report.tables.claims import claims_json

    judgement = judge(find_study(study, results))
    if as_json:
        print_json(claims_json(judgement))
    else:
        console = make_console()
        for finding in claim_findings(judgement) or ():
            console.print(f"{finding.subject}: {finding.text}", markup=False, soft_wrap=True)
        if not judgement.claims:
            console.print("the study states no claims")
    if strict and any(judged.verdict not in SETTLED for judged in judgement.claims):
        raise typer.Exit(1)


def verify(study: Study, results: Path = Path("results")) -> None:
    """Compute again all that a report's tables print; exit with 1 at the first thing that differs."""
    from ablate.cli.printing import make_console
    from ablate.report.verifying import verify as recompute

    found = recompute(quiet_study(study, results))
    console = make_console()
    if found.wrong:
        console.print(found.wrong, markup=False, soft_wrap=True)
        raise typer.Exit(1)
    sealed = f"; claims sealed as {found.seal}" if found.seal else "; no claims were sealed"
    console.print(
        f"{found.numbers} numbers in {found.files} files, all as recomputed{sealed}", soft_wrap=True
    )
