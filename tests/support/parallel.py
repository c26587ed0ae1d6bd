"""Which tests may run side by side.

A test of the cluster names the batch system that it uses::

    pytestmark = [pytest.mark.cluster, pytest.mark.batch_system("slurm")]

With ``pytest -n`` (pytest-xdist) one worker has all tests of a batch system, since only one at a
time may break it. Other tests go to the workers by modules: those that need no batch system
(``"none"``), and those that wait for their :func:`turn` at one (``shared=True``).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

HOME = Path(os.environ.get("PYWPS_HPC_TEST_HOME", "/var/tmp/pywps-hpc"))
MARKER = "batch_system"
SLURM, GRID_ENGINE, THREE_HOSTS, NONE = "slurm", "gridengine", "three_hosts", "none"
#: Those whose tests take longest begin first.
ORDER = (SLURM, GRID_ENGINE, THREE_HOSTS)
#: In a worker's input: the file with the group of each test.
_GROUPS = "batch_system_groups"
_FILE = pytest.StashKey[Path]()


def batch_system(name: str, *, shared: bool = False) -> pytest.MarkDecorator:
    """The marker of a test that uses this batch system.

    Args:
        name: one of :data:`ORDER`, or :data:`NONE`: it needs the test host, not a batch system.
        shared: whether it waits for its turn itself, so that any worker may run it.
    """
    mark: pytest.MarkDecorator = getattr(pytest.mark, MARKER)
    return mark(name, shared=True) if shared else mark(name)


def group(item: pytest.Item) -> str:
    """What one worker runs as a whole: the tests of a batch system, or those of a module."""
    marker = item.get_closest_marker(MARKER)
    if marker is None or marker.args == (NONE,) or marker.kwargs.get("shared"):
        return item.nodeid.partition("::")[0]
    return str(marker.args[0])


def check(items: list[pytest.Item]) -> None:
    """See that each test of the cluster names its batch system.

    Raises:
        pytest.UsageError: one does not, or it names an unknown one.
    """
    wrong = []
    for item in items:
        marker = item.get_closest_marker(MARKER)
        if marker is None and item.get_closest_marker("cluster"):
            wrong.append(f"{item.nodeid}: is marked cluster, and has no marker {MARKER}")
        elif marker is not None and not _is_known(marker):
            wrong.append(f"{item.nodeid}: {MARKER} is one of {', '.join((*ORDER, NONE))}")
    if wrong:
        raise pytest.UsageError("\n".join(wrong))


def _is_known(marker: pytest.Mark) -> bool:
    (name, *more), options = marker.args or ("",), marker.kwargs
    return name in (*ORDER, NONE) and not more and set(options) <= {"shared"}


def arrange(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the tests in the order of their groups; a worker tells the groups to the controller."""

    def order(item: pytest.Item) -> int:
        own = group(item)
        return ORDER.index(own) if own in ORDER else len(ORDER)

    items.sort(key=order)
    given = getattr(config, "workerinput", {}).get(_GROUPS)
    if given is not None:  # all workers collect the same tests: any one's groups will do
        own = Path(f"{given}.{os.getpid()}")
        own.write_text(json.dumps({item.nodeid: group(item) for item in items}), encoding="utf-8")
        own.replace(given)


def configure_worker(node: Any) -> None:
    """Let a worker of pytest-xdist tell the groups of the tests, which only workers collect."""
    stash = node.config.stash
    if _FILE not in stash:
        stash[_FILE] = Path(tempfile.mkdtemp(prefix="pywps-hpc-groups-")) / "groups.json"
    node.workerinput[_GROUPS] = str(stash[_FILE])


def scheduling(config: pytest.Config, log: Any) -> Any:
    """How pytest-xdist is to hand out the tests: a group as a whole, in the order of the groups."""
    from xdist.scheduler import LoadScopeScheduling

    class GroupScheduling(LoadScopeScheduling):  # type: ignore[misc]
        groups: dict[str, str] | None = None

        def _split_scope(self, nodeid: str) -> str:
            if self.groups is None:  # asked when all workers have collected
                self.groups = json.loads(config.stash[_FILE].read_text(encoding="utf-8"))
                shutil.rmtree(config.stash[_FILE].parent)
            return self.groups[nodeid]

    return GroupScheduling(config, log)


@contextlib.contextmanager
def turn(name: str, *, alone: bool) -> Iterator[None]:
    """Use a batch system beside the tests of its group, or break it: both wait for each other.

    Args:
        name: of the batch system.
        alone: whether nobody else may use it meanwhile.
    """
    with (HOME / f".{name}.turn").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield
