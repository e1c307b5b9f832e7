"""A campaign's ledger: every change that was tried against the incumbent, before its runs and after.

``RESULTS/campaigns/STUDY.jsonl``, a hash chain as the seal's (:mod:`ablate.running.seal`): it is only ever
added to. A ``gate`` entry is written before anything of a change is known; it spends its share of the
campaign's error budget for good, whatever comes of it. A ``verdict`` entry closes it.

The k-th change is judged at ``alpha * 6 / (pi k)^2``. These shares sum to at most alpha however many
changes are tried, so the chance that the campaign ever accepts a change that is no better stays below alpha
(a union bound: nothing is assumed of how changes are chosen).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from ablate.running.locks import locked
from ablate.running.seal import Entry, Kind, read_entries, write_entries
from ablate.study.smoke import SMOKE


@dataclass(frozen=True)
class Gate:
    """One change that was tried, or is being tried."""

    number: int
    """From 1."""
    name: str
    study: str
    """The study of its runs."""
    alpha: float
    """What it spends."""
    keys: tuple[str, ...]
    """Of the candidate's runs, sorted."""
    overrides: Mapping[str, Any]
    """The candidate, by dotted path over the study's base."""


@dataclass(frozen=True)
class Outcome:
    """What became of a change."""

    verdict: str
    accepted: bool
    difference: float
    """Points, candidate minus incumbent."""
    low: float
    high: float
    seeds: int
    looks: int
    reused: int
    """Runs that were there already."""
    computed: int
    """Runs that were computed for it."""
    seconds: float
    """Of computing them."""
    to_decide: str
    """What would decide it, in words; empty if it is decided or seeds would not."""


class Campaign:
    """All gates of one study's campaign."""

    def __init__(self, results: Path, study: str) -> None:
        self.path = results / "campaigns" / f"{study}.jsonl"

    def gates(self) -> list[tuple[Gate, Outcome | None]]:
        """In the order in which they were begun; without outcome while it is not known.

        Raises :class:`StorageError` if the ledger cannot be read, or was altered.
        """
        entries = read_entries(self.path)
        known = {e.content["number"]: e.content for e in entries if e.kind == "verdict"}
        return [
            (_gate(entry.content), _outcome(known.get(entry.content["number"])))
            for entry in entries
            if entry.kind == "gate"
        ]

    def begin(
        self, name: str, study: str, keys: Sequence[str], overrides: Mapping[str, Any], alpha: float
    ) -> tuple[Gate, Outcome | None]:
        """The gate of a candidate: the one that its keys had before, else a new one, noted before its runs.

        ``alpha``: the campaign's whole budget. Raises as :meth:`gates`.
        """
        with locked(self.path.with_name(f".{self.path.name}.lock")):
            before = self.gates()
            for gate, outcome in before:
                if gate.keys == tuple(sorted(keys)):
                    return gate, outcome
            number = len(before) + 1
            made = _study_of(study, number)
            gate = Gate(number, name, made, share(alpha, number), tuple(sorted(keys)), overrides)
            self._append("gate", asdict(gate))
            return gate, None

    def close(self, gate: Gate, outcome: Outcome) -> None:
        """Note what became of a gate; the first word stands."""
        with locked(self.path.with_name(f".{self.path.name}.lock")):
            if all(o is None for g, o in self.gates() if g.number == gate.number):
                self._append("verdict", {"number": gate.number, **asdict(outcome)})

    def spent(self) -> float:
        """Sum of the shares of all gates begun."""
        return math.fsum(gate.alpha for gate, _ in self.gates())

    def incumbent(self) -> Mapping[str, Any] | None:
        """Overrides of the change that was accepted last; None while none was."""
        accepted = [gate.overrides for gate, outcome in self.gates() if outcome and outcome.accepted]
        return accepted[-1] if accepted else None

    def _append(self, kind: Kind, content: Mapping[str, Any]) -> None:
        entries = read_entries(self.path)
        previous = entries[-1].digest if entries else ""
        plain = {key: _finite(value) for key, value in content.items()}
        write_entries(self.path, (*entries, Entry.after(previous, kind, plain)))


def _study_of(campaign: str, number: int) -> str:
    """What a gate's study is called: as it would be if it were made tiny from its own file."""
    name = campaign.removesuffix(SMOKE)
    return f"{name}-gate-{number}{campaign[len(name) :]}"


def share(alpha: float, number: int) -> float:
    """What the ``number``-th change (from 1) may spend of a campaign's ``alpha``."""
    return alpha * 6 / (math.pi * number) ** 2


def _finite(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


_GATE: TypeAdapter[Gate] = TypeAdapter(Gate)
_OUTCOME: TypeAdapter[Outcome] = TypeAdapter(Outcome)


def _gate(content: Mapping[str, Any]) -> Gate:
    return _GATE.validate_python(content)


def _outcome(content: Mapping[str, Any] | None) -> Outcome | None:
    if content is None:
        return None
    known = {key: math.nan if value is None else value for key, value in content.items() if key != "number"}
    return _OUTCOME.validate_python(known)
