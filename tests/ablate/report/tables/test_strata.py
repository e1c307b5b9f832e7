"""The table by stratum: groups, deltas and how many defects each rests on."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from ablate.evidence.judgement import Judgement
from ablate.report.tables.strata import strata_table
from tests.ablate.report_inputs import judged, results


def test_strata_table_groups_and_counts() -> None:
    made = results()
    head = {"variant": "dinomaly", "stratum": "faintness=faint", "metric": "defects", "value": 4.0}
    counts = pd.DataFrame([{**head, "seed": s, "category": c} for s in range(5) for c in made.categories])
    table = strata_table(Judgement(replace(made, frame=pd.concat([made.frame, counts]))), "pixel_ap")
    assert table is not None
    assert [c.group for c in table.columns][:4] == ["", "orientation", "orientation", "orientation"]
    assert any("faint 12" in note for note in table.notes)
    assert strata_table(judged(strata=False), "pixel_ap") is None
