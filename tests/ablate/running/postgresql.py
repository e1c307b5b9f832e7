"""A PostgreSQL server for tests: started on a free loopback port, stopped by its process id."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from ablate.running.server import Address

PASSWORD = "pa55-w0rd"
"""Asked for by the server; must be seen nowhere."""


def binaries() -> Path | None:
    """Where Debian or the PATH has the server's programs; None without a server."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found:
        return found[-1].parent
    program = shutil.which("initdb")
    return Path(program).parent if program else None


class PostgresServer:
    """A cluster of its own in ``folder``; as root it runs as the system's ``postgres``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = _free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self._user = "postgres" if os.geteuid() == 0 else None
        folder.mkdir(parents=True)
        secret = folder / "secret"
        secret.write_text(PASSWORD)
        if self._user:
            owner = pwd.getpwnam(self._user)
            for path in (folder, secret):
                os.chown(path, owner.pw_uid, owner.pw_gid)
        command = ["initdb", "-D", str(folder / "data"), "-U", "ablate", "-A", "scram-sha-256", "-N"]
        self._run([*command, "--pwfile", str(secret), "--locale=C", "-E", "UTF8"])

    @property
    def url(self) -> str:
        """With the password."""
        return f"postgresql://ablate:{PASSWORD}@127.0.0.1:{self.port}/postgres"

    @property
    def address(self) -> Address:
        return Address.parse(self.url)

    def start(self) -> None:
        program = binaries()
        assert program is not None
        options = ["-h", "127.0.0.1", "-p", str(self.port), "-k", "", "-c", "fsync=off"]
        self.process = subprocess.Popen(
            [str(program / "postgres"), "-D", str(self.folder / "data"), *options],
            user=self._user,
            group=self._user,
            extra_groups=[] if self._user else None,
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=(self.folder / "log").open("ab"),
            start_new_session=True,
        )
        deadline = time.monotonic() + 240
        while not self.answers():
            assert self.process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def answers(self) -> bool:
        import psycopg

        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def stop(self, number: int = signal.SIGINT) -> None:
        """SIGINT: a fast shutdown; SIGKILL: a crash (its children end by themselves)."""
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(60)
            self.process = None
            (self.folder / "data" / "postmaster.pid").unlink(missing_ok=True)

    def _run(self, command: list[str]) -> None:
        program = binaries()
        assert program is not None
        subprocess.run(
            [str(program / command[0]), *command[1:]],
            check=True,
            user=self._user,
            group=self._user,
            extra_groups=[] if self._user else None,
            cwd=self.folder,
            capture_output=True,
        )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
