"""Pilots that a site does not allow are told before the first client."""

from __future__ import annotations

from pathlib import Path

import pytest

from pywps_hpc.check import pilots
from pywps_hpc.check.configuration import Configuration
from pywps_hpc.check.findings import Level
from pywps_hpc.dispatch.schedulers.sites.model import Node, Queue, Site
from pywps_hpc.settings import Container, ProcessSettings, Resources, Settings

HOUR = 3600


def told(walltime: int = HOUR, memory: int = 4000, **container: object) -> list[tuple[str, str]]:
    """What is found of a process that asks for so much: the subjects, and what is to be done."""
    inside = {"image": Path("/i.sif"), "warm": True} | container
    need = Resources(queue="batch", walltime=walltime, memory=memory)
    own = ProcessSettings(need, Container(**inside))  # type: ignore[arg-type]
    settings = Settings(spool=Path("/spool"), scheduler="slurm", processes={"hello": own})
    origin = {"hpc.process.hello": {"walltime": "1", **dict.fromkeys(container, "1")}}
    node = Node("c1", cpus=4, memory=8000, gpus=0)
    batch = Queue("batch", walltime=4 * HOUR, nodes=(node,))
    site = Site(queues={"batch": batch}, default_queue="batch")
    found = list(pilots.look(Configuration(Path("/c"), origin, {}, settings), site, "wps"))
    assert all(finding.level is Level.WARNING for finding in found)
    assert all("no pilot can start" in finding.what for finding in found)
    return [(finding.subject, finding.remedy) for finding in found]


def test_what_fits_is_not_told() -> None:
    assert told(pilot_walltime=4 * HOUR) == []
    assert told(pilot_slots=1) == []  # 4512 MiB; 2:30
    assert told(warm=False, pilot_walltime=9 * HOUR) == []
    assert told(pilot_walltime=9 * HOUR, options=("--nv",)) == []  # no pilots


def test_a_pilot_may_last_longer_than_the_queue_allows() -> None:
    [(subject, remedy)] = told(pilot_walltime=5 * HOUR)
    assert subject == "[hpc.process.hello] pilot_walltime"
    assert f"{HOUR + 130} s or more" in remedy
    [(subject, _)] = told(walltime=2 * HOUR)  # unset: twice that and half an hour
    assert subject.endswith("] pilot_walltime")


@pytest.mark.parametrize(
    ("slots", "memory", "remedy"),
    [(2, 4000, "fewer"), (5, 1000, "fewer"), (1, 7800, "less memory")],
)
def test_the_slots_of_a_pilot_may_be_more_than_a_node_has(
    slots: int, memory: int, remedy: str
) -> None:
    [(subject, advice)] = told(memory=memory, pilot_slots=slots)
    assert subject == "[hpc.process.hello] pilot_slots"
    assert remedy in advice


def test_what_is_wrong_with_the_jobs_themselves_is_told_of_them() -> None:
    assert told(walltime=9 * HOUR, memory=9000, pilot_walltime=10 * HOUR, pilot_slots=2) == []
