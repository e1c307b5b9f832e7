"""Constraints of a search: what a configuration must keep to be able to win.

    METRIC [on PLACE] >= POINTS
    METRIC [on PLACE] <= POINTS

Metrics and places are those of claims (:mod:`ablate.study.claims`): a category, a stratum of the defects,
or both; without one the mean over all categories. They are judged like the objective: on the selection
split, as the mean over the search's seeds.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from pydantic import GetJsonSchemaHandler
from pydantic_core import CoreSchema

from ablate.study.claims import ALL, check_metric, read_place
from ablate.study.located import Located, Mark
from ablate.study.text import shown
from model.metric_names import all_metrics, metric_label, metric_of
from model.suggest import suggestion

FORM = "write: metric on category >= points, e.g. image_auroc on domain_a >= 97"
_CONSTRAINT = re.compile(r"(?P<metric>\S+?)(?:\s+on\s+(?P<place>.+?))?\s*(?P<sign>>=|<=)\s*(?P<bound>\S+)")


class ConstraintText:
    """Marks text that is a constraint, for the JSON schema."""

    @classmethod
    def __get_pydantic_json_schema__(
        cls, _schema: CoreSchema, _handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        names = "|".join((*all_metrics(), *(re.escape(metric_label(metric)) for metric in all_metrics())))
        return {"type": "string", "pattern": rf"^\s*({names})(\s+on\s+.+?)?\s*[<>]=\s*[0-9.]+\s*$"}


@dataclass(frozen=True)
class Constraint:
    """One of them."""

    metric: str
    category: str | None
    """None: the mean over all categories."""
    stratum: str
    """Of the defects, as result files name it."""
    least: bool
    """Whether the bound is a lower one."""
    bound: float
    """Points."""

    def __str__(self) -> str:
        place = " & ".join(p for p in (self.category, self.stratum if self.stratum != ALL else None) if p)
        where = f" on {place}" if place else ""
        return f"{self.metric}{where} {'>=' if self.least else '<='} {self.bound:g}"

    def breach(self, value: float) -> float:
        """By how many points ``value`` (points) breaks it; at most 0: it holds."""
        return self.bound - value if self.least else value - self.bound


def read_constraint(node: Located, categories: Collection[str] | None) -> Constraint:
    """Parse and check one.

    Parameters
    ----------
    node: the sentence.
    categories: the study's, or None while they are not known.

    Raises
    ------
    ConfigError: not of the form above, or an unknown category, stratum or metric.
    """
    text = node.string("a constraint")
    found = _CONSTRAINT.fullmatch(text.strip())
    if not found:
        node.mark.fail(f"cannot read the constraint {shown(text)}", hint=FORM)
    metric = str(metric_of(found["metric"]))
    if metric not in all_metrics():
        node.mark.fail(
            f"the constraint names an unknown metric '{metric}'", hint=suggestion(metric, all_metrics())
        )
    category, stratum = read_place(node, (found["place"] or ALL).strip(), categories, "the constraint")
    check_metric(node, metric, stratum, "the constraint")
    try:
        bound = float(found["bound"])
    except ValueError:
        node.mark.fail(f"the constraint's bound must be a number of points, got {shown(found['bound'])}")
    if not 0 <= bound <= 100:
        node.mark.fail(
            f"the constraint's bound {found['bound']} is outside the allowed range [0, 100] points"
        )
    return Constraint(metric, category, stratum, found["sign"] == ">=", bound)


def read_constraints(node: Located, categories: Collection[str] | None) -> tuple[str, ...]:
    """A list of them, each checked, as :func:`constraint_of` takes them. Raises ConfigError."""
    found: list[str] = []
    for item in node.sequence("search.constraints"):
        text = str(read_constraint(item, categories))
        if text in found:
            item.mark.fail(f"the constraint '{text}' is given twice")
        found.append(text)
    return tuple(found)


def constraint_of(text: str) -> Constraint:
    """The constraint whose ``str`` is ``text``."""
    return read_constraint(Located(text, Mark("search.json")), None)
