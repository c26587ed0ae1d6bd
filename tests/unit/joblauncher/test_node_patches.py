"""The table of what a job makes of PyWPS is complete, and true of the PyWPS that is installed."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from joblauncher import pywps_patches
from joblauncher.shared import pywps_pieces
from joblauncher.shared.pywps_pieces import Piece
from joblauncher.shared.response import JobResponse
from places import ROOT

#: Installs what a job installs, and tells which attributes of PyWPS are ours then.
_INSTALL = """
import json, pathlib, sys
sys.path.insert(0, "tests/unit/joblauncher")
from joblauncher import configured, nodatabase, outputs
from joblauncher.inputs.policy import Bounds
from joblauncher.shared.jobdir import JobDir
nodatabase.install()
from joblauncher.inputs import references
import test_node_patches as table
before = dict(table.attributes())
job = JobDir(pathlib.Path(sys.argv[1]))
configured.install({"server": {}, "logging": {}}, job.work, job.storage)
references.install(Bounds(), job)
outputs.install(job)
after = dict(table.attributes())
print(json.dumps([name for name in after if after[name] is not before.get(name)]))
"""


def attributes() -> Iterator[tuple[str, Any]]:
    """Everything that PyWPS's modules, and classes in them, have, by its name."""
    for name, module in list(sys.modules.items()):
        if name != "pywps" and not name.startswith("pywps."):
            continue
        for inner, value in vars(module).items():
            yield f"{name}.{inner}", value
            if inspect.isclass(value) and value.__module__ == name:
                yield from ((f"{name}.{inner}.{one}", thing) for one, thing in vars(value).items())


def named(table: tuple[Piece, ...]) -> set[str]:
    return {f"{piece.module}.{piece.name}" for piece in table}


def test_nothing_is_strange_about_the_pywps_that_is_installed() -> None:
    assert list(pywps_pieces.mismatches(pywps_patches.ALL)) == []
    assert version("pywps").rpartition(".")[0] == pywps_pieces.UPSTREAM
    assert all(piece.why for piece in pywps_patches.ALL)


def test_every_attribute_that_a_job_replaces_stands_in_the_table(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _INSTALL, str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
        env={"PYTHONPATH": "tests/support:."},
    )
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout)) == named(pywps_patches.REPLACED)


def test_every_method_that_our_response_overrides_stands_in_the_table() -> None:
    upstream = JobResponse.__mro__[1]
    known = {name for one in upstream.__mro__ for name in vars(one)} - set(vars(object))
    ours = {name for name in vars(JobResponse) if name in known or name == "__init__"}
    # What Python itself notes of each class, the last two since 3.13.
    ours -= {"__module__", "__doc__", "__static_attributes__", "__firstlineno__"}
    assert {f"{upstream.__module__}.{upstream.__name__}.{name}" for name in ours} == named(
        pywps_patches.OVERRIDDEN
    )


@pytest.mark.parametrize(
    ("piece", "says"),
    [
        (Piece("pywps.inout.basic", "UrlHandler.away", "", None), "is not there"),
        (Piece("pywps.away", "thing", "", None), "is not there"),
        (Piece("pywps.inout.basic", "IOHandler._check_valid", "", ("it",)), "other parameters"),
        (Piece("pywps.configuration", "CONFIG", "", ("self",)), "other parameters"),
    ],
)
def test_what_this_pywps_has_otherwise_is_told(piece: Piece, says: str) -> None:
    (line,) = pywps_pieces.mismatches([piece])
    assert f"{piece.module}.{piece.name}" in line
    assert says in line
