"""Tests of one batch system run in one worker, and a test of the cluster names its batch system."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from places import TESTS

CONFTEST = """
import os, pathlib, pytest
import parallel

def pytest_configure_node(node):
    parallel.configure_worker(node)

def pytest_xdist_make_scheduler(config, log):
    return parallel.scheduling(config, log)

def pytest_collection_modifyitems(config, items):
    parallel.check(items)
    parallel.arrange(config, items)

def pytest_runtest_call(item):
    with pathlib.Path("ran").open("a") as file:
        print(os.environ.get("PYTEST_XDIST_WORKER"), item.name, file=file)
"""
INI = "[pytest]\nmarkers =\n  cluster\n  batch_system\n"
#: Two modules that both use both batch systems, whatever they and their tests are called.
MODULE = """
import pytest

pytestmark = [pytest.mark.cluster, pytest.mark.batch_system("slurm")]
ON_BOTH = ["one", pytest.param("other", marks=pytest.mark.batch_system("gridengine"))]

@pytest.fixture(params=ON_BOTH)
def site(request):
    return request.param

@pytest.mark.parametrize("number", range(4))
def test_on(site, number):
    pass

@pytest.mark.batch_system("gridengine", shared=True)
def test_beside():
    pass
"""
KNOWN = "batch_system is one of slurm, gridengine, three_hosts, none"
WRONG = """
import pytest

@pytest.mark.cluster
def test_none(): pass

@pytest.mark.batch_system("slrum")
def test_unknown(): pass

@pytest.mark.batch_system()
def test_unnamed(): pass

@pytest.mark.batch_system("slurm", alone=True)
def test_option(): pass
"""


def run(folder: Path, modules: dict[str, str], *options: str) -> subprocess.CompletedProcess[str]:
    for name, text in {"conftest.py": CONFTEST, "pytest.ini": INI, **modules}.items():
        (folder / name).write_text(text)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
    environment = {"PYTHONPATH": str(TESTS / "support"), "PATH": "/usr/bin:/bin"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_one_worker_has_all_tests_of_a_batch_system(tmp_path: Path) -> None:
    done = run(tmp_path, {"test_a.py": MODULE, "test_b.py": MODULE}, "-n", "3")
    assert "18 passed" in done.stdout, done.stdout + done.stderr
    ran = [line.split() for line in (tmp_path / "ran").read_text().splitlines()]
    workers = {
        name: {worker for worker, test in ran if test.startswith(f"test_on[{name}-")}
        for name in ("one", "other")
    }
    assert [len(found) for found in workers.values()] == [1, 1]
    assert workers["one"] != workers["other"]


def test_a_test_of_the_cluster_that_names_no_batch_system_stops_the_run(tmp_path: Path) -> None:
    done = run(tmp_path, {"test_a.py": MODULE, "test_b.py": WRONG})
    assert done.returncode == pytest.ExitCode.USAGE_ERROR, done.stdout
    assert done.stderr.removeprefix("ERROR: ").strip().splitlines() == [
        "test_b.py::test_none: is marked cluster, and has no marker batch_system",
        *(f"test_b.py::test_{name}: {KNOWN}" for name in ("unknown", "unnamed", "option")),
    ]
    assert not (tmp_path / "ran").exists()
