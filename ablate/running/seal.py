"""The seal: what was declared before the first run, and every later change and look, in a hash chain.

``claims.jsonl`` in the study's folder, one entry per line. Each holds its own digest (SHA-256) and that of
the one before, so that no entry can be altered, left out or moved unnoticed; only the whole file can be
replaced, and then its digest is no longer the printed one. Until the first run is committed a study may
still be changed: the last entry ``seal`` counts. Afterwards changes are noted; claims that are new are
exploratory, claims that are gone still count.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter

from ablate.running.folder import Workspace
from ablate.running.locks import locked
from ablate.study.claims import Claim
from ablate.study.plan import Plan
from ablate.study.spec import StudySpec
from model.errors import StorageError
from model.files import storage_errors, write_text

Kind = Literal["seal", "change", "look", "gate", "verdict"]


@dataclass(frozen=True)
class Entry:
    """A line of the ledger."""

    kind: Kind
    time: float
    """Unix time; informative."""
    content: Mapping[str, Any]
    """Of a seal or change: what is declared. Of a look: claim -> [seeds, verdict]."""
    previous: str
    """Digest of the entry before; empty for the first."""
    digest: str

    @staticmethod
    def after(previous: str, kind: Kind, content: Mapping[str, Any]) -> Entry:
        """The next entry, made now."""
        now = round(time.time(), 3)
        return Entry(kind, now, content, previous, _digest(kind, now, content, previous))

    @property
    def intact(self) -> bool:
        """Whether the digest is that of the content."""
        return self.digest == _digest(self.kind, self.time, self.content, self.previous)


_ENTRY: TypeAdapter[Entry] = TypeAdapter(Entry)


def _digest(kind: str, moment: float, content: Mapping[str, Any], previous: str) -> str:
    text = json.dumps([kind, moment, content, previous], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def declared(spec: StudySpec, data: str) -> dict[str, Any]:
    """What is sealed of a study; ``data``: the fingerprint of what its runs read."""
    return {
        "claims": [asdict(claim) for claim in sorted(spec.claims, key=str)],
        "alpha": spec.report.alpha,
        "margin": spec.report.margin,
        "seeds": list(spec.seeds),
        "max_seeds": spec.max_seeds,
        "primary": spec.report.primary,
        "baseline": spec.baseline,
        "selection": spec.data.selection,
        "data": data,
    }


@dataclass(frozen=True)
class Sealed:
    """The ledger of a study, read and checked."""

    entries: tuple[Entry, ...]

    @property
    def first(self) -> Entry | None:
        """What was declared when the first run was committed (or is now, before that)."""
        seals = [entry for entry in self.entries if entry.kind == "seal"]
        return seals[-1] if seals else None

    @property
    def claims(self) -> tuple[Claim, ...]:
        """The declared claims."""
        return tuple(Claim(**fields) for fields in self.first.content["claims"]) if self.first else ()

    @property
    def max_seeds(self) -> int | None:
        """Most seeds, as first declared."""
        return self.first.content["max_seeds"] if self.first else None

    @property
    def first_look(self) -> int | None:
        """Seeds with which a sequential study began."""
        return len(self.first.content["seeds"]) if self.first else None

    @property
    def changes(self) -> tuple[Entry, ...]:
        """What was declared otherwise later."""
        return tuple(entry for entry in self.entries if entry.kind == "change")

    @property
    def looks(self) -> dict[str, tuple[int, ...]]:
        """Claim -> seed counts at which it was looked at."""
        found: dict[str, dict[int, None]] = {}
        for entry in self.entries:
            if entry.kind == "look":
                for claim, (seeds, _) in entry.content.items():
                    found.setdefault(claim, {})[int(seeds)] = None
        return {claim: tuple(seeds) for claim, seeds in found.items()}


def read_sealed(workspace: Workspace) -> Sealed:
    """The study's ledger; empty if it has none. Raises as :func:`read_entries`."""
    return Sealed(read_entries(workspace.claims))


def read_entries(path: Path) -> tuple[Entry, ...]:
    """The entries of a hash chain; none if it was not begun.

    Raises :class:`StorageError` if it cannot be read, or an entry was altered, removed or moved.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(f"unreadable: {error}", where=str(path)) from error
    previous, entries = "", []
    for number, line in enumerate(lines, 1):
        try:
            entry = _ENTRY.validate_json(line)
        except ValueError as error:
            raise StorageError("not an entry of the claims' ledger", where=f"{path}:{number}") from error
        if not entry.intact or entry.previous != previous:
            raise StorageError(
                "the claims' ledger was altered: its hashes do not fit",
                where=f"{path}:{number}",
                hint="restore the file; nothing that it seals can be trusted",
            )
        entries.append(entry)
        previous = entry.digest
    return tuple(entries)


def write_entries(path: Path, entries: Sequence[Entry]) -> None:
    """Replace the chain's file in one step. Raises :class:`StorageError` if the disk refuses."""
    with storage_errors(path):
        write_text(path, "".join(_ENTRY.dump_json(entry).decode() + "\n" for entry in entries))


def seal(workspace: Workspace, plan: Plan) -> Sealed:
    """Note what a study declares, if it is new. Raises :class:`StorageError` as :func:`read_sealed`."""
    content = json.loads(json.dumps(declared(plan.spec, plan.data)))
    committed = any(workspace.committed(run.key) for run in plan.runs) or any(workspace.runs.glob("*"))

    def due(sealed: Sealed) -> Kind | None:
        latest = next((e for e in reversed(sealed.entries) if e.kind != "look"), None)
        if latest is not None and latest.content == content:
            return None
        return "change" if latest is not None and committed else "seal"

    return _append(workspace, content, due)


def note_look(workspace: Workspace, seen: Mapping[str, tuple[int, str]]) -> Sealed:
    """Note that claims were looked at: claim -> (seeds, verdict); nothing if none has new seeds."""
    content = {claim: [seeds, verdict] for claim, (seeds, verdict) in seen.items() if seeds}

    def due(sealed: Sealed) -> Kind | None:
        known = sealed.looks
        new = any(seeds not in known.get(claim, ()) for claim, (seeds, _) in content.items())
        return "look" if new and sealed.entries else None

    return _append(workspace, content, due)


def _append(
    workspace: Workspace, content: Mapping[str, Any], due: Callable[[Sealed], Kind | None]
) -> Sealed:
    with locked(workspace.claims.with_name(".claims.lock")):
        sealed = read_sealed(workspace)
        kind = due(sealed)
        if kind is None:
            return sealed
        previous = sealed.entries[-1].digest if sealed.entries else ""
        entries = (*sealed.entries, Entry.after(previous, kind, content))
        write_entries(workspace.claims, entries)
        return Sealed(entries)
