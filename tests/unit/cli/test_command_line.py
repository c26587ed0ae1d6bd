"""What an administrator reads and types: nothing is cut, nothing is created, jobs are found."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from cli_desk import LONG, Desk
from pywps_hpc import settings
from pywps_hpc.jobs import ControlRequest, Job, State, new_id, versions
from servers import write_config


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    config = write_config(tmp_path, "http://127.0.0.1:9/wps")
    return Desk(config, settings.load([config]))


def test_a_listing_in_a_pipe_cuts_neither_id_nor_name_nor_path(desk: Desk) -> None:
    name = "a_process_with_a_name_that_is_longer_than_a_terminal_is_wide_" + "x" * 100
    job = desk.add(process=name, native_id=LONG, state=State.QUEUED, message="m" * 300)
    listed = desk.reads("jobs").splitlines()
    assert len(listed) == 2
    assert listed[1].split() == [job.id, name, "queued", LONG, "(wabc)", listed[1].split()[-1]]
    shown = desk.reads("show", job.id).splitlines()
    for whole in (job.id, name, LONG, "m" * 300, str(desk.settings.spool / job.id)):
        assert any(whole in line for line in shown), whole


def test_a_listing_is_data_too(desk: Desk) -> None:
    job = desk.add(native_id=LONG, state=State.PAUSED, control=ControlRequest.RESUME)
    (line,) = desk.reads("jobs", "--json").splitlines()
    found = json.loads(line)
    assert (found["job"], found["native_id"]) == (job.id, LONG)
    assert (found["state"], found["asked"]) == ("paused", "resume")


def test_words_of_a_process_command_no_terminal_and_forge_no_line(desk: Desk) -> None:
    job = desk.add(message="a\nstate  succeeded\x1b[2J")
    shown = desk.reads("show", job.id)
    assert "\x1b" not in shown
    assert [line for line in shown.splitlines() if line.startswith("state")] == [
        "state      accepted"
    ]


@pytest.mark.parametrize("command", ["show", "cancel"])
def test_a_job_is_found_by_all_of_its_names(desk: Desk, command: str) -> None:
    first = desk.add(id="aaaa1111-" + new_id()[9:], name="wone", native_id="71.server")
    second = desk.add(id="aaaa2222-" + new_id()[9:], name="wtwo", native_id="8_4")
    desk.add(id="bbbb2222-" + new_id()[9:], name="wtwo", native_id="8_5")
    for text in (first.id, "aaaa1", "AAAA1111", "wone", "71.server", "71"):
        assert first.id in desk.reads(command, text), text
    assert second.id in desk.reads(command, "8_4")
    for text, candidates in (("aaaa", 2), ("wtwo", 2), ("8", 2), ("71.serve", 0), ("%", 0)):
        ended = desk.run(command, text)
        assert ended.returncode == 1
        assert ended.stdout == ""
        told = ended.stderr.splitlines()
        assert len(told) == 1 + candidates, ended.stderr
        assert text in told[0]
        assert all(len(line.split()[0]) == 36 for line in told[1:])


def test_no_job_is_dismissed_when_one_of_them_is_not_known(desk: Desk) -> None:
    job = desk.add()
    assert desk.run("cancel", job.id, "nonsense").returncode == 1
    assert desk.store().get(job.id) == job


def test_a_listing_creates_nothing(desk: Desk) -> None:
    """Neither the table, nor the files beside it that SQLite makes for whoever opens it."""
    lines = (["jobs"], ["jobs", "--all"], ["show", "a"], ["log", "a"])
    for line in lines:
        ended = desk.run(*line)
        assert "there is no job table yet" in ended.stderr
        assert len(ended.stderr.splitlines()) == 1
        assert ended.returncode == (0 if "jobs" in line else 1)
        assert desk.files() == {}
    job = desk.add(state=State.RUNNING)
    before = desk.files()
    for line in (*lines[:2], ["show", job.id], ["log", job.id]):
        desk.run(*line)
        assert desk.files() == before


def test_a_listing_reads_what_is_not_in_the_database_file_yet(desk: Desk) -> None:
    store = desk.store()
    job = store.add(Job(id=new_id(), name="w1", process="p", digest="0" * 64))
    assert any(path.endswith("-wal") for path in desk.files())
    assert job.id in desk.reads("jobs")
    store.engine.dispose()


def test_a_listing_leaves_an_earlier_table_as_it_is(desk: Desk) -> None:
    store = desk.store()
    with store.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE hpc_schema SET version = 2")
    store.engine.dispose()
    ended = desk.run("jobs")
    assert ended.returncode == 1
    assert ended.stderr == (
        f"Error: the job table has version 2, this program needs version {versions.VERSION}: the "
        "service brings it there when it starts\n"
    )
    with store.engine.begin() as connection:
        assert connection.exec_driver_sql("SELECT version FROM hpc_schema").scalar() == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_root_leaves_nothing_that_the_service_could_not_use(open_folder: Path) -> None:
    config = write_config(open_folder, "http://127.0.0.1:9/wps")
    desk = Desk(config, settings.load([config]))
    owner = 12345
    os.chown(desk.settings.spool, owner, owner)
    job = desk.add()
    for path in desk.settings.spool.rglob("*"):
        os.chown(path, owner, owner)
    assert "there is no job nobody" in desk.run("cancel", "nobody").stderr
    for line in (["jobs"], ["show", job.id]):
        assert job.id in desk.reads(*line)
    desk.run("status")
    assert {owner_of for owner_of, _ in desk.files().values()} == {owner}


def test_a_request_for_a_job_that_has_ended_says_how_it_ended(desk: Desk) -> None:
    job = desk.add(state=State.SUCCEEDED)
    for command in ("cancel", "pause", "resume"):
        assert desk.reads(command, job.id) == f"{job.id}: has ended: succeeded\n"
    assert desk.store().get(job.id).state is State.SUCCEEDED
