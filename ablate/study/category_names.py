"""A study held against the categories that its dataset turned out to have. No torch here."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from typing import NoReturn

from ablate.study.spec import StudySpec
from model.errors import ConfigError
from model.suggest import suggestion


def categories_checked(spec: StudySpec, categories: Iterable[str]) -> None:
    """Check the spec against the categories that the dataset turned out to have.

    Raises
    ------
    ConfigError: a claim or the search names another one; or two differ in case only, which many file
        systems cannot tell apart.
    """
    known = tuple(categories)
    where = str(spec.path)
    twins = [(a, b) for a, b in combinations(known, 2) if a.casefold() == b.casefold()]
    if twins:
        raise ConfigError(
            f"the categories '{twins[0][0]}' and '{twins[0][1]}' differ in case only",
            where=where,
            hint="rename a folder, or leave one out of data.categories",
        )

    def fail(what: str, name: str) -> NoReturn:
        raise ConfigError(
            f"{what} names an unknown category '{name}'", where=where, hint=suggestion(name, known)
        )

    for claim in spec.claims:
        if claim.category is not None and claim.category not in known:
            fail(f"the claim '{claim}'", claim.category)
    for name in (spec.search.categories or ()) if spec.search else ():
        if name not in known:
            fail("search.categories", name)
