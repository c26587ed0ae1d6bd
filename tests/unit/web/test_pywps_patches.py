"""Whatever the web server replaces in PyWPS stands in one table."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from in_process_service import open_service
from pywps_hpc.web import pywps_patches

#: PyWPS's own code puts another object there when it reads its configuration.
OWN = {("pywps.configuration", "CONFIG")}


def attributes() -> Iterator[tuple[tuple[str, str], Any]]:
    """Module and name of each thing that a module of PyWPS or a class in it has, and the thing."""
    for module_name, module in sorted(sys.modules.items()):
        if module is None or module_name.partition(".")[0] != "pywps":
            continue
        for name, thing in list(vars(module).items()):
            yield (module_name, name), thing
            if isinstance(thing, type) and thing.__module__ == module_name:
                for attribute, part in list(vars(thing).items()):
                    yield (module_name, f"{name}.{attribute}"), part


def test_whatever_is_replaced_stands_in_the_table_with_its_reason(tmp_path: Path) -> None:
    before = dict(attributes())
    with open_service(tmp_path):
        changed = {
            place for place, thing in attributes() if place in before and before[place] is not thing
        }
        applied = [patch for patch in pywps_patches.PATCHES if patch.applies()]
    assert changed - OWN == {(patch.module, patch.name) for patch in applied}
    assert len(applied) >= len(pywps_patches.PATCHES) - 1  # a request log may be kept
    for piece in (*pywps_patches.PATCHES, *pywps_patches.PIECES):
        assert piece.why


def test_each_replacement_is_made_of_the_original_however_often(tmp_path: Path) -> None:
    made: list[Any] = []
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        with open_service(tmp_path / folder):
            made.append(dict(pywps_patches._ORIGINALS))
            for patch, original in pywps_patches._ORIGINALS:
                assert (patch.find() is not original) is patch.applies()
                assert original.__module__.startswith("pywps.")
    assert made[0] == made[1]
