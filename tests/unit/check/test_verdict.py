"""What a probe's report means: versions, clocks, rights and the way of files between hosts."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from check_site import CheckSite
from joblauncher.shared import dump
from joblauncher.shared.probing import Order, Report, is_order, order_of, report_of
from pywps_hpc import __version__
from pywps_hpc.check import configuration, verdict
from pywps_hpc.check.configuration import Configuration
from pywps_hpc.check.findings import Finding, Level
from pywps_hpc.dispatch.schedulers.base import JobStatus, Outcome, Phase
from pywps_hpc.settings import ProcessSettings

NOW = 1_800_000_000.0
GOOD = Report(
    host="c1",
    time=NOW,
    versions={**dump.versions(), "pywps-hpc": __version__},
    account=1000,
    owner=1000,
    mode=0o700,
    round_trip=0.1,
    temporary=("/tmp", 1 << 34),
)
W, E = Level.WARNING, Level.ERROR


@pytest.fixture
def known(tmp_path: Path) -> Configuration:
    site = CheckSite(tmp_path)
    found, problems = configuration.read(site.config)
    assert found is not None, problems
    return found


def told(known: Configuration, report: Report | None, **facts: Any) -> list[Finding]:
    given = {"settings": ProcessSettings(), "seen": (NOW, NOW + 0.1), "waited": 3.0} | facts
    return list(verdict.of(known, [""], verdict.Facts(report=report, **given), "slurm"))


def test_a_good_report_is_one_line(known: Configuration) -> None:
    [finding] = told(known, GOOD)
    assert finding.level is Level.OK
    assert finding.subject == "node c1"


@pytest.mark.parametrize(
    ("missing", "key"),
    [
        ("/data", "[hpc.container] binds"),
        ("/data/in", "[server] allowedinputpaths"),
        ("/code", "[hpc.container] binds"),
        ("/code/birds", "[hpc.container] python_path"),
    ],
)
def test_a_folder_is_told_by_the_key_that_names_it_and_none_below(
    known: Configuration, missing: str, key: str
) -> None:
    defaults = known.settings.defaults
    container = replace(defaults.container, python_path=(Path("/code/birds"),))
    own = replace(known.settings, defaults=replace(defaults, container=container))
    sections = {**known.sections, "server": {"allowedinputpaths": "/data/other: /data/in/"}}
    site = replace(known, settings=own, sections=sections)
    [finding] = told(site, replace(GOOD, missing={missing: "No such file"}))
    assert finding.subject == key


def _versions(**changes: str) -> dict[str, Any]:
    return {"versions": GOOD.versions | {k.replace("_", "-"): v for k, v in changes.items()}}


@pytest.mark.parametrize(
    ("changes", "level", "subject", "what", "remedy"),
    [
        (_versions(python="3.1.4"), E, "image", "python 3.1.4 on c1, 3.*jobs are refused", "image"),
        (_versions(dill="0.1.0"), E, "image", "dill 0.1.0 on c1", "image build"),
        (_versions(pywps=""), E, "image", "pywps is not installed", "image build"),
        (_versions(pywps_hpc="0.0.1"), E, "image", "pywps-hpc 0.0.1", "image build"),
        ({"failures": {"m": "ImportError: no"}}, E, "image", "module m .*ImportError: no", "build"),
        ({"missing": {"/d": "No such file"}}, E, "binds", "/d on c1: No such", "correct it"),
        ({"trouble": "Permission denied"}, E, "spool", "cannot write .*denied", "squashing"),
        ({"owner": 65534}, E, "spool", "number 1000, its folder belongs to 65534", "same number"),
        ({"mode": 0o755}, E, "spool", "mode 0755", "POSIX"),
        ({"time": NOW + 60}, W, "clock of node c1", "60 s ahead of", "synchronise"),
        ({"time": NOW - 60}, W, "clock of node c1", "60 s behind", "synchronise"),
        ({"time": NOW + 9000}, E, "clock of node c1", "ahead of", "synchronise"),
        ({"round_trip": 6.0}, W, "node c1", "seen on the other host after 6.0 s", "caching"),
        ({"round_trip": 60.0}, E, "node c1", "seen on the other host after 60.0 s", "caching"),
        ({"round_trip": None}, E, "node c1", "not seen there", "caching"),
        ({"temporary": ("/tmp", 1 << 20)}, W, "node c1", "temporary files: /tmp, 1 MiB", "room"),
        (
            {"said": "INFO:    Converting SIF file to temporary sandbox...\n"},
            *(W, "node c1", "unpacked for each job", "squashfuse"),
        ),
        ({"said": "lmod: no such module\n"}, W, "templates", "lmod: no such module", "template"),
    ],
)
def test_what_is_wrong_on_a_node_is_told(
    known: Configuration,
    changes: dict[str, Any],
    level: Level,
    subject: str,
    what: str,
    remedy: str,
) -> None:
    own = replace(known.settings, defaults=replace(known.settings.defaults))
    container = replace(own.defaults.container, runtime="apptainer")
    found = told(known, replace(GOOD, **changes), settings=ProcessSettings(container=container))
    assert len(found) == 1, found
    [finding] = found
    assert finding.level is level
    assert subject in finding.subject
    assert re.search(what, finding.what), finding.what
    assert remedy in finding.remedy


def test_what_a_runtime_says_of_itself_is_no_trouble(known: Configuration) -> None:
    said = "INFO:    gocryptfs not found, will not be able to use gocryptfs\n"
    [finding] = told(known, replace(GOOD, said=said))
    assert finding.level is Level.OK


@pytest.mark.parametrize(
    ("facts", "level", "what"),
    [
        ({"refusal": "Slurm refused the job: no"}, E, "Slurm refused the job: no"),
        ({"status": JobStatus(Phase.QUEUED, detail="Priority")}, W, "waited .*: Priority"),
        (
            {"status": JobStatus(Phase.QUEUED, detail="PartitionTimeLimit", hopeless=True)},
            *(E, "cannot start as it stands: PartitionTimeLimit"),
        ),
        ({"status": JobStatus(Phase.HELD, detail="JobHeldAdmin")}, W, "held: JobHeldAdmin"),
        ({"unasked": "cut off"}, E, "cannot be asked about a job: cut off"),
        ({"status": JobStatus(Phase.RUNNING)}, W, "runs, but has not reported"),
        (
            {"status": JobStatus(Phase.FINISHED, Outcome.EXITED, exit_code=72)},
            *(E, "the job's folder is missing"),
        ),
        (
            {"status": JobStatus(Phase.FINISHED, Outcome.COULD_NOT_START, detail="0:53")},
            *(E, "could not start .0:53.*the job's log in the spool"),
        ),
        (
            {"status": JobStatus(Phase.FINISHED, Outcome.MEMORY_LIMIT), "log": "x"},
            *(E, "killed: used more than"),
        ),
        (
            {"status": JobStatus(Phase.FINISHED, Outcome.EXITED, exit_code=3), "log": "a\nb"},
            *(E, "exit code 3 .*its log ends with: a b"),
        ),
    ],
)
def test_a_job_that_is_not_heard_of_is_explained(
    known: Configuration, facts: dict[str, Any], level: Level, what: str
) -> None:
    [finding] = told(known, None, **facts)
    assert finding.level is level
    assert re.search(what, finding.what), finding.what
    assert finding.remedy


def test_orders_and_reports_come_back_as_they_were(tmp_path: Path) -> None:
    order = Order("j", ("a.b",), ("/p",), 3.0)
    assert order_of(order.content()) == order
    assert report_of(GOOD.content()) == GOOD
    file = tmp_path / "job.dump"
    file.write_bytes(order.content())
    assert is_order(file)
    file.write_bytes(dump.MAGIC)
    assert not is_order(file)
    with pytest.raises(dump.PayloadError):
        order_of(b"pywps-hpc probe 1\nno json")
