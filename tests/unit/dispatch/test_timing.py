"""Durations stand in one object, each with unit, reason and who may set it."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from dispatcher_harness import DispatcherHarness
from places import ROOT
from pywps_hpc.timing import DEVELOPERS, FACTOR, NOBODY, SECONDS, TIMING, Timing

#: A duration that a module keeps for itself. What is true of one batch system or of one way to it
#: stands with that.
OWN = re.compile(
    r"^#: (?:Seconds|Minutes|Milliseconds)\b(?:.*\n)(?:#.*\n)*([A-Z_, ]+) = .*\d", re.M
)
SYSTEMS = ("schedulers", "channels")


@pytest.mark.parametrize("field", dataclasses.fields(Timing), ids=lambda field: field.name)
def test_each_has_unit_reason_and_who_may_set_it(field: dataclasses.Field[float]) -> None:
    assert field.metadata["unit"] in (SECONDS, FACTOR)
    assert field.metadata["set_by"] in (NOBODY, DEVELOPERS)
    assert len(field.metadata["reason"].split()) > 2
    assert getattr(TIMING, field.name) > 0


def test_no_module_of_dispatcher_web_and_jobs_keeps_a_duration_of_its_own() -> None:
    modules = [
        module
        for module in (ROOT / "pywps_hpc").rglob("*.py")
        if not set(SYSTEMS).intersection(module.relative_to(ROOT).parts)
    ]
    assert len(modules) > 50
    found = {m.name: OWN.findall(m.read_text(encoding="utf-8")) for m in modules}
    assert {name: own for name, own in found.items() if own} == {}


def test_each_is_used() -> None:
    sources = [module.read_text(encoding="utf-8") for module in (ROOT / "pywps_hpc").rglob("*.py")]
    used = set(re.findall(r"(?:TIMING|[Tt]iming)\.([a-z_]+)", "\n".join(sources)))
    assert {field.name for field in dataclasses.fields(Timing)} - used == set()


def test_a_dispatcher_takes_another(tmp_path: Path) -> None:
    harness = DispatcherHarness(tmp_path)
    harness.timing = dataclasses.replace(TIMING, linger=5.0)
    harness.restart()
    job = harness.running()
    harness.succeed(job)
    harness.store.saw_end(job.id)
    harness.now = float(harness.row(job).end_seen)
    harness.cycle(later=4)
    assert harness.scheduler.cancelled == []
    harness.cycle(later=1)
    assert harness.scheduler.cancelled == [job.native_id]
