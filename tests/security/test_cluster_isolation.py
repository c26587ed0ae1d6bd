"""A process that knows the site tries to get out of its container: every way is refused."""

from __future__ import annotations

import ctypes
import json
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

import cluster_site as site
import servers
import wps_client as client
from joblauncher.shared.jobdir import JobDir
from wps_client import Output

pytestmark = [pytest.mark.cluster, pytest.mark.batch_system("slurm")]

HOME = Path(os.environ.get("PYWPS_HPC_TEST_HOME", "/var/tmp/pywps-hpc"))
SECRET = "open-sesame"
IPC_CREAT, IPC_RMID = 0o1000, 0


#: Where the probe runs. Without a container it shows that there is something to be kept from.
WHERE: dict[str, dict[str, dict[str, object]]] = {
    "slurm": {},
    "local": {"hpc": dict(site.LOCAL)},
    "warm": {"hpc": dict(site.LOCAL)},
    "pilot": {
        "hpc.container": {"warm": "yes", "pilots": 1, "pilot_slots": 3},
        "hpc.resources": {"memory": "500M"},
    },
    "bare": {"hpc": dict(site.LOCAL), "hpc.container": {"runtime": "none"}},
}
#: What succeeds for whoever is not in a container: the service's own account, on the same host.
OPEN_TO_THE_ACCOUNT = {
    "find the server's secret in an environment",
    "read another job's dump",
    "read another job's status document",
    "read the job table",
    "read the service's configuration",
    "read the account's key file",
    "read slurm.conf",
    "read a file of the host in /tmp",
    "read a file of the host in /dev/shm",
    "look into another job's folder",
    "look into the account's home",
    "look into the account's home by a link in its own folder",
    "reach the host by what the runtime left open",
    "replace its own dump by a link",
    "replace its own log by a link",
    "write an input",
    "write the service's code",
    "put a file into another job's folder",
    "connect to the web server",
    "connect to slurmctld",
    "connect to munge",
    "connect to an abstract socket of the host",
    "find a command of a batch system or another way out",
    "see processes of the host",
    "signal the web server",
    "signal the dispatcher",
    "find shared memory of the host",
}


@dataclass
class Traces:
    """Things of the host that a process could find, and what it is told to leave there."""

    name: str
    listener: socket.socket
    shm: int
    files: list[Path]


@contextmanager
def traces() -> Iterator[Traces]:
    name = f"pywps-hpc-{secrets.token_hex(6)}"
    files = [Path(folder, name) for folder in ("/tmp", "/dev/shm", "/var/tmp")]
    for path in files:
        path.write_text(SECRET)
        path.chmod(0o666)
    libc = ctypes.CDLL(None, use_errno=True)
    key = secrets.randbelow(2**30) + 1
    segment = libc.shmget(key, 4096, IPC_CREAT | 0o666)
    assert segment >= 0
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("\0" + name)
        listener.listen()
        try:
            yield Traces(name, listener, key, files)
        finally:
            libc.shmctl(segment, IPC_RMID, None)
            for path in files:
                path.unlink()


def targets(server: servers.HpcServer, root: Path, other: JobDir, found: Traces) -> dict[str, Any]:
    """What somebody who knows this site would try."""
    home = Path(site.as_user("sh", "-c", "echo ~").strip())
    slurm = Path(os.environ["SLURM_CONF"])
    ports = {
        "slurmctld": _port(slurm, "SlurmctldPort"),
        "slurmdbd": _port(slurm, "AccountingStoragePort"),
    }
    web, dispatcher = server.part("web"), server.part("dispatcher")
    return {
        "secret": SECRET,
        "read": {
            "another job's dump": str(other.dump),
            "another job's status document": str(other.status),
            "another job's log": str(other.log),
            "the job table": server.settings.database_url.removeprefix("sqlite:///"),
            "the service's configuration": str(server.config),
            "the service's log": str(server.log),
            "the munge key": str(HOME / "munge/munge.key"),
            "slurm.conf": str(slurm),
            "the account's key file": str(home / ".ssh/id_probe"),
            "a file of the host in /tmp": str(found.files[0]),
            "a file of the host in /dev/shm": str(found.files[1]),
            "a file of the host in /var/tmp": str(found.files[2]),
            "the image that it runs in": os.environ["PYWPS_HPC_TEST_IMAGE"],
            "the host's shadow file": "/etc/shadow",
        },
        "look": {
            "another job's folder": str(other.path),
            "the account's home": str(home),
            "the folder of the job table's neighbours": str(server.settings.spool / "scheduler"),
            "Slurm's state": str(HOME / "slurm/state"),
        },
        "write": {
            "an input": str(root / "inputs/data.txt"),
            "the service's code": str(root / "code/probe.py"),
            "the image that it runs in": os.environ["PYWPS_HPC_TEST_IMAGE"],
        },
        "put": {
            "the inputs' folder": str(root / "inputs"),
            "the code's folder": str(root / "code"),
            "another job's folder": str(other.path),
        },
        "connect": {
            "the web server": ["127.0.0.1", server.port],
            **{name: ["127.0.0.1", port] for name, port in ports.items()},
            "a cloud's metadata service": ["169.254.169.254", 80],
            "an address of the internet": ["192.0.2.1", 443],
        },
        "sockets": {
            "munge": str(HOME / "munge/munge.socket"),
            "the database of the accounting": str(HOME / "mariadb/mariadb.sock"),
            "the host's message bus": "/run/dbus/system_bus_socket",
        },
        "abstract": found.name,
        "programs": ["slurmd", "slurmctld", "slurmstepd", "pywps_hpc", "gunicorn", "munged"],
        "pids": {"the web server": web.pid, "the dispatcher": dispatcher.pid},
        "shm": found.shm,
        "code": str(root / "code/probe.py"),
        "left": f"left-{found.name}",
        "daemon": f"{80_000 + secrets.randbelow(10_000)}.25",
    }


def _port(config: Path, key: str) -> int:
    lines = [line.partition("=") for line in config.read_text().splitlines()]
    return int(next(value for name, _, value in lines if name.strip() == key))


def _sleepers(seconds: str) -> list[psutil.Process]:
    line = ["sleep", seconds]
    return [p for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"] == line]


def probe(where: str) -> list[str]:
    """Run the probe there, beside a neighbour; its lines."""
    root = site.folder(f"isolation-{where}")
    site.code(root)
    inputs = root / "inputs"
    inputs.mkdir()
    (inputs / "data.txt").write_text("data")
    uid = int(site.as_user("id", "-u"))
    for path in (root / "code", *(root / "code").rglob("*"), inputs, inputs / "data.txt"):
        os.chown(path, uid, -1)  # the account could write them: outside
    server = site.slurm_server(root, "probe:service", inputs=inputs, sections=WHERE[where])
    server.__class__ = site.MountingServer
    server.environment = {"SERVER_SECRET": SECRET}
    with ExitStack() as stack:
        site.as_user("sh", "-c", "mkdir -p ~/.ssh && echo key > ~/.ssh/id_probe")
        stack.callback(site.as_user, "sh", "-c", "rm ~/.ssh/id_probe")
        found = stack.enter_context(traces())
        stack.enter_context(server)
        if where in ("warm", "pilot"):
            _await_warm(server)
            key, port = secrets.randbelow(2**30) + 1, servers.free_port()
            mark = f"neighbour-{secrets.token_hex(6)}"
            neighbour = client.submit(server.url, "neighbour", [("text", f"{mark} {key} {port}")])
        else:
            neighbour = client.submit(server.url, "sleeper", [("seconds", "600")])
        other = server.job(client.job_id_of(neighbour))

        def runs() -> bool:
            return client.state_of(client.get(neighbour).content) == "ProcessStarted"

        servers.wait_for(runs, "the neighbour runs")
        wanted = targets(server, root, other, found)
        if where in ("warm", "pilot"):
            servers.wait_for(lambda: "traces" in other.log.read_text(), "the neighbour's traces")
            its = [p.pid for p in server.job_processes() if other.job_id in " ".join(p.cmdline())]
            wanted["neighbour"] = {
                "name": mark, "key": key, "port": port, "id": other.job_id, "pids": its,
                "nursery": [process.pid for process in server.nurseries()],
            }  # fmt: skip
        if where == "pilot":
            (pilot,) = (server.settings.spool / "pilots").glob("pilot-*")
            wanted["read"]["the pilot's key"] = str(pilot / "pilot.json")
            wanted["look"]["the pilot's folder"] = str(pilot)
            wanted["put"]["the pilot's orders"] = str(pilot / "waiting")
        document = client.execute_async(
            server.url, "probe", [("text", json.dumps(wanted))], [Output("document")]
        )
        assert client.state_of(document) == "ProcessSucceeded", client.message_of(document)
        report = str(client.outputs_of(document)["document"].content)
        (HOME / f"probe-{where}.txt").write_text(report + "\n")
        # Nothing of it goes on, and nobody has noticed.
        servers.wait_for(lambda: not _sleepers(wanted["daemon"]), "what it left behind ends")
        assert runs()
        assert server.answers()
        left = [path.with_name(wanted["left"]) for path in found.files]
        seen = [f"left {path}" for path in left if path.exists()]
        for path in left:
            path.unlink(missing_ok=True)
        server.cli("cancel", other.job_id)
        client.await_end(neighbour)
        if where == "pilot":
            native = (pilot / "native").read_text()
            assert str((server.row(other.job_id) or {})["native_id"]).startswith(pilot.name)
            site.as_user("scancel", native)
    return [*report.splitlines(), *seen]


def _await_warm(server: servers.HpcServer) -> None:
    """Until a job is a fork of a nursery that has imported the service's modules."""

    def is_warm() -> bool:
        document = client.execute_async(server.url, "is_warm", [])
        assert client.state_of(document) == "ProcessSucceeded", client.message_of(document)
        return str(client.outputs_of(document)["result"].content) == "True"

    servers.wait_for(lambda: is_warm() and is_warm(), "jobs are warm")


def _outcomes(lines: list[str]) -> dict[str, bool]:
    """What was tried, and whether it was refused."""
    tried = [line for line in lines if not line.startswith(("fact: ", "left "))]
    return {line.split(": refused")[0].split(": SUCC")[0]: ": refused: " in line for line in tried}


@pytest.mark.parametrize("where", ["slurm", "local"])
def test_no_way_out_of_a_container_is_open(where: str) -> None:
    lines = probe(where)
    outcomes = _outcomes(lines)
    assert len(outcomes) > 70
    assert outcomes.keys() >= OPEN_TO_THE_ACCOUNT
    assert [line for line in lines if ": SUCCEEDED: " in line and not line.startswith("fact")] == []
    assert all(outcomes.values())
    # What it left in /tmp and /dev/shm was in the container's own.
    assert [line for line in lines if line.startswith("left ")] == []


@pytest.mark.parametrize("where", ["warm", "pilot"])
def test_no_job_reaches_another_one_of_its_nursery_nor_that(where: str) -> None:
    lines = probe(where)
    outcomes = _outcomes(lines)
    assert "fact: warm True" in lines
    assert len(outcomes) > 110
    assert outcomes.keys() >= OPEN_TO_THE_ACCOUNT
    assert [line for line in lines if ": SUCCEEDED: " in line and not line.startswith("fact")] == []
    assert all(outcomes.values())
    assert [line for line in lines if line.startswith("left ")] == []


def test_without_a_container_the_account_is_open_to_its_jobs() -> None:
    """What the documentation says of ``runtime = none``; and the probe does find what is there."""
    lines = probe("bare")
    outcomes = _outcomes(lines)
    assert {name for name in OPEN_TO_THE_ACCOUNT if outcomes[name]} == set()
    assert len([line for line in lines if line.startswith("left ")]) == 3
    # The account is a plain one still.
    for name in ("become root", "read the munge key", "hold a capability", "mount", "open a disk"):
        assert outcomes[name], name
