"""Pilots on a real batch system: what their tests share."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

import batch_paths as paths
import cluster_site as site
import gridengine_site
import parallel
import servers
import wps_client as client
from places import TESTS

#: Batch systems of which there is a stand-in only (pbs_standin); its jobs really run.
STAND_INS = ("openpbs", "torque")


@dataclass(frozen=True)
class Queue:
    """A batch system.

    Attributes:
        system: its name.
        memory: of each job, in MiB.
        folder: of a stand-in's server and commands.
    """

    system: str
    memory: int = 300
    folder: Path = Path()

    @property
    def sections(self) -> Mapping[str, Mapping[str, object]]:
        """The service's configuration for it."""
        if self.system not in STAND_INS:
            return paths.PATHS[self.system]()
        path = f"{self._commands}:{os.environ['PATH']}"
        own = {"scheduler": self.system, "command_path": path}
        return {"hpc": {**own, "command_environment": f"PBS_STANDIN={self.folder / 'state'}"}}

    @property
    def _commands(self) -> Path:
        return self.folder / "support/pbs_standin" / self.system

    def end(self, native: str) -> None:
        """Have a job ended by its owner."""
        self._run("scancel" if self.system == "slurm" else "qdel", native)

    def has(self, native: str) -> bool:
        """Whether it waits or runs."""
        if self.system == "slurm":
            return native in self._run("squeue", "--me", "-h", "-o", "%i").split()
        if self.system == "gridengine":
            return native in self._run("qstat", "-u", site.user()).split()
        told = self._run("qstat", "-f", "-1" if self.system == "torque" else "-w", native)
        is_gone = any(sign in told for sign in ("job_state = C", "Unknown Job", "has finished"))
        assert is_gone or "job_state = " in told, told
        return not is_gone

    def _run(self, *command: str) -> str:
        if self.system == "slurm":
            return site.as_user(*command)
        if self.system == "gridengine":
            return gridengine_site.AsUser().run(command, timeout=60).stdout
        own = [f"PBS_STANDIN={self.folder / 'state'}", str(self._commands / command[0])]
        line = ["runuser", "-u", site.user(), "--", "env", *own, *command[1:]]
        done = subprocess.run(line, capture_output=True, text=True, check=False, cwd="/")
        return done.stdout + done.stderr


def param(system: str) -> Any:
    """A test's parameter: a batch system for :func:`queue_of`."""
    if system in STAND_INS:
        return pytest.param(system, marks=parallel.batch_system(parallel.NONE))
    return paths.param(system)


def stand_in(system: str, folder: Path) -> Queue:
    """A PBS of this test alone.

    Args:
        system: of :data:`STAND_INS`.
        folder: on the shared file system.
    """
    for name in ("support/pbs_standin", "captured"):
        shutil.copytree(TESTS / name, folder / name)
    (folder / "state").mkdir()
    own = {"operators": [site.user()], "np": 16, "path": os.environ["PATH"]}
    (folder / "state/config").write_text(json.dumps(own))
    shutil.chown(folder / "state", site.user())
    return Queue(system, folder=folder)


def queue_of(request: pytest.FixtureRequest, system: str) -> Iterator[Queue]:
    """That system, which nobody breaks meanwhile."""
    if system in STAND_INS:
        yield stand_in(system, site.folder(system))
        return
    paths.prepare(system, request)
    with paths.turn(system):
        # Grid Engine limits address space, of which a container's runtime alone takes much.
        yield Queue(system, 1024 if system == "gridengine" else 300)


@contextlib.contextmanager
def service(
    queue: Queue,
    application: str = "faulty:service",
    walltime: str = "00:05:00",
    **container: object,
) -> Iterator[servers.HpcServer]:
    """A service whose jobs go to pilots."""
    root = site.folder("pilots")
    site.code(root)
    own = {"warm": "yes", "pilots": 1, "pilot_slots": 3, "pilot_idle": 10} | container
    sections: dict[str, dict[str, object]] = {
        "hpc": {**queue.sections.get("hpc", {}), "poll_interval": "1"},
        "hpc.container": own,
        "hpc.resources": {"memory": f"{queue.memory}M", "walltime": walltime},
        "hpc.process.slow": {"walltime": "00:00:05"},
    }
    # The jobs of a stand-in are children of the service, and need what a node gives others.
    kind = site.MountingServer if queue.system in STAND_INS else servers.HpcServer
    with site.slurm_server(root, application, sections=sections, kind=kind) as server:
        try:
            yield server
        finally:
            for native in pilots(server):
                if queue.has(native):
                    queue.end(native)


def folders(server: servers.HpcServer) -> list[Path]:
    """Of all pilots."""
    return sorted((server.settings.spool / "pilots").glob("pilot-*"))


def pilots(server: servers.HpcServer) -> list[str]:
    """The batch system's ids of all pilots."""
    return [(folder / "native").read_text() for folder in folders(server)]


def kill(server: servers.HpcServer) -> None:
    """SIGKILL for the processes of all pilots, on whichever node of this host."""
    names = [folder.name for folder in folders(server)]
    for process in psutil.process_iter(["cmdline"]):
        line = process.info["cmdline"] or []
        if "joblauncher.pilot" in line and any(name in part for name in names for part in line):
            process.kill()


def state(server: servers.HpcServer, location: str) -> str:
    """Of a job, as the table has it."""
    row = server.row(client.job_id_of(location))
    return str(row["state"]) if row else ""


def native(server: servers.HpcServer, location: str) -> str:
    """The id of a job, which names its pilot."""
    row = server.row(client.job_id_of(location))
    return str(row["native_id"]) if row else ""
