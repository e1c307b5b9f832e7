"""Claims: what the paper will say, stated before the runs.

    A > B [+ m | - m] [on PLACE, PLACE] [by METRIC, METRIC]
    A ~ B [within m]  [on ...] [by ...]

``A > B + m``: better by more than m points; ``A > B - m``: not worse by m. ``A ~ B within m``: equivalent.
A place is a category, a stratum of the defects (``faintness=faint``,
``orientation=horizontal & brokenness=broken``), or both (``domain_c & faintness=faint``); ``all`` or none:
averaged over all categories. Without ``by`` it is the report's primary metric. A sentence with several
places or metrics is as many claims, all of them of the study's one family.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NoReturn, cast

from pydantic import GetJsonSchemaHandler
from pydantic_core import CoreSchema

from ablate.study.located import Located, Mark
from ablate.study.problems import Problems
from ablate.study.text import shown
from model.metric_names import (
    AUPIMO,
    MECHANISM_METRICS,
    STRATUM_CONJUNCTIONS,
    STRATUM_METRICS,
    STRATUM_NAMES,
    all_metrics,
    metric_label,
    metric_of,
)
from model.suggest import suggestion

Direction = Literal[">", "<", "~"]
ALL = "all"
"""The stratum of every defect, and the place of a claim that is averaged over categories."""

_CLAIM = re.compile(
    r"(?P<left>\S+)\s+(?P<direction>\S+)\s+(?P<right>\S+)"
    r"(?:\s+(?P<sign>[+-]|within)\s+(?P<margin>\S+))?"
    r"(?:\s+on\s+(?P<places>.+?))?(?:\s+by\s+(?P<metrics>.+?))?"
)  # wider than the grammar, to say what is wrong


def editor_pattern() -> str:
    """What editors accept as a claim: a regular expression; they know no names of variants."""
    labels = [re.escape(metric_label(metric)) for metric in all_metrics()]
    names = "|".join((*all_metrics(), AUPIMO, AUPIMO.upper(), *MECHANISM_METRICS, *labels))
    return (
        r"^\s*(\S+)\s+([<>]\s+\S+(\s+[+-]\s+[0-9.]+)?|~\s+\S+(\s+within\s+[0-9.]+)?)"
        rf"(\s+on\s+.+?)?(\s+by\s+({names})(\s*,\s*({names}))*)?\s*$"
    )


class ClaimText:
    """Marks text that is a claim, for the JSON schema."""

    @classmethod
    def __get_pydantic_json_schema__(
        cls, _schema: CoreSchema, _handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"type": "string", "pattern": editor_pattern()}


FORM = "write: left > right on category by metric"


@dataclass(frozen=True)
class Claim:
    """One statement about two variants, decided by the paired difference ``left - right``."""

    left: str
    right: str
    category: str | None
    """None: averaged over all categories."""
    metric: str
    direction: Direction
    stratum: str = ALL
    """Of the defects, as result files name it."""
    margin: float = 0.0
    """Points. With ``>`` and ``<`` what the difference is held against (negative: not worse by so much);
    with ``~`` how far from 0 it may lie."""

    def __str__(self) -> str:
        return f"{self.left} {self.direction} {self.compared} by {self.metric}"

    @property
    def compared(self) -> str:
        """Right-hand side, margin and place, as written."""
        bound = ""
        if self.direction == "~":
            bound = f" within {self.margin:g}"
        elif self.margin:
            bound = f" {'+' if self.margin > 0 else '-'} {abs(self.margin):g}"
        place = " & ".join(p for p in (self.category, self.stratum if self.stratum != ALL else None) if p)
        return f"{self.right}{bound}{f' on {place}' if place else ''}"

    @property
    def canonical(self) -> tuple[object, ...]:
        """The statement whichever way round it is written: ``a < b + 1`` is ``b > a - 1``."""
        where = (self.category, self.metric, self.stratum)
        if self.direction == "~":
            return ("~", *sorted((self.left, self.right)), self.margin, *where)
        if self.direction == "<":
            return (">", self.right, self.left, -self.margin or 0.0, *where)
        return (">", self.left, self.right, self.margin or 0.0, *where)

    @property
    def opposite(self) -> Claim | None:
        """The claim that the refuted one makes; None of an equivalence."""
        flipped: dict[Direction, Direction] = {">": "<", "<": ">"}
        return None if self.direction == "~" else replace(self, direction=flipped[self.direction])


def read_claims(
    node: Located,
    problems: Problems,
    *,
    variants: Collection[str],
    categories: Collection[str] | None,
    primary: str,
    margin: float,
) -> tuple[Claim, ...]:
    """The claims of a study; what is wrong with one is noted in ``problems``, where it stands.

    The parameters are those of :func:`parse_claim`.
    """
    claims: list[Claim] = []
    for item in node.sequence("claims"):
        with problems.noted():
            for claim in parse_claim(
                item, variants=variants, categories=categories, primary=primary, margin=margin
            ):
                _check_new(item.mark, claim, claims)
                claims.append(claim)
    return tuple(claims)


def _check_new(mark: Mark, claim: Claim, earlier: Sequence[Claim]) -> None:
    """Refuse a claim that repeats or mirrors another: one of the two would be a second chance."""
    if claim in earlier:
        mark.fail(f"the claim '{claim}' is given twice")
    for other in earlier:
        if claim.canonical == other.canonical:
            mark.fail(f"the claim '{claim}' says the same as '{other}'")
        if claim.opposite is not None and claim.opposite.canonical == other.canonical:
            mark.fail(
                f"the claim '{claim}' is the opposite of '{other}'",
                hint="a claim is refuted where its opposite holds: keep one of the two",
            )


def parse_claim(
    node: Located,
    *,
    variants: Collection[str],
    categories: Collection[str] | None,
    primary: str,
    margin: float = 0.0,
) -> tuple[Claim, ...]:
    """Parse and check one sentence; one claim per place and metric.

    Parameters
    ----------
    node: the sentence.
    variants: rows the study will have.
    categories: its categories, or None while they are not known (the plan checks them again).
    primary: the metric of a claim that names none.
    margin: the study's own (points), for an equivalence that names none.

    Raises
    ------
    ConfigError: not of the form above, or an unknown variant, category, stratum or metric.
    """
    text = node.string("a claim")
    found = _CLAIM.fullmatch(text.strip())
    if not found:
        node.mark.fail(f"cannot read the claim {shown(text)}", hint=FORM)
    left, right = found["left"], found["right"]
    if found["direction"] not in (">", "<", "~"):
        node.mark.fail(f"a claim compares with >, < or ~, got '{found['direction']}'")
    direction = cast(Direction, found["direction"])
    for name in (left, right):
        if name not in variants:
            node.mark.fail(f"the claim names an unknown variant '{name}'", hint=suggestion(name, variants))
    if left == right:
        node.mark.fail(f"the claim compares '{left}' with itself")
    bound = _margin(node, direction, found["sign"], found["margin"], margin)
    metrics = [_metric(m.strip()) for m in (found["metrics"] or primary).split(",")]
    places = [p.strip() for p in (found["places"] or ALL).split(",")]
    claims = []
    for category, stratum in (read_place(node, place, categories) for place in places):
        for metric in metrics:
            check_metric(node, metric, stratum)
            claims.append(Claim(left, right, category, metric, direction, stratum, bound))
    return tuple(claims)


def _metric(text: str) -> str:
    """A metric's name from its name or label; AUPIMO is not among the detector's own."""
    return AUPIMO if text.casefold() == AUPIMO else str(metric_of(text))


def _margin(node: Located, direction: Direction, sign: str | None, text: str | None, usual: float) -> float:
    """The signed margin in points."""
    if text is None:
        return usual if direction == "~" else 0.0
    if (sign == "within") != (direction == "~"):
        node.mark.fail(
            "'within' goes with ~, and + or - with > and <", hint="a ~ b within 0.5, or a > b - 0.5"
        )
    try:
        value = float(text)
    except ValueError:
        node.mark.fail(f"the claim's margin must be a number of points, got {shown(text)}")
    if not 0 < value <= 100:
        node.mark.fail(f"the claim's margin {text} is outside the allowed range (0, 100] points")
    return -value if sign == "-" else value


def read_place(
    node: Located, text: str, categories: Collection[str] | None, what: str = "the claim"
) -> tuple[str | None, str]:
    """Category (None: all) and stratum; ``what``: what messages call the sentence. Raises ConfigError."""
    if categories is not None and text in categories:
        return text, ALL
    parts = [part.strip() for part in text.split("&")]
    strata = [p for p in parts if p in STRATUM_NAMES or "=" in p]
    named = [p for p in parts if p not in strata and p != ALL]
    if len(named) > 1:
        node.mark.fail(f"{what}'s place '{text}' names several categories", hint="separate them by commas")
    category = named[0] if named else None
    if category is not None and categories is not None and category not in categories:
        node.mark.fail(
            f"{what} names an unknown category '{category}'", hint=suggestion(category, categories)
        )
    if not strata:
        return category, ALL
    for name in strata:
        if name not in STRATUM_NAMES:
            node.mark.fail(
                f"{what} names an unknown stratum '{name}'", hint=suggestion(name, STRATUM_NAMES)
            )
    if len(strata) == 1:
        return category, strata[0]
    both = STRATUM_CONJUNCTIONS.get(frozenset(strata))
    if both is None:
        _not_measured(node, " & ".join(strata))
    return category, both


def _not_measured(node: Located, text: str) -> NoReturn:
    known = "; ".join(" & ".join(sorted(parts)) for parts in STRATUM_CONJUNCTIONS)
    node.mark.fail(f"the stratum '{text}' is not measured", hint=f"measured together: {known}")


def check_metric(node: Located, metric: str, stratum: str, what: str = "the claim") -> None:
    """Refuse a metric that is unknown, or not measured on the stratum. Raises ConfigError."""
    known = (*all_metrics(), AUPIMO, *MECHANISM_METRICS)
    if metric not in known:
        node.mark.fail(f"{what} names an unknown metric '{metric}'", hint=suggestion(metric, known))
    measured = (*STRATUM_METRICS, *MECHANISM_METRICS)
    if stratum != ALL and metric not in measured:
        node.mark.fail(
            f"'{metric}' is not measured on the stratum '{stratum}'", hint=f"by {', '.join(measured)}"
        )
