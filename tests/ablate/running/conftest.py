"""What all tests of running share."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ablate.running.postgresql import PostgresServer, binaries


@pytest.fixture(autouse=True)
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the fakes take notes (``tests.ablate.runner_fakes``)."""
    path = tmp_path / "log"
    monkeypatch.setenv("FAKE_LOG", str(path))
    return path


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A running server that all tests share; those that stop it start their own."""
    server = new_server()
    yield server
    server.stop()
    shutil.rmtree(server.folder.parent)


def new_server() -> PostgresServer:
    """A server, started; skips the test, aloud, where PostgreSQL is not installed."""
    if binaries() is None:
        pytest.skip("PostgreSQL is not installed: its half of the queue is NOT TESTED")
    pytest.importorskip("psycopg")
    folder = Path(tempfile.mkdtemp(prefix="ablate-postgres-"))
    folder.chmod(0o755)
    server = PostgresServer(folder / "cluster")
    server.start()
    return server


@pytest.fixture
def fresh_server(postgres: PostgresServer) -> PostgresServer:
    """The shared server, with none of our tables."""
    import psycopg

    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    return postgres
