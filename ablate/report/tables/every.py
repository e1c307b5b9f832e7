"""Every table of a report."""

from __future__ import annotations

from dataclasses import replace

from ablate.evidence.judgement import Judgement
from ablate.report.numbers import USUAL, Style
from ablate.report.table import Table
from ablate.report.tables.categories import category_table
from ablate.report.tables.claims import claims_table
from ablate.report.tables.differences import all_differences_table, difference_table
from ablate.report.tables.factors import factor_tables
from ablate.report.tables.levels import levels_table
from ablate.report.tables.main import main_table
from ablate.report.tables.mechanism import mechanism_table
from ablate.report.tables.searches import search_tables
from ablate.report.tables.strata import strata_table


def all_tables(judgement: Judgement, style: Style = USUAL) -> list[Table]:
    """Every table that the study's results allow, in reading order."""
    results = judgement.results
    tables = [main_table(judgement, style), levels_table(judgement, style), claims_table(judgement, style)]
    if len(results.variants) > 1:
        tables += [difference_table(judgement, style), all_differences_table(judgement, style)]
    if results.categories:
        tables.append(category_table(judgement, style))
    tables.extend(factor_tables(judgement, style))
    for metric in dict.fromkeys((results.primary, "image_auroc", "pixel_ap")):
        tables.append(strata_table(judgement, metric, style))
    tables.append(strata_table(judgement, "token_distance_gap", scale=1.0, decimals=3))
    tables.append(mechanism_table(judgement))
    tables.extend(search_tables(judgement, style))
    return [replace(t, study=results.name) for t in tables if t is not None and t.rows]
