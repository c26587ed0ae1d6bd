"""What is published: the wheel and the source archive have all that they need, and run from a clean
environment."""

from __future__ import annotations

import email
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from environments import environment
from places import ROOT

CAPTURED: dict[str, Any] = {"capture_output": True, "text": True, "timeout": 120}


def build(source: Path, folder: Path, kind: str) -> Path:
    """A wheel or an sdist of this source, by the build backend itself: nothing is downloaded."""
    line = [
        sys.executable,
        "-m",
        "hatchling",
        "build",
        "--target",
        kind,
        "--directory",
        str(folder),
    ]
    ended = subprocess.run(line, cwd=source, **CAPTURED)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    (made,) = folder.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return made


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, tmp_path_factory.mktemp("wheel"), "wheel")


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, tmp_path_factory.mktemp("sdist"), "sdist")


def test_the_wheel_has_every_file_of_the_packages_and_nothing_else(wheel: Path) -> None:
    folders = ["pywps_hpc", "joblauncher", "job_templates", "containers"]
    line = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *folders]
    listed = subprocess.run(line, cwd=ROOT, **CAPTURED)
    files = set(listed.stdout.split()) if listed.returncode == 0 else set()
    if not files:  # an unpacked source archive
        places = [ROOT / name for name in folders]
        found = (path for place in places for path in place.rglob("*") if path.is_file())
        files = {str(path.relative_to(ROOT)) for path in found if path.suffix != ".pyc"}
    expected = {re.sub(r"^(job_templates|containers)/", r"pywps_hpc/\1/", file) for file in files}
    packed = {name for name in names(wheel) if ".dist-info/" not in name}
    assert len(packed) > 250
    assert packed == expected


def test_the_wheel_is_typed_and_says_what_it_is(wheel: Path) -> None:
    found = names(wheel)
    assert {"pywps_hpc/py.typed", "joblauncher/py.typed"} <= found
    (place,) = (name for name in found if name.endswith(".dist-info/METADATA"))
    with zipfile.ZipFile(wheel) as archive:
        told = email.message_from_bytes(archive.read(place))
    assert told["Name"] == "pywps-hpc"
    assert told["License-Expression"] == "MIT"
    assert told["Requires-Python"] == ">=3.10"
    assert told["Description-Content-Type"] == "text/markdown"
    assert told["Author"] == "The pywps-hpc developers"
    classifiers = told.get_all("Classifier")
    assert "Typing :: Typed" in classifiers
    prefix = "Programming Language :: Python :: 3."
    minors = [int(one.removeprefix(prefix)) for one in classifiers if one.startswith(prefix)]
    assert minors == list(range(10, max(minors) + 1))
    for page in ("README.md", "docs/index.md", "docs/install.md"):
        assert f"Python 3.10 to 3.{max(minors)}" in (ROOT / page).read_text("utf-8"), page
    assert {"server", "postgresql", "ssh", "docs", "test"} <= set(told.get_all("Provides-Extra"))


def test_the_version_is_the_same_everywhere(wheel: Path) -> None:
    version = wheel.name.split("-")[1]
    assert re.search(rf"^version: {re.escape(version)}$", (ROOT / "CITATION.cff").read_text(), re.M)
    assert f"\n## {version}\n" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_the_source_archive_makes_the_same_wheel(wheel: Path, sdist: Path, tmp_path: Path) -> None:
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
        archive.extractall(tmp_path)
    for needed in ("LICENSE", "CHANGELOG.md", "pywps.cfg", "docs/start.md", "tests/run.sh"):
        assert needed in inside
    (source,) = tmp_path.iterdir()
    assert names(build(source, tmp_path / "made", "wheel")) == names(wheel)


@pytest.fixture(scope="module")
def clean(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that has the wheel; of this one it sees the dependencies."""
    return environment(tmp_path_factory.mktemp("clean") / "venv", wheel).parent


def run(programs: Path, folder: Path, *line: str) -> str:
    hidden = ("PYTHONPATH", "PYTHONHOME", "PYWPS_CFG")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    ended = subprocess.run([programs / line[0], *line[1:]], cwd=folder, env=environment, **CAPTURED)
    assert ended.returncode == 0, ended.stderr
    return str(ended.stdout)


def test_an_installed_wheel_runs_and_finds_what_belongs_to_it(clean: Path, tmp_path: Path) -> None:
    where = "import joblauncher, pywps_hpc; print(joblauncher.__file__, pywps_hpc.__file__)"
    for place in run(clean, tmp_path, "python", "-c", where).split():
        assert Path(place).is_relative_to(clean.parent)
    assert "pywps-hpc" in run(clean, tmp_path, "pywps-hpc", "--version")
    (tmp_path / "spool").mkdir(mode=0o700)
    config = tmp_path / "pywps.cfg"
    config.write_text(
        "[server]\nurl = http://host/wps\n[processing]\nmode = scheduler\n"
        f"[hpc]\nspool = {tmp_path}/spool\nscheduler = slurm\n"
        "[hpc.container]\nimage = /shared/image.sif\n"
    )
    script = run(clean, tmp_path, "pywps-hpc", "render", "--config", str(config), "some_process")
    assert "#SBATCH --mem=2048M" in script
    assert "/shared/image.sif" in script
