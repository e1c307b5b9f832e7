"""Findings: what became of the claims and differences, in plain sentences, and what to beware of.

A finding says what :mod:`ablate.evidence.judgement` decided; nothing is decided here.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace

from ablate.evidence.differences import Difference, Verdict
from ablate.evidence.images import SeedsAndImages
from ablate.evidence.judgement import ClaimVerdict, JudgedClaim, Judgement
from ablate.evidence.results import Results
from ablate.report.tables.notes import calibration_note, encoder_note, search_note
from ablate.report.words import (
    claim_text,
    count_text,
    fixed,
    gaps_text,
    interval_text,
    metric_label,
    p_text,
    percent_text,
    plural,
    seeds_text,
    variant_label,
    verdict_text,
)

MORE_SEEDS, MORE_IMAGES = 20, 100
"""What a reader is told the effect of."""


@dataclass(frozen=True)
class Finding:
    """One sentence of the headline."""

    verdict: Verdict | ClaimVerdict
    subject: str
    text: str


def claim_findings(judgement: Judgement) -> list[Finding]:
    """What became of the claims stated before the runs."""
    return [_claim_finding(j, judgement.results) for j in judgement.claims]


def headline(judgement: Judgement) -> list[Finding]:
    """Which variants differ from the baseline for real and which are noise, in plain words."""
    results = judgement.results
    return [_difference_finding(d, results) for d in judgement.primary.differences.values()]


def _claim_finding(judged: JudgedClaim, results: Results) -> Finding:
    subject = claim_text(judged.claim, results, metric=False)
    return Finding(judged.verdict, subject, claim_reason(judged, results))


def claim_reason(judged: JudgedClaim, results: Results | None = None) -> str:
    """The verdict of a claim, the numbers behind it, what is missing and what would decide it."""
    d = judged.difference
    if not d.n and not judged.there.started and not judged.there.having("failed"):
        return f"no pair of {metric_label(d.metric)} values yet."
    sentences = [f"{verdict_text(judged.verdict)}: {_claim_numbers(judged)}"]
    if judged.there.gaps:
        sentences.append(f"Missing: {gaps_text(judged.there.gaps, results)}.")
    made = judged.images
    if made is not None and math.isfinite(made.low):
        sentences.append(
            f"For new images too: [{fixed(made.low)}, {fixed(made.high)}]; the images carry "
            f"{percent_text(made.image_share)} of the variance. {_narrowing(made)}"
        )
    if judged.more_seeds is not None:
        sentences.append(f"About {plural(judged.more_seeds, 'more seed')} would decide it.")
    if judged.more_images:
        more = plural(judged.more_images, "more test image")
        what = "for it to hold on new ones" if judged.decided_by_seeds else "for seeds to decide it"
        sentences.append(f"It takes about {more} of the same kind {what}.")
    blind = d.detectable
    if judged.verdict == "undecided" and not judged.there.gaps and math.isfinite(blind):
        sentences.append(
            f"With {d.n} seeds only differences from {fixed(blind)} points on are found reliably."
        )
    if judged.exploratory:
        sentences.append("Exploratory: stated after the first runs.")
    if judged.withdrawn:
        sentences.append("Taken out of the study file after the runs; it still counts.")
    return " ".join(sentences)


def _claim_numbers(judged: JudgedClaim) -> str:
    d = judged.difference
    points = f"{fixed(d.estimate.mean, signed=True)} points {metric_label(d.metric)}"
    if not d.n:
        return f"no whole pair of {metric_label(d.metric)} values."
    if d.n == 1:
        return f"{points} at one seed. One seed has no interval, so nothing follows from it."
    if d.identical:
        return f"{points} in each of {d.n} seeds. The seeds do not differ, so they test nothing."
    ends = interval_text(replace(d.estimate, low=judged.low, high=judged.high))
    p = f"p = {p_text(judged.p_holm)} (Holm over {judged.family})".replace("= <", "<")
    looked = ""
    if d.looks:
        looked = f", looked {plural(len(d.looks), 'time')} (at {count_text(d.looks)} seeds)"
    return f"{points} {ends} at {d.n} seeds, {p}{looked}."


def _narrowing(made: SeedsAndImages) -> str:
    """What would narrow the interval for new seeds and new images."""
    seeds, images = made.width_change(seeds=MORE_SEEDS), made.width_change(images=MORE_IMAGES)
    if not (math.isfinite(seeds) and math.isfinite(images)):
        return ""
    return (
        f"Its width: {percent_text(seeds, signed=True)} with {MORE_SEEDS} more seeds, "
        f"{percent_text(images, signed=True)} with {MORE_IMAGES} more images."
    )


def _difference_finding(d: Difference, results: Results) -> Finding:
    subject = f"{variant_label(results, d.variant)} vs {variant_label(results, d.baseline)}"
    if d.variant in results.same_as:
        original = variant_label(results, results.same_as[d.variant])
        return Finding(d.verdict, subject, f"is the configuration of {original}: the same runs.")
    return Finding(d.verdict, subject, _text(d.verdict, d))


def _text(verdict: Verdict | ClaimVerdict, d: Difference) -> str:
    if verdict == "missing":
        return f"no pair of {metric_label(d.metric)} values yet."
    return f"{verdict_text(verdict)}: {_evidence(d)}"


def _evidence(d: Difference) -> str:
    """The number, its interval, and what it takes to know more."""
    points = f"{fixed(d.estimate.mean, signed=True)} points {metric_label(d.metric)}"
    if d.n == 1:
        return f"{points} at one seed. One seed has no interval, so nothing follows from it."
    if d.identical:
        return f"{points} in each of {d.n} seeds. The seeds do not differ, so they test nothing."
    numbers = f"{points} {interval_text(d.estimate)} at {d.n} seeds"
    if d.looks:
        p = f"p = {p_text(d.p_holm)} (Holm over {d.family}), valid at every look".replace("= <", "<")
        return f"{numbers}, {p}."
    if d.verdict in ("better", "worse"):
        return f"{numbers}, p = {p_text(d.p_holm)} (Holm over {d.family}).".replace("= <", "<")
    return f"{numbers}. {_needs(d)}"


def _needs(d: Difference) -> str:
    """What would decide an undecided comparison."""
    if d.p_holm < d.alpha and abs(d.estimate.mean) <= d.margin:
        return f"The difference is real and lies within the margin of {fixed(d.margin)} points."
    blind = f"With {d.n} seeds only differences from {fixed(d.detectable)} points on are found reliably"
    needed = d.seeds_needed
    if needed is None or needed > 50:
        return f"{blind}; if there is one of the size observed, seeds alone will hardly show it."
    clause = " The interval excludes 0, but not after Holm." if d.apart else ""
    more = f"Needs about {needed - d.n} more seeds ({needed} in all) if the effect is as observed."
    return f"{more}{clause} {blind}."


def caveats(judgement: Judgement) -> list[str]:
    """What a reader must know before believing a number."""
    results = judgement.results
    found = list(results.warnings)
    seeds = len(results.seeds)
    if seeds == 1:
        found.append("One seed: no spread, no interval, no test. Differences below may be noise.")
    elif judgement.few_for_sign_flip:
        found.append(
            f"With {plural(seeds, 'seed')} the sign-flip permutation test cannot reach p < 0.05: its "
            f"smallest two-sided p is {judgement.smallest_sign_flip_p:.3g}. All tests here are t-tests."
        )
    if seeds == 2:
        found.append("Two seeds leave a t-test one degree of freedom: read a verdict from them as a hint.")
    states = Counter(run.state for run in results.runs)
    if open_ := sum(n for state, n in states.items() if state not in ("done", "failed")):
        found.append(
            f"{open_} of {plural(len(results.runs), 'run')} are not finished; their values are missing."
        )
    if states["failed"]:
        found.append(f"{plural(states['failed'], 'run')} failed; see Runs.")
    if results.selects_on_report:
        found.append(
            "This study selected on what it reports, so its best rows are optimistic. "
            "With data.selection: half it would not."
        )
    for d in judgement.primary.differences.values():
        if d.outliers:
            found.append(
                f"{variant_label(results, d.variant)} vs {variant_label(results, d.baseline)}: "
                f"seed{'s' * (len(d.outliers) > 1)} {seeds_text(d.outliers)} "
                "far from the others; a t-test is not to be trusted with them."
            )
    if results.claims and not results.seal:
        found.append("The claims were not sealed before the first run.")
    if note := search_note(results):
        found.append(note)
    if note := calibration_note(judgement):
        found.append(note)
    if note := encoder_note(results.encoder):
        found.append(f"Encoder: {results.encoder}. {note}")
    return found
