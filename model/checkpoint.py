"""The checkpoint of a training run: whole, of this run, and as it was written, or not used at all.

A file is one line of JSON (whose it is, how far it is, the content's hash) and then what torch has saved.
One that does not prove itself is set aside as a draft, which goes when the run is committed.
"""

from __future__ import annotations

import hashlib
import io
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from model.errors import StorageError
from model.files import replacing

MAGIC = "ablate checkpoint 1"


def save_checkpoint(path: Path, key: str, iteration: int, content: Mapping[str, Any]) -> None:
    """Replace the checkpoint at ``path``; a crash leaves the old one or the new one.

    Parameters
    ----------
    key: of the run that it belongs to.
    iteration: steps that it stands after.
    content: anything that ``torch.load(weights_only=True)`` reads.

    Raises
    ------
    StorageError: the disk refuses.
    """
    buffer = io.BytesIO()
    torch.save(dict(content), buffer)
    header = {"file": MAGIC, "key": key, "iteration": iteration, "hash": _hash(buffer.getbuffer())}
    try:
        with replacing(path) as stream:
            stream.write(json.dumps(header).encode() + b"\n")
            stream.write(buffer.getbuffer())
    except OSError as error:
        raise StorageError(f"cannot write checkpoint {path}: {error}") from error


def load_checkpoint(path: Path, key: str) -> tuple[int, dict[str, Any]] | None:
    """Iteration and content of the checkpoint at ``path``; None if there is none that can be trusted.

    One that is damaged, truncated or another run's is set aside, with a warning that says so: the run
    begins anew. Raises StorageError if it cannot be read.
    """
    try:
        header, _, content = path.read_bytes().partition(b"\n")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(f"cannot read checkpoint {path}: {error.strerror}") from error
    try:
        said = json.loads(header)
        owner, iteration, expected = said["key"], int(said["iteration"]), said["hash"]
        known = said["file"] == MAGIC
    except (ValueError, KeyError, TypeError):
        owner, iteration, expected, known = "", 0, "", False
    if not known or expected != _hash(content):
        set_aside(path, "it is not what was written")
        return None
    if owner != key:
        set_aside(path, f"it belongs to run {owner}")
        return None
    return iteration, torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)


def set_aside(path: Path, why: str) -> None:
    """Take a checkpoint out of use, and warn of it."""
    place = path.with_name(f".{path.name}.damaged.tmp")
    path.replace(place)
    warnings.warn(f"the checkpoint is not used: {why}; moved to {place}, the run begins anew", stacklevel=2)


def _hash(content: bytes | memoryview) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()
