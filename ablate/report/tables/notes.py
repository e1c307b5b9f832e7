"""What stands under tables: split, selection, encoder, what bold means, and lettered notes."""

from __future__ import annotations

import math
import re

from ablate.evidence.judgement import Judgement
from ablate.evidence.quoted import QuotedRow
from ablate.evidence.results import Results
from ablate.evidence.searched import Searched
from ablate.report.words import fixed, metric_label, percent_text, plural

SELECTION_WARNING = (
    "Warning: this study selected on what it reports (data.selection: none), so its numbers are optimistic."
)


def common_notes(results: Results) -> tuple[str, ...]:
    """What must stand under every table: split, selection, encoder."""
    notes = [f"Split: {results.split}."]
    if results.selects_on_report:
        notes.append(SELECTION_WARNING)
    notes.append(search_note(results))
    if results.encoder:
        notes.append(f"Encoder: {results.encoder}.")
    notes.append(seal_note(results))
    if note := encoder_note(results.encoder):
        notes.append(note)
    return tuple(note for note in notes if note)


def search_note(results: Results) -> str:
    """How many configurations were tried, and how optimistic that made the winner; empty without a
    search."""
    found = results.searched
    if not found:
        return ""
    if len(found) == 1:
        alone = f" {results.baseline} is one configuration that was not searched for."
        return _searched_text(found[0]) + alone
    budgets = {(one.tried, one.seeds) for one in found}
    equal = "Every arm had the same budget. " if len(budgets) == 1 else "The arms had different budgets. "
    return equal + " ".join(map(_searched_text, found))


def _searched_text(one: Searched) -> str:
    text = f"{one.winner or 'The winner'} is the best of {plural(one.tried, 'configuration')}"
    text += f" ({one.failed} failed)" if one.failed else ""
    judged = " and ".join(map(metric_label, one.objectives or (one.objective,)))
    text += f", judged on {plural(one.seeds, 'seed')} by {judged}"
    if one.objectives:
        text += (
            f"; of the {one.front} that no other beats in both, the best by {metric_label(one.objective)}"
        )
    text += "."
    if one.constraints:
        kept = ", ".join(map(constraint_text, one.constraints))
        text += f" {one.broken} broke what the winner has to keep ({kept}), on the images that select."
    if math.isfinite(one.optimism):
        text += (
            f" Its lead over where it started, as selected: {fixed(one.promised, signed=True)} points; on "
            f"fresh seeds and what is reported: {fixed(one.kept, signed=True)}; optimism "
            f"{fixed(one.optimism)}."
        )
    return text


def constraint_text(constraint: str) -> str:
    """A search's constraint as readers see it."""
    metric, _, rest = constraint.partition(" ")
    return f"{metric_label(metric)} {rest}".replace(">=", "≥").replace("<=", "≤")


def seal_note(results: Results) -> str:
    """Whether what was claimed stood before the first run; the seal's digest is cut to 16 digits."""
    if results.seal:
        return f"Declared before the first run and sealed: SHA-256 {results.seal[:16]}…"
    return "The claims were not sealed before the first run." if results.claims else ""


def calibration_note(judgement: Judgement) -> str:
    """What the t-test says where the truth is known; empty with too few seeds."""
    made = judgement.calibration
    if made is None:
        return ""
    found = (
        f"{fixed(made.smallest_found)} points" if made.smallest_found is not None else "none of those tried"
    )
    return (
        f"Self-calibration on {metric_label(judgement.results.primary)}, seeds of the baseline against "
        f"each other: {made.false} of {made.comparisons} verdicts false ({percent_text(made.false_rate)}); "
        f"smallest planted effect found in {percent_text(made.power)} of them: {found}."
    )


def quoted_note(row: QuotedRow) -> str:
    """What stands at every number from elsewhere."""
    return f"quoted from {row.source}: not run here, not compared"


def encoder_note(encoder: str) -> str:
    """A plain line if the encoder is not of the class Dinomaly was published with; else empty."""
    if not encoder or (re.search(r"dinov[23]", encoder) and "RANDOM" not in encoder):
        return ""
    return (
        "This is not a DINOv2-class encoder: the differences compare the variants with each other, the "
        "levels are not comparable with published Dinomaly results."
    )


def bold_note(results: Results) -> str:
    """What bold and underlined mean."""
    return (
        "Bold: best mean, and every variant that cannot be told from it (the paired difference's "
        f"t-interval includes 0, {results.coverage} for all variants and columns together, or there are "
        "too few pairs for one); no bold in a column where that is every variant. Underlined: best of the "
        "rest."
    )


class Notes:
    """Collects the letters under a table: the same text keeps its letter."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def mark(self, text: str) -> str:
        """The letter of a note; none for an empty text."""
        if not text:
            return ""
        if text not in self.texts:
            self.texts.append(text)
        return _letter(self.texts.index(text))

    def lines(self) -> tuple[str, ...]:
        """The notes, each behind its letter."""
        return tuple(f"({_letter(i)}) {text}." for i, text in enumerate(self.texts))


def _letter(index: int) -> str:
    return chr(ord("a") + index) if index < 26 else f"a{index - 25}"
