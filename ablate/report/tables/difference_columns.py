"""Columns, notes and caption of a tested difference: what the tables of variants and of claims share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ablate.evidence.differences import Difference
from ablate.evidence.results import Results
from ablate.report.rendering import Cell, Column
from ablate.report.words import DASH, fixed, interval_text, p_text, percent_text, plural, variant_label

COLUMNS = (
    Column("Δ [interval]"),
    Column("n"),
    Column("p"),
    Column("p (Holm)"),
    Column("p (sign flip)"),
    Column("error reduction"),
    Column("wins"),
    Column("detectable"),
    Column("seeds needed"),
    Column("verdict", align="l"),
)


def difference_cells(d: Difference) -> tuple[Cell, ...]:
    """The entries under :data:`COLUMNS`, all but the verdict."""
    needed = d.seeds_needed
    return (
        Cell(fixed(d.estimate.mean, signed=True), interval_text(d.estimate)),
        Cell(str(d.n)),
        Cell(p_text(d.p)),
        Cell(p_text(d.p_holm)),
        Cell(p_text(d.p_sign_flip)),
        Cell(percent_text(d.error_reduction, signed=True)),
        Cell(percent_text(d.win_rate), f"of {d.pairs}" if d.pairs else ""),
        Cell(fixed(d.detectable)),
        Cell("" if d.verdict != "undecided" else DASH if needed is None else str(needed)),
    )


TEST_CAPTION = (
    "Paired by seed and category, averaged over categories, {coverage} t-interval over seeds. "
    "Not adjusted: intervals, p and p (sign flip). "
    "Detectable: smallest true difference found with 80 % power at this n and spread. "
    "Seeds needed: for 80 % power if the truth is what was observed (both at Holm's first level). "
    "Error reduction: share of 1 − value removed. Wins: share of seed × category pairs."
)


def sign_flip_note(found: Sequence[Difference]) -> tuple[str, ...]:
    """Why few seeds have no sign-flip test."""
    few = sorted({(d.n, d.smallest_sign_flip_p) for d in found if d.few_for_sign_flip})
    if not few:
        return ()
    smallest = ", ".join(f"{p:.3g} at {plural(n, 'seed')}" for n, p in few)
    return (f"The sign-flip permutation test is left out: its smallest two-sided p is {smallest}.",)


def identical_note(results: Results, found: Sequence[Difference]) -> tuple[str, ...]:
    """Comparisons that have no spread."""
    names = dict.fromkeys(variant_label(results, d.variant) for d in found if d.identical)
    if not names:
        return ()
    return (
        f"{', '.join(names)}: the difference is the same in every seed, so there is no spread to test it "
        "against.",
    )


def raw_difference(d: Difference) -> dict[str, Any]:
    """A difference at full precision, as the CSV has it."""
    return {
        "variant": d.variant,
        "baseline": d.baseline,
        "metric": d.metric,
        "category": d.category or "mean",
        "difference_points": d.estimate.mean,
        "sd": d.estimate.sd,
        "low": d.estimate.low,
        "high": d.estimate.high,
        "seeds": d.n,
        "p": d.p,
        "p_holm": d.p_holm,
        "p_sign_flip": d.p_sign_flip,
        "smallest_sign_flip_p": d.smallest_sign_flip_p,
        "family": d.family,
        "error_reduction": d.error_reduction,
        "win_rate": d.win_rate,
        "pairs": d.pairs,
        "detectable_points": d.detectable,
        "seeds_needed": d.seeds_needed,
        "verdict": d.verdict,
        "per_seed_points": " ".join(f"{v:.4f}" for v in d.per_seed),
    }
