"""Real servers for tests: ours, PyWPS in its default mode, and a configuration for each.

Everything listens on 127.0.0.1 on a port chosen at run time, every wait has an end, and only
processes that were started here are ever signalled: all of them carry a mark in their environment.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import secrets
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import psutil
import requests
import sqlalchemy as sa

from joblauncher.shared import outcome
from places import SERVICES
from pywps_hpc import settings
from pywps_hpc.spool import JOB_ID, JobDir, Spool

MARK = "PYWPS_HPC_TEST_SERVER"
#: What a service's own configuration refers to.
ODD_WORD = "forty"
START_LIMIT, STOP_LIMIT = 120.0, 60.0
#: No proxy of this machine stands between a test and its server, and no connection is used twice: a
#: server may close an idle one in the very moment in which the next request is sent on it.
HTTP = requests.Session()
HTTP.trust_env = False
HTTP.headers["Connection"] = "close"

T = TypeVar("T")
#: Section -> key -> value; a key that is ``None`` is left out.
Sections = Mapping[str, Mapping[str, object] | None]


#: Bound and not listening: only who asks for one of their ports gets it (ip(7), SO_REUSEADDR).
_RESERVED: list[socket.socket] = []


def free_port() -> int:
    """A TCP port that nobody listens on, and that nobody else is given while this process lives."""
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind(("127.0.0.1", 0))
    _RESERVED.append(reserved)
    port: int = reserved.getsockname()[1]
    return port


def wait_for(condition: Callable[[], T], what: str, limit: float = 120.0) -> T:
    """Ask until the answer is true, and return it.

    Raises:
        AssertionError: it did not become true within ``limit`` seconds.
    """
    deadline = time.monotonic() + limit
    while True:
        late = time.monotonic() >= deadline  # whoever stood still asks once more
        found = condition()
        if found:
            return found
        assert not late, f"not within {limit:g} s: {what}"
        time.sleep(0.05)


def shoot(processes: Iterable[psutil.Process]) -> None:
    """SIGKILL to all of them at once: none sees another one die and has a word to say about it."""
    targets = list(processes)
    for order in (psutil.Process.suspend, psutil.Process.kill):
        for process in targets:
            with contextlib.suppress(psutil.Error):
                order(process)


def write_config(
    folder: Path, url: str, *, user: str = "", **sections: Mapping[str, object] | None
) -> Path:
    """A complete ``pywps.cfg`` in ``folder``, with folders for spool, inputs and PyWPS's own mode.

    Args:
        folder: where to put it.
        url: the WPS endpoint.
        user: who will run it; empty means this account, which may be root here.
        sections: further keys, or other values of keys; ``None`` leaves a key or a section out.
            Those with a dot in their names are given as ``**{"hpc.container": {…}}``.
    """
    for name in ("spool", "inputs", "work", "outputs"):
        (folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)
    content: dict[str, dict[str, object]] = {
        "server": {
            "url": url,
            "outputurl": url.rpartition("/")[0] + "/outputs/",
            "outputpath": folder / "outputs",
            "workdir": folder / "work",
            "allowedinputpaths": folder / "inputs",
            "maxsingleinputsize": "20mb",
            "maxrequestsize": "20mb",
            "parallelprocesses": 200,
            "language": "en-US,fr-CA",
        },
        "processing": {"mode": "scheduler"},
        # PyWPS's own mode fails a process that waits longer than this for its turn in the database.
        "logging": {
            "level": "INFO",
            "database": f"sqlite:///{folder}/requests.sqlite?timeout=120",
        },
        "metadata:main": {"identification_title": "Odd processes"},
        "odd": {"answer": "${ODD_WORD}-two"},
        "hpc": {
            "spool": folder / "spool",
            "scheduler": "local",
            "poll_interval": 0.2,
            "poll_backoff": 0.5,
        },
        "hpc.container": {"runtime": "none", "python_path": SERVICES},
        "hpc.resources": {"memory": "512M", "walltime": "00:10:00"},
    }
    for section, changed in sections.items():
        if changed is None:
            content.pop(section, None)
        else:
            content.setdefault(section, {}).update(changed)
    own = content.get("hpc", {})
    if os.geteuid() == 0 and not user and own.get("scheduler") == "local":
        own.setdefault("allow_root", "yes")
    lines = []
    for section, keys in content.items():
        lines.append(f"[{section}]")
        lines += [f"{key} = {value}" for key, value in keys.items() if value is not None]
    path = folder / "pywps.cfg"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def every_process() -> Iterator[psutil.Process]:
    """Each process that there is; psutil.process_iter() may have a former one of the same id."""
    for pid in psutil.pids():
        with contextlib.suppress(psutil.Error):
            yield psutil.Process(pid)


def processes_marked(name: str, value: str) -> list[psutil.Process]:
    """Processes whose environment has a variable that begins with this value."""
    found = []
    for process in every_process():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(name, "").startswith(value):
                found.append(process)
    return [process for process in found if _lives(process)]


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGTERM, 0, 0, 0)  # PR_SET_PDEATHSIG, prctl(2)


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


@dataclass
class Server(ABC):
    """A server in a process of its own.

    Attributes:
        folder: everything it writes; private to this server.
        application: ``MODULE:NAME`` of the service.
        code: folder of the service's modules.
        python: interpreter to run it with.
        user: account to run it as, by runuser(1); empty means this one.
        prefix: what stands before the whole command, to be run as this account: ``unshare …``.
        environment: variables besides this process's own.
        sections: see :func:`write_config`.
    """

    folder: Path
    application: str = "odd:service"
    code: Path = SERVICES
    python: str = sys.executable
    user: str = ""
    prefix: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    sections: Sections = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self.url = f"{self.base}/wps"
        self.mark = secrets.token_hex(8)
        self.log = self.folder / "server.log"
        self.started: list[subprocess.Popen[bytes]] = []
        self.config = write_config(self.folder, self.url, user=self.user, **self.sections)
        if self.user:
            subprocess.run(["chown", "-R", f"{self.user}:", str(self.folder)], check=True)

    @abstractmethod
    def commands(self) -> list[list[str]]:
        """The command lines that together are this server."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Whether it answers and can take jobs."""

    def start(self) -> None:
        """Start it and wait until it is ready."""
        self.started = [child for child in self.started if child.poll() is None]
        for command in self.commands():
            self.started.append(self.spawn(command))
        deadline = time.monotonic() + START_LIMIT
        while not self.is_ready():
            ended = [process.returncode for process in self.started if process.poll() is not None]
            if ended or time.monotonic() > deadline:
                words = f"ended with {ended}" if ended else f"not ready after {START_LIMIT:g} s"
                log_text = self.read_log()
                self._kill_rest()
                raise AssertionError(f"{self.application}: {words}\n{log_text}")
            time.sleep(0.05)

    def spawn(
        self,
        command: Sequence[str],
        *,
        log: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a command beside it, as its account and with its mark.

        Args:
            log: of the command; by default the server's own.
            environment: for this command alone.
        """
        with (log or self.log).open("ab") as output:
            return subprocess.Popen(
                [*self._as_user(), *command],
                cwd=self.code,
                env=self._environment() | dict(environment or {}),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=_end_with_parent,  # also if the tests are killed
            )

    def stop(self) -> None:
        """Ask it to end, and see that it does, whole.

        Raises:
            AssertionError: something of it had to be killed.
        """
        for root in self._roots():
            with contextlib.suppress(psutil.Error):
                root.terminate()
        try:
            wait_for(lambda: not self.processes(), "the server ends", STOP_LIMIT)
        except AssertionError:
            rest = [" ".join(process.cmdline()) for process in self.processes()]
            raise AssertionError(f"left running: {rest}\n{self.read_log()}") from None
        finally:
            self._kill_rest()

    def restart(self) -> None:
        """Stop and start it, on the same port."""
        self.stop()
        self.start()

    def processes(self) -> list[psutil.Process]:
        """Every living process of this server; its jobs do not count."""
        return processes_marked(MARK, self.mark)

    def read_log(self) -> str:
        """What it printed."""
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""

    def answers(self) -> bool:
        """Whether GetCapabilities works."""
        try:
            reply = HTTP.get(
                self.url, params={"service": "WPS", "request": "GetCapabilities"}, timeout=10
            )
        except requests.RequestException:
            return False
        return reply.status_code == 200 and b"Capabilities" in reply.content

    def _roots(self) -> list[psutil.Process]:
        """The topmost process of each command that is Python, not runuser."""
        known: dict[int, tuple[psutil.Process, str, int]] = {}
        for process in self.processes():
            with contextlib.suppress(psutil.Error):  # it has ended meanwhile
                known[process.pid] = process, process.name(), process.ppid()
        return [
            process
            for process, name, parent in known.values()
            if (known[parent][1] == "runuser" if parent in known else name != "runuser")
        ]

    def _kill_rest(self) -> None:
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                process.kill()
        for child in self.started:
            child.wait(STOP_LIMIT)
        self.started.clear()

    def _as_user(self) -> list[str]:
        return [*self.prefix, *(["runuser", "-u", self.user, "--"] if self.user else [])]

    def _environment(self) -> dict[str, str]:
        inherited = {k: v for k, v in os.environ.items() if k not in ("PYWPS_CFG", "PYTHONPATH")}
        mine = {MARK: self.mark, "ODD_WORD": ODD_WORD, "PYTHONDONTWRITEBYTECODE": "1"}
        return inherited | mine | dict(self.environment)

    def __enter__(self) -> Any:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


Part = Literal["web", "dispatcher"]


@dataclass
class HpcServer(Server):
    """``pywps-hpc serve``: web workers and dispatcher.

    Attributes:
        workers: web worker processes.
        web: another command line as web server, beside which a dispatcher is started; ``{port}``
            and ``{config}`` are filled in.
        dispatcher: whether there is one; if not, the test itself is it.
        main: how Python starts its command; the parts that this starts are not concerned.
    """

    workers: int = 2
    web: Sequence[str] = ()
    dispatcher: bool = True
    main: Sequence[str] = ("-m", "pywps_hpc")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.settings = settings.load([self.config])
        self.spool = Spool(self.settings.spool)

    def commands(self) -> list[list[str]]:
        where = ["--config", str(self.config)]
        program = [self.python, *self.main]
        bind = ["--bind", f"127.0.0.1:{self.port}", "--workers", str(self.workers)]
        if self.web:
            web = [part.format(port=self.port, config=self.config) for part in self.web]
            return [web, self.program("dispatcher")]
        kind = "serve" if self.dispatcher else "web"
        return [[*program, kind, self.application, *where, *bind]]

    def is_ready(self) -> bool:
        return self.answers() and (not self.dispatcher or self.heartbeat() < 10)

    def stop(self) -> None:
        try:
            super().stop()
        finally:
            self.end_jobs()

    def program(self, command: str, *arguments: str) -> list[str]:
        """``pywps-hpc <command> --config … <arguments>``."""
        return [self.python, "-m", "pywps_hpc", command, "--config", str(self.config), *arguments]

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """``pywps-hpc <command> --config … <arguments>``, as the server's account."""
        return subprocess.run(
            [*self._as_user(), *self.program(*arguments)],
            cwd=self.code,
            env=self._environment() | {"COLUMNS": "200"},
            capture_output=True,
            text=True,
            timeout=120,
        )

    def job(self, job_id: str) -> JobDir:
        """The folder of a job, known by its id or by what stands for it in its address."""
        row = self.row(job_id)
        return (
            replace(self.spool.open(row["id"]), access=row["access"])
            if row
            else self.spool.open(job_id)
        )

    def id_of(self, location: str) -> str:
        """The id of the job whose statusLocation this is."""
        found = re.search(JOB_ID, location)
        row = self.row(found[0]) if found else None
        assert row is not None, location
        return str(row["id"])

    def has_succeeded(self, job_id: str) -> bool:
        """Whether the launcher says so, whatever the job table says."""
        facts = outcome.read(self.job(job_id))
        return facts is not None and facts.state == outcome.SUCCEEDED

    def row(self, job_id: str) -> dict[str, Any] | None:
        """A job's row in the job table, known as in :meth:`job`."""
        found = self._ask("SELECT * FROM hpc_jobs WHERE id = ? OR access = ?", job_id, job_id)
        return found[0] if found else None

    def rows(self) -> list[dict[str, Any]]:
        """All rows of the job table."""
        return self._ask("SELECT * FROM hpc_jobs")

    def states(self) -> dict[str, int]:
        """State -> number of jobs in it; cheap enough to be asked again and again."""
        rows = self._ask("SELECT state, count(*) AS jobs FROM hpc_jobs GROUP BY state")
        return {row["state"]: row["jobs"] for row in rows}

    def heartbeat(self) -> float:
        """Seconds since the dispatcher's last heartbeat; infinite if there was none."""
        leader = self.leader()
        now = time.clock_gettime(time.CLOCK_BOOTTIME)
        return now - leader["beat"] if leader else float("inf")

    def leader(self) -> dict[str, Any] | None:
        """What the job table says of the dispatcher in charge."""
        rows = self._ask("SELECT * FROM hpc_dispatcher")
        return rows[0] if rows else None

    def part(self, which: Part) -> psutil.Process:
        """The topmost process of the web server or of the dispatcher.

        Raises:
            AssertionError: it does not run.
        """
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                line = process.cmdline()
                if which in line and "pywps_hpc" in line and not _is_worker(process):
                    return process
        raise AssertionError(f"no {which} runs")

    def worker_pids(self) -> set[int]:
        """The web server's worker processes."""
        return {child.pid for child in self.part("web").children() if _lives(child)}

    def kill9(self, which: Part) -> None:
        """What a power failure does to one part: all its processes are gone at once."""
        top = self.part(which)
        family = [top, *top.children(recursive=True)]
        shoot(family)
        psutil.wait_procs(family, timeout=STOP_LIMIT)

    def kill9_all(self) -> None:
        """What a power failure does to the host: supervisor, web server and dispatcher are gone."""
        family = self.processes()
        shoot(family)
        psutil.wait_procs(family, timeout=STOP_LIMIT)
        self._kill_rest()

    def nurseries(self) -> list[psutil.Process]:
        """The processes that jobs of this server are forked from."""
        found = []
        for process in every_process():
            with contextlib.suppress(psutil.Error):
                line = " ".join(process.cmdline())
                is_one = "joblauncher.nursery" in line or "joblauncher.pilot" in line
                if is_one and str(self.spool.root) in line:
                    found.append(process)
        return [process for process in found if _lives(process)]

    def job_processes(self) -> list[psutil.Process]:
        """What runs on this host as, or below, a job of this server."""
        servers = {process.pid for process in self.processes()}
        found: dict[int, psutil.Process] = {}
        for process in every_process():
            with contextlib.suppress(psutil.Error):
                line = " ".join(process.cmdline())
                if "joblauncher.nursery" in line:
                    continue
                if str(self.spool.root) in line and process.pid not in servers:
                    for one in (process, *process.children(recursive=True)):
                        found[one.pid] = one
        return [process for process in found.values() if _lives(process)]

    def end_jobs(self) -> None:
        """Kill the jobs that are still running on this host, and what they are forked from."""
        shoot([*self.nurseries(), *self.job_processes()])

    def _ask(self, query: str, *values: object) -> list[dict[str, Any]]:
        """A question to the job table, read-only: a database in WAL mode belongs to its account."""
        url = self.settings.database_url
        if not url.startswith("sqlite"):
            engine = sa.create_engine(url, poolclass=sa.NullPool)
            with contextlib.suppress(sa.exc.DBAPIError), engine.connect() as other:
                found = other.exec_driver_sql(query.replace("?", "%s"), tuple(values))
                return [dict(row) for row in found.mappings()]
            return []
        path = url.removeprefix("sqlite:///")
        try:
            with contextlib.closing(
                sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=60)
            ) as connection:
                connection.row_factory = sqlite3.Row
                return [dict(row) for row in connection.execute(query, values)]
        except sqlite3.OperationalError:  # not made yet
            return []


def _is_worker(process: psutil.Process) -> bool:
    """gunicorn's workers show their master's command line."""
    parent = process.parent()
    return parent is not None and parent.cmdline() == process.cmdline()


@dataclass
class DefaultServer(Server):
    """The same service in PyWPS's default mode: processes run in, or beside, the web workers."""

    def __post_init__(self) -> None:
        none: Sections = dict.fromkeys(("hpc", "hpc.inputs", "hpc.container", "hpc.resources"))
        mode: Sections = {"processing": {"mode": "default"}}
        self.sections = {**self.sections, **mode, **none}
        super().__post_init__()

    def commands(self) -> list[list[str]]:
        bind = ["--bind", f"127.0.0.1:{self.port}", "--workers", "2", "--timeout", "120"]
        return [[self.python, "-m", "gunicorn", "plain:application", *bind]]

    def is_ready(self) -> bool:
        return self.answers()

    def _environment(self) -> dict[str, str]:
        return super()._environment() | {
            "PYWPS_CFG": str(self.config),
            "PLAIN_SERVICE": self.application,
            "HOME": str(self.folder),  # gunicorn puts a socket there
            "PYTHONPATH": str(SERVICES),
        }
