"""What is marked in a column of means, and what is said of its gaps.

Bold means something: the best of a column *and every variant that cannot be told from it* (the
t-interval of the paired difference, adjusted for the number of variants, includes 0). Where that is
every variant, nothing is bold. Which variants these are is decided in :mod:`ablate.evidence.judgement`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ablate.evidence.judgement import Comparison
from ablate.evidence.quoted import QuotedRow
from ablate.evidence.stats import POINTS, Estimate
from ablate.report.numbers import Digits
from ablate.report.table import Cell
from ablate.report.words import DASH, plural


@dataclass(frozen=True)
class Mark:
    """How an entry is marked."""

    bold: bool
    underline: bool


def mark_best(comparison: Comparison, texts: Mapping[str, str]) -> dict[str, Mark]:
    """The marks of a column whose variants print as ``texts``; what prints alike is marked alike."""
    values = {v: comparison.means[v].estimate.mean for v in texts}
    group = comparison.best
    bold_texts = {texts[v] for v in group}
    bold = {v for v in texts if texts[v] in bold_texts}
    rest = {v: values[v] for v in texts if v not in bold and math.isfinite(values[v])}
    second: set[str] = set()
    if group and len(rest) >= 2:
        runner_up = max(rest, key=lambda v: rest[v])
        second = {v for v in rest if texts[v] == texts[runner_up]}
    everybody = len([v for v in texts if math.isfinite(values[v])])
    if len(bold) == everybody:
        bold = set()
    return {v: Mark(v in bold, v in second) for v in texts}


def missing_note(comparison: Comparison, variant: str) -> str:
    """Why an entry is empty or averages less than its neighbours; empty if it is complete."""
    results, by_seed = comparison.results, comparison.means[variant].by_seed
    if not by_seed.values:
        reason = results.reason(variant, comparison.metric, comparison.category)
        return reason or ("not run yet" if results.waiting(variant) else "no value")
    notes = []
    if len(by_seed.categories) < comparison.categories:
        notes.append(f"mean over {len(by_seed.categories)} of {plural(comparison.categories, 'category')}")
    if len(by_seed.values) < len(results.seeds):
        notes.append(f"{len(by_seed.values)} of {plural(len(results.seeds), 'seed')}")
    return ", ".join(notes)


def quoted_cell(row: QuotedRow, metric: str, category: str | None, digits: Digits, mark: str) -> Cell:
    """An entry from elsewhere, with the note that says so; a dash where nothing is quoted."""
    e = row.estimate(metric, category).scaled(POINTS)
    return Cell(digits.text(e.mean), digits.spread(e.sd), mark=mark) if e.n else Cell(DASH)


def raw_quoted(row: QuotedRow, metric: str, category: str | None) -> dict[str, Any]:
    """The same as the CSV has it."""
    e = row.estimate(metric, category).scaled(POINTS)
    at = {"variant": row.variant, "metric": metric, "category": category or "mean"}
    return {**at, **raw_estimate(e), "quoted_from": row.source}


def raw_estimate(e: Estimate) -> dict[str, Any]:
    """An estimate at full precision, as the CSV has it."""
    return {"mean": e.mean, "sd": e.sd, "seeds": e.n, "low": e.low, "high": e.high, "unit": "percent"}
