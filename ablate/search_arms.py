"""A search with arms, from the first trial to the winners' comparison.

Nothing is remembered between its parts but what they leave in their folders: stopped anywhere, it comes to
the same place again, and what is finished costs nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ablate.running.conclusion import Result
from ablate.running.folder import cache_folder
from ablate.running.process import load_function
from ablate.running.progress import KeptOpen, PlainView, View
from ablate.running.search import run_search, winner_of
from ablate.running.session import RunOptions
from ablate.running.supervisor import print_error
from ablate.study.arms import arm_of, final_of
from ablate.study.plan import Plan, make_plan
from ablate.study.spec import StudySpec
from ablate.until_decided import run_until_decided


def run_arms(
    spec: StudySpec,
    results: Path,
    options: RunOptions,
    view: View | None = None,
    *,
    futility: bool = True,
    compute: Callable[[Plan, View], Result],
) -> Result:
    """Search every arm of ``spec``, then compare the winners; returns and raises as a search.

    The comparison is the study itself: with claims and ``seeds: {start, max}`` it runs until they are
    decided. ``compute``: runs what is missing of a plan.
    """
    shown = KeptOpen(view or PlainView(print_error))
    with contextlib.closing(shown.view):
        winners: dict[str, Mapping[str, Any]] = {}
        lines: list[str] = []
        for arm in spec.variants:
            own = arm_of(spec, arm)
            result = run_search(own, results, options, view=shown)
            found = winner_of(own, results)
            if result.exit_code or result.stopped or found is None:
                return replace(result, lines=(*lines, *result.lines))
            winners[arm] = found
            lines.append(f"{arm}: {', '.join(f'{path} = {value}' for path, value in found.items())}")
        result = _compare(final_of(spec, winners), results, options, shown, futility, compute)
    return replace(result, lines=(*lines, *result.lines))


def _compare(
    final: StudySpec,
    results: Path,
    options: RunOptions,
    view: View,
    futility: bool,
    compute: Callable[[Plan, View], Result],
) -> Result:
    """Run the comparison of the winners."""
    cache = cache_folder(options.cache_dir)
    sources = load_function(options.sources)(cache) if options.sources else None
    if final.max_seeds is not None and final.claims:
        return run_until_decided(
            final, results, options, view, futility=futility, sources=sources, compute=compute
        )
    return compute(make_plan(final, cache_dir=cache, sources=sources), view)
