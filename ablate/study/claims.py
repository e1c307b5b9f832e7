"""Claims: what the paper will say, stated before the runs.

``left > right on category by metric``: one sentence per claim, the category optional (``on all`` or
left out: averaged over all categories), the metric optional (the report's primary one).
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

from ablate.study.located import Located
from ablate.study.text import shown
from model.metric_names import METRIC_LABELS, METRICS, metric_of
from model.suggest import suggestion


def _form(direction: str, metric: str) -> str:
    return rf"(\S+)\s+({direction})\s+(\S+)(?:\s+on\s+(\S+))?(?:\s+by\s+({metric}))?"


_LABELS = [label for metric, label in METRIC_LABELS.items() if metric in METRICS and " " not in label]
_CLAIM = re.compile(_form(r"\S+", r"\S+"))  # wider than the grammar, to say what is wrong
EDITOR_PATTERN = rf"^\s*{_form('[<>]', '|'.join((*METRICS, *_LABELS)))}\s*$"
"""What editors accept as a claim; they know no names of variants."""


@dataclass(frozen=True)
class Claim:
    """One statement about two variants, decided by the paired difference ``left - right``."""

    left: str
    right: str
    category: str | None
    """None: averaged over all categories."""
    metric: str
    direction: Literal[">", "<"]

    def __str__(self) -> str:
        where = "" if self.category is None else f" on {self.category}"
        return f"{self.left} {self.direction} {self.right}{where} by {self.metric}"


def parse_claim(
    node: Located, *, variants: Collection[str], categories: Collection[str] | None, primary: str
) -> Claim:
    """Parse and check one claim.

    Parameters
    ----------
    node: the sentence.
    variants: rows the study will have.
    categories: its categories, or None while they are not known (the plan checks them again).
    primary: the metric of a claim that names none.

    Raises
    ------
    ConfigError: not of the form above, or an unknown variant, category or metric.
    """
    text = node.string("a claim")
    found = _CLAIM.fullmatch(text.strip())
    if not found:
        node.mark.fail(
            f"cannot read the claim {shown(text)}", hint="write: left > right on category by metric"
        )
    left, direction, right, category, metric = found.groups()
    if direction not in (">", "<"):
        node.mark.fail(f"a claim compares with > or <, got '{direction}'")
    for name in (left, right):
        if name not in variants:
            node.mark.fail(f"the claim names an unknown variant '{name}'", hint=suggestion(name, variants))
    if left == right:
        node.mark.fail(f"the claim compares '{left}' with itself")
    metric = metric_of(metric)
    if metric is not None and metric not in METRICS:
        node.mark.fail(f"the claim names an unknown metric '{metric}'", hint=suggestion(metric, METRICS))
    if category == "all":
        category = None
    if category is not None and categories is not None and category not in categories:
        node.mark.fail(
            f"the claim names an unknown category '{category}'", hint=suggestion(category, categories)
        )
    fields: dict[str, Any] = {"direction": direction}
    return Claim(left=left, right=right, category=category, metric=metric or primary, **fields)
