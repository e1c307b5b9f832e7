"""Columns, notes and caption of a tested difference: what the tables of variants and of claims share."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ablate.evidence.differences import Difference
from ablate.evidence.images import SeedsAndImages
from ablate.evidence.results import Results
from ablate.report.numbers import Style, dash, ends
from ablate.report.table import Cell, Column
from ablate.report.words import (
    DASH,
    p_range_text,
    p_text,
    percent_text,
    plural,
    seeds_text,
    variant_label,
)
from model.metric_names import MECHANISM_METRICS

COLUMNS = (
    Column("Δ [interval]"),
    Column("[new images too]"),
    Column("verdict", align="l"),
    Column("n"),
    Column("p"),
    Column("p (Holm)"),
    Column("looks"),
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


@dataclass(frozen=True)
class Shown:
    """A difference and what stands beside it in a table."""

    difference: Difference
    images: SeedsAndImages | None
    verdict: str
    """As it prints."""
    looks: str = ""
    """As they print."""
    seeds_needed: int | None = None
    """In all; None: seeds decide nothing, or nothing is left to decide."""
    images_needed: int | None = None
    """In all."""


def difference_rows(
    found: Sequence[Shown], known: Mapping[tuple[str, Any, str], str], style: Style
) -> list[tuple[Cell, ...]]:
    """The entries under :data:`COLUMNS`; ``known``: keys of runs by (variant, seed, category)."""
    digits = style.column(ends(one.difference.estimate for one in found))
    wider = style.column(ends(one.images for one in found))
    sizes = style.column()
    return [
        (
            Cell(
                digits.text(one.difference.estimate.mean, signed=True),
                digits.interval(one.difference.estimate),
                keys=one.difference.keys(known),
            ),
            Cell(dash(wider.interval(one.images))),
            *_counts(one),
            *_robustness(one.difference),
            Cell(DASH if one.images is None else percent_text(one.images.image_share)),
            Cell(DASH if one.images is None else sizes.text(one.images.image_floor)),
            *_size(one.difference),
            Cell(sizes.text(one.difference.detectable)),
            *_needed(one),
        )
        for one in found
    ]


def _counts(one: Shown) -> tuple[Cell, ...]:
    d = one.difference
    texts = (one.verdict, str(d.n), p_text(d.p), p_text(d.p_holm), one.looks or "1")
    return tuple(map(Cell, texts))


def _robustness(d: Difference) -> tuple[Cell, ...]:
    texts = (p_text(d.p_sign_flip), p_range_text(d.p_without_one), seeds_text(d.outliers))
    return tuple(map(Cell, texts))


def _size(d: Difference) -> tuple[Cell, ...]:
    wins = Cell(percent_text(d.win_rate), f"of {d.pairs}" if d.pairs else "")
    # What a model does to tokens has no best value, so no error that could be removed.
    error = DASH if d.metric in MECHANISM_METRICS else percent_text(d.error_reduction, signed=True)
    return Cell(error), wins


def _needed(one: Shown) -> tuple[Cell, ...]:
    return tuple(Cell("" if n is None else str(n)) for n in (one.seeds_needed, one.images_needed))


def interval_name(results: Results) -> str:
    """What the intervals of differences are."""
    return "repeated interval" if results.max_seeds else "t-interval over seeds"


def columns_caption(results: Results, found: Sequence[Difference], *, adjusted: bool = False) -> str:
    """What the first columns are; ``adjusted``: repeated intervals cover at alpha over the family."""
    looked = (
        "; rows with looks: both hold at every look, whatever made one stop"
        + (" (at alpha over the family)" if adjusted else "")
        if any(d.looks for d in found)
        else ""
    )
    return (
        f"Paired by seed and category, averaged over categories. Δ [interval]: {results.coverage} "
        f"{interval_name(results)}, for new seeds on these test images; [new images too]: for new seeds "
        f"and new images of the same kind. p: unadjusted{looked}."
    )


COLUMNS_NOTE = (
    "Not adjusted: intervals of a fixed number of seeds, p, p (sign flip) and the range of p without any "
    "one seed. Looks: how many, at which numbers of seeds, of how many declared. Outlying: further than "
    "3.5 scaled median absolute deviations from the median seed. Images’ share: of the variance of the "
    "wider interval; image floor: smallest difference that infinitely many seeds would find on these "
    "images. Error reduction: share of 1 − value removed. Wins: share of seed × category pairs. "
    "Detectable: smallest true difference found with 80 % power at this n and spread (Holm’s first level); "
    "seeds needed, images needed: in all, if the truth is what was observed."
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


def identical_note(results: Results, found: Sequence[Difference]) -> tuple[str, ...]:
    """Comparisons that have no spread."""
    names = dict.fromkeys(variant_label(results, d.variant) for d in found if d.identical)
    if not names:
        return ()
    return (
        f"{', '.join(names)}: the difference is the same in every seed, so there is no spread to test it "
        "against.",
    )


def untested(d: Difference, images: SeedsAndImages | None) -> dict[str, Any]:
    """A difference that is shown and not tested, at full precision."""
    whole = raw_difference(d, images)
    return {name: whole[name] for name in _SHOWN}


_SHOWN = (
    "variant", "baseline", "metric", "category", "difference_points", "sd", "low", "high",
    "low_new_images", "high_new_images", "image_share", "image_floor_points", "test_images", "seeds",
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
