"""A plan derived from study file and frame says what the stored one says."""

from __future__ import annotations

from pathlib import Path

from ablate.evidence.gather import gather
from tests.ablate.report_inputs import write_study


def test_without_its_plan_a_folder_says_the_same(tmp_path: Path) -> None:
    made = write_study(tmp_path / "s", skip=[("control", 4)], pictures=False)
    (tmp_path / "s" / "plan.json").unlink()
    again = gather(tmp_path / "s")
    assert again.warnings == made.warnings == ()
    for name in ("variants", "seeds", "categories", "settings", "same_as", "encoder", "levels", "claims"):
        assert getattr(again, name) == getattr(made, name), name
    states = [[(r.variant, r.seed, r.state) for r in x.runs] for x in (made, again)]
    assert states[0] == states[1] and ("control", 4, "waiting") in states[1]
