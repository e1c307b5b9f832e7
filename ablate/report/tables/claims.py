"""The claims stated before the runs, and what became of them."""

from __future__ import annotations

from typing import Any

import pandas as pd

from ablate.evidence.judgement import JudgedClaim, Judgement
from ablate.report.numbers import USUAL, Style
from ablate.report.table import Row, Table
from ablate.report.tables.difference_columns import (
    COLUMNS,
    COLUMNS_NOTE,
    Shown,
    columns_caption,
    difference_rows,
    identical_note,
    images_note,
    raw_difference,
    sign_flip_note,
)
from ablate.report.tables.notes import calibration_note, common_notes
from ablate.report.words import claim_text, gaps_text, looks_text, plural, verdict_text


def claims_table(judgement: Judgement, style: Style = USUAL) -> Table | None:
    """One row per claim, Holm over all of them; None without claims."""
    results, judged = judgement.results, judgement.claims
    if not judged:
        return None
    found = [j.difference for j in judged]
    shown = [
        Shown(
            j.difference,
            j.images,
            verdict_text(j.verdict),
            looks_text(j.difference.looks, results.max_seeds),
            None if j.more_seeds is None else j.difference.n + j.more_seeds,
            None if j.more_images is None or j.images is None else j.images.images + j.more_images,
        )
        for j in judged
    ]
    families = sorted({j.family for j in judged})
    return Table(
        name="claims",
        title="Claims",
        caption=f"{results.name}: the claims of the study file, {style.points}. "
        f"{columns_caption(results, found, adjusted=True)} "
        f"Holm over {plural(len(judged), 'claim')}"
        + (
            "."
            if len(families) == 1
            else "; equivalences and exploratory claims are families of their own."
        ),
        corner="claim",
        columns=COLUMNS,
        rows=tuple(
            Row(claim_text(j.claim, results) + _standing(j), cells)
            for j, cells in zip(judged, difference_rows(shown, results.keys, style), strict=True)
        ),
        notes=(
            COLUMNS_NOTE,
            *sign_flip_note(found),
            *images_note([j.images for j in judged]),
            *identical_note(results, found),
            *filter(None, [calibration_note(judgement)]),
            *common_notes(results),
        ),
        raw=pd.DataFrame([raw_claim(j) for j in judged]),
    )


def _standing(judged: JudgedClaim) -> str:
    return " (exploratory)" if judged.exploratory else " (withdrawn)" if judged.withdrawn else ""


def raw_claim(judged: JudgedClaim) -> dict[str, Any]:
    """A judged claim at full precision, as CSV and JSON have it."""
    return {
        "claim": str(judged.claim),
        **raw_difference(judged.difference, judged.images),
        "seeds_needed": None if judged.more_seeds is None else judged.difference.n + judged.more_seeds,
        "more_seeds": judged.more_seeds,
        "more_images": judged.more_images,
        "missing": gaps_text(judged.there.gaps),
        "exploratory": judged.exploratory,
        "withdrawn": judged.withdrawn,
        "verdict": judged.verdict,
    }


def claims_json(judgement: Judgement) -> dict[str, Any]:
    """Seal and claims as plain data."""
    rows = [raw_claim(judged) for judged in judgement.claims]
    return {"study": judgement.results.name, "seal": judgement.results.seal, "claims": rows}
