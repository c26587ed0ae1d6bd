"""A service for a deployment, and requests to it as clients send them."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
from lxml import etree

import wps_client as wps
from places import ROOT
from servers import HTTP, HpcServer, wait_for

DEPLOY = ROOT / "deploy"
#: The account that services run as.
ACCOUNT = os.environ.get("PYWPS_HPC_TEST_USER", "wps")
SERVICES = DEPLOY / "tests" / "services"
APPLICATION = "my_service.wsgi:application"
#: Where the service is below the public host, in every file of ``deploy/``.
PREFIX = "/birds"


@contextmanager
def open_folder(place: Path | None = None) -> Iterator[Path]:
    """A folder that the accounts of web servers can go into, other than pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="deployment-", dir=place))
    folder.chmod(0o755)
    (folder / "service").mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def service(
    folder: Path,
    public: str,
    *,
    user: str = "",
    container: Mapping[str, object] | None = None,
    **hpc: object,
) -> HpcServer:
    """The service, as it is known at a public address; not started."""
    sections: dict[str, Mapping[str, object]] = {
        "server": {"url": f"{public}{PREFIX}/wps", "outputurl": None, "outputpath": None},
        "hpc": hpc,
        "hpc.container": {"python_path": SERVICES} | dict(container or {}),
    }
    return HpcServer(folder, application=APPLICATION, code=SERVICES, sections=sections, user=user)


def adapted(file: Path, changes: Mapping[str, str]) -> str:
    """A file of ``deploy/`` with what an administrator has to change in it."""
    text = file.read_text(encoding="utf-8")
    for written, real in changes.items():
        assert written in text, (file, written)
        text = text.replace(written, real)
    return text


def execute(url: str, number: int = 12, seconds: float = 0.0, **how: Any) -> requests.Response:
    """An asynchronous Execute."""
    query = {
        "service": "WPS",
        "version": "1.0.0",
        "request": "Execute",
        "identifier": "square",
        "datainputs": f"number={number};seconds={seconds}",
        "storeExecuteResponse": "true",
        "status": "true",
    }
    return HTTP.get(url, params=query, timeout=60, **how)


def location(answer: requests.Response) -> str:
    """Where the status of an accepted job is."""
    assert answer.status_code == 200, (answer.status_code, answer.text)
    return str(etree.fromstring(answer.content).get("statusLocation"))


def ended(address: str, **how: Any) -> bytes:
    """The last status document of a job."""

    def document() -> bytes:
        answer = HTTP.get(address, timeout=60, **how)
        assert answer.status_code == 200, (answer.status_code, answer.text)
        over = wps.state_of(answer.content) in ("ProcessSucceeded", "ProcessFailed")
        return bytes(answer.content) if over else b""

    return wait_for(document, f"{address} ends", 180)


def file_of(document: bytes) -> str:
    """The address of the job's file."""
    (found,) = etree.fromstring(document).xpath("//@*[local-name()='href']")
    return str(found)


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate of this host for itself, and its key."""
    made, key = folder / "host.pem", folder / "host.key"
    line = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    line += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    line += ["-out", str(made), "-keyout", str(key)]
    subprocess.run(line, check=True, capture_output=True)
    return made, key
