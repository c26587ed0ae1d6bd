"""Warm starts on a cluster: what is refused at start, and in which words."""

from __future__ import annotations

from pathlib import Path

import pytest

from pywps_hpc import settings
from pywps_hpc.dispatch.schedulers.pilots.scheduler import has_pilots
from pywps_hpc.settings import SettingsError

Sections = dict[str, dict[str, str]]


@pytest.fixture
def sections(tmp_path: Path) -> Sections:
    return {
        "hpc": {"spool": str(tmp_path), "scheduler": "slurm"},
        "hpc.container": {"image": "/images/service.sif"},
        "hpc.resources": {"walltime": "00:10:00"},
        "hpc.process.short": {"warm": "yes", "pilot_slots": "3"},
    }


def test_pilots_are_for_whom_they_are_turned_on(sections: Sections) -> None:
    own = settings.build(sections, "pywps.cfg")
    assert has_pilots(own)
    assert own.for_process("other").container.warm is None
    short = own.for_process("short").container
    assert (short.warm, short.pilot_slots, short.pilots) == (True, 3, 4)
    sections["hpc.process.short"]["warm"] = "no"
    assert not has_pilots(settings.build(sections, "pywps.cfg"))
    del sections["hpc.process.short"]
    assert not has_pilots(settings.build(sections, "pywps.cfg"))


@pytest.mark.parametrize(
    ("keys", "refusal"),
    [
        ({"runtime": "none"}, "[hpc.process.short] warm: warm starts on a cluster need"),
        ({"pilot_walltime": "00:12:00"}, "[hpc.process.short] pilot_walltime: is too short"),
        ({"pilot_slots": "0"}, "[hpc.process.short] pilot_slots: "),
    ],
)
def test_what_cannot_be_is_refused(sections: Sections, keys: dict[str, str], refusal: str) -> None:
    sections["hpc.process.short"] |= keys
    with pytest.raises(SettingsError) as caught:
        settings.build(sections, "pywps.cfg")
    assert refusal in str(caught.value)
    sections["hpc"]["scheduler"] = "local"
    if "pilot_slots" not in keys:
        settings.build(sections, "pywps.cfg")
