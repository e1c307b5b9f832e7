"""The paragraph for a paper's experimental section: what was run and how it was judged.

Every number comes from the frame, the resolved settings, the seal or the runs' provenance. What is not
known is left out, not guessed.
"""

from __future__ import annotations

import math
from typing import Any

from ablate.evidence.judgement import Judgement
from ablate.evidence.results import Results
from ablate.report.latex import latex_escape
from ablate.report.tables.notes import SELECTION_WARNING, search_note
from ablate.report.words import (
    count_text,
    duration_text,
    metric_label,
    plural,
    setting_text,
    verdict_text,
)

NAME = "methods"


def methods_text(judgement: Judgement) -> tuple[tuple[str, str], ...]:
    """(heading, sentences) of each part, in reading order."""
    results = judgement.results
    parts = {
        "Model": _model(results),
        "Data": _data(judgement),
        "Protocol": _protocol(judgement),
        "Statistics": _statistics(judgement),
        "Declaration": _declaration(judgement),
        "Computing": _computing(results),
    }
    return tuple((name, " ".join(sentences)) for name, sentences in parts.items() if sentences)


def methods_files(judgement: Judgement) -> dict[str, str]:
    """Suffix -> content: LaTeX paragraphs and Markdown."""
    parts = methods_text(judgement)
    latex = "\n\n".join(rf"\paragraph{{{name}.}} {latex_escape(text)}" for name, text in parts)
    plain = "\n\n".join(f"**{name}.** {text}" for name, text in parts)
    return {".tex": latex + "\n", ".md": plain + "\n"}


# ---------------------------------------------------------------------------------- parts


def _shared(results: Results, path: str) -> str:
    """A setting's value where all variants have the same; else empty."""
    values = {setting_text(at[path]) for at in results.settings.values() if at.get(path) is not None}
    return next(iter(values)) if len(values) == 1 else ""


def _differing(results: Results) -> list[str]:
    paths = dict.fromkeys(path for at in results.settings.values() for path in at)
    return [
        path for path in paths if len({setting_text(at.get(path)) for at in results.settings.values()}) > 1
    ]


def _size(value: str) -> str:
    """``[224, 224]`` as ``224 × 224``."""
    return " × ".join(part.strip() for part in value.strip("[]").split(","))


def _model(results: Results) -> list[str]:
    if not results.settings:
        return []
    method = _shared(results, "method") or "several methods"
    found = [f"{plural(len(results.variants), 'variant')} of {method}; baseline: {results.baseline}."]
    if differing := _differing(results):
        found.append(f"They differ in {', '.join(differing)}; everything else is shared.")
    if results.encoder:
        found.append(f"Frozen encoder: {results.encoder}.")
    resize, crop = _shared(results, "image.resize"), _shared(results, "image.crop")
    if resize and crop:
        found.append(f"Images were resized to {_size(resize)} and cropped to {_size(crop)} pixels.")
    return found + _training(results)


def _training(results: Results) -> list[str]:
    facts = (
        ("decoder.depth", "decoder blocks"),
        ("decoder.attention", "attention"),
        ("bottleneck.dropout", "bottleneck dropout"),
        ("train.iterations", "iterations"),
        ("train.batch_size", "images a batch"),
        ("train.lr", "learning rate"),
        ("train.final_lr", "final learning rate"),
        ("train.warmup", "iterations of warm-up"),
        ("train.weight_decay", "weight decay"),
        ("train.precision", "precision"),
    )
    known = [f"{name} {value}" for path, name in facts if (value := _shared(results, path))]
    return [f"Shared by all variants: {', '.join(known)}."] if known else []


def _data(judgement: Judgement) -> list[str]:
    results = judgement.results
    categories = results.categories
    named = f" ({', '.join(categories)})" if 0 < len(categories) <= 20 else ""
    found = []
    if results.dataset:
        found.append(f"Dataset: {results.dataset}, {plural(len(categories), 'category')}{named}.")
    if results.setting:
        one = results.setting == "unified"
        found.append("One model was trained for all categories." if one else "One model per category.")
    images = judgement.level_images(results.baseline, results.primary)
    if images is not None:
        found.append(f"{images.images} test images were scored.")
    found.append(f"Reported split: {results.split}.")
    if results.selects_on_report:
        found.append(SELECTION_WARNING)
    return found


def _protocol(judgement: Judgement) -> list[str]:
    results = judgement.results
    done = [run for run in results.runs if run.state == "done"]
    per_variant = [len({r.seed for r in done if r.variant == v}) for v in results.variants]
    found = [
        f"Every variant was run with {count_text(per_variant)} seeds ({len({r.key for r in done})} runs); "
        "variants with the same seed share initial weights, data order and noise, so differences are "
        "paired by seed."
    ]
    if failed := sum(run.state == "failed" for run in results.runs):
        found.append(f"{plural(failed, 'run')} failed.")
    if left := sum(run.state not in ("done", "failed") for run in results.runs):
        found.append(f"{plural(left, 'run')} had not finished.")
    if note := search_note(results):
        found.append(note)
    found.append(f"Primary metric: {metric_label(results.primary)}.")
    return found


def _statistics(judgement: Judgement) -> list[str]:
    results = judgement.results
    found = ["The seed is the unit of replication; categories are averaged within it."]
    if any(j.sequential is not None for j in judgement.claims) and not results.max_seeds:
        found.append(
            "Claims that were looked at before all of their seeds were there were tested by an "
            "anytime-valid t-mixture; other differences by paired t-tests over seeds (two-sided)."
        )
    elif results.max_seeds:
        found.append(
            f"Claims were looked at as seeds arrived, from {results.first_look} to at most "
            f"{results.max_seeds} seeds, both declared beforehand, by a sequential t-test with a "
            "Wang-Tsiatis boundary (exponent 1/4); intervals are repeated confidence intervals."
        )
    else:
        found.append("Differences were tested by paired t-tests over seeds (two-sided).")
    if any(j.claim.direction == "~" for j in judgement.claims):
        found.append("Equivalence was tested by two one-sided tests at the error level.")
    families = {(j.exploratory, j.claim.direction == "~"): j.family for j in judgement.claims}
    if families:
        sizes = " and ".join(plural(size, "claim") for size in families.values())
        found.append(f"Holm's correction over {sizes}; error level {results.alpha:g}.")
    elif judgement.primary.family:
        found.append(
            f"Holm's correction over {plural(judgement.primary.family, 'comparison')} with the baseline; "
            f"error level {results.alpha:g}."
        )
    if results.margin:
        found.append(f"Differences within {results.margin:g} points count as none.")
    if any(judgement.images(d) is not None for d in judgement.primary.differences.values()):
        found.append(
            "A second interval, for new seeds and new test images, follows Obuchowski and Rockette with "
            "Hillis's degrees of freedom, covariances over images by DeLong's placements or a stratified "
            "jackknife."
        )
    made = judgement.calibration
    if made is not None:
        found.append(
            f"In {made.comparisons} comparisons of the baseline's seeds with each other the t-test gave "
            f"{plural(made.false, 'false verdict')}."
        )
    return found


def _declaration(judgement: Judgement) -> list[str]:
    results, claims = judgement.results, judgement.claims
    if not claims:
        return []
    stated = [j for j in claims if not j.exploratory]
    found = []
    if results.seal:
        found.append(
            f"{plural(len(stated), 'claim')} and the analysis were declared before the first run (SHA-256 "
            f"{results.seal})."
        )
    if late := len(claims) - len(stated):
        found.append(f"{plural(late, 'claim')} came later and count as exploratory.")
    if results.withdrawn:
        found.append(
            f"{plural(len(results.withdrawn), 'declared claim')} had been withdrawn and still count."
        )
    outcomes: dict[str, int] = {}
    for judged in stated:
        word = verdict_text(judged.verdict)
        outcomes[word] = outcomes.get(word, 0) + 1
    found.append(f"Outcome: {', '.join(f'{count} {word}' for word, count in outcomes.items())}.")
    return found


def _computing(results: Results) -> list[str]:
    p: Any = results.provenance
    hardware, packages = p.get("hardware") or {}, p.get("packages") or {}
    machine = ", ".join(str(hardware[k]) for k in ("gpu", "cpu") if hardware.get(k))
    found = []
    seconds = {run.key: run.seconds for run in results.runs if run.state == "done"}
    known = [s for s in seconds.values() if math.isfinite(s)]
    if known:
        of = "" if len(known) == len(seconds) else f" (known of {len(known)} of {len(seconds)} runs)"
        found.append(f"All runs together took {duration_text(sum(known))} of computing{of}.")
    if machine:
        cores = f", {plural(hardware['cores'], 'core')}" if hardware.get("cores") else ""
        found.append(f"Hardware: {machine}{cores}.")
    names = [f"{name} {packages[name]}" for name in ("ablate", "torch", "timm") if name in packages]
    if names:
        found.append(f"Software: {', '.join([*names, *_python(p)])}.")
    code = p.get("code") or {}
    if code.get("commit"):
        dirty = " with uncommitted changes" if code.get("dirty") else ""
        found.append(f"Code: commit {code['commit'][:12]}{dirty}.")
    return found


def _python(provenance: Any) -> list[str]:
    return [f"Python {provenance['python']}"] if provenance.get("python") else []
