"""docs/install.md as a script: a service of PyPI, unmodified, from ``pip install`` to a job on a
real Slurm in a container, then by each standard and by the page. The page's commands, in its order;
what an administrator changes in them is in :func:`changes`."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests
from deployed_site import ended, open_folder
from lxml import etree
from page_commands import Page, Running, run
from pages_tried import MEASURED

import environments
from places import ROOT
from servers import HTTP, free_port, wait_for

pytestmark = pytest.mark.timeout(3000)
#: Seconds from ``pip install`` to the end of the first job.
MORNING = 900
OLDER = "instead, for a service that pins an older PyWPS"
PINS = {"title": OLDER}
#: Where the page has what the machine is not to have for long.
PLACES = ("/opt/pywps-hpc", "/etc/pywps-hpc", "/var/lib/pywps-hpc", "/shared/", "/data/cmip6")
#: Sections that the page's script consists of, by their headings.
SPOOL, ENVIRONMENT, IMAGE = "2. The spool", "3. The service's environment", "4. The image"
CONFIGURATION, TRIAL = "5. The configuration", "6. Check it, and try it by hand"
COMMANDS = '"The commands work in my shell, but not for the service"'
WPS2 = {"wps": "http://www.opengis.net/wps/2.0"}


@dataclass(frozen=True)
class Published:
    """A service of PyPI.

    Attributes:
        package: its name there.
        application: ``MODULE:NAME``.
        process: one of it.
        words: what the page's requests say -> what they say to this process.
        form: the same inputs, as the process's page sends them.
        pins: it asks for an older PyWPS.
        undeclared: packages that it imports and does not ask for.
        data: Python that writes a file to the folder of inputs, run by the service's interpreter.
    """

    package: str
    application: str
    process: str
    form: Mapping[str, str]
    words: Mapping[str, str] = field(default_factory=dict)
    pins: bool = False
    undeclared: Sequence[str] = ()
    data: str = ""


TEMPERATURES = """
import sys, numpy, pandas, xarray
days = pandas.date_range("2000-01-01", periods=730)
kelvin = 280 + 10 * numpy.sin(numpy.arange(730) / 58)[:, None, None] + numpy.zeros((730, 4, 4))
made = xarray.DataArray(
    kelvin.astype("f4"), name="tasmax", dims=("time", "lat", "lon"),
    coords={"time": days, "lat": [45.0, 46, 47, 48], "lon": [5.0, 6, 7, 8]},
    attrs={"units": "K", "standard_name": "air_temperature", "cell_methods": "time: maximum"},
)
made.to_netcdf(sys.argv[1] + "/tasmax.nc")
"""
FILE = "file:///data/cmip6/tasmax.nc"
EMU = Published(
    "birdhouse-emu",
    "emu.wsgi:application",
    "hello",
    {"name.0.value": "you"},
    pins=True,
    undeclared=("pytest",),
)
FINCH = Published(
    *("birdhouse-finch", "finch.wsgi:application", "tx_mean"),
    form={"tasmax.0.url": FILE},
    words={
        "datainputs=name=you": (
            f"datainputs=tasmax=@xlink:href={FILE}@mimeType=application/x-netcdf"
        ),
        '"name": "you"': f'"tasmax": {{"href": "{FILE}", "type": "application/x-netcdf"}}',
        '<wps:Input id="name"><wps:Data>you</wps:Data></wps:Input>': (
            '<wps:Input id="tasmax"><wps:Reference mimeType="application/x-netcdf"'
            f' xmlns:xlink="http://www.w3.org/1999/xlink" xlink:href="{FILE}"/></wps:Input>'
        ),
        '<wps:Output id="output" transmission="value"/>': (
            '<wps:Output id="output" transmission="reference"/>'
        ),
    },
    data=TEMPERATURES,
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project as PyPI would have it."""
    return environments.wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture
def folder() -> Iterator[Path]:
    """On the file system that the cluster's nodes share."""
    with open_folder(Path(os.environ["PYWPS_HPC_TEST_SHARED"])) as made:
        yield made


def changes(folder: Path, host: str, wheel: Path, service: Published) -> dict[str, str]:
    """What this site has in place of what the page says."""
    return {
        # The cluster has an Apptainer of its own.
        "apt-get install debootstrap ./apptainer_*.deb": (
            "apptainer --version && debootstrap --version"
        ),
        "'pywps-hpc[": f"'{wheel}[",
        "my-service": service.package,
        "serve my_service.wsgi:application": f"serve {service.application} --bind {host}",
        "my_service.wsgi:application": service.application,
        "https://wps.example.org/birds/wps": f"http://{host}/wps",
        "127.0.0.1:5000": host,
        # Smaller nodes, and a partition that ends jobs after an hour.
        "64G": "2G",
        "12:00:00": "01:00:00",
        "heavy_regridding": service.process,
        "identifier=hello": f"identifier={service.process}",
        "processes/hello": f"processes/{service.process}",
        "<ows:Identifier>hello": f"<ows:Identifier>{service.process}",
        "/opt/slurm/bin:/usr/bin:/bin": "/usr/local/bin:/usr/bin:/bin",
        "/etc/slurm/slurm.conf": os.environ["SLURM_CONF"],
        **{place: f"{folder}{place}" for place in PLACES},
    }


@pytest.mark.parametrize("service", [EMU, FINCH], ids=lambda each: each.package)
def test_a_published_service_is_installed_in_a_morning(
    service: Published,
    folder: Path,
    wheel: Path,
    record_property: Callable[[str, object], None],
) -> None:
    host = f"127.0.0.1:{free_port()}"
    site = changes(folder, host, wheel, service)
    page = Page(ROOT / "docs/install.md", service.words, site)
    assert page.unused([*PLACES, "my-service", "heavy_regridding", "identifier=hello"]) == []
    kind = PINS if service.pins else {}
    run(page.text(SPOOL, has="/shared/pywps/spool"))
    run(page.text(SPOOL, has="/var/lib/pywps-hpc"))
    begun = time.monotonic()
    if service.pins:
        run(page.text(ENVIRONMENT, has="python3 -m venv").splitlines()[0])
        older = page.text(ENVIRONMENT, **kind)
        install = next(line for line in older.splitlines() if "install -r" in line)
        requires = install.split()[-1]
        more = "".join(f"echo {each} >> {requires}\n" for each in service.undeclared)
        run(older.replace(install, more + install))
    else:
        run(page.text(ENVIRONMENT, has="python3 -m venv"))
    installed = time.monotonic()
    run(page.text(IMAGE, has="debootstrap"))
    run(page.text(IMAGE, has="image build", **kind))
    built = time.monotonic()
    configuration = page.text(CONFIGURATION, has="[server]", title="/etc/pywps-hpc/pywps.cfg")
    commands = page.text(COMMANDS, has="SLURM_CONF")
    data, file = folder / "data/cmip6", folder / "etc/pywps-hpc/pywps.cfg"
    for made in (data, file.parent):
        made.mkdir(parents=True)
    file.write_text(configuration.replace("[hpc]\n", f"[hpc]\n{commands}", 1))
    if service.data:
        line = [str(folder / "opt/pywps-hpc/bin/python"), "-c", service.data, str(data)]
        subprocess.run(line, check=True, timeout=300)
    # That this address leads nobody else here, and that nothing is removed, are warnings (1).
    print(run(page.text(TRIAL, has="pywps-hpc check"), fine=(0, 1)))
    log = folder / "serve.log"
    serve = f"cd {folder}/var/lib/pywps-hpc\n" + page.text(TRIAL, has="pywps-hpc serve")
    with Running(serve, log):
        status = page.text(TRIAL, has="pywps-hpc status").splitlines()
        wait_for(lambda: succeeds(status[0]), f"a dispatcher leads, see {log}", 300)
        answers = f"curl -s -o {os.devnull} http://{host}/conformance"
        wait_for(lambda: succeeds(answers), f"the web server answers, see {log}", 300)
        sent = run(status[1])
        document = ended(str(etree.fromstring(sent.encode()).get("statusLocation")))
        assert b"ProcessSucceeded" in document, document.decode()
        took = time.monotonic() - begun
        ogc, wps2, form = statements(page.text(TRIAL, has="execution"))
        base = f"http://{host}"
        jobs = [job_by_ogcapi(run(ogc)), job_by_wps2(run(wps2))]
        assert "<form" in run(form)
        inputs = {key: page.changed(value) for key, value in service.form.items()}
        jobs.append(job_by_page(f"{base}/ui/processes/{service.process}", inputs))
        for job in jobs:
            assert wait_for(lambda at=f"{base}/jobs/{job}": over(at), job, 300) == "successful"
        assert run(status[2]).count("succeeded") == len(jobs) + 1
    told = f"installed {installed - begun:.0f} s, image {built - installed:.0f} s"
    record_property(MEASURED, f"{service.package}: {told}, first job ended after {took:.0f} s")
    assert took < MORNING


def succeeds(command: str) -> bool:
    return subprocess.run(["bash", "-c", command], capture_output=True).returncode == 0


def statements(text: str) -> list[str]:
    """The commands of a block of several, each of which begins with curl."""
    return [f"curl {each}" for each in re.split(r"^curl ", text, flags=re.MULTILINE)[1:]]


def job_by_ogcapi(answer: str) -> str:
    """The job in the answer to an execution."""
    found = re.search(r'"jobID": ?"([^"]+)"', answer)
    assert found, answer
    return found[1]


def job_by_wps2(answer: str) -> str:
    """The job in a StatusInfo."""
    found = etree.fromstring(answer.encode()).findtext("wps:JobID", namespaces=WPS2)
    assert found, answer
    return str(found)


def job_by_page(address: str, inputs: Mapping[str, str]) -> str:
    """The job that the form of a process makes."""
    with requests.Session() as browser:
        browser.trust_env = False
        page = browser.get(address, timeout=120)
        token = re.search(r'name="token" value="(\w+)"', page.text)
        assert token, page.text
        values = {"token": token[1], "run": "yes"}
        values |= {f"in.{name}": value for name, value in inputs.items()}
        files = {name: (None, value) for name, value in values.items()}
        answer = browser.post(address, files=files, allow_redirects=False, timeout=120)
    assert answer.status_code == 303, answer.text
    return answer.headers["Location"].rpartition("/")[2]


def over(address: str) -> str:
    """How a job has ended, or nothing."""
    state = HTTP.get(address, headers={"Accept": "application/json"}, timeout=60).json()["status"]
    return state if state in ("successful", "failed", "dismissed") else ""
