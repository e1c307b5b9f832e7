"""The claims stated before the runs, and what became of them."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from ablate.evidence.judgement import JudgedClaim, Judgement
from ablate.report.rendering import Cell, Row, Table
from ablate.report.tables.difference_columns import (
    COLUMNS,
    TEST_CAPTION,
    difference_cells,
    identical_note,
    raw_difference,
    sign_flip_note,
)
from ablate.report.tables.notes import common_notes
from ablate.report.words import claim_text, gaps_text, plural, verdict_text


def claims_table(judgement: Judgement) -> Table | None:
    """One row per claim, Holm over all of them; None without claims."""
    results, judged = judgement.results, judgement.claims
    if not judged:
        return None
    found = [j.difference for j in judged]
    return Table(
        name="claims",
        title="Claims",
        caption=f"{results.name}: the claims of the study file, points. "
        f"{TEST_CAPTION.format(coverage=results.coverage)} "
        f"Holm over {plural(len(judged), 'claim')}.",
        corner="claim",
        columns=COLUMNS,
        rows=tuple(
            Row(
                claim_text(j.claim, results),
                (*difference_cells(j.difference), Cell(verdict_text(j.verdict))),
            )
            for j in judged
        ),
        notes=(*sign_flip_note(found), *identical_note(results, found), *common_notes(results)),
        raw=pd.DataFrame([raw_claim(j) for j in judged]),
    )


def raw_claim(judged: JudgedClaim) -> dict[str, Any]:
    """A judged claim at full precision, as CSV and JSON have it."""
    made, sequential = judged.images, judged.sequential
    return {
        "claim": str(judged.claim),
        **raw_difference(judged.difference),
        "low": judged.low,
        "high": judged.high,
        "p": judged.p,
        "p_holm": judged.p_holm,
        "low_new_images": math.nan if made is None else made.low,
        "high_new_images": math.nan if made is None else made.high,
        "image_share": math.nan if made is None else made.image_share,
        "image_floor_points": math.nan if made is None else made.image_floor,
        "looks": 0 if sequential is None else len(sequential.looks),
        "more_seeds": judged.more_seeds,
        "more_images": judged.more_images,
        "missing": gaps_text(judged.there.gaps),
        "exploratory": judged.exploratory,
        "withdrawn": judged.withdrawn,
        "verdict": judged.verdict,
    }


def claims_json(judgement: Judgement) -> dict[str, Any]:
    """Seal and claims as plain data; what is not known is None."""
    rows = [
        {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in raw_claim(j).items()}
        for j in judgement.claims
    ]
    return {"study": judgement.results.name, "seal": judgement.results.seal, "claims": rows}
