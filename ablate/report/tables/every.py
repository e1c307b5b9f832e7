"""Every table of a report."""

from __future__ import annotations

from ablate.evidence.judgement import Judgement
from ablate.report.rendering import Table
from ablate.report.tables.categories import category_table
from ablate.report.tables.claims import claims_table
from ablate.report.tables.differences import all_differences_table, difference_table
from ablate.report.tables.levels import levels_table
from ablate.report.tables.main import main_table
from ablate.report.tables.mechanism import mechanism_table
from ablate.report.tables.strata import strata_table


def all_tables(judgement: Judgement) -> list[Table]:
    """Every table that the study's results allow, in reading order."""
    results = judgement.results
    tables = [main_table(judgement), levels_table(judgement), claims_table(judgement)]
    if len(results.variants) > 1:
        tables += [difference_table(judgement), all_differences_table(judgement)]
    if results.categories:
        tables.append(category_table(judgement))
    for metric in dict.fromkeys((results.primary, "image_auroc", "pixel_ap")):
        tables.append(strata_table(judgement, metric))
    tables.append(strata_table(judgement, "token_distance_gap", scale=1.0, decimals=3))
    tables.append(mechanism_table(judgement))
    return [t for t in tables if t is not None and t.rows]
