"""Commands for datasets, the features made of them, and published checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ablate.cli.arguments import (
    RESULTS,
    Cache,
    Device,
    Json,
    NamedStudy,
    Results,
    Sets,
    Smoke,
    Study,
    cache_dir,
    torch_device,
)
from ablate.cli.completion import offer_variants
from ablate.cli.studies import find_study, load_study


def encode(
    spec: Study = None,
    sets: Sets = None,
    smoke: Smoke = False,
    as_json: Json = False,
    device: Device = "auto",
    results: Results = RESULTS,
    cache: Cache = None,
) -> None:
    """Fill the feature cache that a study's runs will read, so that they start at once."""
    from ablate.cli.printing import EncodingProgress, make_console
    from ablate.running.material import prepare
    from ablate.study.plan import make_plan

    study = load_study(spec, sets, smoke, results=results, echo=not as_json)
    folder = cache_dir(cache)
    made = make_plan(study, cache_dir=folder)
    with EncodingProgress(make_console(aside=as_json), folder, torch_device(device)) as reporter:
        prepare(made, reporter)
    if as_json:
        from ablate.cli.emitting import emit
        from ablate.cli.output import Encoded

        emit(Encoded(study.study, str(folder)))
    else:
        print(f"everything that {study.study} reads is in {folder}")


def evaluate(
    spec: NamedStudy,
    reference_checkpoint: Annotated[
        Path, typer.Option(metavar="MODEL.pth", help="Weights in the published implementation's naming.")
    ],
    sets: Sets = None,
    out: Annotated[Path | None, typer.Option(metavar="CSV", help="Write every metric, tidy.")] = None,
    as_json: Json = False,
    device: Device = "auto",
    results: Results = RESULTS,
    cache: Cache = None,
) -> None:
    """Score a trained checkpoint of the published implementation on a study's dataset."""
    from ablate.cli.printing import EncodingProgress, make_console, print_metrics
    from ablate.running.published import evaluate_checkpoint, tidy
    from ablate.study.plan import make_plan

    study = load_study(spec, sets, results=results, echo=not as_json)
    folder = cache_dir(cache)
    run = make_plan(study, cache_dir=folder).runs[0]
    console = make_console(aside=as_json)
    with EncodingProgress(console, folder, torch_device(device)) as reporter:
        frame = evaluate_checkpoint(run, reference_checkpoint, reporter=reporter)
    if as_json:
        from ablate.cli.emitting import emit, metric_values
        from ablate.cli.output import Evaluated

        emit(Evaluated(study.study, metric_values(frame)))
    else:
        print_metrics(console, frame)
    if out is not None:
        from model.files import write_text

        write_text(out, tidy(frame, study.study, reference_checkpoint).to_csv(index=False))
        if not as_json:
            print(f"wrote {out}")


def export(
    study: NamedStudy,
    variant: Annotated[str, typer.Argument(help="Whose trained model.", autocompletion=offer_variants)],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where to.", show_default="VARIANT.onnx")
    ] = None,
    onnx: Annotated[bool, typer.Option("--onnx", help="The format; there is no other yet.")] = True,  # noqa: ARG001
    seed: Annotated[int | None, typer.Option(help="Of its runs.", show_default="the first")] = None,
    category: Annotated[
        str | None, typer.Option(help="Of models per category.", show_default="the first")
    ] = None,
    as_json: Json = False,
    results: Results = RESULTS,
) -> None:
    """Write a variant's trained model as one ONNX graph: images in, maps and scores out."""
    from ablate.running.exported import export_variant

    path = out or Path(f"{variant}.onnx")
    difference = export_variant(find_study(study, results), variant, path, seed=seed, category=category)
    if as_json:
        from ablate.cli.emitting import emit
        from ablate.cli.output import Exported

        emit(Exported(str(path), difference))
        return
    print(f"wrote {path}: onnxruntime reproduces torch to {difference:.1e}")


def draw_stripes(
    out: Annotated[Path, typer.Argument(help="Folder to write to, in MVTec layout.")],
    spec: Annotated[
        str | None,
        typer.Option(metavar="STUDY", help="Take its parameters.", show_default="the defaults"),
    ] = None,
    as_json: Json = False,
    results: Results = RESULTS,
) -> None:
    """Draw the built-in dataset into a folder."""
    from model.data.config import StripesConfig
    from model.data.stripes import write_stripes

    config = StripesConfig()
    if spec is not None:
        config = load_study(spec, results=results, echo=not as_json).data.stripes
    write_stripes(out, config)
    if as_json:
        from ablate.cli.emitting import emit
        from ablate.cli.output import Written

        emit(Written((str(out),)))
        return
    print(f"wrote {out}")


def check_data(
    spec: Study = None,
    out: Annotated[
        Path | None, typer.Option(metavar="PNG", help="Contact sheet.", show_default="STUDY-data.png")
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="One page of all this, instead of the sheet.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 if anything is noted.")] = False,
    as_json: Json = False,
    results: Results = RESULTS,
    cache: Cache = None,
) -> None:
    """Decode every image and mask: counts, strata, all that is wrong, and a contact sheet."""
    from ablate.cli.printing import make_console, print_data, print_strata
    from model.data.contact_sheet import contact_sheet
    from model.data.counts import count, count_strata
    from model.data.dataset import load_dataset
    from model.data.problems import find_problems
    from model.ground_truth import strata_by_sample

    study = load_study(spec, results=results, echo=not as_json)
    folder = cache_dir(cache)
    dataset = load_dataset(study.data, cache_dir=folder)
    counts, problems = count(dataset), find_problems(dataset)
    fatal = any(problem.fatal for problem in problems)
    strata, strata_of, paths = [], None, []
    if not fatal:
        strata_of = strata_by_sample(dataset, study.config(study.rows()[0].overrides), cache_dir=folder)
        strata = count_strata(dataset, strata_of)
        if out is not None or html is None:
            sheet = out or Path(f"{study.study}-data.png")
            paths.append(str(contact_sheet(dataset, sheet, caption=strata_of)))
    if html is not None:
        from ablate.report.data_page import write_data_page

        paths.append(str(write_data_page(html, study.study, dataset, problems, strata_of)))
    if as_json:
        from ablate.cli.emitting import emit
        from ablate.cli.output import Checked

        emit(Checked(study.study, tuple(counts), tuple(strata), tuple(problems), tuple(paths)))
    else:
        console = make_console()
        print_data(console, counts, problems)
        if not fatal:
            print_strata(console, strata)
        for path in paths:
            print(f"wrote {path}")
    if fatal:
        raise typer.Exit(2)
    if strict and problems:
        raise typer.Exit(1)
