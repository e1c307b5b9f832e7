"""The verdict of a claim: each of the six, and each way in which a page used to mislead."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ablate.evidence.judgement import JudgedClaim, Judgement
from ablate.evidence.results import Results, RunState
from ablate.report.findings import claim_findings
from ablate.study.claims import Claim

METRIC = "image_auroc"
ABOVE = Claim("new", "base", None, METRIC, ">")
CATEGORIES = ("a", "b")


def study(
    gains: list[float],
    *,
    categories: tuple[str, ...] = CATEGORIES,
    planned: int | None = None,
    gone: dict[tuple[str, int, str], str] | None = None,
    **fields: Any,
) -> Results:
    """Two variants that differ by ``gains`` (points) in each seed; ``gone`` cells: nan, waiting, failed."""
    gone, n = gone or {}, len(gains)
    rows, runs = [], []
    for seed in range(planned or n):
        for variant in ("base", "new"):
            for category in categories:
                state = gone.get((variant, seed, category), "there" if seed < n else "waiting")
                key = f"{variant}-{seed}-{category}"
                why = "NaN loss" if state == "failed" else ""
                kept = "done" if state in ("there", "nan") else state
                runs.append(RunState(key, variant, seed, category, kept, why))
                if kept != "done":
                    continue
                level = 0.8 + 0.001 * (seed % 3) + (gains[seed] / 100 if variant == "new" else 0)
                value = np.nan if state == "nan" else level
                rows.append((variant, seed, category, "report", "all", METRIC, value, key))
    columns = ["variant", "seed", "category", "split", "stratum", "metric", "value", "key"]
    made = Results(
        folder=Path("/nowhere"),
        name="s",
        frame=pd.DataFrame(rows, columns=columns),
        split="report",
        variants=("base", "new"),
        baseline="base",
        primary=METRIC,
        categories=categories,
        seeds=tuple(range(planned or n)),
        claims=(ABOVE,),
        runs=tuple(runs),
    )
    return replace(made, **fields)


def judged(*args: Any, **kwargs: Any) -> JudgedClaim:
    (found,) = Judgement(study(*args, **kwargs)).claims
    return found


CLEAR = [2.0, 2.2, 1.9, 2.1, 2.0]
NOISE = [1.0, -1.1, 0.9, -0.6, 0.1]


@pytest.mark.parametrize(
    ("claim", "gains", "verdict"),
    [
        (ABOVE, CLEAR, "supported"),
        (replace(ABOVE, direction="<"), CLEAR, "refuted"),
        (ABOVE, NOISE, "undecided"),
        (replace(ABOVE, margin=1.5), CLEAR, "supported"),
        (replace(ABOVE, margin=2.0), CLEAR, "undecided"),
        (replace(ABOVE, margin=3.0), CLEAR, "refuted"),
        (replace(ABOVE, margin=-2.0), NOISE, "supported"),  # not worse by 2 points
        (replace(ABOVE, direction="~", margin=2.0), NOISE, "equivalent"),
        (replace(ABOVE, direction="~", margin=0.5), NOISE, "undecided"),
        (replace(ABOVE, direction="~", margin=2.0), CLEAR, "undecided"),
    ],
)
def test_each_statement_has_its_own_test(claim: Claim, gains: list[float], verdict: str) -> None:
    assert judged(gains, claims=(claim,)).verdict == verdict


def test_a_difference_inside_the_margin_is_never_supported() -> None:
    tiny = [0.020, 0.021, 0.019, 0.020, 0.0205]
    assert judged(tiny).verdict == "supported"  # p is far below .05
    found = judged(tiny, margin=0.05)
    assert found.verdict == "equivalent" and found.p_holm < 0.001


def test_a_claim_over_an_unfinished_set_of_categories_is_incomplete() -> None:
    gone = {(v, s, "b"): "waiting" for v in ("base", "new") for s in range(5)}
    made = study(CLEAR, gone=gone)
    found = Judgement(made)
    assert found.claims[0].verdict == "incomplete"
    assert "on b at seeds 0, 1, 2, 3, 4 (not finished)" in claim_findings(found)[0].text


def test_what_diverged_is_named_and_its_survivors_are_not_judged() -> None:
    found = Judgement(study(CLEAR, gone={("new", 2, "b"): "failed"}))
    assert found.claims[0].verdict == "incomplete"
    assert "new on b at seed 2 (failed: NaN loss)" in claim_findings(found)[0].text


def test_a_seed_without_a_value_leaves_the_claim_undecided() -> None:
    found = Judgement(study(CLEAR, gone={("new", 4, "a"): "nan"}))
    assert found.claims[0].verdict == "undecided"
    assert "new on a at seed 4 (no value)" in claim_findings(found)[0].text


def test_a_category_in_which_nobody_has_a_value_is_not_part_of_the_question() -> None:
    gone = {(v, s, "b"): "nan" for v in ("base", "new") for s in range(5)}
    assert judged(CLEAR, gone=gone).verdict == "supported"


def test_a_look_before_the_end_needs_more_evidence() -> None:
    gains = [2.0, 3.1, 1.2]
    whole, early = judged(gains), judged(gains, planned=5)
    assert whole.verdict == "supported" or whole.p < 0.1
    assert early.verdict == "incomplete" and early.p > whole.p and early.sequential is not None


def test_seeds_added_after_a_look_are_judged_by_the_anytime_p() -> None:
    gains = [1.0, 0.2, 1.3, 0.4, 1.1]
    plain = judged(gains)
    looked = judged(gains, looks={str(ABOVE): (3,)})
    assert plain.verdict == "supported" and looked.verdict == "undecided"
    assert looked.sequential is not None and [look.n for look in looked.sequential.looks] == [3, 5]
    assert looked.low < plain.low and looked.high > plain.high
    assert judged(gains, looks={str(ABOVE): (5,)}).sequential is None  # all its seeds were there


def test_a_declared_maximum_is_judged_sequentially_from_the_start() -> None:
    found = judged(CLEAR, max_seeds=20, first_look=5)
    assert found.sequential is not None and found.verdict == "supported" and found.p > 0.0
    assert judged(NOISE, max_seeds=20, first_look=5).verdict == "undecided"


def test_exploratory_claims_do_not_enlarge_the_family_and_deleted_ones_do() -> None:
    late = replace(ABOVE, margin=1.0)
    made = study(CLEAR, exploratory=(late,), withdrawn=(ABOVE,))
    first, second = Judgement(made).claims
    assert (first.family, second.family) == (1, 1)
    assert first.withdrawn and not first.exploratory and second.exploratory
    both = Judgement(replace(made, claims=(ABOVE, late), exploratory=())).claims
    assert {j.family for j in both} == {2}


# ------------------------------------------------------------------------------- new images


def write_scores(made: Results, folder: Path, images: int, shift: float, wobble: float) -> Results:
    """``scores.csv`` of every run; the variants disagree on the same images in every seed."""
    rng = np.random.default_rng(5)
    labels = np.arange(images) % 2
    common, taste = rng.normal(size=images), rng.normal(size=images)
    frame = made.frame.copy()
    for run in made.runs:
        own = common + 1.2 * labels
        if run.variant == "new":
            own = own + shift * labels + wobble * taste
        own = own + np.random.default_rng(run.seed).normal(size=images) * 0.02
        path = folder / "runs" / run.key
        path.mkdir(parents=True)
        table = {"image": [f"{i}.png" for i in range(images)], "category": run.category}
        pd.DataFrame(
            {**table, "split": "report", "defect_type": "x", "label": labels, "score": own}
        ).to_csv(path / "scores.csv", index=False)
        beaten = own[labels == 1][:, None] > own[labels == 0][None]
        frame.loc[frame["key"] == run.key, "value"] = beaten.mean()
    return replace(made, folder=folder, frame=frame)


def test_few_images_cannot_decide_what_the_seeds_agree_on(tmp_path: Path) -> None:
    made = study([0.0] * 5, categories=("a",))
    few = Judgement(write_scores(made, tmp_path / "few", 40, 0.15, 0.5)).claims[0]
    assert few.p_holm < 0.05 and few.images is not None
    assert few.images.image_share > 0.9
    assert few.images.low < 0 < few.low or few.images.high > 0 > few.high
    assert few.verdict == "undecidable" and few.more_images and few.more_seeds is None
    many = Judgement(write_scores(made, tmp_path / "many", 2000, 0.4, 0.5)).claims[0]
    assert many.verdict == "supported" and many.images is not None and many.images.low > 0


def test_pages_of_studies_without_scores_have_one_interval_only() -> None:
    assert judged(CLEAR).images is None


def test_a_level_says_both_of_its_uncertainties(tmp_path: Path) -> None:
    made = Judgement(write_scores(study([0.0] * 4, categories=("a",)), tmp_path, 40, 0.3, 0.5))
    level = made.level_images("base", METRIC)
    seeds = made.primary.means["base"].estimate
    assert level is not None and level.mean == pytest.approx(100 * seeds.mean)
    assert level.seed_low == pytest.approx(100 * seeds.low) and level.low < level.seed_low
    assert level.high < 100


def test_levels_stay_inside_their_range() -> None:
    made = study([0.0] * 3)
    values = made.frame["value"].where(made.frame["seed"] > 0, 0.99).where(made.frame["seed"] == 0, 0.9999)
    means = Judgement(replace(made, frame=made.frame.assign(value=values))).primary.means
    assert means["base"].estimate.mean < means["base"].estimate.high < 1.0
