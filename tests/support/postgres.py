"""A PostgreSQL server of the tests' own: Debian's programs, an empty cluster, a plain account.

It listens on 127.0.0.1 on a port of its own and on a socket in its folder, and ends with the tests,
however they end.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from servers import free_port, wait_for

#: PostgreSQL refuses to run as root.
ACCOUNT = os.environ.get("PYWPS_HPC_TEST_USER", "wps")
ROLE = "service"
#: Seconds for which a job table waits for its database where a test is not about that.
PATIENCE = 90.0


def programs() -> Path:
    """Where Debian has the server's programs, which are in nobody's PATH.

    Raises:
        AssertionError: they are not installed (tests/infra/packages.sh does that).
    """
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    assert found, "PostgreSQL is not installed: run tests/infra/packages.sh"
    return found[-1].parent


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGINT, 0, 0, 0)  # PR_SET_PDEATHSIG, prctl(2)


@dataclass
class Postgres:
    """A server with no table in its one database."""

    folder: Path = field(init=False)
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        # A short path: a socket's name has at most 107 bytes (unix(7)).
        home = os.environ.get("PYWPS_HPC_TEST_HOME")
        self.folder = Path(tempfile.mkdtemp(prefix="postgres-", dir=home))
        self.port = free_port()
        self.password = secrets.token_hex(16)
        self.log = self.folder / "server.log"

    @property
    def url(self) -> str:
        """Of the database, over TCP and with a password."""
        return f"postgresql+psycopg://{ROLE}:{self.password}@127.0.0.1:{self.port}/postgres"

    @property
    def socket_url(self) -> str:
        """Of the same database, over the socket."""
        return f"postgresql+psycopg://{ROLE}@/postgres?host={self.folder}&port={self.port}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        command: list[str | Path] = [programs() / "postgres", "-D", self.folder / "data"]
        for setting in (
            f"port={self.port}",
            "listen_addresses=127.0.0.1",
            f"unix_socket_directories={self.folder}",
            *("fsync=off", "max_connections=200", "shared_buffers=16MB", "log_connections=off"),
        ):
            command += ["-c", setting]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, preexec_fn=_end_with_parent, **self._account()
            )
        wait_for(self.answers, f"PostgreSQL answers, see {self.log}", 120)

    def stop(self) -> None:
        """What an administrator's restart does: connections are cut (pg_ctl(1), fast)."""
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(120)
            self.process = None

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """An administrator's restart, which takes a while."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    def answers(self) -> bool:
        """Whether it takes connections.

        Raises:
            AssertionError: it has ended.
        """
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text(errors="replace")
        engine = sa.create_engine(self.url, poolclass=sa.NullPool)
        try:
            engine.connect().close()
        except sa.exc.OperationalError:
            return False
        return True

    def clear(self) -> None:
        """Take everything out of the database."""
        engine = sa.create_engine(self.url, poolclass=sa.NullPool)
        with engine.begin() as connection:
            connection.exec_driver_sql("DROP SCHEMA public CASCADE")
            connection.exec_driver_sql("CREATE SCHEMA public")

    def __enter__(self) -> Postgres:
        if os.geteuid() == 0:
            shutil.chown(self.folder, ACCOUNT, ACCOUNT)
        secret = self.folder / "password"
        secret.write_text(self.password, encoding="ascii")
        secret.chmod(0o644)
        self.folder.chmod(0o700)
        initdb: list[str | Path] = [programs() / "initdb", "-D", self.folder / "data"]
        initdb += ["--username", ROLE, "--pwfile", secret, "--encoding", "UTF8", "--locale", "C"]
        initdb += ["--auth-host", "scram-sha-256", "--auth-local", "trust", "--no-sync"]
        subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, **self._account())
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self.folder)

    def _account(self) -> dict[str, Any]:
        mine: dict[str, Any] = {"cwd": self.folder, "stdin": subprocess.DEVNULL}
        if os.geteuid() == 0:
            mine |= {"user": ACCOUNT, "group": ACCOUNT, "extra_groups": []}
        return mine
