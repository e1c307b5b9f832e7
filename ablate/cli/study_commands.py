"""Commands for studies: run them, look at them, report on them."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ablate.cli.arguments import (
    RESULTS,
    AcceptCode,
    Account,
    Array,
    Cache,
    Device,
    Gres,
    Json,
    JsonLines,
    KeepGoing,
    Lease,
    MaxPlan,
    MaxRuns,
    Memory,
    Partition,
    Plain,
    Results,
    Retries,
    RetryFailed,
    Sets,
    SharedFolder,
    Slurm,
    Smoke,
    Storage,
    Study,
    Threads,
    Time,
    Timeout,
    Workers,
    cache_dir,
    check_weights,
    run_options,
    seeds_until_decided,
)
from ablate.cli.asking import ask_if_changed
from ablate.cli.cluster_commands import joined_study
from ablate.cli.completion import offer_variants
from ablate.cli.studies import find_study, load_study, place_of, warn_of
from model.errors import ConfigError

if TYPE_CHECKING:
    from ablate.running.server import Remote
    from ablate.running.session import RunOptions
    from ablate.study.slurm import SlurmConfig
    from ablate.study.spec import StudySpec


def run(
    spec: Study = None,
    sets: Sets = None,
    workers: Workers = None,
    max_plan: MaxPlan = None,
    max_runs: MaxRuns = None,
    timeout: Timeout = None,
    retries: Retries = 1,
    retry_failed: RetryFailed = False,
    keep_going: KeepGoing = True,
    smoke: Smoke = False,
    accept_code: AcceptCode = False,
    until_decided: Annotated[
        bool, typer.Option("--until-decided", help="Add seeds, only for claims that are still open.")
    ] = False,
    max_seeds: Annotated[
        int | None,
        typer.Option(
            min=2,
            help="Most seeds with --until-decided; declared before the first run.",
            show_default="the study's, else 20",
        ),
    ] = None,
    futility: Annotated[
        bool, typer.Option("--futility/--no-futility", help="Give up claims that luck would not decide.")
    ] = True,
    storage: Storage = None,
    shared_folder: SharedFolder = False,
    lease: Lease = 60.0,
    slurm: Slurm = False,
    array: Array = None,
    partition: Partition = None,
    gres: Gres = None,
    time: Time = None,
    mem: Memory = None,
    account: Account = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print the plan.")] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask before finished runs are computed again.")
    ] = False,
    as_json: JsonLines = False,
    plain: Plain = False,
    device: Device = "auto",
    threads: Threads = 1,
    results: Results = RESULTS,
    cache: Cache = None,
) -> None:
    """Run a study: what is missing of it; finished runs are never repeated."""
    from ablate.cli.printing import busy, make_console, print_notes, print_overrides

    with busy(None if as_json or dry_run else make_console(plain=plain), f"reading {spec or 'the study'}"):
        if until_decided:
            stated = load_study(spec, sets, results=results, echo=False, max_plan=max_plan)
            sets = [*(sets or ()), *seeds_until_decided(stated, max_seeds)]
        elif max_seeds is not None:
            raise ConfigError("--max-seeds says how far --until-decided goes", hint="give both")
        study = load_study(
            spec, sets, smoke, results=results, echo=False, max_plan=max_plan, threads=threads
        )
        results = place_of(spec, results).results
        lacks = check_weights(study)
    if not as_json:  # once the turning sign is gone, which lines of others would tear
        print_overrides(make_console(plain=plain), study)
    idle = warn_of(study)
    if not as_json:
        print_notes(make_console(plain=plain), lacks)
    options = run_options(
        workers=workers,
        max_runs=max_runs,
        timeout=timeout,
        retries=retries,
        retry_failed=retry_failed,
        fail_fast=not keep_going,
        device=device,
        cache=cache,
        threads=study.invocation.threads,
    )
    if dry_run:
        cache_at = cache_dir(cache)
        _print_plan(study, results, cache_at, options.workers, as_json, accept_code, idle, options.device)
        return
    ask_if_changed(
        study, results, cache_dir(cache), yes=yes, quiet=as_json or plain, accept_code=accept_code
    )
    place = _remote(storage, shared_folder, lease)
    words = {"partition": partition, "gres": gres, "time": time, "mem": mem, "account": account}
    asked = study.slurm.but(array=array, **words) if slurm else None
    raise typer.Exit(_start(study, results, options, as_json, plain, accept_code, futility, place, asked))


def resume(
    study: Study = None,
    workers: Workers = None,
    max_runs: MaxRuns = None,
    timeout: Timeout = None,
    retries: Retries = 1,
    retry_failed: RetryFailed = False,
    keep_going: KeepGoing = True,
    as_json: JsonLines = False,
    plain: Plain = False,
    device: Device = "auto",
    results: Results = RESULTS,
    cache: Cache = None,
) -> None:
    """Go on with a study as it was started, overrides included."""
    from ablate.running.server import Remote
    from ablate.study.reading import load_recorded

    folder = find_study(study, results)
    spec = load_recorded(folder)
    options = run_options(
        workers=workers,
        max_runs=max_runs,
        timeout=timeout,
        retries=retries,
        retry_failed=retry_failed,
        fail_fast=not keep_going,
        device=device,
        cache=cache,
        threads=spec.invocation.threads,
    )
    joined = joined_study(study, results, None)
    place = Remote(joined.server.address, joined.shared, joined.timing.lease) if joined else None
    raise typer.Exit(_start(spec, folder.parent, options, as_json, plain, remote=place))


def plan(
    spec: Study = None,
    sets: Sets = None,
    smoke: Smoke = False,
    as_json: Json = False,
    max_plan: MaxPlan = None,
    threads: Threads = 1,
    accept_code: AcceptCode = False,
    workers: Annotated[int, typer.Option(min=1, help="Workers to estimate the time for.")] = 1,
    results: Results = RESULTS,
    cache: Cache = None,
) -> None:
    """Say what a study would run: cells, duplicates, what is cached, how long it takes."""
    from ablate.cli.printing import make_console, print_notes

    study = load_study(
        spec, sets, smoke, results=results, echo=not as_json, max_plan=max_plan, threads=threads
    )
    idle = warn_of(study)
    results = place_of(spec, results).results
    lacks = check_weights(study)
    if not as_json:
        print_notes(make_console(), lacks)
    _print_plan(study, results, cache_dir(cache), workers, as_json, accept_code, idle)


def show(
    spec: Study = None,
    sets: Sets = None,
    variant: Annotated[
        str | None, typer.Option(help="Only this one.", autocompletion=offer_variants)
    ] = None,
    attention: Annotated[
        str | None,
        typer.Option(
            metavar="A,B",
            help="Draw where trained variants take one token from: their attention rows, side by side.",
            show_default="settings",
        ),
    ] = None,
    image: Annotated[
        Path | None, typer.Option(help="With --attention: the image.", show_default="the first defect")
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(metavar="ROW,COLUMN", help="With --attention.", show_default="on the defect"),
    ] = None,
    out: Annotated[Path, typer.Option(metavar="PNG", help="With --attention: where to.")] = Path(
        "attention.png"
    ),
    as_json: Json = False,
    results: Results = RESULTS,
    cache: Cache = None,
) -> None:
    """Show what every variant resolves to, and its schedules over training; or its attention."""
    from ablate.cli.printing import make_console, print_study

    if attention is not None:
        if as_json:
            raise ConfigError("--attention draws a picture", hint="leave --json out")
        _show_attention(find_study(spec, results), attention, image, token, out, cache_dir(cache))
        return
    study = load_study(spec, sets, results=results, echo=not as_json)
    if as_json:
        from ablate.cli.emitting import emit, shown

        emit(shown(study, variant))
        return
    warn_of(study)
    print_study(make_console(), study, variant)


def _show_attention(
    folder: Path,
    variants: str,
    image: Path | None,
    token: str | None,
    out: Path,
    cache: Path,
) -> None:
    from ablate.report.figures.attention import attention_png
    from ablate.running.attended import attended, parse_token
    from model.files import write_bytes

    names = [name.strip() for name in variants.split(",") if name.strip()]
    made = attended(folder, names, cache=cache, image=image, token=parse_token(token))
    write_bytes(out, attention_png(made))
    for name in made.rows:
        row, column = made.along(name)
        print(f"{name}: {row:.1%} of the weights in the token's row, {column:.1%} in its column")
    print(f"wrote {out}: token {made.token[0]},{made.token[1]} of {made.name}")


def _remote(storage: str | None, shared: bool, lease: float) -> Remote | None:
    """The server that a run's options name; None: the study's own journal."""
    from ablate.running.server import Remote, find_address

    address = find_address(storage, arguments=sys.argv)
    return None if address is None else Remote(address, shared, lease)


def _start(
    spec: StudySpec,
    results: Path,
    options: RunOptions,
    as_json: bool,
    plain: bool,
    accept_code: bool = False,
    futility: bool = True,
    remote: Remote | None = None,
    slurm: SlurmConfig | None = None,
) -> int:
    """Run a study or a search, remake its report, and say how it went; returns the exit code."""
    from ablate.cli.printing import busy, make_console, print_at_once, print_ending

    console = make_console(plain=plain)
    # Before anything slow is imported: something is to be seen at once.
    with busy(None if as_json else console, f"starting {spec.study}"):
        from ablate.running.progress import JsonView, make_view

    events = JsonView(print_at_once) if as_json else None
    below = None
    if spec.claims and console.is_terminal and not (events or plain):
        from ablate.report.under_way import ClaimsUnderWay

        below = ClaimsUnderWay(results / spec.study)
    view = events or make_view(console, plain=plain, below=below)
    with contextlib.closing(view):
        from ablate.doors import start

        result = start(
            spec,
            results,
            options,
            view,
            accept_code=accept_code,
            futility=futility,
            remote=remote,
            slurm=slurm,
        )

    def say(line: str) -> None:
        if events:
            events.say(line)
        else:
            console.print(line, markup=False, soft_wrap=True)

    for line in result.lines:
        say(line)
    page, claims = None, ()
    interrupted = result.exit_code > 2
    if not interrupted and result.state.finished:
        with busy(None if events else console, "judging the results and drawing the report"):
            from ablate.doors import judge
            from ablate.report.page import write_report

            judgement = judge(results / spec.study)
            page = write_report(judgement)
        if events:
            from ablate.report.tables.claims import claims_json

            claims = tuple(claims_json(judgement)["claims"])
        else:
            print_ending(console, judgement, page)
    if events:
        state = result.state
        content = {"finished": state.finished, "runs": len(state.runs), "failed": len(state.failed)}
        ending = {"study": spec.study, "exit_code": result.exit_code, **content}
        events.emit("finished", {**ending, "page": page and str(page), "claims": claims})
    return result.exit_code


def _print_plan(
    spec: StudySpec,
    results: Path,
    cache: Path,
    workers: int,
    as_json: bool,
    accept_code: bool,
    idle: tuple[str, ...],
    device: str | None = None,
) -> None:
    from ablate.cli.printing import make_console, plan_means, print_plan
    from ablate.running.earlier import Earlier, with_accepted
    from ablate.running.earlier import accept_code as accepting
    from ablate.running.folder import Workspace
    from ablate.running.manifest import cached
    from ablate.running.process import device_name
    from ablate.running.timings import Timings
    from ablate.study.plan import make_plan, plan_lines, total_seconds

    made = with_accepted(make_plan(spec, cache_dir=cache), results)
    if accept_code:
        made = accepting(made, results, record=False)
    place = Workspace(results / spec.study)
    timings, name = Timings.read(results), device_name(device)
    lines = plan_lines(
        made,
        cached=lambda key: cached(place, key),
        seconds=lambda run: timings.estimate(run, device=name),
        why=Earlier(results).why,
    )
    total = total_seconds(lines)
    if as_json:
        from ablate.cli.emitting import emit
        from ablate.cli.output import Planned

        means = {text: tuple(variants) for text, variants in plan_means(made).items()}
        emit(Planned(spec.study, len(made.runs), made.duplicates, total, means, idle, lines))
    else:
        print_plan(make_console(), made, lines, total, workers)
