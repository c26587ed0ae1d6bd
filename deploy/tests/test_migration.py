"""The pages on services that exist: the command of each makes a configuration with which the
service starts, and a job of it ends."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from deployed_site import ACCOUNT, APPLICATION, SERVICES, ended, execute, file_of, location
from deployed_site import open_folder as opened
from page_commands import Page, run

from places import ROOT
from pywps_hpc import settings
from pywps_hpc.spool import Spool
from servers import HTTP, HpcServer

OLD = """
[metadata:main]
identification_title = Birds
[server]
url = {url}
maxprocesses = 30
parallelprocesses = 2
maxsingleinputsize = 200mb
outputpath = {folder}/outputs
outputurl = http://host/outputs
workdir = {folder}
[processing]
mode = {mode}
{more}
[logging]
level = INFO
format = %(asctime)s] [%(levelname)s] line=%(lineno)s %(message)s
"""
NATIVE = "path = /opt/pywps/bin\ndrmaa_native_specification = -p batch --time=00:10:00 --mem=256M"


@dataclass(frozen=True)
class Before:
    """A service as it was.

    Attributes:
        page: of it.
        files: its configuration, by the names that the page has for it.
        added: what an administrator adds to the new one, as its comments or the page say.
    """

    page: str
    files: dict[str, str]
    added: str = ""


MULTIPROCESSING = OLD.replace("{mode}", "multiprocessing").replace("{more}", "")
SCHEDULER = OLD.replace("{mode}", "scheduler").replace("{more}", NATIVE)
#: A package's own file is in force where the site's says nothing else.
SITE = "[server]\nurl = {url}\noutputpath = /var/lib/pywps/outputs/emu\n"
CLUSTER = "\ncommand_environment = SLURM_CONF={slurm}\n"
BEFORE = (
    Before("from-multiprocessing", {"old.cfg": MULTIPROCESSING}),
    Before("from-scheduler", {"old.cfg": SCHEDULER}, CLUSTER),
    Before(
        "from-birdhouse",
        {"default.cfg": MULTIPROCESSING.replace("{url}", "http://elsewhere/wps"), "emu.cfg": SITE},
    ),
)


@pytest.fixture
def folder() -> Iterator[Path]:
    with opened(Path(os.environ["PYWPS_HPC_TEST_SHARED"])) as made:
        shutil.copytree(SERVICES, made / "code", ignore=shutil.ignore_patterns("__pycache__"))
        yield made


@pytest.mark.parametrize("before", BEFORE, ids=lambda each: each.page)
def test_a_service_that_exists_goes_on_with_the_configuration_that_migrate_writes(
    before: Before, folder: Path
) -> None:
    server = HpcServer(
        folder / "service", APPLICATION, code=folder / "code", python=_python(), user=ACCOUNT
    )
    values = {"url": server.url, "folder": folder / "service"}
    for name, text in before.files.items():
        (folder / name).write_text(text.format(**values))
    changes = {
        "pywps-hpc migrate": f"cd {folder} && {sys.executable} -m pywps_hpc migrate",
        "/etc/pywps/emu.cfg": "emu.cfg",
        "/shared/pywps/spool": str(server.settings.spool),
        "/var/lib/pywps-hpc/spool": str(server.settings.spool),
        "/shared/images/service.sif": os.environ["PYWPS_HPC_TEST_IMAGE"],
    }
    page = Page(ROOT / f"docs/deploy/{before.page}.md", changes)
    (command,) = (
        line for each in page.blocks for line in each.text.splitlines() if " migrate " in line
    )
    run(page.changed(command))
    made = (folder / "pywps.cfg").read_text()
    assert "TODO" not in made
    added = before.added.format(slurm=os.environ["SLURM_CONF"])
    made = made.replace("[hpc]\n", f"[hpc]\n{added}", 1)
    # What the page says of modules that are not installed as a package.
    made = re.sub(r"^# python_path = .*\n", "", made, flags=re.M)
    made = made.replace("[hpc.container]\n", f"[hpc.container]\npython_path = {server.code}\n", 1)
    server.config.write_text(made)
    server.settings = settings.load([server.config])
    server.spool = Spool(server.settings.spool)
    with server:
        document = ended(location(execute(server.url)))
        assert b"ProcessSucceeded" in document, document.decode()
        assert HTTP.get(file_of(document), timeout=60).text == "144"


def _python() -> str:
    """An interpreter that the account and the nodes have."""
    return os.environ["PYWPS_HPC_TEST_VENV"] + "/bin/python"
