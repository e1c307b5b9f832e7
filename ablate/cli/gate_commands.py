"""``ablate gate``: for people and programs that improve a model step by step."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from ablate.cli.arguments import (
    RESULTS,
    Cache,
    Device,
    Json,
    Plain,
    Results,
    Retries,
    Smoke,
    Study,
    Threads,
    Timeout,
    Workers,
    cache_dir,
    check_weights,
    run_options,
)
from ablate.cli.studies import load_study, place_of

if TYPE_CHECKING:
    from ablate.cli import output
    from ablate.evidence.judgement import ClaimVerdict
    from ablate.gating import Gated
    from ablate.running.campaign import Outcome


def gate(
    change: Annotated[
        Path, typer.Argument(metavar="CHANGE.yaml", help="Settings over the incumbent, e.g. tail.q: 0.02")
    ],
    study: Study = None,
    smoke: Smoke = False,
    workers: Workers = None,
    timeout: Timeout = None,
    retries: Retries = 1,
    as_json: Json = False,
    plain: Plain = False,
    device: Device = "auto",
    threads: Threads = 1,
    results: Results = RESULTS,
    cache: Cache = None,
) -> None:
    """Say whether a change beats the incumbent by the study's own rules; exit with 0 if it does, else 1.

    The incumbent is the study's baseline, or the change accepted last. All changes of a study are one
    campaign with one error budget, its `report.alpha`; no configuration is judged twice. A study that is
    meant by its results is gated as it was run, overrides and threads included. Runs are this machine's:
    there is no --storage.
    """
    from ablate.cli.printing import busy, make_console
    from ablate.study.changing import read_change
    from ablate.study.spec import StudySpec

    console = make_console(plain=plain, aside=as_json)
    spec = load_study(study, None, smoke, results=results, echo=False, threads=threads)
    results = place_of(study, results).results
    asked = read_change(change)
    check_weights(spec)
    options = run_options(
        workers=workers,
        timeout=timeout,
        retries=retries,
        retry_failed=True,
        device=device,
        cache=cache,
        threads=spec.invocation.threads,
    )
    with busy(None if as_json else console, f"holding {asked.name} against the incumbent of {spec.study}"):
        from ablate.doors import judge, start
        from ablate.gating import run_gate
        from ablate.running.progress import PlainView, make_view
        from ablate.running.supervisor import Result, print_error

    def run(made: StudySpec) -> Result:
        view = PlainView(print_error) if as_json else make_view(console, plain=plain)
        try:
            return start(made, results, options, view)
        finally:
            view.close()

    found = run_gate(spec, asked, results, cache=cache_dir(cache), start=run, judge=judge)
    if as_json:
        from ablate.cli.emitting import emit

        emit(gate_record(found))
    else:
        for line in gate_lines(found):
            console.print(line, markup=False, soft_wrap=True)
    raise typer.Exit(found.exit_code)


def gate_record(found: Gated) -> output.Gated:
    """The same for programs: the outcome's fields, and what the campaign says of the change."""
    from ablate.cli import output

    gate = found.gate
    return output.Gated(
        change=gate.name,
        number=gate.number,
        study=gate.study,
        judged_before=found.again,
        alpha=gate.alpha,
        spent=found.spent,
        budget=found.budget,
        **(asdict(found.outcome) if found.outcome else {}),
    )


def gate_lines(found: Gated) -> list[str]:
    """What is said of a gate."""
    from ablate.report.words import duration_text, plural

    gate, made = found.gate, found.outcome
    accepted = "accepted" if made and made.accepted else "not accepted"
    lines = [f"{gate.name}: {accepted} ({_verdict(made)})"]
    if made:
        ends = f"[{made.low:.2f}, {made.high:.2f}]"
        counts = f"{plural(made.seeds, 'seed')}, {plural(made.looks, 'look')}"
        lines.append(f"  {made.difference:+.2f} points {ends} at {counts}")
        computed = f"{plural(made.computed, 'run')} computed in {duration_text(made.seconds)}"
        lines.append(f"  {computed}, {made.reused} reused")
        lines += [f"  to decide it: {made.to_decide}"] if made.to_decide else []
    if found.again:
        lines.append("  judged before: nothing was computed or spent")
    level = f"at level {gate.alpha:.2g}; spent {found.spent:.2g} of {found.budget:g}"
    return [*lines, f"  change {gate.number} of the campaign, {level}"]


def _verdict(made: Outcome | None) -> str:
    from ablate.report.words import verdict_text

    return "runs are left" if made is None else verdict_text(cast("ClaimVerdict", made.verdict))
