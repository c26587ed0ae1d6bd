"""Whether the batch system answers: asked before there is a job for it, and told to all."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from lxml import etree

import wps_client as client
from cli_desk import Desk
from dispatcher_harness import DispatcherHarness
from joblauncher.shared import status_xml
from pywps_hpc import settings
from pywps_hpc.dispatch.channels.local import Channel, Completed
from pywps_hpc.dispatch.schedulers.base import SchedulerUnavailable
from pywps_hpc.dispatch.schedulers.command import CommandScheduler
from pywps_hpc.dispatch.schedulers.dialect import Dialect
from pywps_hpc.dispatch.schedulers.dialects.gridengine import GridEngineDialect
from pywps_hpc.dispatch.schedulers.dialects.openpbs import OpenPbsDialect
from pywps_hpc.dispatch.schedulers.dialects.slurm import SlurmDialect
from pywps_hpc.dispatch.schedulers.dialects.torque import TorqueDialect
from pywps_hpc.dispatch.schedulers.drmaa_session.process import with_remedy
from pywps_hpc.dispatch.schedulers.registry import make_scheduler
from pywps_hpc.dispatch.watch import Watch
from pywps_hpc.jobs import JobStore, Leader, Reach, State
from pywps_hpc.systems import SYSTEMS
from servers import free_port, wait_for, write_config
from sshd import make_key
from wsgi_inside import build

SECRET = "/etc/secret/slurm.conf: cannot connect to 10.1.2.3"
CANNOT_ASK = "the batch system cannot be reached at the moment"


@pytest.fixture
def harness(tmp_path: Path) -> DispatcherHarness:
    return DispatcherHarness(tmp_path)


def leader(harness: DispatcherHarness) -> Leader:
    found = harness.store.dispatcher()
    assert found is not None
    return found


# The dispatcher


def test_the_batch_system_is_asked_before_there_is_a_job(
    harness: DispatcherHarness, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    harness.scheduler.unavailable = True
    harness.cycle()
    began = harness.now
    for _ in range(3):
        harness.cycle(later=5)
    assert leader(harness).reach == Reach("local", False, began)
    assert leader(harness).message == "cannot connect to server"
    assert [r.levelname for r in caplog.records if "cannot connect" in r.message] == ["WARNING"]
    harness.scheduler.unavailable = False
    harness.cycle(later=5)
    assert leader(harness).reach == Reach("fake 1.0", True, harness.now)
    assert leader(harness).message == ""
    assert "the problem is over" in caplog.text
    assert harness.scheduler.calls == []


def test_what_answers_at_start_stands_in_the_log(
    harness: DispatcherHarness, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    harness.cycle()
    harness.cycle()
    assert caplog.text.count(f"{harness.holder}: fake 1.0 answers") == 1


def test_a_standby_asks_too_and_a_new_leader_tells(
    harness: DispatcherHarness, caplog: pytest.LogCaptureFixture
) -> None:
    assert harness.store.lead("another", 3600)
    harness.scheduler.unavailable = True
    runner, stop = harness.restart(), threading.Event()
    thread = threading.Thread(target=runner.run, args=(stop,), daemon=True)
    thread.start()
    try:
        wait_for(lambda: "cannot connect to server" in caplog.text, "the standby says so")
        harness.store.resign("another")
        wait_for(
            lambda: (
                (now := harness.store.dispatcher())
                and now.holder == harness.holder
                and now.reach.reachable is False
                and now.message == "cannot connect to server"
            ),
            "the new leader says so in the table",
        )
    finally:
        stop.set()
        thread.join(20)


def test_a_failure_of_something_else_is_no_unreachable_batch_system(
    harness: DispatcherHarness,
) -> None:
    job = harness.running()
    harness.scheduler.forget(job.native_id)
    harness.scheduler.accounting_unavailable = True
    harness.cycle()
    assert leader(harness).message == "accounting does not answer"
    assert leader(harness).reach.reachable is True


# Each way to a batch system


def words(tmp_path: Path, hpc: Mapping[str, object], **sections: Mapping[str, object]) -> str:
    """Why a batch system that is configured like this does not answer."""
    config = write_config(tmp_path, "http://127.0.0.1:9/wps", hpc=hpc, **sections)
    own = settings.load([config])
    scheduler = make_scheduler(own)
    watch = Watch(own, scheduler, time.time)
    try:
        watch.ask()
    finally:
        scheduler.close()
    assert watch.reach.reachable is False
    assert "\n" not in watch.trouble
    return watch.trouble


@pytest.mark.parametrize("system", SYSTEMS)
def test_commands_that_are_not_there_are_told_with_the_key(tmp_path: Path, system: str) -> None:
    told = words(tmp_path, {"scheduler": system, "command_path": "/nowhere"})
    assert "command not found" in told
    assert "[hpc] command_path" in told


@pytest.mark.parametrize(
    ("system", "says", "advice"),
    [
        ("slurm", "squeue: fatal: Could not establish a configuration source", "SLURM_CONF"),
        ("slurm", "squeue: error: Unable to contact slurm controller", "slurmctld"),
        ("gridengine", "Please set the environment variable SGE_ROOT.", "SGE_ROOT"),
        ("gridengine", "error: commlib error: got select error; qmaster", "sge_qmaster"),
        ("torque", "qstat: Error (15133 - pbs_iff: cannot connect)", "trqauthd"),
        ("openpbs", "qselect: cannot connect to server pbs1 (errno=15010)", "pbs_server"),
        ("openpbs", "No default server name.", "PBS_SERVER"),
    ],
)
def test_what_a_command_says_is_told_with_a_remedy(
    tmp_path: Path, system: str, says: str, advice: str
) -> None:
    commands = tmp_path / "bin"
    commands.mkdir()
    for name in ("squeue", "qstat", "qselect"):
        (commands / name).write_text(f"#!/bin/sh\necho '{says}' >&2\nexit 1\n")
        (commands / name).chmod(0o755)
    told = words(tmp_path, {"scheduler": system, "command_path": commands})
    assert advice in told.rpartition(" — ")[2]


def test_a_file_that_the_commands_need_and_that_is_missing_is_named(tmp_path: Path) -> None:
    hpc = {"scheduler": "slurm", "command_path": "/nowhere"}
    told = words(tmp_path, hpc | {"command_environment": "\n SLURM_CONF=/nowhere/slurm.conf"})
    assert (
        "[hpc] command_environment: SLURM_CONF=/nowhere/slurm.conf: there is no such file" in told
    )


def test_a_drmaa_library_that_is_missing_is_told_with_the_key(tmp_path: Path) -> None:
    hpc = {"scheduler": "drmaa", "system": "slurm", "drmaa_library": "/nowhere/libdrmaa.so"}
    assert "[hpc] drmaa_library must name" in words(tmp_path, hpc)


def test_a_drmaa_library_of_another_system_is_told_as_one() -> None:
    told = with_remedy("InternalException: Please set the environment variable SGE_ROOT.", "slurm")
    assert "[hpc] drmaa_library seems to be gridengine's, but [hpc] system is slurm" in told
    assert "set SGE_ROOT and SGE_CELL" in with_remedy("set ... SGE_ROOT", "gridengine")


def test_an_ssh_host_that_is_not_there_is_named(tmp_path: Path) -> None:
    key, known, port = tmp_path / "id", tmp_path / "known_hosts", free_port()
    make_key(key, "ed25519")
    known.write_text(f"[127.0.0.1]:{port} {key.with_suffix('.pub').read_text()}")
    ssh = {"host": "127.0.0.1", "user": "me", "port": port, "key": key, "known_hosts": known}
    container = {"runtime": "none"}
    told = words(
        tmp_path,
        {"scheduler": "slurm", "channel": "ssh"},
        **{"hpc.ssh": ssh, "hpc.container": container},
    )
    assert "cannot connect to me@127.0.0.1" in told


@pytest.mark.parametrize(
    ("dialect", "answers", "version"),
    [
        (
            SlurmDialect(),
            {
                "squeue --version": Completed(0, "slurm 22.05.8\n", ""),
                "squeue": Completed(0, "pywps-hpc|JOBID|STATE|REASON|NAME|end\n", ""),
            },
            "slurm 22.05.8",
        ),
        (
            GridEngineDialect(),
            {
                "qstat -help": Completed(0, "SGE 8.1.9\nusage: qstat [options]\n", ""),
                "qstat": Completed(
                    0, "<?xml version='1.0'?><job_info><queue_info/><job_info/></job_info>\n", ""
                ),
            },
            "gridengine 8.1.9",
        ),
        (
            TorqueDialect(),
            {
                "qstat --version": Completed(0, "", "Version: 6.1.3\nCommit: abc\n"),
                "qstat": Completed(153, "", "qstat: Unknown Job Id Error 0.head\n"),
            },
            "torque 6.1.3",
        ),
        (
            OpenPbsDialect(),
            {
                "qstat --version": Completed(0, "pbs_version = 23.06.06\n", ""),
                "qselect": Completed(0, "", ""),
            },
            "openpbs 23.06.06",
        ),
    ],
)
def test_each_dialect_asks_one_question_and_tells_a_version_where_it_may(
    dialect: Dialect, answers: Mapping[str, Completed], version: str
) -> None:
    class Answers(Channel):
        def run(self, argv, *, stdin="", timeout):  # type: ignore[no-untyped-def]
            line = " ".join(argv)
            return next(reply for start, reply in answers.items() if line.startswith(start))

    assert CommandScheduler(dialect, Answers()).probe() == version
    refused = {name: Completed(126, "", "refused") for name in answers if " -" in name}
    answers = {**answers, **refused}
    assert CommandScheduler(dialect, Answers()).probe() == dialect.system
    answers = dict.fromkeys(answers, Completed(1, "", "nothing works"))
    with pytest.raises(SchedulerUnavailable):
        CommandScheduler(dialect, Answers()).probe()


# Who reads it


@pytest.mark.parametrize(
    ("reach", "alive", "told"),
    [
        (Reach("slurm", False, 1.0), True, True),
        (Reach("slurm", True, 1.0), True, False),
        (Reach("slurm"), True, False),
        (Reach("slurm", True, 1.0), False, True),
    ],
)
def test_a_client_that_waits_is_told_in_words_without_internals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reach: Reach, alive: bool, told: bool
) -> None:
    inside = build(tmp_path, monkeypatch)
    inside.store.lead("nobody", 3600, SECRET, reach)
    accepted = etree.fromstring(inside.post().get_data())
    (job,) = inside.store.recent()
    if not alive:
        inside.store.resign("nobody")
    for state in (State.ACCEPTED, State.SUBMITTING, State.QUEUED):
        if job.state is not state:
            moved = inside.store.move(job, state, native_id="7" if state is State.QUEUED else "")
            assert moved is not None
            job = moved
        document = inside.web.get(accepted.get("statusLocation")).get_data()
        assert (CANNOT_ASK in client.message_of(document)) == told, state
        assert "secret" not in document.decode()
        assert status_xml.parse(document).state == "accepted"


def test_status_is_for_people_programs_and_monitors(tmp_path: Path) -> None:
    config = write_config(tmp_path, "http://127.0.0.1:9/wps")
    desk = Desk(config, settings.load([config]))
    ended = desk.run("status")
    assert (ended.returncode, desk.files()) == (1, {})
    assert "none runs" in ended.stdout
    desk.add(state=State.RUNNING, name="w" * 15)
    desk.add(state=State.FAILED)
    store: JobStore = desk.store()
    reach = Reach("slurm 22.05.8", False, 1_000_000_000.0)
    store.lead("host-1:boot:4711:1:ab", 60, SECRET, reach)
    shown = desk.reads("status")
    for part in ("host-1", "4711", SECRET, "slurm 22.05.8: not reachable since 2001-09-0"):
        assert part in shown
    assert "1 running, 1 failed" in shown
    found = json.loads(desk.reads("status", "--json"))
    assert found["alive"] is True
    assert found["leader"]["message"] == SECRET
    assert found["batch_system"] == {
        "system": "slurm 22.05.8",
        "reachable": False,
        "since": 1_000_000_000.0,
    }
    assert (found["jobs"]["running"], found["active"]) == (1, 1)
    with store.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE hpc_dispatcher SET beat = beat - 100000")
    store.engine.dispose()
    ended = desk.run("status")
    assert ended.returncode == 1
    assert "is silent" in ended.stdout
