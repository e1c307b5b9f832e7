"""The end of a run on the terminal: what became of the claims, and what would decide the open ones."""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import mean

from rich.text import Text

from ablate.evidence.differences import Difference
from ablate.evidence.judgement import JudgedClaim, Judgement
from ablate.evidence.results import Results
from ablate.report.findings import claim_findings
from ablate.report.words import duration_text, plural, verdict_text

_STYLES = {"supported": "green", "refuted": "red", "undecided": "yellow"}

MOST_SEEDS = 50
"""More than these are no way to decide anything."""


def claim_lines(judgement: Judgement) -> Iterator[Text]:
    """Per claim, a line with its verdict and evidence; below an open one, what would decide it."""
    for judged, finding in zip(judgement.claims, claim_findings(judgement), strict=True):
        verdict = verdict_text(judged.verdict)
        yield Text.assemble(
            (verdict, _STYLES.get(judged.verdict, "dim")),
            ": ",
            (finding.subject, "bold"),
            f"  {finding.text.removeprefix(f'{verdict}: ')}",
        )
        if needed := to_decide(judged, judgement.results):
            yield Text(f"    to decide it: {needed}", style="dim")


def to_decide(judged: JudgedClaim, results: Results) -> str:
    """``3 more seeds (seeds: 8), about 12 min of computing``; empty where seeds would not do it."""
    d = judged.difference
    more = judged.more_seeds
    if more is None or d.n + more > MOST_SEEDS:
        return ""
    seconds = _seconds_per_seed(d, results)
    cost = f", about {duration_text(more * seconds)} of computing" if seconds else ""
    return f"{plural(more, 'more seed')} (seeds: {d.n + more}){cost}"


def _seconds_per_seed(d: Difference, results: Results) -> float:
    """What one more seed of both sides costs, from the runs' timings; 0 if none is known."""
    total = 0.0
    for variant in {d.variant, d.baseline}:
        runs = [r for r in results.runs if r.variant == variant and math.isfinite(r.seconds)]
        if not runs:
            return 0.0
        total += mean(r.seconds for r in runs) * len({r.category for r in runs})
    return total
