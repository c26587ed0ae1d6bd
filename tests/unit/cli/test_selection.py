"""Jobs are chosen by owner, process, state and time, to be listed and to be controlled."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli_desk import Desk
from pywps_hpc import settings
from pywps_hpc.cli import commands, selection
from pywps_hpc.jobs import ControlRequest, JobStore, State, new_id
from servers import write_config


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    config = write_config(tmp_path, "http://127.0.0.1:9/wps")
    return Desk(config, settings.load([config]))


def run(desk: Desk, name: str, *arguments: str) -> Result:
    return CliRunner().invoke(commands, [name, "--config", str(desk.config), *arguments])


def listed(desk: Desk, *arguments: str) -> list[str]:
    ended = run(desk, "jobs", "--json", *arguments)
    assert ended.exit_code == 0, ended.output
    return [json.loads(line)["job"] for line in ended.stdout.splitlines()]


def test_jobs_are_listed_by_owner_process_state_and_time(desk: Desk) -> None:
    now = time.time()
    first = desk.add(owner="ada", process="p", created=now - 100, state=State.RUNNING)
    second = desk.add(owner="ben", process="q", created=now - 90, state=State.QUEUED)
    ending = desk.add(control=ControlRequest.DISMISS, created=now - 80, state=State.RUNNING)
    ended = desk.add(owner="ada", process="q", created=now - 7200, state=State.FAILED)
    assert listed(desk) == [ending.id, second.id, first.id]
    assert listed(desk, "--owner", "ada") == [first.id]
    assert listed(desk, "--owner", "ada", "--all") == [first.id, ended.id]
    assert listed(desk, "--process", "q", "--all") == [second.id, ended.id]
    assert listed(desk, "--process", "q", "--process", "p", "--owner", "ada") == [first.id]
    assert listed(desk, "--state", "failed", "--state", "queued") == [second.id, ended.id]
    assert listed(desk, "--state", "running") == [ending.id, first.id]
    assert listed(desk, "--all", "--since", "30min") == [ending.id, second.id, first.id]
    assert listed(desk, "--all", "--limit", "1") == [ending.id]


def test_more_jobs_are_listed_than_a_page_has(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pywps_hpc.jobs.listing.EXAMINED", 3)
    jobs = [desk.add(owner=f"o{n % 2}", created=5.0 + n).id for n in range(9)]
    assert listed(desk, "--owner", "o0", "--process", "p") == jobs[::-1][::2]
    assert listed(desk, "--limit", "7") == jobs[::-1][:7]


def test_a_time_is_a_date_or_how_long_ago() -> None:
    assert selection.moment("2026-11-01T12:00:00Z") == 1793534400.0
    assert selection.moment("2026-11-01T13:00:00+01:00") == 1793534400.0
    assert abs(time.time() - 3600 - selection.moment("1h")) < 5
    for text, words in (
        ("6m", "minutes or months"),
        ("soon", "is not a time"),
        ("0", "not a time"),
    ):
        with pytest.raises(ValueError, match=words):
            selection.moment(text)


def test_a_time_that_is_none_is_told_with_its_option(desk: Desk) -> None:
    ended = run(desk, "jobs", "--since", "3m")
    assert ended.exit_code == 2
    assert "'--since'" in ended.output
    assert "3mo for months" in ended.output


@pytest.mark.parametrize(
    ("command", "request_of_it"),
    [
        ("cancel", ControlRequest.DISMISS),
        ("pause", ControlRequest.PAUSE),
        ("resume", ControlRequest.RESUME),
    ],
)
def test_the_active_jobs_of_an_owner_or_process_are_controlled(
    desk: Desk, command: str, request_of_it: ControlRequest
) -> None:
    mine = desk.add(owner="ada", process="p", state=State.RUNNING)
    other = desk.add(owner="ada", process="q", state=State.QUEUED)
    ended = desk.add(owner="ada", process="p", state=State.SUCCEEDED)
    strange = desk.add(owner="ben", process="p", state=State.RUNNING)
    told = run(desk, command, "--owner", "ada", "--process", "p", "--json")
    facts = [json.loads(line) for line in told.stdout.splitlines()]
    assert [(one["job"], one["asked"], one["done"]) for one in facts] == [
        (mine.id, request_of_it.value, True)
    ]
    store = desk.store()
    assert [row.id for row in store.requested()] == [mine.id]
    assert run(desk, command, "--owner", "ada").exit_code == 0
    assert {row.id for row in store.requested()} == {mine.id, other.id}
    assert store.get(ended.id) == ended
    assert store.get(strange.id) == strange


def test_all_elements_of_an_array_are_controlled_by_its_name_or_id(desk: Desk) -> None:
    jobs = [desk.add(name="wtwo", native_id=f"8_{n}", state=State.QUEUED) for n in (1, 2)]
    other = desk.add(name="wone", native_id="88_1", state=State.QUEUED)
    for names in (["wtwo"], ["8"]):
        assert run(desk, "cancel", *names).exit_code == 1
        told = run(desk, "cancel", "--all", *names)
        assert told.exit_code == 0, told.output
        assert {line.partition(":")[0] for line in told.stdout.splitlines()} == {
            job.id for job in jobs
        }
    assert desk.store().get(other.id) == other


def test_the_beginning_of_several_ids_is_never_all_of_them(desk: Desk) -> None:
    for n in "12":
        desk.add(id=f"aaaa{n}111-" + new_id()[9:], state=State.RUNNING)
    told = run(desk, "cancel", "--all", "aaaa")
    assert told.exit_code == 1
    assert "matches several jobs" in told.output
    assert desk.store().requested() == []


def test_what_says_no_job_or_says_it_twice_is_refused(desk: Desk) -> None:
    job = desk.add(owner="ada", state=State.RUNNING)
    for arguments in ([], [job.id, "--owner", "ada"], ["--all"]):
        assert run(desk, "cancel", *arguments).exit_code == 2
    assert desk.store().get(job.id) == job


def test_many_jobs_are_controlled_in_few_transactions(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = {desk.add(owner="ada", state=State.RUNNING).id for _ in range(5)}
    asked: list[int] = []
    together = JobStore.request_all

    def counted(store: JobStore, ids: list[str], request: ControlRequest) -> set[str]:
        asked.append(len(ids))
        return together(store, ids, request)

    monkeypatch.setattr(JobStore, "request_all", counted)
    monkeypatch.setattr("pywps_hpc.cli.control.AT_ONCE", 3)
    assert run(desk, "cancel", "--owner", "ada").exit_code == 0
    assert asked == [3, 2]
    assert {row.id for row in desk.store().requested()} == jobs
