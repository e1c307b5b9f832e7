"""Settings that a row's method does not have, refused where they stand. No torch here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ablate.study.checking import Set
from ablate.study.located import Mark
from ablate.study.rows import Row
from model.baselines import METHODS
from model.config import sections_of


def check_read(
    base: Mapping[str, Set],
    variants: Mapping[str, tuple[Mark, Mapping[str, Set]]],
    factors: Mapping[str, Mark],
    rows: Iterable[tuple[Row, str]],
) -> None:
    """Every setting that the file gives must be read by at least one of the rows that it reaches.

    A base that serves several methods may hold settings of each; a variant of one method may not hold
    another's.

    Parameters
    ----------
    base, variants, factors: what is given there, by dotted path.
    rows: each row of the study with its method.

    Raises
    ------
    ConfigError: a setting that its method does not have, with file, line and column.
    """
    rows = tuple(rows)
    for path, item in base.items():
        _check(path, item.key, {method for _, method in rows})
    for name, (_, given) in variants.items():
        mine = {method for row, method in rows if row.variant == name}
        for path, item in given.items():
            _check(path, item.key, mine)
    for path, mark in factors.items():
        _check(path, mark, {method for row, method in rows if path in row.factors})


def _reads(method: str, path: str) -> bool:
    part = path.partition(".")[0]
    if part == "data":  # every method has training images; pseudo-defects are for what is trained
        return method == "dinomaly" or not path.startswith("data.pseudo.")
    return part in sections_of(method)


def _check(path: str, mark: Mark, methods: set[str]) -> None:
    part = path.partition(".")[0]
    if not methods or any(_reads(method, path) for method in methods):
        return
    named = " and ".join(sorted(methods))
    owner = next((method.name for method in METHODS.values() if method.section == part), "dinomaly")
    mark.fail(f"'{path}' is not a setting of method {named}", hint=f"it belongs to method: {owner}")
