"""One connection to PostgreSQL that outlives the server's restarts; and addresses without secrets.

A password never appears where it could be read by others: not on a command line (refused there), not
in a repr, a log, a session's file or an error. Who has one gives it by ``PGPASSWORD``, ``~/.pgpass`` or
the address in ``ABLATE_STORAGE``.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from model.errors import ConfigError, StorageError

if TYPE_CHECKING:
    from psycopg import Connection

STORAGE = "ABLATE_STORAGE"
"""Environment variable with the address; workers inherit it."""
_SCHEMES = ("postgresql", "postgres")
_RETRY = 0.5
"""Seconds between attempts to reach a server that is away."""

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Address:
    """Where a PostgreSQL database is. Its repr and :attr:`public` leave the password out."""

    url: str = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> Address:
        """An address as typed. Raises :class:`ConfigError`, without repeating it, if it is none."""
        try:
            parts = urlsplit(text)
            valid = parts.scheme in _SCHEMES and bool(parts.path.strip("/"))
        except ValueError:
            valid = False
        if not valid:
            raise ConfigError(
                "--storage: not the address of a PostgreSQL database",
                hint="postgresql://user@host:5432/database",
            )
        return cls(text)

    @property
    def has_password(self) -> bool:
        """Whether the address itself holds one."""
        parts = urlsplit(self.url)
        named = {name for name, _ in parse_qsl(parts.query)}
        return parts.password is not None or "password" in named

    @property
    def public(self) -> str:
        """The address without its password and parameters: for logs and files."""
        parts = urlsplit(self.url)
        user = f"{parts.username}@" if parts.username else ""
        return urlunsplit((parts.scheme, user + parts.netloc.rpartition("@")[2], parts.path, "", ""))


def find_address(given: str | None, *, arguments: Sequence[str] = ()) -> Address | None:
    """The address as given, else that of ``ABLATE_STORAGE``; None if there is none.

    ``arguments``: the command line. Raises :class:`ConfigError` if it shows a password to everyone who
    may list processes.
    """
    text = given or os.environ.get(STORAGE)
    if not text:
        return None
    address = Address.parse(text)
    if address.has_password and any(text in word for word in arguments):
        raise ConfigError(
            "--storage: a password on the command line can be read by everyone on this machine",
            hint=f"leave it out and set PGPASSWORD, or set {STORAGE} to the whole address",
        )
    return address


@dataclass(frozen=True)
class Remote:
    """Where and how a study is run by several machines."""

    address: Address
    shared: bool = False
    """Whether they share the results folder; else results go through the server."""
    lease: float = 60.0
    """Seconds."""


class Server:
    """The process's one connection, for use by several threads; opened when first needed.

    Parameters
    ----------
    patient: wait for a server that is not there yet; else only for one that has been reached before.
    """

    def __init__(self, address: Address, *, patient: bool = False, name: str = "ablate") -> None:
        self.address = address
        self._name = name
        self._patient = patient
        self._lock = threading.RLock()
        self._connection: Connection[Any] | None = None

    def call(self, work: Callable[[Connection[Any]], _Result], *, patience: float = math.inf) -> _Result:
        """Do ``work`` in one transaction; again after a lost connection, so it must be idempotent.

        Raises :class:`StorageError` if the server refuses, or stays away for ``patience`` seconds.
        """
        import psycopg

        deadline = time.monotonic() + patience
        while True:
            try:
                with self._lock:
                    connection = self._connected()
                    with connection.transaction():
                        return work(connection)
            except (psycopg.OperationalError, psycopg.InterfaceError) as error:
                reason = _one_line(error)
                self._drop()
            except psycopg.Error as error:
                raise self._refused(_one_line(error)) from None
            if not self._patient or time.monotonic() > deadline:
                raise self._refused(reason)
            time.sleep(_RETRY)

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        self._drop()

    def _connected(self) -> Connection[Any]:
        import psycopg
        from psycopg.rows import tuple_row

        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(
                self.address.url,
                autocommit=True,
                row_factory=tuple_row,
                application_name=self._name,
                connect_timeout=5,
                keepalives_idle=10,
                keepalives_interval=5,
                keepalives_count=3,
                tcp_user_timeout=20000,
                options="-c statement_timeout=60000 -c client_min_messages=warning",
            )
            self._patient = True
        return self._connection

    def _drop(self) -> None:
        with self._lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()

    def _refused(self, reason: str) -> StorageError:
        return StorageError(reason, where=self.address.public, hint="is the database there, and reachable?")


def open_server(address: Address, *, patient: bool = False, name: str = "ablate") -> Server:
    """A server to call. Raises :class:`ConfigError` if psycopg is not installed."""
    try:
        import psycopg  # noqa: F401
    except ImportError:
        raise ConfigError(
            "PostgreSQL needs psycopg", hint="install it with: pip install 'ablate[postgres]'"
        ) from None
    return Server(address, patient=patient, name=name)


def _one_line(error: Exception) -> str:
    """What went wrong; libpq's words do not hold the password."""
    return " ".join(str(error).split())[:300] or type(error).__name__
