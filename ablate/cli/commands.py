"""The command line: parse, call, print. No logic, and nothing slow is imported before it is needed.

Exit codes: 0 done; 1 some runs failed; 2 a mistake that the user can mend (spec, data, weights,
disk); 130 and 143 stopped by SIGINT and SIGTERM.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from model import __version__
from model.errors import UserError

if TYPE_CHECKING:
    from ablate.running.session import RunOptions
    from ablate.study.spec import StudySpec

app = typer.Typer(
    name="ablate",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Ablation studies for anomaly detection: one YAML file in, paper-ready evidence out.",
)
data_app = typer.Typer(no_args_is_help=True, help="Look at datasets, or draw the built-in one.")
app.add_typer(data_app, name="data")

SpecFile = Annotated[Path, typer.Argument(metavar="STUDY.yaml", help="The study's spec.")]
Study = Annotated[str, typer.Argument(metavar="STUDY", help="A study's name, results folder or spec.")]
Results = Annotated[Path, typer.Option(metavar="DIR", help="Where studies keep their results.")]
Cache = Annotated[
    Path | None,
    typer.Option(metavar="DIR", envvar="ABLATE_CACHE", help="Features and drawn data. [default: per user]"),
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Override the spec, e.g. base.train.iterations=100."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Smoke = Annotated[bool, typer.Option("--smoke", help="A tiny version of the study, through every part.")]
MaxRuns = Annotated[int | None, typer.Option(min=1, help="Start at most this many runs.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Runs at a time. [default: one per GPU, or 1]")]
Timeout = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Stop a run after this long and count it as failed: 90, 30m, 2h."),
]
Retries = Annotated[int, typer.Option(min=0, help="New attempts at a run whose worker died.")]
RetryFailed = Annotated[bool, typer.Option(help="Also run again what failed before.")]
KeepGoing = Annotated[bool, typer.Option("--keep-going/--fail-fast", help="After a failed run.")]
Device = Annotated[str, typer.Option(metavar="DEVICE", help="auto, cpu, cuda, or GPUs to share: cuda:0,1.")]
Threads = Annotated[int | None, typer.Option(min=1, help="CPU threads per run. [default: cores / workers]")]


@app.callback()
def _global(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of user errors too.")] = False,  # noqa: ARG001 - read by main()
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        print(__version__)
        raise typer.Exit()


@app.command()
def run(
    spec: SpecFile,
    sets: Sets = None,
    workers: Workers = None,
    max_runs: MaxRuns = None,
    timeout: Timeout = None,
    retries: Retries = 1,
    retry_failed: RetryFailed = False,
    keep_going: KeepGoing = True,
    smoke: Smoke = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print the plan.")] = False,
    device: Device = "auto",
    threads: Threads = None,
    results: Results = Path("results"),
    cache: Cache = None,
) -> None:
    """Run a study: what is missing of it; finished runs are never repeated."""
    from ablate.cli.arguments import cache_dir, run_options, set_threads

    study = _load(spec, sets, smoke)
    set_threads(threads)
    options = run_options(
        workers=workers,
        max_runs=max_runs,
        timeout=timeout,
        retries=retries,
        retry_failed=retry_failed,
        fail_fast=not keep_going,
        device=device,
        cache=cache,
    )
    if dry_run:
        _print_plan(study, results, cache_dir(cache), options.workers, False, options.device)
        return
    raise typer.Exit(_start(study, results, options))


@app.command()
def resume(
    study: Study,
    workers: Workers = None,
    max_runs: MaxRuns = None,
    timeout: Timeout = None,
    retries: Retries = 1,
    retry_failed: RetryFailed = False,
    keep_going: KeepGoing = True,
    device: Device = "auto",
    threads: Threads = None,
    results: Results = Path("results"),
    cache: Cache = None,
) -> None:
    """Go on with a study as it was started, overrides included."""
    from ablate.cli.arguments import find_study, run_options, set_threads
    from ablate.study.spec import load_spec

    folder = find_study(study, results)
    set_threads(threads)
    options = run_options(
        workers=workers,
        max_runs=max_runs,
        timeout=timeout,
        retries=retries,
        retry_failed=retry_failed,
        fail_fast=not keep_going,
        device=device,
        cache=cache,
    )
    raise typer.Exit(_start(load_spec(folder / "spec.yaml"), folder.parent, options))


@app.command()
def plan(
    spec: SpecFile,
    sets: Sets = None,
    smoke: Smoke = False,
    as_json: Json = False,
    workers: Annotated[int, typer.Option(min=1, help="Workers to estimate the time for.")] = 1,
    results: Results = Path("results"),
    cache: Cache = None,
) -> None:
    """Say what a study would run: cells, duplicates, what is cached, how long it takes."""
    from ablate.cli.arguments import cache_dir

    _print_plan(_load(spec, sets, smoke, echo=not as_json), results, cache_dir(cache), workers, as_json)


@app.command()
def show(
    spec: SpecFile,
    sets: Sets = None,
    variant: Annotated[str | None, typer.Option(help="Only this one.")] = None,
) -> None:
    """Show what every variant resolves to, and its schedules over training."""
    from ablate.cli.printing import make_console, print_study

    print_study(make_console(), _load(spec, sets), variant)


@app.command()
def status(
    study: Study,
    as_json: Json = False,
    watch: Annotated[bool, typer.Option("--watch", help="Keep looking until nobody works on it.")] = False,
    results: Results = Path("results"),
) -> None:
    """Say where a study stands, also while it is running."""
    from ablate.cli.printing import make_console, print_json, print_status, watched
    from ablate.running.status import status as read_status

    folder = _study_dir(study, results)
    if as_json:
        print_json(read_status(folder).as_dict())
        return
    console = make_console()
    for state in watched(lambda: read_status(folder), console) if watch else [read_status(folder)]:
        print_status(console, state)


@app.command()
def logs(
    study: Study,
    run_name: Annotated[
        str | None,
        typer.Argument(metavar="[RUN]", help="Start of a run's key, or its variant. [default: list all]"),
    ] = None,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="Last lines to print.")] = 40,
    results: Results = Path("results"),
) -> None:
    """List the logs of a study's runs, or print the end of some."""
    from ablate.cli.printing import make_console, print_log_ends, print_logs
    from ablate.running.status import status as read_status

    state = read_status(_study_dir(study, results))
    if run_name is None:
        print_logs(make_console(), state)
    else:
        print_log_ends(make_console(), state, run_name, lines)


@app.command()
def report(study: Study, results: Results = Path("results")) -> None:
    """Remake tables, figures and the report from what has finished so far."""
    from ablate.report.page import make_report
    from ablate.running.frame import refresh_frame

    folder = _study_dir(study, results)
    refresh_frame(folder)
    print(make_report(folder))


@app.command()
def clean(
    study: Study,
    yes: Annotated[bool, typer.Option("--yes", help="Delete; without it, only list.")] = False,
    interrupted: Annotated[
        bool, typer.Option("--interrupted", help="Also attempts that could be continued.")
    ] = False,
    results: Results = Path("results"),
) -> None:
    """List (or delete) what dead or finished work left behind; never anything of a live run."""
    from ablate.cli.printing import make_console, print_litter
    from ablate.running.clean import clean as find_litter

    litter = find_litter(_study_dir(study, results), dry=not yes, interrupted=interrupted)
    print_litter(make_console(), litter, dry=not yes)


@app.command()
def encode(
    spec: SpecFile, sets: Sets = None, smoke: Smoke = False, device: Device = "auto", cache: Cache = None
) -> None:
    """Fill the feature cache that a study's runs will read, so that they start at once."""
    from ablate.cli.arguments import cache_dir, torch_device
    from ablate.cli.printing import EncodingProgress, make_console
    from ablate.running.one_run import prepare
    from ablate.study.plan import make_plan

    study, folder = _load(spec, sets, smoke), cache_dir(cache)
    made = make_plan(study, cache_dir=folder)
    with EncodingProgress(make_console(), folder, torch_device(device)) as reporter:
        prepare(made, reporter)
    print(f"everything that {study.study} reads is in {folder}")


@app.command()
def evaluate(
    spec: SpecFile,
    reference_checkpoint: Annotated[
        Path, typer.Option(metavar="MODEL.pth", help="Weights in the published implementation's naming.")
    ],
    sets: Sets = None,
    out: Annotated[Path | None, typer.Option(metavar="CSV", help="Write every metric, tidy.")] = None,
    device: Device = "auto",
    cache: Cache = None,
) -> None:
    """Score a trained checkpoint of the published implementation on a study's dataset."""
    from ablate.cli.arguments import cache_dir, torch_device
    from ablate.cli.printing import EncodingProgress, make_console, print_metrics
    from ablate.running.published import evaluate_checkpoint, tidy
    from ablate.study.plan import make_plan

    study, folder = _load(spec, sets), cache_dir(cache)
    run = make_plan(study, cache_dir=folder).runs[0]
    console = make_console()
    with EncodingProgress(console, folder, torch_device(device)) as reporter:
        frame = evaluate_checkpoint(run, reference_checkpoint, reporter=reporter)
    print_metrics(console, frame)
    if out is not None:
        from model.files import write_text

        write_text(out, tidy(frame, study.study, reference_checkpoint).to_csv(index=False))
        print(f"wrote {out}")


@app.command("priors")
def draw_priors(
    out: Annotated[Path, typer.Argument(metavar="DIR", help="Folder for the pictures.")],
) -> None:
    """Draw what each prior does: token masks, schedules, loss tails, attention weights."""
    from ablate.report.figures.priors import draw_priors as draw

    for path in draw(out):
        print(path)


@app.command()
def init(
    name: Annotated[str, typer.Argument(help="The study's name.")],
    dataset: Annotated[str, typer.Option(help="Layout of the dataset; stripes is built in.")] = "stripes",
    root: Annotated[str | None, typer.Option(help="Its folder; ${NAME} is kept as is.")] = None,
    categories: Annotated[str, typer.Option(metavar="A,B", help="Categories. [default: all]")] = "",
    preset: Annotated[str, typer.Option(help="Starting point.")] = "dinomaly-base",
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
    out: Annotated[Path | None, typer.Option(help="File to write. [default: standard output]")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file.")] = False,
) -> None:
    """Write a commented study to start from."""
    from ablate.cli.arguments import init_options, write_new
    from ablate.cli.starter import init_text

    options = init_options(
        name=name,
        dataset=dataset,
        root=root,
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
    if out is None:
        print(text, end="")
    else:
        write_new(out, text, force=force)
        print(f"wrote {out}; next: ablate plan {out}")


@app.command()
def schema(
    out: Annotated[Path | None, typer.Option(help="File to write. [default: standard output]")] = None,
) -> None:
    """Print the JSON schema of a spec, with which editors complete and check it.

    Write it beside your studies and let their first line be:
    # yaml-language-server: $schema=study.schema.json
    """
    import json

    from ablate.cli.arguments import write_new
    from ablate.study.schema import MODELINE, study_schema

    text = json.dumps(study_schema(), indent=1) + "\n"
    if out is None:
        print(text, end="")
    else:
        write_new(out, text, force=True)
        print(f"wrote {out}; first line of a study: {MODELINE.format(path=out)}")


@app.command()
def doctor(
    spec: Annotated[
        Path | None,
        typer.Argument(metavar="[STUDY.yaml]", help="Whose encoder to look at. [default: the preset's]"),
    ] = None,
    as_json: Json = False,
    results: Results = Path("results"),
    cache: Cache = None,
) -> None:
    """Check versions, devices, disk and weights. Downloads nothing, changes nothing."""
    from dataclasses import asdict

    from ablate.cli.arguments import cache_dir
    from ablate.cli.doctor import examine
    from ablate.cli.printing import make_console, print_findings, print_json
    from model.config import EncoderConfig

    encoder = EncoderConfig()
    if spec is not None:
        study = _load(spec, None)
        encoder = study.config(study.rows()[0].overrides).encoder
    findings = examine(cache_dir(cache), results, encoder)
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        print_findings(make_console(), findings)
    if any(finding.level == "problem" for finding in findings):
        raise typer.Exit(1)


@app.command()
def dashboard(study: Study, port: int = 8080, results: Results = Path("results")) -> None:
    """Open the study in optuna-dashboard (an optional extra)."""
    from ablate.cli.arguments import dashboard_command, find_study

    command = dashboard_command(find_study(study, results), port)
    os.execvp(command[0], command)


@data_app.command("stripes")
def data_stripes(
    out: Annotated[Path, typer.Argument(help="Folder to write to, in MVTec layout.")],
    spec: Annotated[
        Path | None,
        typer.Option(metavar="STUDY.yaml", help="Take its parameters. [default: the defaults]"),
    ] = None,
) -> None:
    """Draw the built-in dataset into a folder."""
    from model.data.config import StripesConfig
    from model.data.stripes import write_stripes

    write_stripes(out, StripesConfig() if spec is None else _load(spec, None).data.stripes)
    print(f"wrote {out}")


@data_app.command("check")
def data_check(
    spec: SpecFile,
    out: Annotated[
        Path | None, typer.Option(metavar="PNG", help="Contact sheet. [default: STUDY-data.png]")
    ] = None,
    cache: Cache = None,
) -> None:
    """Decode every image and mask: counts, strata, all that is wrong, and a contact sheet."""
    from ablate.cli.arguments import cache_dir
    from ablate.cli.printing import make_console, print_data, print_strata
    from model.data.check import contact_sheet, count, count_strata, find_problems
    from model.data.dataset import load_dataset
    from model.ground_truth import strata_by_sample

    study, folder, console = _load(spec, None), cache_dir(cache), make_console()
    dataset = load_dataset(study.data, cache_dir=folder)
    problems = find_problems(dataset)
    print_data(console, count(dataset), problems)
    if any(problem.fatal for problem in problems):
        raise typer.Exit(2)
    strata_of = strata_by_sample(dataset, study.config(study.rows()[0].overrides), cache_dir=folder)
    print_strata(console, count_strata(dataset, strata_of))
    print(f"wrote {contact_sheet(dataset, out or Path(f'{study.study}-data.png'))}")


def _load(path: Path, sets: Sequence[str] | None, tiny: bool = False, echo: bool = True) -> StudySpec:
    from ablate.cli.printing import make_console, print_overrides
    from ablate.study.spec import load_spec, smoke

    spec = load_spec(path, tuple(sets or ()))
    if echo:
        print_overrides(make_console(), spec)
    return smoke(spec) if tiny else spec


def _study_dir(study: str, results: Path) -> Path:
    """The folder of a study whose journal is about to be read, without Optuna's remarks on it."""
    from ablate.cli.arguments import find_study
    from ablate.running.journal import quiet_optuna

    quiet_optuna()
    return find_study(study, results)


def _start(spec: StudySpec, results: Path, options: RunOptions) -> int:
    """Run a study or a search and say how it went; returns the exit code."""
    from ablate.cli.arguments import cache_dir
    from ablate.cli.printing import make_console
    from ablate.running.progress import make_view
    from ablate.study.plan import make_plan

    console = make_console()
    view = make_view(console)
    if spec.search:
        from ablate.running.search import run_search

        result = run_search(spec, results, options, view=view)
    else:
        from ablate.running.supervisor import run_study

        cache = Path(options.cache_dir) if options.cache_dir else cache_dir(None)
        result = run_study(make_plan(spec, cache_dir=cache), results, options, view=view)
    for line in result.lines:
        console.print(line, markup=False, soft_wrap=True)
    interrupted = result.exit_code > 2
    if not interrupted and result.state.finished:
        _show_results(results / spec.study)
    return result.exit_code


def _show_results(study_dir: Path) -> None:
    """Remake the report, print its main table and, last, where it is."""
    from ablate.cli.printing import make_console
    from ablate.evidence.gather import gather
    from ablate.evidence.judgement import Judgement
    from ablate.report.page import terminal_table, write_report

    console = make_console()
    judgement = Judgement(gather(study_dir))
    page = write_report(judgement)
    console.print(terminal_table(judgement))
    console.print(f"report: {page}", markup=False, soft_wrap=True)


def _print_plan(
    spec: StudySpec,
    results: Path,
    cache: Path,
    workers: int,
    as_json: bool,
    device: str | None = None,
) -> None:
    from ablate.cli.printing import make_console, plan_json, print_json, print_plan
    from ablate.running.folder import Workspace
    from ablate.running.process import device_name
    from ablate.running.timings import Timings
    from ablate.study.plan import make_plan, plan_lines, total_seconds

    made = make_plan(spec, cache_dir=cache)
    place = Workspace(results / spec.study)
    timings, name = Timings.read(results), device_name(device)
    lines = plan_lines(
        made,
        cached=lambda key: place.committed(key) or place.found_elsewhere(key) is not None,
        seconds=lambda run: timings.estimate(run, device=name),
    )
    total = total_seconds(lines)
    if as_json:
        print_json(plan_json(made, lines, total))
    else:
        print_plan(make_console(), made, lines, total, workers)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    sys.exit(_run(given, debug="--debug" in given))


def _run(arguments: list[str], debug: bool) -> int:
    try:
        # Not standalone: typer would turn Ctrl-C into exit code 1.
        code = app(args=arguments, prog_name="ablate", standalone_mode=False)
    except UserError as error:
        if debug:
            raise
        print(f"error: {error}", file=sys.stderr)
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
        what = "the disk is full (free some space)" if full else error.strerror
        print(f"error: {error.filename or error}: {what}", file=sys.stderr)
        return 2
    except Exception as error:
        # A mistake in the arguments; which class it is depends on typer's version.
        if not hasattr(error, "show") or not hasattr(error, "exit_code"):
            raise
        error.show()
        return int(error.exit_code)
    return code if isinstance(code, int) else 0
