"""The ``factors:`` part of a study file, and the labels of rows and levels. No torch here."""

from __future__ import annotations

import re
from itertools import accumulate
from typing import Any

from ablate.study.checking import check_value, given_settings, own_keys, parse_value
from ablate.study.located import Located, Mark
from ablate.study.problems import Problems
from ablate.study.row_data import RowSettings, check_varying
from ablate.study.settings import leaves
from ablate.study.spec import Factors, LabelledLevel
from ablate.study.text import shown

MATH = re.compile(r"\$(?=\S)([^$]*[^$\s])\$(?!\d)")
"""Mathematics within a label; a lone or a spaced dollar sign is itself."""


def read_factors(node: Located, mark: Mark) -> tuple[Factors, dict[str, Mark]]:
    """Read and check the factors, and where each path stands.

    Parameters
    ----------
    node: the mapping below ``factors:``; ``mark``: where that key stands.

    Raises
    ------
    ConfigError: anything wrong with them, at its place.
    """
    own, rest = own_keys(node, Factors, "factors")
    design = leaves(Factors)["design"]
    if "design" not in own:
        mark.fail("missing key 'design' in factors", hint=" or ".join(design.schema["enum"]))
    chosen = check_value(design, own["design"], "factors")
    problems = Problems()
    given = given_settings(rest, RowSettings, "factors", problems)
    with problems.noted():
        check_varying(given)
    if not given and not problems:
        mark.fail("factors names no setting", hint="e.g. tail.q: [0.01, 0.02]")
    read = {}
    for path, item in given.items():
        with problems.noted():
            read[path] = checked_levels(path, item.value)
    problems.raise_all()
    levels = {path: values for path, (values, _) in read.items()}
    labels = {path: names for path, (_, names) in read.items() if names}
    return Factors(chosen, levels, labels), {path: item.key for path, item in given.items()}


def check_label(node: Located, what: str) -> str:
    """What readers see a row or a level called, checked."""
    text: str = parse_value(leaves(LabelledLevel)["label"], node, what)
    for part in MATH.findall(text):
        bare = re.sub(r"\\[{}]", "", part)
        depth = list(accumulate((char == "{") - (char == "}") for char in bare))
        if min(depth) < 0 or depth[-1]:
            node.mark.fail(f"{what}.label: braces do not match in {shown(part)}")
    return text


def checked_levels(path: str, node: Located) -> tuple[tuple[Any, ...], dict[int, str]]:
    """A factor's levels, each checked where it stands, and the labels of some; none may be given twice."""
    problems = Problems()
    values: list[Any] = []
    labels: dict[int, str] = {}
    for item in node.sequence(f"factors.{path}"):
        with problems.noted():
            value, text = _level(path, item)
            if value in values:
                item.mark.fail(f"factors.{path}: the level {shown(value)} is given twice")
            if text:
                labels[len(values)] = text
            values.append(value)
    problems.raise_all()
    if not values:
        node.mark.fail(f"factors.{path} has no levels")
    return tuple(values), labels


def _level(path: str, item: Located) -> tuple[Any, str]:
    """One level and its label, which may be empty."""
    leaf = leaves(RowSettings)[path]
    if not isinstance(item.value, dict) or "value" not in item.value:
        return check_value(leaf, item), ""
    given = given_settings(item, LabelledLevel, f"factors.{path}")
    text = check_label(given["label"].value, f"factors.{path}") if "label" in given else ""
    return check_value(leaf, given["value"].value), text
