"""An administrator and a client are told the same of a job."""

from __future__ import annotations

import errno
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cli_desk import Desk
from dispatcher_harness import DispatcherHarness
from fake_scheduler import DONE
from joblauncher.shared import outcome, status_xml
from joblauncher.shared.files import atomic_write, remove_tree
from joblauncher.shared.outcome import Report
from joblauncher.shared.pilotdir import PILOTS, PilotDir
from pywps_hpc import settings
from pywps_hpc.cli import commands
from pywps_hpc.cli.common import state_of
from pywps_hpc.jobs import Cause, ControlRequest, State
from pywps_hpc.jobs.leader import Reach
from pywps_hpc.jobs.look import look
from pywps_hpc.jobs.view import job_view
from pywps_hpc.spool import JobDir, Spool
from pywps_hpc.web.wps1.status import STATES, status_document
from servers import write_config

HERE = {"native_id": "7", "started": 5.0}
DOCUMENT = (
    f'<wps:ExecuteResponse xmlns:wps="{status_xml.WPS}"><wps:Status/></wps:ExecuteResponse>'
).encode()


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    config = write_config(tmp_path, "http://127.0.0.1:9/wps")
    desk = Desk(config, settings.load([config]))
    store = desk.store()
    assert store.lead("somebody", 3600, reach=Reach("local", True))
    store.engine.dispose()
    return desk


def shown(desk: Desk, job_id: str) -> dict[str, str]:
    """What ``show`` prints, by name."""
    line = ["show", job_id, "--config", str(desk.config)]
    ended = CliRunner().invoke(commands, line)
    assert ended.exit_code == 0, ended.output
    pairs = (re.split(" {2,}", line, maxsplit=1) for line in ended.stdout.splitlines())
    return {pair[0]: pair[-1] for pair in pairs}


def folder_of(desk: Desk, job_id: str) -> JobDir:
    folder = Spool(desk.settings.spool).open(job_id)
    folder.path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


@pytest.mark.parametrize(
    ("row", "said", "words"),
    [
        ({"state": State.STAGING}, ("accepted", 0, "accepted"), "accepted"),
        ({"state": State.QUEUED, "native_id": "7"}, ("accepted", 0, "accepted"), "waiting as"),
        ({"state": State.QUEUED, "native_id": "7"}, ("started", 40, "60 left"), "60 left"),
        ({"state": State.QUEUED, "attempt": 1, **HERE}, ("started", 40, "60 left"), "again"),
        ({"state": State.RUNNING, **HERE}, ("started", 40, "60 left"), "60 left"),
        ({"state": State.PAUSED, **HERE}, ("started", 40, "60 left"), "Paused"),
        ({"state": State.RUNNING, **HERE}, ("succeeded", 100, "done"), "has ended"),
        ({"state": State.SUCCEEDED, **HERE}, ("succeeded", 100, "done"), "done"),
        ({"state": State.FAILED, "message": "lost"}, ("started", 40, "60 left"), "lost"),
        ({"state": State.FAILED, "message": "lost"}, ("succeeded", 100, "done"), "lost"),
        ({"state": State.DISMISSED, "message": "dismissed"}, ("succeeded", 100, "done"), "dism"),
        (
            {"state": State.RUNNING, "control": ControlRequest.DISMISS},
            ("started", 40, "60 left"),
            "dismissed; it is being ended",
        ),
    ],
)
def test_the_command_line_says_what_the_clients_document_says(
    desk: Desk, row: dict[str, Any], said: tuple[str, int, str], words: str
) -> None:
    job = desk.add(**row)
    folder = folder_of(desk, job.id)
    # Written one after the other: of the document nobody has seen the last words yet.
    atomic_write(folder.status, status_xml.replace(DOCUMENT, status_xml.Status("accepted", 0, "x")))
    if said[0] == "succeeded":
        atomic_write(folder.status, status_xml.replace(DOCUMENT, status_xml.Status(*said)))
    Report(job.id, "p", *said).write(folder)
    view = look(job, folder, scheduler="local")
    told, facts = status_xml.parse(status_document(view, folder)), shown(desk, job.id)
    assert words in told.message
    assert facts["message"] == told.message
    assert told.state == STATES[view.state]
    expected = {State.STAGING: "staging"}.get(job.state, view.state.value)
    if view.state.value == "dismissed" and not view.is_closed:
        expected = "being dismissed"
    assert facts["state"] == expected
    if told.state in ("started", "paused"):
        assert facts["progress"] == f"{told.percent} %"


def test_of_a_dismissed_job_nothing_else_is_said(desk: Desk) -> None:
    job = desk.add(state=State.RUNNING, control=ControlRequest.DISMISS, **HERE)
    Report(job.id, "p", "succeeded", 100, "done", host="node7").write(folder_of(desk, job.id))
    facts = shown(desk, job.id)
    assert not {"process says", "progress", "ran on"} & facts.keys()
    assert "done" not in facts.values()


def test_all_that_is_known_is_shown(desk: Desk) -> None:
    job = desk.add(state=State.RUNNING, message="received a stop signal", owner="ada", **HERE)
    used = {"cpu_seconds": 1.5, "peak_memory_mib": 64.0, "elapsed_seconds": 2.0}
    said = Report(job.id, "p", "failed", 40, "cut", "stopped", 1, "node7", usage=used, signal=9)
    said.write(folder_of(desk, job.id))
    facts = shown(desk, job.id)
    assert facts["batch says"] == "received a stop signal"
    assert (facts["owner"], facts["ran on"], facts["starts"]) == ("ada", "node7", "2")
    assert (facts["exit code"], facts["signal"]) == ("-", "9")
    assert (facts["cpu seconds"], facts["peak memory mib"]) == ("1.5", "64.0")


def test_where_the_storage_is_in_trouble_the_row_is_shown_and_the_trouble(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = desk.add(state=State.RUNNING, **HERE)

    def fails(*_: object) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("joblauncher.shared.outcome.read_plain", fails)
    facts = shown(desk, job.id)
    assert (facts["state"], facts["message"]) == ("running", "Running")
    assert "its report cannot be read: the storage reports input/output errors" in facts["folder"]


def test_a_listing_for_programs_keeps_its_names(desk: Desk) -> None:
    desk.add(state=State.STAGING, created=5.0, owner="ada", message="m")
    ended = CliRunner().invoke(commands, ["jobs", "--json", "--config", str(desk.config)])
    found = json.loads(ended.stdout)
    assert (found["state"], found["asked"], found["owner"]) == ("staging", "", "ada")
    assert (found["accepted"], found["started"], found["message"]) == (5.0, 0, "m")
    assert set(found) == {
        *("job", "process", "state", "asked", "native_id", "name", "owner", "message"),
        *("accepted", "submitted", "started", "ended"),
    }


def test_a_job_that_is_over_is_not_asked_for_anything(tmp_path: Path) -> None:
    harness = DispatcherHarness(tmp_path)
    job = harness.accept()

    def state() -> str:
        return state_of(job_view(harness.row(job), None, scheduler="local"))

    assert harness.store.request(job.id, ControlRequest.DISMISS)
    assert state() == "being dismissed"
    harness.cycle()
    assert harness.row(job).state is State.DISMISSED
    assert state() == "dismissed"


def test_show_gives_times_with_a_zone_and_no_percentage_of_a_failure(tmp_path: Path) -> None:
    harness = DispatcherHarness(tmp_path)
    keys = {"spool": harness.spool.root, "database": harness.settings.database}
    config = write_config(tmp_path / "config", "http://127.0.0.1:9/wps", hpc=keys)
    job = harness.running()
    harness.fail(job, "no such luck", "process")
    harness.scheduler.say(job.native_id, DONE)
    harness.cycle()
    output = CliRunner().invoke(commands, ["show", job.id, "--config", str(config)]).output
    assert re.search(r"^state +failed$", output, re.MULTILINE), output
    assert "no such luck" in output
    assert "100 %" not in output
    assert re.search(r"accepted +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}\n", output)
    facts = outcome.read(harness.folder(job))
    assert facts is not None
    assert facts.percent == 100


def test_an_administrator_sees_why_it_waits_what_it_asks_for_and_where_its_log_is(
    desk: Desk,
) -> None:
    job = desk.add(state=State.QUEUED, native_id="7", message="Resources")
    facts = shown(desk, job.id)
    assert "waiting as local job 7" in facts["waits"]
    assert "Resources" in facts["waits"]
    assert re.fullmatch(r"\d+ CPUs, \d+ MiB, \d\d:\d\d:\d\d.*", facts["asks for"])
    assert facts["log"] == str(folder_of(desk, job.id).log)


def test_an_administrator_sees_why_it_failed(desk: Desk) -> None:
    job = desk.add(state=State.FAILED, message="too much", cause=Cause.MEMORY, started=5.0)
    facts = shown(desk, job.id)
    assert (facts["reason"], facts["cause"], facts["starts"]) == ("too much", "memory", "1")


def test_what_is_shown_is_data_too(desk: Desk) -> None:
    job = desk.add(state=State.QUEUED, native_id="7", owner="ada")
    ended = CliRunner().invoke(commands, ["show", job.id, "--json", "--config", str(desk.config)])
    found = json.loads(ended.stdout)
    assert (found["job"], found["state"], found["owner"]) == (job.id, "queued", "ada")
    assert found["queued"] == {"system": "local", "id": "7", "name": "wabc", "index": 0}
    assert found["asks_for"]["cpus"] == 1
    assert found["log"] == str(folder_of(desk, job.id).log)


def test_a_log_is_followed_from_before_its_beginning_to_the_end_of_the_job(desk: Desk) -> None:
    job = desk.add(state=State.RUNNING, **HERE)
    folder, store = folder_of(desk, job.id), desk.store()
    line = [sys.executable, "-m", "pywps_hpc", "log", "--follow", "--config", str(desk.config)]
    with subprocess.Popen([*line, job.id], stdout=subprocess.PIPE, text=True) as following:
        assert following.stdout is not None
        folder.log.write_text("first\n")
        assert following.stdout.readline() == "first\n"
        with folder.log.open("a") as log:
            log.write("second\n")
        assert following.stdout.readline() == "second\n"
        assert following.poll() is None
        with folder.log.open("a") as log:
            log.write("last")
        assert store.move(job, State.SUCCEEDED) is not None
        assert following.stdout.read() == "last"
        assert following.wait(20) == 0


def test_the_batch_job_of_a_job_in_a_pilot_is_named(desk: Desk) -> None:
    native_id = "pilot-0123456789ab.wabc"
    folder = PilotDir(desk.settings.spool / PILOTS / "pilot-0123456789ab")
    (folder.path / "moved").mkdir(parents=True)
    (folder.path / "native").write_text("4711")
    row = desk.add(native_id=native_id, state=State.RUNNING)
    assert shown(desk, row.id)["pilot"] == f"local 4711 ({folder.path}/job.log)"
    facts = json.loads(desk.reads("show", row.id, "--json"))
    assert (facts["batch_job"], facts["pilot"]) == ("4711", str(folder.path))
    (folder.path / "moved" / "wabc").write_text("4712")  # it goes by itself now
    told = shown(desk, row.id)
    assert told["batch job"] == "local 4712"
    assert "pilot" not in told
    # Its pilot has been forgotten; and one that never had a pilot.
    remove_tree(folder.path)
    assert shown(desk, row.id)["pilot"].startswith("local - ")
    plain = desk.add(native_id="7", state=State.RUNNING)
    assert not {"pilot", "batch job"} & shown(desk, plain.id).keys()
