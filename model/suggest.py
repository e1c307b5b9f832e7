"""Did you mean: the one place that guesses which name was meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def suggestion(word: object, known: Iterable[str], *, list_all: bool = True) -> str | None:
    """A did-you-mean hint, or the list of what is known where nothing is near.

    Capitals do not matter, and the last part of a dotted path stands for the path: ``q`` is near
    ``tail.q``. Several names that end so are all named: ``auroc`` is of images or of pixels.
    ``list_all=False``: None where nothing is near.
    """
    names = list(known)
    meant = [name for name in names if name.casefold().endswith(f"_{str(word).casefold()}")]
    if len(meant) > 1:
        return f"did you mean {' or '.join(repr(name) for name in meant)}?"
    near = nearest(word, names)
    if near is not None:
        return f"did you mean '{near}'?"
    return f"known: {', '.join(names)}" if names and list_all else None


def nearest(word: object, known: Iterable[str]) -> str | None:
    """The known name that ``word`` probably stands for; None if it resembles none."""
    names = list(known)
    exact = difflib.get_close_matches(str(word), names, n=1, cutoff=0.6)
    if exact:
        return exact[0]
    folded = str(word).casefold()
    same = [n for n in names if n.casefold() == folded or n.rpartition(".")[2].casefold() == folded]
    if same:
        return same[0]
    by_folded = {name.casefold(): name for name in reversed(names)}
    close = difflib.get_close_matches(folded, by_folded, n=1, cutoff=0.6)
    return by_folded[close[0]] if close else None
