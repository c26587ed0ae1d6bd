"""nginx, two web hosts, PostgreSQL and a real Slurm, from the files in ``deploy/``: 500 jobs, while
one web host is killed, the other reloads, and both go from the release before to this one."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests
from deployed_site import (
    ACCOUNT,
    APPLICATION,
    PREFIX,
    SERVICES,
    ended,
    location,
    open_folder,
    service,
)
from lxml import etree
from nginx_site import answers, nginx, was_sent
from pages_tried import MEASURED

from environments import environment, wheel
from places import ROOT
from postgres import Postgres
from pywps_hpc.images import build
from servers import HTTP, HpcServer, Server, free_port, wait_for

pytestmark = pytest.mark.timeout(1800)
SENT = 500
#: What the names of its jobs begin with, in Slurm.
NAMES = "man"
#: What stands for the release before: a commit whose jobs an upgrade finds.
BEFORE = "b1a000491a96da57df7ed8930b6bb0a15340f423"
#: Seconds that a client goes on sending a request that no host accepts.
PATIENCE = 300
EXECUTE = """<wps:Execute service="WPS" version="1.0.0" xmlns:wps="http://www.opengis.net/wps/1.0.0"
 xmlns:ows="http://www.opengis.net/ows/1.1"><ows:Identifier>square</ows:Identifier>
<wps:DataInputs><wps:Input><ows:Identifier>number</ows:Identifier><wps:Data><wps:LiteralData>{number}
</wps:LiteralData></wps:Data></wps:Input></wps:DataInputs><wps:ResponseForm><wps:ResponseDocument
 storeExecuteResponse="true" status="true"/></wps:ResponseForm></wps:Execute>"""


@dataclass(frozen=True)
class Release:
    """An environment of the service's host, and the image of its jobs."""

    python: Path
    image: Path


def release(folder: Path, source: Path) -> Release:
    """A release as an upgrade has it: a new environment, an image under a new name."""
    made = wheel(folder / "wheel", source)
    python = environment(folder / "venv", made)
    (base,) = Path(os.environ["PYWPS_HPC_TEST_HOME"], "images").glob("base-*")
    image = build.build(folder / "service.sif", requirements=[], no_deps=[str(made)], base=base)
    return Release(python, image)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with open_folder(Path(os.environ["PYWPS_HPC_TEST_SHARED"])) as made:
        shutil.copytree(SERVICES, made / "code", ignore=shutil.ignore_patterns("__pycache__"))
        yield made


@pytest.fixture(scope="module")
def before(folder: Path) -> Release:
    """The release before this one."""
    source = folder / "before/source"
    source.mkdir(parents=True)
    archive = subprocess.run(
        ["git", "-C", str(ROOT), "archive", BEFORE], check=True, capture_output=True
    )
    subprocess.run(["tar", "-x", "-C", str(source)], input=archive.stdout, check=True)
    return release(folder / "before", source)


@pytest.fixture(scope="module")
def now(folder: Path) -> Release:
    """This release."""
    (folder / "now").mkdir()
    return release(folder / "now", ROOT)


@dataclass
class Site:
    """Two web hosts, one of them with the dispatcher."""

    first: HpcServer
    port: int
    certificate: str = ""
    second: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start_second(self) -> None:
        line = [self.first.python, "-m", "pywps_hpc", "web", APPLICATION]
        line += ["--config", str(self.first.config), "--bind", f"127.0.0.1:{self.port}"]
        self.second.append(self.first.spawn(line))

    def kill_second(self) -> None:
        """As a power failure does it."""
        os.killpg(self.second[-1].pid, signal.SIGKILL)
        self.second[-1].wait(60)

    def reload(self) -> None:
        """``systemctl reload``."""
        (top,) = self.first._roots()
        top.send_signal(signal.SIGHUP)

    def upgrade(self, to: Release) -> None:
        """The order of docs/deploy/maintenance.md: the configuration, then a restart."""
        text = self.first.config.read_text()
        lines = [
            f"image = {to.image}" if line.startswith("image = ") else line
            for line in text.splitlines()
        ]
        Server.stop(self.first)  # jobs go on
        self.first.config.write_text("\n".join(lines) + "\n")
        self.first.python = str(to.python)
        self.first.start()
        self.start_second()


def test_500_jobs_outlive_a_dead_host_a_reload_and_an_upgrade(
    folder: Path,
    before: Release,
    now: Release,
    record_property: Callable[[str, object], None],
) -> None:
    port, other = free_port(), free_port()
    with Postgres() as database:
        server = service(
            folder / "service",
            f"https://localhost:{port}",
            user=ACCOUNT,
            allow_root=None,
            database=database.url,
            scheduler="slurm",
            job_prefix=NAMES,
            command_environment=f"SLURM_CONF={os.environ['SLURM_CONF']}",
            user_header="X-Remote-User",
            trusted_proxies="127.0.0.1",
            container={
                "runtime": "apptainer",
                "image": before.image,
                "python_path": folder / "code",
            },
        )
        server.code = folder / "code"
        server.python = str(before.python)
        site = Site(server, other)
        doubts: Counter[int] = Counter()
        events: dict[int, Callable[[], None]] = {
            SENT // 5: site.kill_second,
            SENT * 2 // 5: site.reload,
            SENT * 3 // 5: lambda: site.upgrade(now),
        }
        with (
            # What a thread has started ends with it (prctl(2), PR_SET_PDEATHSIG): it lasts longest.
            ThreadPoolExecutor(1) as administrator,
            server,
            nginx(folder, port, (server.port, other)) as certificate,
        ):
            site.certificate = certificate
            url = f"https://localhost:{port}{PREFIX}/wps"
            site.start_second()
            wait_for(lambda: answers(f"http://127.0.0.1:{other}/wps", certificate), "the second")
            wait_for(lambda: answers(url, certificate), "nginx")
            begun, since = time.monotonic(), time.strftime("%Y-%m-%dT%H:%M:%S")
            with ThreadPoolExecutor(6) as clients:
                done = []

                def send(number: int) -> str:
                    if number in events:
                        done.append(administrator.submit(events[number]))
                    return accepted(url, number, certificate, doubts)

                addresses = dict(enumerate(clients.map(send, range(SENT))))
                for each in done:
                    each.result(300)
            # While both hosts restart, nginx has nobody to ask, and remembers that for ten seconds.
            wait_for(lambda: answers(url, certificate), "nginx after the upgrade")
            sent = time.monotonic()
            for number, address in addresses.items():
                document = last(address, certificate)
                assert b"ProcessSucceeded" in document, document.decode()
                assert result_of(document) == str(number * number)
            over = time.monotonic()
            assert len(set(addresses.values())) == SENT
            # Whose answer broke off may have been accepted without anybody's knowing; nobody else.
            made = Counter(number_of(server, row["id"]) for row in server.rows())
            assert made.keys() == addresses.keys()
            assert {n: times for n, times in made.items() if times > 1 + doubts[n]} == {}
            wait_for(lambda: all(row["finished"] for row in server.rows()), "all end")
            ran = batch_jobs(since)
            assert len(ran) == len(set(ran)) == made.total()
            told = f"accepted after {sent - begun:.0f} s, ended after {over - begun:.0f} s"
            lost = f"{doubts.total()} answers broke off, {len(ran)} jobs ran"
            record_property(MEASURED, f"{SENT} jobs {told}; {lost}")


def accepted(url: str, number: int, certificate: str, doubts: Counter[int]) -> str:
    """Where the status of a job is, which is sent until a host accepts it; by GET and by POST."""
    query = {"service": "WPS", "version": "1.0.0", "request": "Execute", "identifier": "square"}
    query |= {"datainputs": f"number={number}", "storeExecuteResponse": "true", "status": "true"}
    how = {"verify": certificate, "auth": ("anna", "a"), "timeout": 120}
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        try:
            if number % 2:
                answer = HTTP.get(url, params=query, **how)
            else:
                body = EXECUTE.format(number=number)
                answer = HTTP.post(url, data=body, headers={"Content-Type": "text/xml"}, **how)
            if answer.status_code == 200:
                return location(answer)
            assert answer.status_code in (502, 503), answer.text
            # What the service itself turns away, and what no host had, makes no job.
            doubts[number] += answer.status_code == 502 and was_sent(answer)
        except requests.RequestException:
            doubts[number] += 1
        time.sleep(0.5)
    raise AssertionError(f"nobody accepts {number}")


def last(address: str, certificate: str) -> bytes:
    """The last status document of a job."""
    return ended(address, verify=certificate, auth=("anna", "a"))


def result_of(document: bytes) -> str:
    """The job's literal output."""
    (found,) = etree.fromstring(document).xpath("//*[local-name()='LiteralData']/text()")
    return str(found)


def number_of(server: HpcServer, job_id: str) -> int:
    """What a job was given, of its folder."""
    request = json.loads((server.job(job_id).path / "request.json").read_text("utf-8"))
    (given,) = request["inputs"]["number"]
    return int(given["data"])


def batch_jobs(since: str) -> list[str]:
    """The jobs that Slurm has had from the service, each task of an array for itself."""
    line = ["sacct", "-X", "-n", "-P", "-a", "-S", since, "-o", "JobID,JobName"]
    told = subprocess.run(line, check=True, capture_output=True, text=True, timeout=60).stdout
    lines = [each.split("|") for each in told.splitlines()]
    return [number for number, name in lines if name.startswith(NAMES)]
