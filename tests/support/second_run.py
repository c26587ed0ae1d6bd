"""A test of the real cluster that failed is run once more, alone, when the others are through.

Daemons of a batch system share the machine with everything else, so one failure may be noise; two
are not. Whatever needs no cluster has no second chance, and both results are printed.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

OPTION = "--failures"
#: Marks a test that looks at what the others of its file left: it is run again with them.
SUMS_UP = "sums_up"
#: More failures than these are no noise: the cluster, or the product, is broken.
MOST = 10


class Failures:
    """A pytest plugin that writes down which tests failed.

    Args:
        file: receives the ids of those on the real cluster, and of all others, as JSON: what to
            give to pytest to run them again.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._failed: dict[str, bool] = {}

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            keywords, test = report.keywords, report.nodeid
            again = test.partition("::")[0] if SUMS_UP in keywords else test
            self._failed[again] = "cluster" in keywords

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self._failed[report.nodeid] = False

    def pytest_sessionfinish(self) -> None:
        found = {
            "cluster": [test for test, on_cluster in self._failed.items() if on_cluster],
            "others": [test for test, on_cluster in self._failed.items() if not on_cluster],
        }
        self._file.write_text(json.dumps(found), encoding="utf-8")


def add_option(parser: pytest.Parser) -> None:
    """Let a run be asked for its failures."""
    parser.addoption(OPTION, metavar="FILE", help="write the ids of failed tests to this file")


def register(config: pytest.Config) -> None:
    """Write the failures of this run down, if somebody asked; workers of a run do not."""
    file = config.getoption(OPTION)
    if file and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Failures(Path(file)))


def main(file: Path, code: int) -> int:
    """Decide on a run that failed.

    Args:
        file: what :class:`Failures` left.
        code: exit code of that run.

    Returns:
        0 only if each failure was on the cluster, and none came again.
    """
    text = file.read_text(encoding="utf-8")
    if code != pytest.ExitCode.TESTS_FAILED or not text:
        return code
    failed: dict[str, list[str]] = json.loads(text)
    again, others = failed["cluster"], failed["others"]
    if not again or len(again) > MOST:
        return code
    print("\nFailed on the real cluster, and run once more alone:", *again, sep="\n  ", flush=True)
    second = subprocess.run([sys.executable, "-m", "pytest", *again], check=False).returncode
    if others:
        print("\nFailed without a cluster, so for good:", *others, sep="\n  ")
        return code
    return second


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
