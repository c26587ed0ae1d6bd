"""The percentage in a job's report, which clients are shown, never goes back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from joblauncher.publisher import Publisher
from joblauncher.shared import outcome, status_xml
from joblauncher.shared.jobdir import JobDir


def test_the_percentage_never_goes_back(tmp_path: Path) -> None:
    publisher = Publisher(JobDir(tmp_path))
    told = []
    for percent, message in ((10, "a"), (60, "b"), (30, "c"), (70, "d")):
        status = status_xml.Status(outcome.STARTED, percent, message)
        publisher.progress(status_xml.made("p", status), status)
        report = outcome.read(publisher.job)
        assert report is not None
        told.append((report.percent, report.message))
    assert told == [(10, "a"), (60, "b"), (60, "c"), (70, "d")]


def test_another_start_is_not_shown_behind_the_one_before(tmp_path: Path) -> None:
    first = JobDir(tmp_path)
    status = status_xml.Status(outcome.STARTED, 40, "60 left")
    Publisher(first).progress(status_xml.made("p", status), status)
    second = Publisher(replace(first, attempt=1))
    second.begin()
    report = outcome.read(first)
    assert report is not None
    assert (report.attempt, report.state, report.percent) == (1, outcome.ACCEPTED, 40)
    again = status_xml.Status(outcome.STARTED, 5, "95 left")
    second.progress(status_xml.made("p", again), again)
    report = outcome.read(first)
    assert report is not None
    assert (report.percent, report.message) == (40, "95 left")
