"""``pywps-hpc check`` on real batch systems and containers: a healthy site is all green, a mistake
is named with its key and remedy, and nothing of either stays."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import cluster_site as site
import gridengine_site
import parallel
from gridengine_site import grid_engine as grid_engine
from servers import write_config

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]
SLURM = parallel.batch_system(parallel.SLURM)
GRID_ENGINE = parallel.batch_system(parallel.GRID_ENGINE)
#: Checks that run at once.
TOGETHER = 4

Sections = Mapping[str, Mapping[str, object]]
Found = list[dict[str, str]]


@pytest.fixture(scope="module")
def root() -> Path:
    made = site.folder("check")
    site.code(made)
    image = Path(os.environ["PYWPS_HPC_TEST_IMAGE"])
    (made / "text.sif").write_text("no image\n")
    with image.open("rb") as whole:
        (made / "cut.sif").write_bytes(whole.read(1 << 20))
    (made / "closed.sif").write_bytes(b"")
    (made / "closed.sif").chmod(0o600)
    return made


def check(root: Path, name: str, system: str, changes: Sections) -> Found:
    """What is found of a site with these changes, as the service's account."""
    folder = root / f"{system}-{name}"
    folder.mkdir()
    environment = (
        f"SLURM_CONF={os.environ['SLURM_CONF']}"
        if system == "slurm"
        else "\n    ".join(f"{key}={text}" for key, text in gridengine_site.environment().items())
    )
    given: dict[str, dict[str, object]] = {
        "server": {"outputurl": None, "outputpath": None},
        "hpc": {
            "scheduler": system,
            "command_environment": environment,
            "poll_interval": 2,
            "poll_backoff": 10,
        },
        "hpc.container": {
            "runtime": "apptainer",
            "image": os.environ["PYWPS_HPC_TEST_IMAGE"],
            "python_path": root / "code",
        },
        "hpc.inputs": {"schemes": "file"},
        "hpc.retention": {"age": "30d"},
        "hpc.resources": {"memory": "600M" if system == "slurm" else "4G", "walltime": "00:05:00"},
    }
    for section, keys in changes.items():
        given.setdefault(section, {}).update(keys)
    url = "http://wps.example.org/wps"
    config = write_config(folder, url, user=site.user(), **given)
    config.chmod(0o600)
    subprocess.run(["chown", "-R", f"{site.user()}:", str(folder)], check=True)
    line = [site.python(), "-m", "pywps_hpc", "check", "odd:service", "--json", "--wait", "90"]
    ended = subprocess.run(
        ["runuser", "-u", site.user(), "--", *line, "--config", str(config)],
        cwd=root / "code",
        env=os.environ | {"ODD_WORD": "forty", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.stdout, ended.stderr
    data: dict[str, Any] = json.loads(ended.stdout)
    assert ended.returncode == {"ok": 0, "warning": 1, "error": 2}[data["level"]]
    left = sorted(path.name for path in (folder / "spool").iterdir())
    assert left == [], left
    found: Found = data["findings"]
    return found


def bad(found: Found) -> Found:
    return [finding for finding in found if finding["level"] != "ok"]


#: What is changed, the key that is named, and what is told of it.
ON_SLURM: dict[str, tuple[Sections, str, str]] = {
    "image-missing": (
        {"hpc.container": {"image": "/nowhere/service.sif"}},
        "[hpc.container] image",
        r"missing on the compute node \(/nowhere/service.sif\) on \w+",
    ),
    "image-closed": (
        {"hpc.container": {"image": "ROOT/closed.sif"}},
        "[hpc.container] image",
        "cannot be read on the compute node",
    ),
    "image-text": (
        {"hpc.container": {"image": "ROOT/text.sif"}},
        "[hpc.container] image",
        "damaged, or is not an image",
    ),
    "image-cut": (
        {"hpc.container": {"image": "ROOT/cut.sif"}},
        "[hpc.container] image",
        "damaged, or is not an image",
    ),
    "python": (
        {"hpc.container": {"python": "/opt/nopython"}},
        "[hpc.container] python",
        r"the interpreter is missing in the container \(/opt/nopython\)",
    ),
    "bind": (
        {"hpc.container": {"binds": "/nodata"}},
        "[hpc.container] binds",
        r"missing on the compute node.* \(/nodata\)",
    ),
    "module": (
        {"hpc.container": {"python_path": None}},  # type: ignore[dict-item]
        "[hpc.container] image",
        r"the module odd\w* of the service cannot be imported on",
    ),
    "partition": ({"hpc.resources": {"queue": "bacth"}}, "[hpc.resources] queue", "bacth"),
    "account": ({"hpc.resources": {"account": "nope"}}, "[hpc.resources] account", "charge nope"),
    "walltime": (
        {"hpc.process.repeat_2": {"queue": "short"}, "hpc.resources": {"walltime": "00:30:00"}},
        "[hpc.process.repeat_2] walltime",
        "00:30:00 is more than short allows .00:01:00.",
    ),
    "memory": ({"hpc.resources": {"memory": "90G"}}, "[hpc.resources] memory", "more than any"),
    "cpus": ({"hpc.resources": {"cpus": 16}}, "[hpc.resources] cpus", "more than any node"),
    "gpus": ({"hpc.resources": {"gpus": 1}}, "[hpc.resources] gpus", "more than any node"),
    "constraint": (
        {"hpc.resources": {"extra": "--constraint=ib"}},
        "[hpc.resources] extra",
        "Invalid feature specification",
    ),
    "slurm-conf": (
        {"hpc": {"command_environment": "SLURM_CONF=/nowhere/slurm.conf", "command_timeout": 5}},
        "[hpc] command_environment",
        "cannot be reached|did not answer",
    ),
    "drmaa": (
        {
            "hpc": {
                **{"scheduler": "drmaa", "system": "slurm"},
                "drmaa_library": "/usr/lib/gridengine-drmaa/lib/libdrmaa.so.1.0",
            }
        },
        "[hpc] drmaa_library",
        "SGE_ROOT|cell directory|qmaster",
    ),
}
ON_GRID_ENGINE: dict[str, tuple[Sections, str, str]] = {
    "image-missing": ON_SLURM["image-missing"],
    "queue": ({"hpc.resources": {"queue": "all.w"}}, "[hpc.resources] queue", "no queue or"),
    "cpus": ({"hpc.resources": {"cpus": 99}}, "[hpc.resources] cpus", "more than any node"),
    "resource": (
        {"hpc.resources": {"extra": "-l nosuch=1"}},
        "[hpc.resources] extra",
        'unknown resource "nosuch"',
    ),
    "environment": (
        {"hpc.resources": {"cpus": 2, "extra": "-pe nosuch"}},
        "[hpc.resources] cpus",
        "parallel environment nosuch, which does not exist",
    ),
    "sge-root": (
        {"hpc": {"command_environment": "SGE_CELL=default"}},
        "[hpc] command_environment",
        "cannot be reached",
    ),
}


def _all(root: Path, system: str, mistakes: Mapping[str, tuple[Sections, str, str]]) -> None:
    def one(name: str) -> str:
        changes, subject, told = mistakes.get(name, ({}, "", ""))
        own = {
            section: {
                key: str(text).replace("ROOT", str(root)) if text is not None else None
                for key, text in keys.items()
            }
            for section, keys in changes.items()
        }
        found = bad(check(root, name, system, own))  # type: ignore[arg-type]
        lines = [f"{f['level']} {f['subject']}: {f['what']} - {f['remedy']}" for f in found]
        if name == "healthy":
            return "\n".join(lines)
        named = [f for f in found if f["subject"] == subject and re.search(told, f["what"])]
        is_right = len(found) == len(named) == 1 and bool(named[0]["remedy"])
        return "" if is_right else f"{name}: {lines}"

    with ThreadPoolExecutor(TOGETHER) as pool:
        wrong = list(filter(None, pool.map(one, ["healthy", *mistakes])))
    assert not wrong, "\n".join(wrong)


@SLURM
def test_on_slurm_each_mistake_is_named_and_a_healthy_site_is_green(root: Path) -> None:
    with parallel.turn(parallel.SLURM, alone=False):
        _all(root, "slurm", ON_SLURM)


@GRID_ENGINE
def test_on_grid_engine_each_mistake_is_named_and_a_healthy_site_is_green(
    root: Path,
) -> None:
    _all(root, "gridengine", ON_GRID_ENGINE)
