"""A real SSH server for tests: Debian's, on 127.0.0.1, with keys and a configuration of its own.

It runs as whoever runs the tests, who is also the only one that can log in. Only the server and its
own children are ever signalled.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil

from pywps_hpc.settings import Ssh
from servers import free_port, wait_for

SSHD = Path("/usr/sbin/sshd")

_CONFIG = """\
ListenAddress 127.0.0.1
HostKey {folder}/host_ed25519
HostKey {folder}/host_rsa
PidFile none
AuthorizedKeysFile {folder}/authorized_keys
StrictModes no
UsePAM no
UseDNS no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
LogLevel VERBOSE
# What a careless account could have in its environment.
SetEnv SBATCH_PARTITION=nowhere SLURM_TIME_FORMAT=%s
"""


class Sshd:
    """An SSH server with one account and one key.

    Args:
        folder: for keys, configuration and log.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.key, self.known_hosts = folder / "id", folder / "known_hosts"
        self._process: subprocess.Popen[bytes] | None = None
        for name, kind in (("id", "ed25519"), ("host_ed25519", "ed25519"), ("host_rsa", "rsa")):
            make_key(folder / name, kind)
        config = _CONFIG.format(folder=folder)
        if _version() >= (9, 8):  # these make an address wait that failed to log in
            config += "PerSourcePenalties no\n"
        (folder / "sshd_config").write_text(config)
        self.authorize("restrict")
        self.known_hosts.write_text(self.known_line("ed25519"))

    @property
    def ssh(self) -> Ssh:
        """The settings of a client that may log in."""
        return Ssh(
            host="127.0.0.1",
            port=self.port,
            user=pwd.getpwuid(os.geteuid()).pw_name,
            key=self.key,
            known_hosts=self.known_hosts,
            timeout=20.0,
        )

    def hasty(self, seconds: float = 3.0) -> Ssh:
        """The same, with little patience."""
        return replace(self.ssh, timeout=seconds)

    def authorize(self, options: str) -> None:
        """Let our key log in with these options (sshd(8), AUTHORIZED_KEYS FILE FORMAT)."""
        public = self.key.with_suffix(".pub").read_text()
        (self.folder / "authorized_keys").write_text(f"{options} {public}")

    def known_line(self, kind: str) -> str:
        """The line of a known_hosts file for one of our host keys."""
        kind, key, *_ = (self.folder / f"host_{kind}.pub").read_text().split()
        return f"[127.0.0.1]:{self.port} {kind} {key}\n"

    def start(self) -> None:
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # as Debian's start script does
        listening = f"Server listening on 127.0.0.1 port {self.port}"
        before = self.log().count(listening)
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [SSHD, "-D", "-e", "-p", str(self.port), "-f", self.folder / "sshd_config"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_for(lambda: self.log().count(listening) > before, f"sshd ({self.folder}/log)", 30)

    def stop(self) -> None:
        """End the server and all connections."""
        if self._process is None:
            return
        for process in [*self.sessions(), psutil.Process(self._process.pid)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait(60)
        self._process = None

    def sessions(self) -> list[psutil.Process]:
        """The server's processes that hold a connection each (two where it drops privileges)."""
        assert self._process is not None
        found = []
        for process in psutil.Process(self._process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):  # a command that ends just now
                if process.name().startswith("sshd"):
                    found.append(process)
        return found

    @contextlib.contextmanager
    def frozen(self, *, listener: bool = True) -> Iterator[None]:
        """Everything here hangs: connections stay open and nobody answers."""
        assert self._process is not None
        stopped = self.sessions() + ([psutil.Process(self._process.pid)] if listener else [])
        for process in stopped:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            for process in stopped:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(signal.SIGCONT)

    def cut(self) -> None:
        """Break all connections; the server goes on."""
        for process in self.sessions():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def log(self) -> str:
        file = self.folder / "log"
        return file.read_text(errors="replace") if file.exists() else ""

    def logins(self) -> int:
        """How many connections have logged in so far."""
        time.sleep(0.1)  # it logs beside answering
        return self.log().count("Accepted publickey")


def _version() -> tuple[int, int]:
    told = subprocess.run([SSHD, "-V"], capture_output=True, text=True).stderr
    found = re.search(r"OpenSSH_(\d+)\.(\d+)", told)
    assert found, told
    return int(found[1]), int(found[2])


def make_key(file: Path, kind: str = "ed25519", passphrase: str = "") -> Path:
    """A new key pair; the private file."""
    bits = ("-b", "2048") if kind == "rsa" else ()
    subprocess.run(
        ["ssh-keygen", "-q", "-t", kind, *bits, "-N", passphrase, "-f", file], check=True
    )
    return file
