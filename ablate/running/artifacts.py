"""The files of runs, kept in the database where machines share no folder: addressed by their content.

A file is stored once, as chunks under its sha256, whoever uploads it and how often. An upload holds no
transaction longer than one chunk takes, so the beats of the run it belongs to go on in between.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from ablate.running.files import move_into_place
from ablate.running.folder import Workspace
from ablate.running.server import Server
from model.errors import StorageError
from model.files import storage_errors

CHUNK = 1 << 20
"""Bytes per row."""

TABLE = """
CREATE TABLE IF NOT EXISTS ablate_chunk (
    digest text NOT NULL, part integer NOT NULL, content bytea NOT NULL, PRIMARY KEY (digest, part))
"""


def upload(server: Server, folder: Path) -> dict[str, str]:
    """Store every file of a folder; returns name -> sha256. Raises StorageError."""
    with storage_errors(folder):
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        return {path.relative_to(folder).as_posix(): _upload(server, path) for path in files}


def _upload(server: Server, path: Path) -> str:
    digest = sha256(path)
    with path.open("rb") as stream:
        part = 0
        while (content := stream.read(CHUNK)) or part == 0:  # an empty file is one empty chunk
            values = (digest, part, content)
            server.call(
                lambda c, v=values: c.execute(  # type: ignore[misc]
                    "INSERT INTO ablate_chunk VALUES (%s, %s, %s) ON CONFLICT DO NOTHING", v
                )
            )
            part += 1
    return digest


def fetch(server: Server, workspace: Workspace, key: str, files: Mapping[str, str]) -> None:
    """Bring a committed run into the study's folder, checked, by one rename.

    Raises :class:`StorageError` if a file is not what was committed, or cannot be written.
    """
    draft = workspace.attempts / f"{key}.fetch"
    with storage_errors(draft):
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        for name, digest in files.items():
            relative = PurePosixPath(name)
            if relative.is_absolute() or ".." in relative.parts:
                raise StorageError(f"run {key} has a file called '{name}'", where=server.address.public)
            target = draft / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            _download(server, digest, target)
            if sha256(target) != digest:
                raise StorageError(
                    f"{name} of run {key} is not what was committed", where=server.address.public
                )
        move_into_place(draft, workspace.run_dir(key))
        shutil.rmtree(draft, ignore_errors=True)


def _download(server: Server, digest: str, target: Path) -> None:
    with target.open("wb") as stream:
        part = 0
        while True:
            values = (digest, part)
            row = server.call(
                lambda c, v=values: c.execute(  # type: ignore[misc]
                    "SELECT content FROM ablate_chunk WHERE digest = %s AND part = %s", v
                ).fetchone()
            )
            if row is None:
                return
            stream.write(row[0])
            part += 1


def sha256(path: Path) -> str:
    """Of a file's content."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(CHUNK):
            digest.update(block)
    return digest.hexdigest()
