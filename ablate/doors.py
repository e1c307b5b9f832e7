"""The doors for people who import ``ablate``: a study in, its results and report out.

The command line goes through the same doors. Everything slow is imported by the function that needs it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ablate.study.reading import load_spec
from ablate.study.spec import StudySpec
from model.errors import ConfigError

if TYPE_CHECKING:
    from ablate.evidence.judgement import Judgement
    from ablate.evidence.results import Results
    from ablate.report.numbers import Style
    from ablate.running.conclusion import Result
    from ablate.running.progress import View
    from ablate.running.server import Remote
    from ablate.running.session import RunOptions
    from ablate.study.plan import Plan
    from ablate.study.slurm import SlurmConfig

RESULTS = Path("results")
"""Where studies keep their results, below the working directory."""


def run_study(
    study: StudySpec | Path | str,
    results: Path | str = RESULTS,
    *,
    workers: int | None = None,
    threads: int = 1,
    max_runs: int | None = None,
    timeout: float | None = None,
    retries: int = 1,
    retry_failed: bool = False,
    fail_fast: bool = False,
    device: str | None = None,
    gpus: tuple[str, ...] = (),
    cache: Path | str | None = None,
    accept_code: bool = False,
    view: View | None = None,
) -> Result:
    """Run what is missing of a study or a search, and wait for it. Finished runs are never repeated.

    Parameters
    ----------
    study: a spec, or the file to read it from.
    results: results root; the study goes to ``results/<its name>``.
    workers: runs at a time, each in a process of its own; None: one per GPU, else per ``threads`` cores.
    threads: CPU threads of a run; the last bits of its result depend on them, so they are in its key.
    max_runs: start at most this many runs.
    timeout: seconds after which a run is stopped and counts as failed.
    retries: new attempts at a run whose worker died.
    retry_failed: also run again what failed before.
    fail_fast: stop at the first failed run.
    device: what torch computes on (``cpu``, ``cuda``); None: a GPU if it sees one.
    gpus: GPUs that workers take in turn, by number.
    cache: folder of features and drawn datasets; None: the user's cache folder.
    accept_code: adopt runs of the same configurations by earlier code; the report says so.
    view: shows progress; None: plain lines on standard error.

    Returns
    -------
    The outcome: ``exit_code`` (0: done, 1: some runs failed), closing ``lines`` and the study's ``state``.

    Raises
    ------
    UserError: what stops the runs before they begin (spec, data, weights, results folder).
    """
    from ablate.running.capacity import default_workers, visible_gpus
    from ablate.running.folder import cache_folder
    from ablate.running.session import RunOptions

    gpus = gpus or (visible_gpus() if device in (None, "cuda") else ())
    options = RunOptions(
        workers=workers or default_workers(device, gpus, threads),
        max_runs=max_runs,
        timeout=timeout,
        retries=retries,
        retry_failed=retry_failed,
        fail_fast=fail_fast,
        device=device,
        gpus=gpus,
        cache_dir=str(cache_folder(cache)),
    )
    spec = study if isinstance(study, StudySpec) else load_spec(study)
    spec = replace(spec, invocation=replace(spec.invocation, threads=threads))
    return start(spec, Path(results), options, view, accept_code=accept_code)


def start(
    spec: StudySpec,
    results: Path,
    options: RunOptions,
    view: View | None,
    *,
    accept_code: bool = False,
    futility: bool = True,
    remote: Remote | None = None,
    slurm: SlurmConfig | None = None,
) -> Result:
    """As :func:`run_study`, with the options as the runner takes them.

    ``futility``: of a study with ``seeds: {start, max}``, give up claims that even luck would not decide.
    ``remote``: the server that holds the queue; ``slurm``: what starts the workers. Raises ConfigError
    for a search, which has one machine, and for SLURM without a server where hosts cannot share a journal.
    """
    _check_folder_name(spec.study, results)
    if slurm is not None and remote is None:
        from ablate.running.file_systems import check_shared_journal

        check_shared_journal(results, "--slurm")
    if spec.search and (remote is not None or slurm is not None):
        raise ConfigError("a search runs on one machine", hint="leave --storage and --slurm out")
    if spec.search and not spec.search.arms:
        from ablate.running.search import run_search

        return run_search(spec, results, options, view=view)
    from ablate.running.earlier import accept_code as accepting
    from ablate.running.earlier import with_accepted
    from ablate.running.folder import cache_folder
    from ablate.study.plan import make_plan

    adopt = accepting if accept_code else with_accepted

    def compute(plan: Plan, shown: View | None) -> Result:
        return _compute(adopt(plan, results), results, options, shown, remote, slurm)

    if spec.search:
        from ablate.search_arms import run_arms

        return run_arms(spec, results, options, view, futility=futility, compute=compute)
    if spec.max_seeds is not None and spec.claims:
        from ablate.until_decided import run_until_decided

        return run_until_decided(spec, results, options, view, futility=futility, compute=compute)
    return compute(make_plan(spec, cache_dir=cache_folder(options.cache_dir)), view)


def _check_folder_name(study: str, results: Path) -> None:
    """Refuse a study whose folder another's cannot be told from on many file systems."""
    for folder in results.glob("*/"):
        if folder.name != study and folder.name.casefold() == study.casefold():
            raise ConfigError(
                f"'{study}' and the study '{folder.name}' in {results} differ in case only",
                hint="give it another name, or other --results",
            )


def _compute(
    plan: Plan,
    results: Path,
    options: RunOptions,
    view: View | None,
    remote: Remote | None,
    slurm: SlurmConfig | None,
) -> Result:
    """What is missing of a plan, on the engine that was asked for."""
    from ablate.running import supervisor

    if slurm is not None:
        from ablate.running.slurm import run_on_slurm, run_on_slurm_here

        shown = view or supervisor.PlainView(supervisor.print_error)
        if remote is None:
            return run_on_slurm_here(plan, results, options, slurm, shown)
        return run_on_slurm(plan, results, remote, options, slurm, shown)
    if remote is None:
        return supervisor.run_study(plan, results, options, view=view)
    from ablate.running.remote import run_planned

    return run_planned(plan, results, options, remote, view=view)


def gather(study: Path | str) -> Results:
    """The records of a study's folder, finished or not: ``frame``, ``claims``, runs, warnings.

    ``frame`` is tidy: one row per variant, seed, category, stratum and metric, value in [0, 1].

    Raises
    ------
    StorageError: there is no such study, or nothing in it.
    """
    from ablate.evidence.gather import gather as read

    return read(_brought_up_to_date(study))


def make_report(study: Path | str, style: Style | None = None) -> Path:
    """Remake tables, figures and the page of a study's folder; returns the page's path.

    ``style``: decimals, unit, metrics, and the venue whose pages tables and figures are for.

    Raises
    ------
    StorageError: there is no such study, or nothing in it.
    ConfigError: no such venue.
    """
    from ablate.report.numbers import USUAL
    from ablate.report.page import write_report

    return write_report(judge(study), style or USUAL)


def report_together(
    studies: Sequence[Path | str], results: Path | str = RESULTS, style: Style | None = None
) -> Path:
    """One report of several studies' variants, in ``results/A+B/report``; returns the page's path.

    Raises
    ------
    StorageError: a study is not there, or they have no category in common.
    """
    from ablate.evidence.across import together
    from ablate.evidence.judgement import Judgement
    from ablate.report.numbers import USUAL
    from ablate.report.page import write_report

    made = [gather(study) for study in studies]
    folder = Path(results) / "+".join(study.name for study in made)
    return write_report(Judgement(together(made, folder)), style or USUAL)


def judge(study: Path | str) -> Judgement:
    """What may be said about a study, finished or not; that its claims were looked at is noted.

    Raises
    ------
    StorageError: there is no such study, or nothing in it.
    """
    from ablate.evidence.gather import gather as read
    from ablate.evidence.judgement import Judgement
    from ablate.running.folder import Workspace
    from ablate.running.seal import note_look
    from model.errors import StorageError

    folder = _brought_up_to_date(study)
    made = Judgement(read(folder))
    seen = {str(j.claim): (j.difference.n, j.verdict) for j in made.claims}
    if seen and made.results.seal:
        # A folder that is only read cannot be noted in, nor run any further.
        with contextlib.suppress(StorageError, OSError):
            note_look(Workspace(folder), seen)
    return made


def _brought_up_to_date(study: Path | str) -> Path:
    """The folder, its frame holding every run that has finished."""
    from ablate.running.frame import refresh_frame
    from ablate.running.journal import quiet_optuna

    quiet_optuna()
    refresh_frame(Path(study))
    return Path(study)
