"""A failure on the real cluster has a second chance, and no other failure has."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import second_run
from places import TESTS

CONFTEST = """
import second_run

def pytest_addoption(parser):
    second_run.add_option(parser)

def pytest_configure(config):
    config.addinivalue_line("markers", "cluster: of the real cluster")
    config.addinivalue_line("markers", "sums_up: of its file")
    second_run.register(config)
"""
NOISE = """
import pathlib, pytest

@pytest.mark.cluster
def test_noise():
    before = pathlib.Path("seen")
    assert before.exists() or before.write_text("") is None and False

@pytest.mark.cluster
def test_sound():
    pass
"""
SUM = """
import pathlib, pytest

@pytest.mark.cluster
def test_part():
    pathlib.Path("part").write_text("")

@pytest.mark.cluster
@pytest.mark.sums_up
def test_sum():
    part = pathlib.Path("part")
    assert part.exists()
    part.unlink()
    assert pathlib.Path("seen").exists() or pathlib.Path("seen").write_text("") is None and False
"""
BROKEN = """
import pytest

@pytest.mark.cluster
def test_broken():
    assert False
"""
OTHER = """
def test_without_a_cluster():
    assert False
"""
UNREADABLE = "import no_such_module"


@pytest.mark.parametrize(
    ("content", "passes", "says", "workers"),
    [
        (NOISE, True, "run once more alone:\n  test_it.py::test_noise\n", []),
        (NOISE, True, "run once more alone:\n  test_it.py::test_noise\n", ["-n", "2"]),
        (SUM, True, "run once more alone:\n  test_it.py\n", []),
        (BROKEN, False, "run once more alone:\n  test_it.py::test_broken\n", []),
        (NOISE + OTHER, False, "so for good:\n  test_it.py::test_without_a_cluster\n", []),
        (OTHER, False, None, []),
        (UNREADABLE, False, None, []),
        ("import os; os._exit(3)", False, None, []),
    ],
    ids=["noise", "workers", "sum", "twice", "both", "no cluster", "not collected", "no report"],
)
def test_only_what_fails_on_the_cluster_runs_again(
    tmp_path: Path, content: str, passes: bool, says: str | None, workers: list[str]
) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "pytest.ini").write_text(f"[pytest]\npythonpath = {TESTS / 'support'}\n")
    (tmp_path / "test_it.py").write_text(content)
    failures = tmp_path / "failures"
    failures.touch()

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, *command]
        return subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)

    first = run("-m", "pytest", "-p", "no:cacheprovider", f"--failures={failures}", *workers)
    assert first.returncode != 0
    again = run(second_run.__file__, str(failures), str(first.returncode))
    assert (again.returncode == 0) is passes, again
    assert says in again.stdout if says else not again.stdout, again


def test_a_broken_cluster_is_no_noise(tmp_path: Path) -> None:
    file = tmp_path / "failures"
    many = [f"test_it.py::test_{number}" for number in range(second_run.MOST + 1)]
    file.write_text(f'{{"cluster": {many!r}, "others": []}}'.replace("'", '"'))
    assert second_run.main(file, 1) == 1
