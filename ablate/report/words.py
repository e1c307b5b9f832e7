"""The report's vocabulary: numbers, verdicts and names as readers see them, in every output.

One function per kind of word, used by tables, figures, page and terminal alike, so that the same
difference is called the same everywhere.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ablate.report.lettering import Label
from model.metric_names import METRICS, all_metrics
from model.metric_names import metric_label as label_of

if TYPE_CHECKING:
    from ablate.evidence.completeness import Gap
    from ablate.evidence.differences import Verdict
    from ablate.evidence.images import SeedsAndImages
    from ablate.evidence.judgement import ClaimVerdict
    from ablate.evidence.results import Results
    from ablate.evidence.stats import Estimate
    from ablate.study.claims import Claim

DASH, MINUS, CHECK = "–", "−", "✓"

# ---------------------------------------------------------------------------------- numbers


def fixed(value: float, decimals: int = 1, *, signed: bool = False) -> str:
    """A number with a real minus sign; a dash for NaN; never a negative zero."""
    if not math.isfinite(value):
        return DASH
    text = f"{abs(value):.{decimals}f}"
    if float(text) == 0:
        return text
    return (MINUS if value < 0 else "+" if signed else "") + text


def spread_text(sd: float) -> str:
    """``± 0.3`` in points; a second decimal where one would print a spread of zero."""
    if not math.isfinite(sd):
        return ""
    return f"± {fixed(sd, 2 if 0 < sd < 0.05 else 1)}"


def interval_text(estimate: Estimate | SeedsAndImages, decimals: int = 1) -> str:
    """``[−0.3, 2.7]``, or nothing where there is no interval.

    An end that would print as 0.0 gets a second decimal: on which side of 0 it lies is the point.
    """
    if not math.isfinite(estimate.low):
        return ""
    ends = [
        fixed(end, decimals + (end != 0 and float(f"{abs(end):.{decimals}f}") == 0))
        for end in (estimate.low, estimate.high)
    ]
    return f"[{ends[0]}, {ends[1]}]"


def p_range_text(ends: tuple[float, float]) -> str:
    """``0.003–0.04``: two significant digits; a dash for NaN."""
    if not all(map(math.isfinite, ends)):
        return DASH
    low, high = (f"{p:.2g}" if p >= 0.001 else "< 0.001" for p in ends)
    return low if low == high else f"{low.replace('< 0.001', '0')}{DASH}{high}"


def p_text(p: float) -> str:
    """A p-value: three decimals, ``< 0.001`` below."""
    if not math.isfinite(p):
        return DASH
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def percent_text(share: float, *, signed: bool = False) -> str:
    """A share as whole percent: ``67 %``; a dash for NaN."""
    return DASH if math.isnan(share) else f"{fixed(100 * share, 0, signed=signed)} %"


def count_text(counts: Sequence[int]) -> str:
    """``5`` or ``3–5``."""
    low, high = min(counts, default=0), max(counts, default=0)
    return str(low) if low == high else f"{low}{DASH}{high}"


def looks_text(looks: Sequence[int], most: int | None) -> str:
    """``9: 3–11 of 20``: how often was looked, at which seeds, of how many declared; empty without
    looks."""
    if not looks:
        return ""
    of = f" of {most}" if most else ""
    return f"{len(looks)}: {count_text(looks)}{of}"


def seeds_text(seeds: Sequence[Any]) -> str:
    """``none``, or the seeds with commas."""
    return ", ".join(map(str, seeds)) or "none"


def plural(n: int, word: str) -> str:
    """``1 seed``, ``2 seeds``, ``2 categories``."""
    many = f"{word}s"
    if word.endswith("y"):
        many = f"{word[:-1]}ies"
    elif word.endswith("sis"):
        many = f"{word[:-3]}ses"
    return f"{n} {word if n == 1 else many}"


def duration_text(seconds: float) -> str:
    """``40 s``, ``12 min`` or ``3.5 h``."""
    if seconds >= 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 60:.0f} min" if seconds >= 60 else f"{seconds:.0f} s"


# ---------------------------------------------------------------------------------- verdicts

_VERDICTS: Mapping[Verdict | ClaimVerdict, str] = {
    "better": "better",
    "worse": "worse",
    "supported": "supported",
    "refuted": "refuted",
    "undecided": "undecided",
    "equal": "identical",
    "missing": "no data yet",
    "equivalent": "equivalent",
    "undecidable": "this test set cannot decide it",
    "incomplete": "incomplete",
}


def verdict_text(verdict: Verdict | ClaimVerdict) -> str:
    """What a reader is told, of a difference to the baseline and of a claim."""
    return _VERDICTS[verdict]


def recorded_verdict(verdict: str) -> str:
    """The same of a verdict that a table has recorded; one of an earlier vocabulary as it stands there."""
    return next((text for known, text in _VERDICTS.items() if known == verdict), verdict)


def gaps_text(gaps: Sequence[Gap], results: Results | None = None) -> str:
    """``directional on domain_b at seeds 1, 2 (failed: NaN loss); ...``"""
    found: dict[tuple[str, str, str], list[str]] = {}
    for gap in gaps:
        reason = {"waiting": "not finished", "undefined": "no value", "failed": "failed"}[gap.why]
        why = f"{reason}: {gap.reason}" if gap.reason else reason
        found.setdefault((gap.variant, gap.category, why), []).append(str(gap.seed))
    return "; ".join(
        f"{variant_label(results, variant)} on {category} "
        f"at seed{'s' * (len(seeds) > 1)} {', '.join(seeds)} ({why})"
        for (variant, category, why), seeds in found.items()
    )


# ---------------------------------------------------------------------------------- names

TABLE_METRICS = METRICS[:7]
"""The seven of the literature; AUPRO at 5 % stands in the table of all differences."""


def table_metrics() -> tuple[str, ...]:
    """The seven of the literature, then those of plug-ins."""
    return (*TABLE_METRICS, *(name for name in all_metrics() if name not in METRICS))


def metric_label(metric: str) -> str:
    """What a reader calls the metric."""
    return label_of(metric)


def metric_level(metric: str) -> str:
    """``image`` or ``pixel``: the header above one of the literature's metrics; ``own`` of plug-ins'."""
    if metric not in METRICS:
        return "own"
    return "image" if metric.startswith("image_") else "pixel"


def stratum_label(stratum: str) -> str:
    """``orientation=horizontal`` as a column's header: its group stands above it."""
    group, _, name = stratum.rpartition("=")
    if stratum == "all":
        return "all defects"
    return f"no {group}" if name == "none" else name.replace("+", " + ")


def stratum_group(stratum: str) -> str:
    """``orientation`` of ``orientation=horizontal``; empty where there is none."""
    return stratum.rpartition("=")[0]


def variant_label(results: Results | None, variant: str) -> str:
    """What readers see a variant called: its label where the study gives one, else its name.

    A label is a :class:`~ablate.report.lettering.Label`: plain text here, mathematics in LaTeX and
    figures. Without ``results`` it is the name.
    """
    source = results.labels.get(variant) if results else None
    return variant if source is None else Label.of(source)


def level_label(results: Results | None, factor: str, level: Any) -> str:
    """What readers see a factor's level called."""
    source = results.level_labels.get(factor, {}).get(level) if results else None
    return level_text(level) if source is None else Label.of(source)


def level_text(level: Any) -> str:
    """A factor's level as an axis label."""
    return f"{level:g}" if isinstance(level, (int, float)) and not isinstance(level, bool) else str(level)


def setting_text(value: Any) -> str:
    """A setting's value as an entry of a table: ``on``, ``0.02``, ``0.5→0.1`` for a schedule."""
    if isinstance(value, Mapping) and "to" in value:
        return f"{value.get('from')}→{value.get('to')}"
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, (int, float)) else str(value)


def claim_text(claim: Claim, results: Results | None = None, *, metric: bool = True) -> str:
    """``left > right on domain_c by P-AP``; the metric on request. With ``results``, in its labels."""
    by = f" by {metric_label(claim.metric)}" if metric else ""
    left, right = (variant_label(results, name) for name in (claim.left, claim.right))
    return f"{left} {claim.direction} {right}{claim.compared.removeprefix(claim.right)}{by}"


def slug(text: str) -> str:
    """Part of a file name: letters and digits of any script. Different texts may give the same."""
    return re.sub(r"[\W_]+", "_", text).strip("_")


def selecting_images(on_report: bool) -> str:
    """What a search's configurations were judged on."""
    return "the reported images" if on_report else "the images that select"
