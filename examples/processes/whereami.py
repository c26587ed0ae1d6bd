"""The process ``whereami``: what a job sees from where it runs. For administrators."""

from __future__ import annotations

import getpass
import json
import os
import platform
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pywps import FORMATS, ComplexOutput, LiteralInput
from pywps.app import Process
from pywps.app.exceptions import ProcessError

SCHEDULER_COMMANDS = (
    "sbatch", "squeue", "scancel", "scontrol", "sacct", "qsub", "qstat", "qdel", "qacct",
    "apptainer", "singularity",
)  # fmt: skip
CONNECT_SECONDS = 3


class WhereAmI(Process):
    """Report the surroundings of the job: user, mounts, network, environment, capabilities.

    Names of environment variables only, never a value. What cannot be found out is told in words.

    :raises ProcessError: ``connect`` is not of the form host:port
    """

    def __init__(self) -> None:
        super().__init__(
            self._handler,
            identifier="whereami",
            title="Where am I",
            abstract="Tells what a job sees from inside: for checking how well it is shut in. "
            "For administrators: do not offer it to the public.",
            version="1.0",
            inputs=[
                LiteralInput(
                    "connect",
                    "Address to try",
                    "string",
                    abstract="host:port; the report tells whether a TCP connection succeeds.",
                    min_occurs=0,
                )
            ],
            outputs=[ComplexOutput("report", "Report", [FORMATS.JSON])],
            store_supported=True,
            status_supported=True,
        )

    def _handler(self, request: Any, response: Any) -> Any:
        given = request.inputs.get("connect")
        workdir = Path(self.workdir)
        response.update_status("Looking around", 10)
        report: dict[str, Any] = {
            "host": socket.gethostname(),
            "python": platform.python_version(),
            "user": _told(getpass.getuser),
            "uid": os.getuid(),
            "gid": os.getgid(),
            "groups": sorted(os.getgroups()),
            "environment": sorted(os.environ),
            "current_directory": _told(os.getcwd),
            "working_directory": str(workdir),
            "beside_working_directory": _told(
                lambda: sorted(entry.name for entry in workdir.parent.iterdir())
            ),
            "above_that": _told(
                lambda: sorted(entry.name for entry in workdir.parent.parent.iterdir())
            ),
            "mounts": _told(lambda: len(_lines("/proc/self/mounts"))),
            "network_interfaces": _told(lambda: [name for _, name in socket.if_nameindex()]),
            "capabilities": _told(_effective_capabilities),
            "scheduler_commands": [name for name in SCHEDULER_COMMANDS if shutil.which(name)],
        }
        if given:
            host, port = _address(given[0].data)
            response.update_status("Trying to connect", 50)
            report["connect"] = {"address": given[0].data, **_connect(host, port)}
        path = workdir / "report.json"
        # WPS 1.0 carries it inside XML: no angle bracket or ampersand may stand there bare.
        text = json.dumps(report, indent=2).replace("<", "\\u003c").replace("&", "\\u0026")
        path.write_text(text + "\n", encoding="utf-8")
        response.outputs["report"].file = str(path)
        return response


def _told(find: Callable[[], Any]) -> Any:
    """The fact, or why it could not be found out."""
    try:
        return find()
    except (OSError, KeyError, StopIteration) as error:
        return f"unknown: {getattr(error, 'strerror', None) or type(error).__name__}"


def _lines(path: str) -> list[str]:
    return Path(path).read_text(encoding="utf-8").splitlines()


def _effective_capabilities() -> str:
    """Hexadecimal mask of the kernel's capabilities(7); all zeros is an ordinary user."""
    return next(
        line.split()[1] for line in _lines("/proc/self/status") if line.startswith("CapEff:")
    )


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise ProcessError("The address to try must have the form host:port.")
    return host.strip("[]"), int(port)


def _connect(host: str, port: int) -> dict[str, Any]:
    try:
        with socket.create_connection((host, port), timeout=CONNECT_SECONDS):
            return {"connected": True}
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return {"connected": False, "reason": reason}
