"""The test cluster as an administrator would have set it up: shared folder, image, Slurm, accounts.

Everything is found through the environment that ``tests/infra/env.sh`` sets.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import psutil

from places import INFRA
from servers import SERVICES, DefaultServer, HpcServer

#: Jobs on the service's own host, in containers.
LOCAL = {
    "scheduler": "local",
    "command_path": os.environ.get("PYWPS_HPC_TEST_HOME", "/var/tmp/pywps-hpc")
    + "/apptainer/bin:/usr/local/bin:/usr/bin:/bin",
}


class MountingServer(HpcServer):
    """One whose account may open /dev/fuse, as on any machine with udev."""

    def _as_user(self) -> list[str]:
        return [str(INFRA / "fuse.sh"), *super()._as_user()]


def shared() -> Path:
    """The folder that all hosts of the cluster share."""
    return Path(os.environ["PYWPS_HPC_TEST_SHARED"])


def user() -> str:
    """The account of the service and its jobs."""
    return os.environ["PYWPS_HPC_TEST_USER"]


def python() -> str:
    """The interpreter of the service, which that account can read."""
    return os.environ["PYWPS_HPC_TEST_VENV"] + "/bin/python"


def folder(name: str) -> Path:
    """A new folder on the shared file system that everybody may look into."""
    path = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=shared()))
    path.chmod(0o755)
    return path


def sample_data() -> Path:
    """Real model output: the folder of the package iris-sample-data."""
    line = "import iris_sample_data; print(iris_sample_data.path)"
    found = subprocess.run(
        [python(), "-c", line], check=True, capture_output=True, text=True, cwd="/"
    )
    return Path(found.stdout.strip())


def code(root: Path) -> Path:
    """A copy of the test services and examples that the service's account and nodes can read."""
    target = root / "code"
    shutil.copytree(SERVICES, target, ignore=shutil.ignore_patterns("__pycache__"))
    return target


def slurm_server(
    root: Path,
    application: str,
    *,
    inputs: Path | None = None,
    sections: Mapping[str, Mapping[str, object]] | None = None,
    workers: int = 2,
    kind: type[HpcServer] = HpcServer,
) -> HpcServer:
    """The service as a plain user, its jobs in Slurm and Apptainer.

    Args:
        root: a folder of :func:`folder`; the server gets one of its own inside.
        application: ``MODULE:NAME``.
        inputs: the folder of ``file://`` inputs.
        sections: further configuration.
        workers: of the web server.
        kind: of server.
    """
    own = root / "hpc"
    own.mkdir()
    given: dict[str, dict[str, object]] = {
        "server": {"allowedinputpaths": inputs or root, "maxsingleinputsize": "200mb"},
        "hpc": {
            "scheduler": "slurm",
            "command_environment": f"SLURM_CONF={os.environ['SLURM_CONF']}",
        },
        "hpc.container": {
            "runtime": "apptainer",
            "image": os.environ["PYWPS_HPC_TEST_IMAGE"],
            "python_path": root / "code",
        },
    }
    if inputs is None:
        del given["server"]["allowedinputpaths"]
    for section, keys in (sections or {}).items():
        given.setdefault(section, {}).update(keys)
    return kind(
        own,
        application,
        code=root / "code",
        python=python(),
        user=user(),
        sections=given,
        workers=workers,
    )


def default_server(
    root: Path,
    application: str,
    *,
    inputs: Path,
    sections: Mapping[str, Mapping[str, object]] | None = None,
) -> DefaultServer:
    """The same service in PyWPS's default mode, to compare with."""
    own = root / "default"
    own.mkdir()
    given: dict[str, dict[str, object]] = {
        "server": {"allowedinputpaths": inputs, "maxsingleinputsize": "200mb"}
    }
    for section, keys in (sections or {}).items():
        given.setdefault(section, {}).update(keys)
    return DefaultServer(
        own,
        application,
        code=root / "code",
        python=python(),
        user=user(),
        sections=given,
    )


def release(server: HpcServer, *job_ids: str) -> None:
    """Let processes of ``faulty:service`` go on that wait for it."""
    for job_id in job_ids:
        (server.job(job_id).path / "go").touch()


def processes_of(job_id: str) -> list[psutil.Process]:
    """Container, launcher and process of a job, on whichever node of this host.

    Raises:
        AssertionError: there are none: what stands for a job in its address is not its id.
    """
    found = []
    for process in psutil.process_iter(["cmdline"]):
        line = process.info["cmdline"] or []
        if "joblauncher" in line and any(job_id in part for part in line):
            found.append(process)
    assert found, f"nothing runs of {job_id}"
    return found


def as_user(*command: str) -> str:
    """What a command of the batch system prints for the service's account."""
    found = subprocess.run(
        ["runuser", "-u", user(), "--", *command],
        check=True,
        capture_output=True,
        text=True,
        cwd="/",
        timeout=60,
    )
    return found.stdout


def accounted(native_id: str, columns: str = "State") -> str:
    """What Slurm's accounting says of a job; empty if nothing yet.

    The last record counts: a Slurm that lost its memory, as in some tests, gives its ids again.
    """
    lines = as_user("sacct", "-X", "-n", "-P", "-j", native_id, "-o", columns).splitlines()
    return lines[-1] if lines else ""


def seconds(clock: str) -> float:
    """Of ``[D-][HH:]MM:SS[.mmm]``, as Slurm writes times."""
    days, _, rest = clock.rpartition("-")
    total = 0.0
    for part in rest.split(":"):
        total = 60 * total + float(part)
    return total + 86400 * int(days or 0)


def processor_time(native_id: str) -> float:
    """What Slurm's accounting says that a job used with its steps, in seconds; 0 as long as not all
    of them have ended."""
    line = ["sacct", "-n", "-P", "-j", native_id, "-o", "JobID,State,TotalCPU"]
    told = [row.split("|") for row in as_user(*line).splitlines()]
    own = [place for place, row in enumerate(told) if row[0] == native_id]
    rows = told[own[-1] :] if own else []
    ended = len(rows) > 1 and all(state == "COMPLETED" for _, state, _ in rows)
    return seconds(rows[0][2]) if ended else 0.0
