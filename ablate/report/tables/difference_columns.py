"""Columns, notes and caption of a tested difference: what the tables of variants and of claims share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ablate.evidence.differences import Difference
from ablate.evidence.images import SeedsAndImages
from ablate.evidence.results import Results
from ablate.report.rendering import Cell, Column
from ablate.report.words import (
    DASH,
    fixed,
    interval_text,
    p_range_text,
    p_text,
    percent_text,
    plural,
    seeds_text,
)

COLUMNS = (
    Column("Δ [interval]"),
    Column("[new images too]"),
    Column("n"),
    Column("p"),
    Column("p (Holm)"),
    Column("looks"),
    Column("verdict", align="l"),
    Column("p (sign flip)", "robustness"),
    Column("p without a seed", "robustness"),
    Column("outlying seeds", "robustness"),
    Column("images’ share", "images"),
    Column("image floor", "images"),
    Column("error reduction", "effect"),
    Column("wins", "effect"),
    Column("detectable", "to decide"),
    Column("seeds needed", "to decide"),
    Column("images needed", "to decide"),
)


def difference_cells(
    d: Difference,
    images: SeedsAndImages | None,
    verdict: str,
    looks: str,
    seeds_needed: int | None = None,
    images_needed: int | None = None,
) -> tuple[Cell, ...]:
    """The entries under :data:`COLUMNS`.

    ``verdict`` and ``looks``: as they print. ``seeds_needed``: in all, if not the difference's own;
    ``images_needed``: in all.
    """
    needed = d.seeds_needed if seeds_needed is None else seeds_needed
    open_ = d.verdict == "undecided"
    return (
        Cell(fixed(d.estimate.mean, signed=True), interval_text(d.estimate)),
        Cell("", interval_text(images)) if images is not None else Cell(DASH),
        Cell(str(d.n)),
        Cell(p_text(d.p)),
        Cell(p_text(d.p_holm)),
        Cell(looks or "1"),
        Cell(verdict),
        Cell(p_text(d.p_sign_flip)),
        Cell(p_range_text(d.p_without_one)),
        Cell(seeds_text(d.outliers)),
        Cell(percent_text(images.image_share) if images is not None else DASH),
        Cell(fixed(images.image_floor) if images is not None else DASH),
        Cell(percent_text(d.error_reduction, signed=True)),
        Cell(percent_text(d.win_rate), f"of {d.pairs}" if d.pairs else ""),
        Cell(fixed(d.detectable)),
        Cell("" if not open_ else DASH if needed is None else str(needed)),
        Cell("" if images_needed is None else str(images_needed)),
    )


def interval_name(results: Results) -> str:
    """What the intervals of differences are."""
    return "repeated interval" if results.max_seeds else "t-interval over seeds"


def columns_caption(results: Results, *, sequential: bool, adjusted: bool = False) -> str:
    """What each column is; ``sequential``: some rows hold at every look, ``adjusted``: over the family."""
    at_looks = (
        "Rows with looks: p and the repeated interval hold at every look, whatever made one stop"
        + (" (at alpha over the family)" if adjusted else "")
        + "; looks: how many, at which numbers of seeds, of how many declared. "
        if sequential
        else ""
    )
    return (
        f"Paired by seed and category, averaged over categories. Δ [interval]: {results.coverage} "
        f"{interval_name(results)}, for new seeds on these test images; [new images too]: for new seeds "
        f"and new images of the same kind. {at_looks}Not adjusted: intervals, p, p (sign flip) and the "
        "range of p without any one seed. Outlying: further than 3.5 scaled median absolute deviations "
        "from the median seed. Images’ share: of the variance of the wider interval; image floor: smallest "
        "difference that infinitely many seeds would find on these images. Error reduction: share of 1 − "
        "value removed. Wins: share of seed × category pairs. Detectable: smallest true difference found "
        "with 80 % power at this n and spread; seeds needed, images needed: in all, if the truth is what "
        "was observed."
    )


def images_note(found: Sequence[SeedsAndImages | None]) -> tuple[str, ...]:
    """Why an interval for new images is missing."""
    if all(made is not None for made in found):
        return ()
    return (
        "[new images too] is missing where the scores of the single images were not kept, and for strata "
        "and mechanism metrics.",
    )


def sign_flip_note(found: Sequence[Difference]) -> tuple[str, ...]:
    """Why few seeds have no sign-flip test."""
    few = sorted({(d.n, d.smallest_sign_flip_p) for d in found if d.few_for_sign_flip})
    if not few:
        return ()
    smallest = ", ".join(f"{p:.3g} at {plural(n, 'seed')}" for n, p in few)
    return (f"The sign-flip permutation test is left out: its smallest two-sided p is {smallest}.",)


def identical_note(found: Sequence[Difference]) -> tuple[str, ...]:
    """Comparisons that have no spread."""
    names = dict.fromkeys(d.variant for d in found if d.identical)
    if not names:
        return ()
    return (
        f"{', '.join(names)}: the difference is the same in every seed, so there is no spread to test it "
        "against.",
    )


def untested(d: Difference) -> dict[str, Any]:
    """A difference that is shown and not tested, at full precision."""
    whole = raw_difference(d, None)
    return {name: whole[name] for name in _SHOWN}


_SHOWN = (
    "variant", "baseline", "metric", "category", "difference_points", "sd", "low", "high", "seeds",
    "error_reduction", "win_rate", "pairs", "outlying_seeds", "per_seed_points",
)  # fmt: skip


def raw_difference(d: Difference, images: SeedsAndImages | None) -> dict[str, Any]:
    """A difference at full precision, as the CSV has it."""
    without_low, without_high = d.p_without_one
    return {
        "variant": d.variant,
        "baseline": d.baseline,
        "metric": d.metric,
        "category": d.category or "mean",
        "difference_points": d.estimate.mean,
        "sd": d.estimate.sd,
        "low": d.estimate.low,
        "high": d.estimate.high,
        "low_new_images": math.nan if images is None else images.low,
        "high_new_images": math.nan if images is None else images.high,
        "image_share": math.nan if images is None else images.image_share,
        "image_floor_points": math.nan if images is None else images.image_floor,
        "test_images": None if images is None else images.images,
        "seeds": d.n,
        "p": d.p,
        "p_holm": d.p_holm,
        "p_sign_flip": d.p_sign_flip,
        "smallest_sign_flip_p": math.nan if d.looks else d.smallest_sign_flip_p,
        "p_without_a_seed_low": without_low,
        "p_without_a_seed_high": without_high,
        "outlying_seeds": " ".join(map(str, d.outliers)),
        "looks": " ".join(map(str, d.looks)),
        "family": d.family,
        "error_reduction": d.error_reduction,
        "win_rate": d.win_rate,
        "pairs": d.pairs,
        "detectable_points": d.detectable,
        "seeds_needed": d.seeds_needed,
        "verdict": d.verdict,
        "per_seed_points": " ".join(f"{v:.4f}" for v in d.per_seed),
    }
