"""Several services on one cluster, as docs/deploy/several.md has them: each with a spool, a job
table and an address of its own, by one account."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from deployed_site import (
    ACCOUNT,
    APPLICATION,
    SERVICES,
    ended,
    execute,
    file_of,
    location,
    open_folder,
)

from servers import HTTP, HpcServer


@pytest.fixture
def folder() -> Iterator[Path]:
    with open_folder(Path(os.environ["PYWPS_HPC_TEST_SHARED"])) as made:
        shutil.copytree(SERVICES, made / "code", ignore=shutil.ignore_patterns("__pycache__"))
        yield made


def service(folder: Path, name: str) -> HpcServer:
    """A service on Slurm whose jobs' names begin with its own."""
    (folder / name).mkdir()
    hpc = {
        "scheduler": "slurm",
        "command_environment": f"SLURM_CONF={os.environ['SLURM_CONF']}",
        "job_prefix": name,
    }
    container = {
        "runtime": "apptainer",
        "image": os.environ["PYWPS_HPC_TEST_IMAGE"],
        "python_path": folder / "code",
    }
    sections = {"hpc": hpc, "hpc.container": container}
    python = os.environ["PYWPS_HPC_TEST_VENV"] + "/bin/python"
    code = folder / "code"
    return HpcServer(
        folder / name, APPLICATION, code=code, python=python, user=ACCOUNT, sections=sections
    )


def names(since: str) -> set[str]:
    """The names of the jobs that Slurm has had."""
    line = ["sacct", "-X", "-n", "-P", "-a", "-S", since, "-o", "JobName"]
    told = subprocess.run(line, check=True, capture_output=True, text=True, timeout=60).stdout
    return set(told.split())


def test_each_of_two_services_runs_and_shows_its_own_jobs_alone(folder: Path) -> None:
    since = time.strftime("%Y-%m-%dT%H:%M:%S")
    with service(folder, "pro") as production, service(folder, "tes") as trial:
        sites = (production, trial)
        sent = [location(execute(site.url, number)) for number in (3, 4) for site in sites]
        for number, address in zip((3, 3, 4, 4), sent, strict=True):
            document = ended(address)
            assert b"ProcessSucceeded" in document, document.decode()
            assert HTTP.get(file_of(document), timeout=60).text == str(number**2)
        for site, other, prefix in ((production, trial, "pro"), (trial, production, "tes")):
            mine = {row["id"] for row in site.rows()}
            assert len(mine) == 2
            assert not mine & {row["id"] for row in other.rows()}
            assert {row["name"] for row in site.rows()} <= names(since)
            assert all(row["name"].startswith(prefix) for row in site.rows())
            theirs = other.rows()[0]["access"]
            assert HTTP.get(f"{site.base}/status/{theirs}", timeout=60).status_code == 404


@pytest.mark.parametrize("forgotten", ["spool", "database"])
def test_a_copy_of_a_configuration_with_one_key_forgotten_is_refused(
    folder: Path, forgotten: str
) -> None:
    with service(folder, "pro") as production:
        trial = service(folder, "tes")
        real = {
            "spool": str(production.settings.spool),
            "database": production.settings.database_url,
        }
        text = trial.config.read_text()
        if forgotten == "spool":
            own = f"sqlite:///{trial.folder}/own.sqlite"
            text = re.sub(
                r"^spool = .*$", f"spool = {real['spool']}\ndatabase = {own}", text, flags=re.M
            )
        else:
            text = text.replace("[hpc]\n", f"[hpc]\ndatabase = {real['database']}\n")
        trial.config.write_text(text)
        told = subprocess.run(
            [*trial._as_user(), *trial.commands()[0]],
            cwd=trial.code,
            env=trial._environment(),
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert told.returncode != 0, told.stdout
        assert "spool" in told.stderr
        document = ended(location(execute(production.url)))
        assert b"ProcessSucceeded" in document
