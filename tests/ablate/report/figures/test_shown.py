"""Which variants a figure draws where there are more than it has colours for."""

from __future__ import annotations

from dataclasses import replace

from ablate.evidence.judgement import Judgement
from ablate.report.figures.style import MAX_VARIANTS, left_out, shown
from ablate.study.claims import Claim
from tests.ablate.report_inputs import results


def test_the_most_informative_are_drawn_and_not_the_first() -> None:
    effects = {"dinomaly": 0.0, **{f"v{i:02d}": 0.0 for i in range(12)}, "strong": 0.05}
    made = results(effects, strata=False)
    claim = Claim("v11", "dinomaly", None, "image_auroc", ">")
    drawn = shown(Judgement(replace(made, claims=(claim,))))
    assert len(drawn) == MAX_VARIANTS + 1
    assert {"dinomaly", "v11", "strong"} <= set(drawn)
    assert list(drawn) == [v for v in made.variants if v in drawn]
    assert "5 further variants" in left_out(Judgement(made))
