"""The batch systems as their administrators break them, and clients that watch their jobs.

Daemons are stopped, frozen and killed by the process id that they recorded themselves; a
:class:`Site` knows how each batch system is asked, past the service, what it did and when it knew.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pytest
import requests

import cluster_site
import gridengine_cell
import invariants
import parallel
import servers
import wps_client as client
from places import INFRA
from pywps_hpc.jobs import standing
from pywps_hpc.spool import JobDir

HOME = Path(os.environ.get("PYWPS_HPC_TEST_HOME", "/var/tmp/pywps-hpc"))
Sections = Mapping[str, Mapping[str, object]]
OVER = ("ProcessSucceeded", "ProcessFailed")


class Site(ABC):
    """A batch system.

    Attributes:
        name: as people write it.
        system: as its tests are marked, see :mod:`parallel`.
        script: of the test cluster, that starts and stops its daemons.
        master: the daemon that clients ask.
        node: the daemon of a compute node.
    """

    name: str
    system: str
    script: Path
    master: str
    node: str

    @abstractmethod
    def sections(self) -> dict[str, dict[str, object]]:
        """Configuration of a service that uses it."""

    @abstractmethod
    def pid(self, daemon: str) -> int:
        """The recorded process id of a daemon that runs."""

    @abstractmethod
    def forget(self) -> None:
        """Lose what the master wrote down, and start it again."""

    @abstractmethod
    def knew_at(self, native_id: str) -> float:
        """When the batch system knew that this job was over, in seconds since the epoch.

        Raises:
            AssertionError: it does not say so.
        """

    @abstractmethod
    def runs(self, row: Mapping[str, object]) -> int:
        """How many jobs of this row's name and place it was ever given and did not delete."""

    @abstractmethod
    def cancel(self, native_id: str) -> None:
        """What an administrator does to a job."""

    @abstractmethod
    def no_accounting(self) -> contextlib.AbstractContextManager[None]:
        """The accounting cannot be asked meanwhile."""

    @abstractmethod
    def purge(self, native_ids: Iterable[str]) -> None:
        """Let all records of these jobs, which have ended, age out; see :meth:`forgetful`."""

    def forgetful(self) -> contextlib.AbstractContextManager[None]:
        """It keeps no ended job in mind meanwhile, but for what its accounting has."""
        return contextlib.nullcontext()

    def prepare(self) -> None:  # noqa: B027  (not all have to)
        """What has to be done before jobs come, for :meth:`forget`."""

    def await_saved(self, since: float) -> None:  # noqa: B027  (some do so at once)
        """Wait until the master has written down what it knew at this moment."""

    def stop(self, daemon: str) -> None:
        """Shut a daemon down, as an administrator does."""
        subprocess.run([self.script, "stop", daemon], check=True, capture_output=True)

    def start(self, daemon: str) -> None:
        """Start a daemon; nothing happens if it runs."""
        subprocess.run([self.script, "start", daemon], check=True, capture_output=True)

    def kill(self, daemon: str) -> None:
        """What a crash does to a daemon; whatever it had started lives on."""
        pid = self.pid(daemon)
        if not _runs(pid):
            return
        os.kill(pid, signal.SIGKILL)
        servers.wait_for(lambda: not _runs(pid), f"{daemon} is gone")

    @contextlib.contextmanager
    def down(self, daemon: str) -> Iterator[None]:
        """Stopped meanwhile."""
        self.stop(daemon)
        try:
            yield
        finally:
            self.start(daemon)

    @contextlib.contextmanager
    def hung(self, daemon: str) -> Iterator[None]:
        """Frozen meanwhile: it takes calls and does not answer."""
        pid = self.pid(daemon)
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def mend(self) -> None:
        """Bring everything up again, whatever a test left."""
        with contextlib.suppress(OSError, ValueError):
            os.kill(self.pid(self.master), signal.SIGCONT)
        subprocess.run([self.script, "up"], check=True, capture_output=True)


class Slurm(Site):
    name = "Slurm"
    system = parallel.SLURM
    script = INFRA / "slurm.sh"
    master = "slurmctld"
    node = "c2"
    folder = HOME / "slurm"

    def sections(self) -> dict[str, dict[str, object]]:
        return {}

    def pid(self, daemon: str) -> int:
        name = f"slurmd.{daemon}" if daemon in ("c1", "c2") else daemon
        return int((self.folder / f"run/{name}.pid").read_text())

    def await_saved(self, since: float) -> None:
        # slurmctld does so every few seconds: what came later is lost in a crash.
        state = self.folder / "state/job_state"
        line = ["squeue", "--noheader", "--format=%A"]
        jobs = subprocess.run(line, check=True, capture_output=True, text=True).stdout.split()

        def saved() -> bool:
            if state.stat().st_mtime > since:
                return True
            # It may have done so before, and has no reason to until somebody touches a job.
            for job in jobs[:1]:
                order = ["scontrol", "update", f"jobid={job}", "nice=0"]
                subprocess.run(order, check=False, capture_output=True)
            return False

        servers.wait_for(saved, "slurmctld saves its state")

    def forget(self) -> None:
        self.kill(self.master)
        for entry in (self.folder / "state").iterdir():
            if entry.name != "clustername":  # which is compared with the accounting's
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        self.start(self.master)

    def knew_at(self, native_id: str) -> float:
        line = ["sacct", "-X", "-n", "-P", "-D", "-j", native_id, "-o", "Submit,End"]
        environment = {**os.environ, "SLURM_TIME_FORMAT": "%s"}

        def known() -> str:
            text = subprocess.run(line, check=True, capture_output=True, text=True, env=environment)
            rows = [row.split("|") for row in text.stdout.split()]
            # A cluster that has lost its state counts anew: an older job may have this id, too.
            _, end = max(rows, key=lambda row: int(row[0]), default=["", ""])
            return end if end.isdigit() else ""

        # Accounting lags behind, and slurmctld was stopped on purpose maybe a moment ago.
        return float(servers.wait_for(known, f"sacct knows {native_id}"))

    def runs(self, row: Mapping[str, object]) -> int:
        line = ["sacct", "-X", "-n", "-P", "-a", "-S", "now-1hours", "-o", "JobID"]
        text = subprocess.run(
            [*line, f"--name={row['name']}"], check=True, capture_output=True, text=True
        ).stdout
        places = (number.partition("_")[2] or "0" for number in text.split())
        return sum(place == str(row["place"]) for place in places)

    def cancel(self, native_id: str) -> None:
        subprocess.run(["scancel", native_id], check=True, capture_output=True)

    def no_accounting(self) -> contextlib.AbstractContextManager[None]:
        return self.down("slurmdbd")

    def purge(self, native_ids: Iterable[str]) -> None:
        for native_id in native_ids:
            self.knew_at(native_id)
            line = ["runuser", "-u", "slurm", "--", "mariadb", "--no-defaults"]
            line += [f"--socket={HOME / 'mariadb/mariadb.sock'}", "slurm_acct_db", "--execute"]
            delete = f"DELETE FROM `pywps-hpc_job_table` WHERE id_job = {int(native_id)}"
            subprocess.run([*line, delete], check=True, capture_output=True)
            self.await_forgotten(native_id)

    def await_forgotten(self, native_id: str) -> None:
        """Wait until slurmctld has no record of a job any more."""
        line = ["scontrol", "show", "job", native_id]
        servers.wait_for(
            lambda: subprocess.run(line, capture_output=True).returncode != 0,
            f"slurmctld forgets {native_id}",
            180,
        )

    def forgetful(self) -> contextlib.AbstractContextManager[None]:
        return self.set_up(MinJobAge="2")

    @contextlib.contextmanager
    def set_up(self, **settings: str | None) -> Iterator[None]:
        """Its daemons are started anew with these settings meanwhile (slurm.conf(5)).

        Args:
            settings: ``None`` leaves one out.
        """
        file, daemons = self.folder / "slurm.conf", (self.master, "c1", "c2")
        lines = [
            line for line in file.read_text().splitlines() if line.partition("=")[0] not in settings
        ]
        lines += [f"{name}={value}" for name, value in settings.items() if value is not None]
        for daemon in daemons:
            self.stop(daemon)
        file.write_text("\n".join([*lines, ""]))
        try:
            for daemon in daemons:
                self.start(daemon)
            yield
        finally:
            self.mend()  # which writes the file anew, and starts the daemons with it

    def control(self, *words: str) -> None:
        """scontrol, as root."""
        subprocess.run(["scontrol", *words], check=True, capture_output=True)


class GridEngine(Site):
    name = "Grid Engine"
    system = parallel.GRID_ENGINE
    script = gridengine_cell.SCRIPT
    master = "sge_qmaster"
    node = "sge_execd"
    folder = gridengine_cell.HOME

    def sections(self) -> dict[str, dict[str, object]]:
        return {
            "hpc": {
                "scheduler": "gridengine",
                "command_environment": gridengine_cell.command_environment(),
            },
            # It limits address space (queue_conf(5), h_vmem), of which Apptainer takes much.
            "hpc.resources": {"memory": "2G"},
        }

    def pid(self, daemon: str) -> int:
        part = daemon.removeprefix("sge_")
        return int((self.folder / f"spool/{part}/{part}.pid").read_text())

    def prepare(self) -> None:
        self.stop(self.master)
        shutil.rmtree(self._backup, ignore_errors=True)
        subprocess.run(["cp", "-a", self._database, self._backup], check=True)
        self.start(self.master)

    def forget(self) -> None:
        self.kill(self.master)
        shutil.rmtree(self._database)
        subprocess.run(["cp", "-a", self._backup, self._database], check=True)
        # Measured: given the id of a lost job that still runs, Grid Engine takes the one's end for
        # the other's. The last ids may not have been written down when it was killed.
        last = self.folder / "spool/qmaster/jobseqnum"
        last.write_text(f"{int(last.read_text()) + 100}\n")
        self.start(self.master)

    @property
    def _database(self) -> Path:
        return self.folder / "spool/database"

    @property
    def _backup(self) -> Path:
        return self.folder / "spool/database.backup"

    def knew_at(self, native_id: str) -> float:
        job, _, task = native_id.partition(".")
        more = ["-t", task] if task else []
        text = self.ask("qacct", "-j", job, *more)
        ends = re.findall(r"^end_time +(\S.*?) *$", text, re.MULTILINE)
        assert ends, f"qacct of {native_id}: {text!r}"
        return datetime.strptime(ends[-1], "%a %b %d %H:%M:%S %Y").timestamp()

    def runs(self, row: Mapping[str, object]) -> int:
        text = self.ask("qacct", "-j", str(row["name"]), check=False)
        tasks = re.findall(r"^taskid +(\S+)", text, re.MULTILINE)
        return sum((task if task.isdigit() else "0") == str(row["place"]) for task in tasks)

    def cancel(self, native_id: str) -> None:
        self.ask("qdel", native_id)

    @contextlib.contextmanager
    def no_accounting(self) -> Iterator[None]:
        self._accounting.chmod(0o600)
        try:
            yield
        finally:
            self._accounting.chmod(0o644)

    def purge(self, native_ids: Iterable[str]) -> None:
        for native_id in native_ids:
            asked = ("qacct", "-j", native_id)
            servers.wait_for(
                lambda asked=asked: "end_time" in self.ask(*asked, check=False),  # type: ignore[misc]
                f"accounting knows {native_id}",
            )
        os.truncate(self._accounting, 0)

    @property
    def _accounting(self) -> Path:
        return self.folder / "root/default/common/accounting"

    def ask(self, *command: str, check: bool = True) -> str:
        """What a command prints for root."""
        environment = os.environ | gridengine_cell.environment()
        return subprocess.run(
            command, check=check, capture_output=True, text=True, env=environment, timeout=60
        ).stdout


SITES: dict[str, type[Site]] = {"Slurm": Slurm, "Grid Engine": GridEngine}
#: The same as parameters of tests, each marked as what it uses.
ON_SITES = [
    pytest.param(name, marks=parallel.batch_system(site.system)) for name, site in SITES.items()
]


@dataclass
class Watch:
    """A client that polls a job's status document to its end.

    Attributes:
        location: of the document.
        since: when the job was sent, in seconds since the epoch.
        seen: each state and message, once, with the moment it was first seen.
        document: the last one.
    """

    location: str
    since: float = field(default_factory=time.time)
    seen: list[tuple[float, str, str]] = field(default_factory=list)
    document: bytes = b""
    _stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def job_id(self) -> str:
        """What stands for the job in its address; the service's commands know it by that, too."""
        return client.job_id_of(self.location)

    @property
    def state(self) -> str:
        """The latest state."""
        return self.seen[-1][1] if self.seen else ""

    @property
    def message(self) -> str:
        """The latest words."""
        return self.seen[-1][2] if self.seen else ""

    @property
    def ended(self) -> float:
        """When the end was first seen; of a job that is dismissed, that is when this was
        recorded."""
        return next(moment for moment, state, _ in self.seen if state in OVER)

    def told(self) -> str:
        """All that was seen, a line each, with the seconds since the job was sent."""
        lines = (f"{at - self.since:7.2f} {state}: {words}" for at, state, words in self.seen)
        return "\n".join(["", *lines])

    def end(self, limit: float = 180) -> str:
        """Wait for the end; its last words.

        Raises:
            AssertionError: it did not come in time, or another state came after it.
        """
        self._thread.join(limit)
        assert self.state in OVER, f"no end after {limit:g} s: {self.told()}"
        assert self.message != standing.DISMISSING, f"unfinished after {limit:g} s: {self.told()}"
        ends = [state for at, state, _ in self.seen if at >= self.ended]
        assert set(ends) == {self.state}, self.told()
        return self.message

    def until(self, state: str, words: str = "", limit: float = 120) -> None:
        """Wait until a state, or certain words, were seen."""

        def was_seen() -> bool:
            return any(state == was and words in said for _, was, said in list(self.seen))

        try:
            servers.wait_for(was_seen, f"{state} {words}", limit)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.told()}") from None

    def close(self) -> None:
        """Stop watching."""
        self._stop.set()
        self._thread.join(10)

    def _run(self) -> None:
        session = requests.Session()
        session.trust_env = False
        while not self._stop.wait(0.1):
            try:
                answer = session.get(self.location, timeout=10)
            except requests.RequestException:
                continue
            if answer.status_code != 200:
                continue
            state, words = client.state_of(answer.content), client.message_of(answer.content)
            if not self.seen or self.seen[-1][1:] != (state, words):
                self.seen.append((time.time(), state, words))
                self.document = answer.content
            if state in OVER and words != standing.DISMISSING:  # which is followed by other words
                return


def send(server: servers.HpcServer, process: str = "counts", **inputs: object) -> Watch:
    """Start a process and watch it."""
    values = [(name, str(value)) for name, value in inputs.items()]
    begun = time.time()
    return Watch(client.submit(server.url, process, values), begun)


def row_of(server: servers.HpcServer, watch: Watch, *states: str) -> dict[str, object]:
    """The job's row, once it is in one of these states."""

    def found() -> dict[str, object] | None:
        row = server.row(watch.job_id)
        return row if row and row["state"] in states else None

    row = servers.wait_for(found, f"{watch.job_id} is {' or '.join(states)}")
    assert row is not None
    return row


def release(server: servers.HpcServer, *watches: Watch) -> None:
    """Let these come to their end, if they wait for it."""
    cluster_site.release(server, *(watch.job_id for watch in watches))


def counted_by(watch: Watch) -> set[str]:
    """Who counted, in a success's output: the ids of the processes that wrote there.

    Raises:
        AssertionError: the steps are not all there, each once and in order.
    """
    text = client.outputs_of(watch.document)["document"].content
    text = text.decode() if isinstance(text, bytes) else text
    steps = [line.split() for line in text.split("\n") if line.strip()]
    assert [int(step) for step, _ in steps] == list(range(1, len(steps) + 1)), text
    return {process for _, process in steps}


def _left(folder: JobDir) -> list[Path]:
    return [path for path in folder.scratch() if path.exists()]


def agree(server: servers.HpcServer, site: Site, watches: list[Watch]) -> None:
    """Documents, job table, disk and batch system tell the same: each job ended once."""
    for watch in watches:
        watch.end()
        wanted = "succeeded" if watch.state == "ProcessSucceeded" else "failed"
        wanted = "dismissed" if watch.message == "dismissed" else wanted
        row = row_of(server, watch, "succeeded", "failed", "dismissed")
        assert row["state"] == wanted, (row, watch.seen)
        assert client.get(watch.location).content == watch.document
        folder = server.job(watch.job_id)
        # It is removed aside, in a moment.
        servers.wait_for(lambda one=folder: not _left(one), "its scratch goes")  # type: ignore[misc]
        if wanted == "succeeded":
            assert len(counted_by(watch)) == 1


def _runs(pid: int) -> bool:
    try:
        os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return False
    return True


@contextlib.contextmanager
def faulty_server(
    name: str, site: Site, sections: Sections, *, restarts: bool = False, records: bool = True
) -> Iterator[servers.HpcServer]:
    """The service of the fault tests as a plain user, its jobs in this batch system, which nobody
    else uses meanwhile and which is whole before and afterwards. At its end all that must hold
    after any fault is checked.

    Args:
        name: of its folder.
        site: the batch system.
        sections: further configuration.
        restarts: whether the batch system may have started jobs again.
        records: whether it still knows them all, so that it can be asked.
    """
    with parallel.turn(site.system, alone=True):
        site.mend()
        try:
            with _server(name, site, sections) as server:
                yield server
                jobs = [row["id"] for row in server.rows()]
                assert jobs
                cluster_site.release(server, *jobs)  # where a test failed, some still wait
                invariants.check_server(
                    server,
                    jobs,
                    slurm=isinstance(site, Slurm) and records,
                    limit=60,
                    restarted=frozenset(jobs if restarts else ()),
                )
        finally:
            site.mend()


def _server(name: str, site: Site, sections: Sections) -> servers.HpcServer:
    root = cluster_site.folder(name)
    cluster_site.code(root)
    given = {key: dict(value) for key, value in site.sections().items()}
    for section, keys in sections.items():
        given.setdefault(section, {}).update(keys)
    return cluster_site.slurm_server(root, "faulty:service", sections=given, workers=1)
