"""What PyWPS's own scheduler mode gets wrong, one fault after the other: none of it happens here.

Nothing here needs a cluster: jobs run under the local scheduler, without a container. Where a fault
depends on timing, the test itself is the dispatcher and makes the bad moment happen.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Collection, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import jinja2
import psutil
import pytest
from lxml import etree
from werkzeug.test import Client

import wps_client as client
from joblauncher.shared import outcome, status_xml
from pywps_hpc import settings
from pywps_hpc.dispatch.dispatcher import Dispatcher
from pywps_hpc.dispatch.schedulers.base import BatchJob, JobStatus, Outcome, Phase, Scheduler
from pywps_hpc.jobs import ACTIVE, JobStore, State, new_id
from servers import SERVICES, HpcServer, wait_for, write_config
from wps_client import Box, Complex, Inputs, Literal, Output

TOKYO = {"TZ": "Asia/Tokyo"}
#: For the servers of this module (see conftest.py): PyWPS's own limits, which stored requests and
#: crashed processes would run into, and a time zone far from UTC for server and jobs.
SECTIONS = {
    "server": {"parallelprocesses": 1, "maxprocesses": 1},
    "hpc": {"slots": 2},
    "hpc.container": {"environment": "TZ=Asia/Tokyo"},
    "hpc.process.leaves_and_waits": {"walltime": "00:00:02"},
}
ENVIRONMENT = TOKYO
#: Seconds of patience with a busy host.
SOON = 120.0


class InstantScheduler(Scheduler):
    """Runs each job to its end before it says that it took it."""

    system = "local"  # for the template of the script

    def __init__(self) -> None:
        self.exits: dict[str, int] = {}
        self.names: dict[str, str] = {}

    def submit(self, job: BatchJob) -> list[str]:
        native = str(len(self.exits) + 1)
        with Path(job.log).open("ab") as log:
            done = subprocess.run(
                ["/bin/sh"], input=job.script.encode(), stdout=log, stderr=log, timeout=SOON
            )
        self.exits[native], self.names[native] = done.returncode, job.name
        return [native]

    def find(self, name: str, array_index: int = 0) -> list[str]:
        return [native for native, known in self.names.items() if known == name]

    def poll(self, ids: Collection[str]) -> dict[str, JobStatus]:
        return {
            native: JobStatus(Phase.FINISHED, Outcome.EXITED, exit_code=self.exits[native])
            for native in ids
            if native in self.exits
        }

    def cancel(self, ids: Collection[str]) -> None:
        raise AssertionError("nobody asked for that")

    pause = resume = cancel


class ElsewhereScheduler(InstantScheduler):
    """Says of each job that it runs: on some other host, where nothing can be seen of it."""

    #: No process here has such an id (proc(5), pid_max); each job has one of its own.
    numbers = itertools.count(2**22)

    def submit(self, job: BatchJob) -> list[str]:
        return [str(next(self.numbers))]

    def poll(self, ids: Collection[str]) -> dict[str, JobStatus]:
        return {native: JobStatus(Phase.RUNNING) for native in ids}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HpcServer]:
    """A web server without a dispatcher."""
    sections = SECTIONS | {"hpc": {"job_prefix": "up", "pass_headers": "x-team"}}
    server = HpcServer(
        tmp_path_factory.mktemp("alone"),
        environment=TOKYO,
        sections=sections,
        dispatcher=False,
        workers=1,
    )
    with server:
        yield server


class Hand:
    """A dispatcher that takes a step when the test says so."""

    def __init__(self, server: HpcServer, scheduler: Scheduler) -> None:
        self.scheduler, self.holder = scheduler, f"test {time.time()}"
        self.store = JobStore(server.settings.database_url)
        self.store.create()
        self.dispatcher = Dispatcher(
            server.settings, self.store, server.spool, scheduler, holder=self.holder
        )
        wait_for(self.heartbeat, "the test leads")

    def heartbeat(self) -> bool:
        """Send a heartbeat; without one the service takes no job."""
        return self.store.lead(self.holder, 3600)

    def step(self) -> None:
        self.dispatcher.cycle()

    def finish(self) -> None:
        """Take steps until no job is active."""

        def is_done() -> bool:
            self.step()
            return not self.store.in_state(ACTIVE)

        wait_for(is_done, "all jobs end", SOON)

    def __enter__(self) -> Hand:
        return self

    def __exit__(self, *_: object) -> None:
        """Forget the jobs that nobody will run, and give up the leadership."""
        for job in self.store.in_state(ACTIVE):
            assert self.store.move(job, State.FAILED) is not None
        self.store.resign(self.holder)


@pytest.fixture
def instant(alone: HpcServer) -> Iterator[Hand]:
    """The test as dispatcher, with a batch system that runs jobs at once."""
    with Hand(alone, InstantScheduler()) as hand:
        yield hand


def run(
    server: HpcServer, process: str, inputs: Inputs = (), *outputs: Output
) -> dict[str, object]:
    """Run a process asynchronously to its success; what its outputs hold."""
    document = client.execute_async(server.url, process, inputs, outputs, headers={"X-Team": "sea"})
    assert client.state_of(document) == "ProcessSucceeded", document
    return {name: found.content for name, found in client.outputs_of(document).items()}


def await_state(server: HpcServer, job_id: str, *states: str) -> dict[str, object]:
    """Wait until the job table shows one of these states; the row."""

    def look() -> dict[str, object] | None:
        row = server.row(job_id)
        return row if row is not None and row["state"] in states else None

    return wait_for(look, f"the job table shows {states}", SOON) or {}


def test_fault_01_job_that_ends_before_it_counts_as_submitted_stays_succeeded(
    alone: HpcServer, instant: Hand
) -> None:
    location = client.submit(alone.url, "repeat_2", [("text", "fast ")])
    job_id = client.job_id_of(location)
    seen = []
    # The first step submits; when it returns, the job has already ended.
    while not seen or seen[-1] != "succeeded":
        instant.step()
        document = client.get(location).content
        assert client.state_of(document) == "ProcessSucceeded"
        row = alone.row(job_id)
        assert row is not None
        seen.append(row["state"])
        assert len(seen) < 10, seen
    assert client.get(location).content == document
    assert client.outputs_of(document)["result"].content == "fast fast "


def test_fault_02_job_that_reaches_its_time_limit_is_told_as_failed(hpc_server: HpcServer) -> None:
    location = client.submit(hpc_server.url, "leaves_and_waits", [("seconds", "900")])
    client.await_end(location, limit=SOON)
    await_state(hpc_server, client.job_id_of(location), "failed")
    document = client.get(location).content
    assert client.state_of(document) == "ProcessFailed"
    assert client.message_of(document) == "killed: time limit 00:00:02 reached"


def test_fault_02_job_that_is_killed_on_its_node_is_told_as_failed(hpc_server: HpcServer) -> None:
    location = client.submit(hpc_server.url, "sleeper", [("seconds", "900")])
    job_id = hpc_server.id_of(location)
    wait_for(
        lambda: client.state_of(client.get(location).content) == "ProcessStarted", "it runs", SOON
    )
    found = []
    for process in hpc_server.job_processes():
        with contextlib.suppress(psutil.Error):  # another job's, which has ended meanwhile
            if job_id in " ".join(process.cmdline()):
                found.append(process)
    pids = {process.pid for process in found}
    # First the launcher, which would tell of the other's end; with it ends what it started.
    for process in sorted(found, key=lambda p: p.ppid() in pids):
        with contextlib.suppress(psutil.Error):
            process.kill()
    document = client.await_end(location, limit=SOON)
    assert client.state_of(document) == "ProcessFailed"
    assert client.message_of(document) == "killed by signal 9 (SIGKILL: killed)"


def test_fault_03_every_request_beyond_the_limit_of_parallel_processes_ends(
    hpc_server: HpcServer,
) -> None:
    texts = [f"request {number} " for number in range(8)]
    locations = [client.submit(hpc_server.url, "repeat_2", [("text", text)]) for text in texts]
    ends = [client.await_end(location) for location in locations]
    assert [client.outputs_of(end)["result"].content for end in ends] == [
        2 * text for text in texts
    ]


def test_fault_04_waiting_requests_are_not_started_from_the_stack_of_others(
    hpc_server: HpcServer,
) -> None:
    locations = [client.submit(hpc_server.url, "stack") for _ in range(6)]
    depths = {
        str(client.outputs_of(client.await_end(location))["result"].content)
        for location in locations
    }
    assert len(depths) == 1
    assert int(depths.pop()) < 30


def test_fault_05_jobs_that_never_started_do_not_block_the_server(alone: HpcServer) -> None:
    with Hand(alone, InstantScheduler()) as hand:
        locations = [client.submit(alone.url, "repeat_2", [("text", "a")]) for _ in range(3)]
        alone.kill9("web")
        wait_for(lambda: not alone.processes(), "the web server is gone")
        alone.start()
        locations += [client.submit(alone.url, "repeat_2", [("text", "b")]) for _ in range(2)]
        hand.finish()
    ends = [client.await_end(location) for location in locations]
    assert [client.outputs_of(end)["result"].content for end in ends] == ["aa"] * 3 + ["bb"] * 2


def test_fault_06_job_on_another_host_is_not_taken_for_crashed(alone: HpcServer) -> None:
    with Hand(alone, ElsewhereScheduler()) as hand:
        location = client.submit(alone.url, "repeat_2", [("text", "a")])
        job_id = client.job_id_of(location)
        for _ in range(3):
            hand.step()
            client.submit(alone.url, "repeat_2", [("text", "b")])
        row = alone.row(job_id)
        assert row is not None
        assert row["state"] == "running"
        assert client.state_of(client.get(location).content) == "ProcessAccepted"


MADE: dict[str, tuple[Inputs, str]] = {
    "scaled_percent": ([("value", "0.5")], "50.0"),
    "scaled_kilo": ([("value", "1500")], "1.5"),
    "repeat_2": ([("text", "ab")], "abab"),
    "repeat_3": ([("text", "ab")], "ababab"),
    "dynamic": ([("text", "ab")], "abababab!"),
    "closure": ([("text", "ab")], "BA (closed)"),
    "joined": ([("text", "a"), ("text", "b")], "a-b"),
    "partial": ([("text", "a")], "a..."),
}


@pytest.mark.parametrize("process", MADE)
def test_fault_07_process_that_cannot_be_made_from_its_class_runs_as_it_is(
    alone: HpcServer, instant: Hand, process: str
) -> None:
    inputs, expected = MADE[process]
    location = client.submit(alone.url, process, inputs)
    instant.finish()
    document = client.get(location).content
    assert client.state_of(document) == "ProcessSucceeded", document
    assert client.outputs_of(document)["result"].content == expected


def test_fault_07_process_of_a_script_runs_with_what_it_uses(tmp_path: Path) -> None:
    server = HpcServer(tmp_path, web=[sys.executable, str(SERVICES / "main_service.py"), "{port}"])
    server.environment = {"PYWPS_CFG": str(server.config)}
    with server:
        assert run(server, "distance", [("degrees", "1")]) == {"distance": "69 miles"}


def test_fault_08_outputs_set_through_self_arrive(alone: HpcServer, instant: Hand) -> None:
    location = client.submit(alone.url, "through_self", [("text", "here")])
    instant.finish()
    outputs = client.outputs_of(client.get(location).content)
    assert outputs["first"].content == "here"
    assert outputs["second"].content == "here and spare"


@pytest.mark.parametrize(
    "text",
    ["first\n\n  second\tthird\nlast\n", "a ]]> b\n]]>", "<x>&amp;</x>", "  around  "],
    ids=["lines", "end-of-cdata", "markup", "spaces"],
)
def test_fault_09_text_arrives_as_it_was_sent(alone: HpcServer, instant: Hand, text: str) -> None:
    location = client.submit(alone.url, "texts", [("text", Complex(text))])
    instant.finish()
    outputs = client.outputs_of(client.get(location).content)
    assert json.loads(str(outputs["seen"].content)) == text
    assert outputs["literal"].content == text
    shown, encoding = outputs["document"].content, outputs["document"].attributes["encoding"]
    assert (base64.b64decode(shown).decode() if encoding == "base64" else shown) == text
    facts = outcome.read(alone.job(client.job_id_of(location)))
    assert facts is not None
    kept = {output["identifier"]: output["data"] for output in facts.outputs}
    assert (kept["literal"], kept["document"]) == (text, shown)


def test_fault_10_bounding_box_keeps_its_reference_system(alone: HpcServer, instant: Hand) -> None:
    box = Box((2.5e6, 1.4e6, 7.4e6, 5.5e6), "urn:ogc:def:crs:EPSG::3035")
    location = client.submit(alone.url, "box", [("area", box)])
    instant.finish()
    outputs = client.outputs_of(client.get(location).content)
    assert outputs["crs"].content == "urn:ogc:def:crs:EPSG::3035"
    assert outputs["area"].attributes["crs"] == "urn:ogc:def:crs:EPSG::3035"
    # The axes of EPSG:3035 are northing and easting; OWSLib, which PyWPS reads with, turns them.
    assert outputs["area"].content == "1400000.0 2500000.0 5500000.0 7400000.0"


@pytest.mark.parametrize("mimetype", ["text/csv", "application/xml"])
def test_fault_11_output_comes_by_reference_and_in_the_format_asked_for(
    alone: HpcServer, instant: Hand, mimetype: str
) -> None:
    wanted = [Output("table", mimetype, as_reference=True), Output("kind")]
    location = client.submit(alone.url, "table", (), wanted)
    instant.finish()
    outputs = client.outputs_of(client.get(location).content)
    assert outputs["kind"].content == mimetype
    assert (outputs["table"].kind, outputs["table"].attributes["mimeType"]) == (
        "Reference",
        mimetype,
    )
    content = outputs["table"].content
    assert isinstance(content, bytes)
    assert content.startswith(b"<table>" if mimetype == "application/xml" else b"name,metres\n")


def test_fault_12_units_dates_and_addresses_arrive_in_their_types(
    alone: HpcServer, instant: Hand
) -> None:
    inputs: Inputs = [
        ("length", Literal("2.5", "feet")),
        ("day", "2011-02-03"),
        ("link", "http://example.org/a?b=c"),
        ("clock", "12:30:00"),
        ("moment", "2012-12-31T06:30:00Z"),
        ("flag", "false"),
        ("count", "2"),
        ("ratio", "0.25"),
    ]
    location = client.submit(alone.url, "literals", inputs)
    instant.finish()
    outputs = client.outputs_of(client.get(location).content)
    assert outputs["unit"].content == "feet"
    assert outputs["day"].content == "2011-02-03"
    assert json.loads(str(outputs["kinds"].content)) == {
        "length": "float",
        "day": "date",
        "link": "ParseResult",
        "clock": "time",
        "moment": "datetime",
        "flag": "bool",
        "count": "int",
        "ratio": "float",
        "colour": "str",
    }


def test_fault_13_handler_can_read_the_request(alone: HpcServer, instant: Hand) -> None:
    secret = {"Authorization": "Bearer open-sesame", "Cookie": "session=open-sesame"}
    location = client.submit(
        alone.url, "request", headers={"X-Team": "sea", "User-Agent": "boat"} | secret
    )
    job = alone.job(client.job_id_of(location))
    assert b"open-sesame" not in job.dump.read_bytes()
    instant.finish()
    seen = json.loads(str(client.outputs_of(client.get(location).content)["result"].content))
    assert {key: seen[key] for key in ("team", "agent", "method", "remote")} == {
        "team": "sea",
        "agent": "boat",
        "method": "POST",
        "remote": "127.0.0.1",
    }


def test_fault_14_job_sees_the_configuration_of_the_service(
    alone: HpcServer, instant: Hand
) -> None:
    location = client.submit(alone.url, "configuration")
    instant.finish()
    outputs = client.outputs_of(client.get(location).content)
    assert outputs["result"].content == "forty-two"
    assert outputs["title"].content == "Odd processes"


def test_fault_14_job_sees_all_of_several_configuration_files(tmp_path: Path) -> None:
    first, second = tmp_path / "first.cfg", tmp_path / "second.cfg"
    first.write_text("[odd]\nsize = 7\nanswer = overruled\n[logging]\nprefix = mine_\n")
    second.write_text("[odd]\nanswer = 100 %%\n[odd:more]\ncolour = ${ODD_WORD} shades\n")
    server = HpcServer(
        tmp_path / "server",
        "two_files:service",
        sections={"odd": {"answer": None}},
        environment={"TWO_FILES": f"{first}{os.pathsep}{second}"},
    )
    with server:
        outputs = run(
            server, "configured", (), Output("where", as_reference=True), Output("result")
        )
    assert json.loads(str(outputs["result"])) == {
        "size": 7,
        "answer": "100 %",
        "colour": "forty shades",
    }
    assert outputs["where"] == b"here"


def test_fault_15_batch_system_sees_whether_the_process_succeeded(
    alone: HpcServer, instant: Hand
) -> None:
    wanted = {"repeat_2": 0, "value_error": 1, "process_error": 1, "os_exit": 3, "sigkill": 137}
    for process in wanted:
        inputs: Inputs = [("text", "a")] if process == "repeat_2" else ()
        client.submit(alone.url, process, inputs)
        instant.step()
    assert isinstance(instant.scheduler, InstantScheduler)
    assert list(instant.scheduler.exits.values()) == list(wanted.values())


def test_fault_16_output_and_errors_of_a_failed_job_can_be_read(
    alone: HpcServer, instant: Hand
) -> None:
    location = client.submit(alone.url, "value_error")
    instant.finish()
    job_id = client.job_id_of(location)
    log = alone.cli("log", job_id)
    assert "ValueError: the third value is odd" in log.stdout
    assert "Traceback" in log.stdout
    job = alone.job(job_id)
    assert job.dump.exists()
    assert not job.work.exists()


def test_fault_17_job_can_be_found_in_the_queue_and_back(hpc_server: HpcServer) -> None:
    before = [
        client.submit(hpc_server.url, "sleeper", [("seconds", "9000")])
        for _ in range(hpc_server.settings.slots)
    ]
    location = client.submit(hpc_server.url, "repeat_2", [("text", "a")])
    job_id = hpc_server.id_of(location)
    row = await_state(hpc_server, job_id, "queued")
    name, native = str(row["name"]), str(row["native_id"])
    assert native.isdigit()
    waiting = client.message_of(client.get(location).content)
    assert f"waiting as local job {native} ({name})" in waiting
    listed = [line for line in hpc_server.cli("jobs").stdout.splitlines() if job_id in line]
    assert len(listed) == 1
    assert f"{native} ({name})" in listed[0]
    hpc_server.cli("cancel", *map(client.job_id_of, before))
    assert client.state_of(client.await_end(location)) == "ProcessSucceeded"
    row = await_state(hpc_server, job_id, "succeeded")
    assert (row["name"], row["native_id"]) == (name, native)


def test_fault_18_status_document_is_whole_at_every_moment(
    hpc_server: HpcServer, tmp_path: Path
) -> None:
    enough = tmp_path / "enough"
    location = client.submit(hpc_server.url, "watcher", [("text", str(enough))])
    path = hpc_server.job(client.job_id_of(location)).status
    seen: set[bytes] = set()
    broken: list[bytes] = []
    over = threading.Event()

    def read() -> None:
        while not over.is_set():
            content = path.read_bytes()
            if content not in seen:
                seen.add(content)
                if not content.endswith(b"</wps:ExecuteResponse>"):
                    broken.append(content)

    def ask() -> bool:
        assert client.state_of(client.get(location).content) != "ProcessFailed"
        return len(seen) > 50 or bool(broken)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        wait_for(ask, "it is read while it is written", SOON)
        enough.touch()
        end = client.await_end(location)  # parses every document that it is given
    finally:
        over.set()
        reader.join()
    assert broken == []
    assert client.state_of(end) == "ProcessSucceeded"
    steps = {status_xml.parse(content).message for content in seen}
    assert len(steps) > 20  # it has read while it was written


def state_now(location: str) -> str:
    """What a job's document says; the time in it is now, in UTC, and in no other time zone."""
    document = client.get(location).content
    status = etree.fromstring(document).find("wps:Status", client.NS)
    assert status is not None
    stamp = datetime.strptime(str(status.get("creationTime")), "%Y-%m-%dT%H:%M:%S%z")
    assert abs(datetime.now(timezone.utc) - stamp) < timedelta(minutes=10)
    return client.state_of(document)


def test_fault_19_times_are_utc_wherever_server_and_node_are(
    hpc_server: HpcServer, alone: HpcServer, instant: Hand, tmp_path: Path
) -> None:
    waiting = client.submit(alone.url, "repeat_2", [("text", "nobody takes it")])
    assert state_now(waiting) == "ProcessAccepted"
    seen = tmp_path / "seen"
    location = client.submit(hpc_server.url, "watcher", [("text", str(seen))])
    wait_for(lambda: state_now(location) == "ProcessStarted", "it runs", SOON)
    seen.touch()
    wait_for(lambda: state_now(location) == "ProcessSucceeded", "it ends", SOON)
    row = await_state(hpc_server, client.job_id_of(location), "succeeded")
    facts = outcome.read(hpc_server.job(str(row["id"])))
    assert facts is not None
    times = [facts.started, facts.finished, *(row[k] for k in ("created", "started", "finished"))]
    assert [at for at in times if abs(time.time() - float(str(at))) > 600] == []


def test_fault_21_job_id_cannot_be_guessed_from_another(alone: HpcServer, instant: Hand) -> None:
    locations = [client.submit(alone.url, "repeat_2", [("text", "a")]) for _ in range(2)]
    ids = [uuid.UUID(client.job_id_of(location)) for location in locations]
    # A time-based id (RFC 9562, 5.1) ends in the host's address, the same for all.
    assert ids[0].node != ids[1].node
    assert uuid.getnode() not in [one.node for one in ids]
    numbers = [uuid.UUID(new_id()).int for _ in range(100)]
    varying = [bit for bit in range(128) if len({number >> bit & 1 for number in numbers}) == 2]
    assert len(varying) == 128


@pytest.fixture
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Client:
    """The service within this process, with a dispatcher's heartbeat but no dispatcher."""
    monkeypatch.setenv("ODD_WORD", "forty")
    monkeypatch.delenv("PYWPS_CFG", raising=False)
    monkeypatch.syspath_prepend(str(SERVICES))
    config = write_config(tmp_path, "http://127.0.0.1:9/wps")
    from pywps import configuration

    from pywps_hpc import hpc

    monkeypatch.setattr(configuration, "CONFIG", configuration.CONFIG)
    configuration.load_configuration([str(config)])
    from pywps import Service

    import odd_shapes

    service = hpc(Service(odd_shapes.PROCESSES))
    JobStore(settings.load([config]).database_url).lead("nobody", 3600)
    return Client(service)


def test_fault_23_accepting_compiles_no_template(
    inside: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = []
    compile_ = jinja2.Environment.compile

    def count(self: jinja2.Environment, *arguments: object, **options: object) -> object:
        compiled.append(arguments[1:2])
        return compile_(self, *arguments, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(jinja2.Environment, "compile", count)
    document = client.execute_document("repeat_2", [("text", "a")], asynchronous=True)
    for _ in range(6):
        answer = inside.post("/wps", data=document, content_type="text/xml")
        assert client.state_of(answer.get_data()) == "ProcessAccepted"
    assert len(compiled) <= 1


def test_fault_24_busy_server_says_when_to_come_again_and_keeps_nothing(tmp_path: Path) -> None:
    sections = {"hpc": {"max_active": 2, "retry_after": 17}}
    server = HpcServer(tmp_path, sections=sections, dispatcher=False, workers=1)
    document = client.execute_document("repeat_2", [("text", "a")], asynchronous=True)
    with server:
        refused = [client.send(server.url, document)]  # there is no dispatcher
        JobStore(server.settings.database_url).lead("nobody", 3600)
        accepted = [client.send(server.url, document) for _ in range(2)]
        refused += [client.send(server.url, document) for _ in range(3)]
        kept = {path.name for path in server.settings.spool.iterdir() if path.is_dir()}
        work = list((server.folder / "work").iterdir())
    assert [answer.status for answer in accepted] == [200, 200]
    assert kept == {
        server.id_of(str(etree.fromstring(answer.content).get("statusLocation")))
        for answer in accepted
    }
    assert work == []
    for answer in refused:
        assert (answer.status, answer.headers["Retry-After"]) == (503, "17")
        report_ = etree.fromstring(answer.content)
        assert report_.find("ows:Exception", client.NS).get("exceptionCode") == "ServerBusy"
    assert "dispatcher is not running" in client.exception_of(refused[0].content)
    assert "Maximum number of active jobs of this service reached (2)" in client.exception_of(
        refused[1].content
    )


def test_fault_24_accepting_leaves_no_file_open(alone: HpcServer) -> None:
    document = client.execute_document("repeat_2", [("text", "a")], asynchronous=True)
    (worker,) = alone.worker_pids()

    def accept(times: int) -> int:
        for _ in range(times):
            assert client.send(alone.url, document).status == 200
        return psutil.Process(worker).num_fds()

    with Hand(alone, InstantScheduler()):
        before = accept(20)
        after = accept(200)
    assert alone.worker_pids() == {worker}
    assert after - before < 20


def test_fault_27_text_of_a_client_stays_text_in_the_document(
    alone: HpcServer, instant: Hand
) -> None:
    text = "a ]]><script xmlns='http://www.w3.org/1999/xhtml'/><![CDATA[ b ]]> c"
    location = client.submit(alone.url, "texts", [("text", Complex(text))], lineage=True)
    instant.finish()
    root = etree.fromstring(client.get(location).content)
    assert root.findall(".//{*}script") == []
    shown = root.findtext("wps:DataInputs/wps:Input/wps:Data/wps:ComplexData", namespaces=client.NS)
    assert shown == text


def test_fault_27_markup_in_json_stays_text_in_the_document(
    alone: HpcServer, instant: Hand
) -> None:
    markup = "<script xmlns='http://www.w3.org/1999/xhtml'/>&"
    wanted = [Output("table", "application/json")]
    location = client.submit(alone.url, "table", [("kind", markup)], wanted)
    instant.finish()
    document = client.get(location).content
    assert etree.fromstring(document).findall(".//{*}script") == []
    assert "<script" in str(client.outputs_of(document)["table"].content)


def test_fault_28_process_that_crashes_under_a_waiting_client_takes_no_worker_with_it(
    hpc_server: HpcServer,
) -> None:
    workers = hpc_server.worker_pids()
    answer = client.execute_sync(hpc_server.url, "segfault")
    assert answer.status == 200
    assert client.state_of(answer.content) == "ProcessFailed"
    assert (
        client.message_of(answer.content)
        == "the process was killed by signal 11 (SIGSEGV: segmentation fault)"
    )
    assert hpc_server.worker_pids() == workers
    assert hpc_server.answers()
