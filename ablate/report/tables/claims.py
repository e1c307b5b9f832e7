"""The claims stated before the runs, and what became of them."""

from __future__ import annotations

import pandas as pd

from ablate.evidence.judgement import Judgement
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
from ablate.report.words import claim_text, plural, verdict_text


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
            Row(claim_text(j.claim), (*difference_cells(j.difference), Cell(verdict_text(j.verdict))))
            for j in judged
        ),
        notes=(*sign_flip_note(found), *identical_note(found), *common_notes(results)),
        raw=pd.DataFrame(
            [{"claim": str(j.claim), **raw_difference(j.difference), "verdict": j.verdict} for j in judged]
        ),
    )
