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


@pytest.mark.parametrize("gains", [CLEAR, [1.0, 0.2, 1.3, 0.4, 1.1]])
def test_new_images_never_narrow_an_interval_that_holds_at_every_look(
    gains: list[float], tmp_path: Path
) -> None:
    made = write_scores(study(gains, categories=("a",)), tmp_path, 60, 0.3, 0.3)
    plain = Judgement(made).claims[0]
    looked = Judgement(replace(made, max_seeds=20, first_look=3)).claims[0]
    assert plain.images is not None and looked.images is not None
    assert plain.difference.level == 0.05 > looked.difference.level > 0
    # The ordinary t-interval at the level that the looks leave is the repeated interval.
    assert (looked.images.seed_low, looked.images.seed_high) == pytest.approx((looked.low, looked.high))
    assert looked.images.low <= looked.low and looked.images.high >= looked.high
    assert looked.images.low < plain.images.low


def test_a_sequential_equivalence_asks_new_images_at_the_error_it_spends(tmp_path: Path) -> None:
    claim = replace(ABOVE, direction="~", margin=6.0)
    made = write_scores(study([0.0] * 5, categories=("a",)), tmp_path, 400, 0.0, 0.2)
    fixed = Judgement(replace(made, claims=(claim,))).claims[0]
    looked = Judgement(replace(made, claims=(claim,), max_seeds=20, first_look=5)).claims[0]
    assert looked.sequential is not None and looked.images is not None
    spent = looked.sequential.spent(looked.step)
    assert 0 < spent < 0.05
    widths = [m for m in np.linspace(0, 6, 601) if not looked.images.within(m, spent)]
    assert fixed.images is not None and fixed.images.within(max(widths) - 0.02)


def test_images_are_asked_at_the_step_at_which_the_seeds_decide(tmp_path: Path) -> None:
    """Holm's last step is as strict as a claim by itself, whatever interval is shown."""
    gains = [2.0, 1.4, 2.7, 1.6, 2.2, 1.9]
    made = write_scores(study(gains, categories=("a",)), tmp_path, 4000, 0.4, 0.0)
    others = tuple(replace(ABOVE, metric="aupro", margin=m) for m in (-5.0, -4.0, -3.0))
    values = [
        made.frame.assign(metric="aupro", value=0.8 + 0.001 * made.frame["seed"]),
        made.frame,
    ]
    alone = Judgement(replace(made, max_seeds=20, first_look=3)).claims[0]
    many = replace(made, frame=pd.concat(values), claims=(*others, ABOVE), max_seeds=20, first_look=3)
    *_, found = Judgement(many).claims
    assert (found.family, alone.family) == (4, 1) and alone.sequential is not None
    assert 1 <= found.step <= 4 and found.sequential is not None
    assert found.sequential.spent(1) == pytest.approx(alone.sequential.spent(1))
    assert found.sequential.spent(4) < found.sequential.spent(1)
    assert found.sequential.spent(4) == pytest.approx(found.difference.level)


def test_images_that_lack_are_those_with_which_the_verdict_would_hold(tmp_path: Path) -> None:
    made = write_scores(study([0.0] * 5, categories=("a",)), tmp_path, 200, 0.15, 0.3)
    found = Judgement(made).claims[0]
    assert found.decided_by_seeds and found.verdict == "undecidable" and found.images is not None
    assert found.more_images
    for more, verdict in ((found.more_images, "supported"), (found.more_images - 1, "undecidable")):
        scale = found.images.images / (found.images.images + more)
        images = replace(found.images, image_variance=found.images.image_variance * scale)
        assert replace(found, images=images).verdict.replace("refuted", "supported") == verdict


def test_new_images_are_asked_at_holms_step_of_fixed_seeds_too(tmp_path: Path) -> None:
    made = write_scores(study([0.0] * 5, categories=("a",)), tmp_path, 400, 0.3, 0.5)
    found = Judgement(made).claims[0]
    assert found.images is not None and found.verdict == "supported"
    level = next(a for a in np.geomspace(0.05, 1e-9, 200) if not found.images.apart(0.0, float(a)))
    steps = int(0.05 / level) + 1
    assert replace(found, step=steps, family=steps).verdict == "undecidable"


def test_what_the_seeds_decide_and_images_hardly_touch_is_not_called_undecidable(tmp_path: Path) -> None:
    made = write_scores(study([0.0] * 8, categories=("a",)), tmp_path, 2000, 0.4, 0.02)
    for step in (1, 2, 4):
        found = Judgement(replace(made, max_seeds=20, first_look=3)).claims[0]
        found = replace(found, p_holm=min(1.0, step * found.p), step=step, family=4)
        assert found.p_holm < 0.05 and found.verdict == "supported"


@pytest.mark.parametrize(
    ("claim", "gains", "sign_flip"),
    [
        (replace(ABOVE, margin=1.5), [2.0, 2.2, 1.9, 2.1, 2.0, 1.8], True),
        (replace(ABOVE, direction="~", margin=3.0), [2.0, 2.2, 1.9, 2.1, 2.0, 1.8], False),
    ],
)
def test_a_claim_shows_the_p_of_what_it_states(claim: Claim, gains: list[float], sign_flip: bool) -> None:
    found, of_zero = judged(gains, claims=(claim,)), judged(gains)
    assert found.difference.p == found.p and found.difference.p_holm == found.p_holm
    assert found.p > of_zero.p
    assert found.difference.estimate == of_zero.difference.estimate
    if sign_flip:  # of the differences beyond the margin
        shifted = judged([gain - 1.5 for gain in gains])
        assert found.p == pytest.approx(shifted.p)
        assert found.difference.p_sign_flip == pytest.approx(shifted.difference.p_sign_flip)
        assert found.difference.seeds_needed == shifted.difference.seeds_needed
    else:
        assert np.isnan(found.difference.p_sign_flip) and np.isnan(found.difference.detectable)
        assert found.difference.seeds_needed is None


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
