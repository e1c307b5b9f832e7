"""Commands to begin with: a first study, editors, the installation, pictures of the priors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ablate.cli.arguments import RESULTS, Cache, Json, Results, cache_dir, init_options, write_new
from ablate.cli.completion import offer_presets, offer_studies
from ablate.cli.studies import load_study


def priors(
    out: Annotated[Path, typer.Argument(metavar="DIR", help="Folder for the pictures.")],
    as_json: Json = False,
) -> None:
    """Draw what each prior does: token masks, schedules, loss tails, attention weights."""
    from ablate.report.figures.priors import draw_priors as draw

    paths = tuple(map(str, draw(out)))
    if as_json:
        from ablate.cli.emitting import emit
        from ablate.cli.output import Written

        emit(Written(paths))
        return
    for path in paths:
        print(path)


def init(
    name: Annotated[str, typer.Argument(help="The study's name.")],
    dataset: Annotated[str, typer.Option(help="Layout of the dataset; stripes is built in.")] = "stripes",
    root: Annotated[str | None, typer.Option(help="Its folder; ${NAME} is kept as is.")] = None,
    from_data: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Recognise this folder's layout: dataset, root, categories."),
    ] = None,
    categories: Annotated[str, typer.Option(metavar="A,B", help="Categories.", show_default="all")] = "",
    preset: Annotated[
        str, typer.Option(help="Starting point.", autocompletion=offer_presets)
    ] = "dinomaly-base",
    q: Annotated[str, typer.Option(metavar="Q,Q", help="Prior B: tail fractions.")] = "",
    alpha: Annotated[str, typer.Option(metavar="A,A", help="Prior B: weights of direction.")] = "",
    mask: Annotated[str, typer.Option(metavar="P,P", help="Prior A: segment, stripe, token, block.")] = "",
    bias: Annotated[str, typer.Option(metavar="L,L", help="Prior C: attention bias strengths.")] = "",
    schedule: Annotated[
        str, typer.Option(metavar="S,S", help="Prior A2: constant, linear, cosine, exponential, step.")
    ] = "constant",
    seeds: Annotated[int, typer.Option(min=1, help="Replicates.")] = 5,
    design: Annotated[str, typer.Option(help="one-at-a-time or grid.")] = "one-at-a-time",
    per_category: Annotated[bool, typer.Option("--per-category", help="One model per category.")] = False,
    out: Annotated[Path | None, typer.Option(help="File to write.", show_default="standard output")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file.")] = False,
    as_json: Json = False,
    cache: Cache = None,
) -> None:
    """Write a commented study to start from."""
    from ablate.cli.starter import init_text

    options = init_options(
        name=name,
        dataset=dataset,
        root=root,
        from_data=from_data,
        cache=cache,
        categories=categories,
        preset=preset,
        q=q,
        alpha=alpha,
        mask=mask,
        bias=bias,
        schedule=schedule,
        seeds=seeds,
        design=design,
        per_category=per_category,
    )
    text = init_text(options)
    if out is not None:
        write_new(out, text, force=force)
    if as_json:
        from ablate.cli.emitting import emit
        from ablate.cli.output import Written

        emit(Written((), text) if out is None else Written((str(out),)))
    elif out is None:
        print(text, end="")
    else:
        print(f"wrote {out}; next: ablate plan {out}")


def schema(
    out: Annotated[Path | None, typer.Option(help="File to write.", show_default="standard output")] = None,
    plugins: Annotated[
        list[str] | None,
        typer.Option("--plugin", metavar="MODULE", help="With a plug-in's settings.", show_default="none"),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(metavar="COMMAND", help="Of what a command prints with --json.", show_default="none"),
    ] = None,
) -> None:
    """Print the JSON schema of a spec, with which editors complete and check it.

    Write it beside your studies and let their first line be:
    # yaml-language-server: $schema=study.schema.json
    """
    import json

    from ablate.study.schema import MODELINE, study_schema
    from model.plugins import load_plugins

    load_plugins(plugins or (), Path())
    if output is not None:
        from ablate.cli.emitting import schema_of

        print(json.dumps(schema_of(output), indent=1))
        return
    text = json.dumps(study_schema(), indent=1) + "\n"
    if out is None:
        print(text, end="")
    else:
        write_new(out, text, force=True)
        print(f"wrote {out}; first line of a study: {MODELINE.format(path=out)}")


def doctor(
    spec: Annotated[
        str | None,
        typer.Argument(
            metavar="[STUDY]",
            help="Whose encoder to look at.",
            show_default="the default one",
            autocompletion=offer_studies,
        ),
    ] = None,
    probe: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Find out whether locks in a results folder hold between two hosts, started on both.",
            show_default="no probe",
        ),
    ] = None,
    as_json: Json = False,
    results: Results = RESULTS,
    cache: Cache = None,
) -> None:
    """Check versions, devices, disk and weights. Downloads nothing; only --probe leaves a record."""
    from ablate.cli.doctor import examine, probed
    from ablate.cli.printing import make_console, print_findings
    from model.config import EncoderConfig

    if probe is not None:
        from ablate.running.probe import probe as try_locks

        def say(line: str) -> None:
            make_console(aside=True).print(line, markup=False, soft_wrap=True)

        findings = [probed(try_locks(probe, say=say))]
    else:
        encoder = EncoderConfig()
        if spec is not None:
            study = load_study(spec, results=results, echo=not as_json)
            encoder = study.config(study.rows()[0].overrides).encoder
        findings = examine(cache_dir(cache), results, encoder)
    if as_json:
        from ablate.cli.emitting import emit

        emit(list(findings))
    else:
        print_findings(make_console(), findings)
    if any(finding.level == "problem" for finding in findings):
        raise typer.Exit(1)
