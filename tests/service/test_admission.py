"""Who is turned away, how he is told, and that nothing of him stays."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import re
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from lxml import etree
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.test import Client, EnvironBuilder
from werkzeug.wrappers import Request

import wps_client as client
from dispatcher_harness import DispatcherHarness
from postgres import Postgres
from pywps_hpc.jobs import ACTIVE, JobStore, State, TableUnavailable
from pywps_hpc.settings import Settings
from pywps_hpc.web import admission
from reliability import Witness
from servers import HpcServer, wait_for
from table_locks import locked
from wps_client import Complex, Output
from wsgi_inside import DOCUMENT, RETRY, build

#: Settings in which nothing is said about accounts.
PLAIN = Settings(Path("/spool"))


def request(address: str, user: str | None = None) -> Request:
    environ = {"REMOTE_ADDR": address} | ({"REMOTE_USER": user} if user else {})
    return Request(EnvironBuilder(environ_base=environ).get_environ())


@pytest.mark.parametrize(
    ("address", "user", "expected"),
    [
        ("192.0.2.7", "anna", "user anna"),
        ("192.0.2.7", "192.0.2.7", "user 192.0.2.7"),
        ("192.0.2.7", None, "address 192.0.2.7"),
        ("::ffff:192.0.2.7", None, "address 192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", None, "address 2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", None, "address 2001:db8:1:2::/64"),
        ("", None, "address "),
        ("somewhere", None, "address somewhere"),
    ],
)
def test_a_client_is_an_account_or_else_an_address(
    address: str, user: str | None, expected: str
) -> None:
    assert admission.client_of(PLAIN, request(address, user)) == expected


def test_an_account_of_any_length_fits_the_table() -> None:
    assert len(admission.client_of(PLAIN, request("192.0.2.7", "a" * 255))) == 255


# The service within this process


def is_busy(answer: Any) -> str:
    """The words of a 503 answer."""
    assert answer.status_code == 503, answer.get_data()
    assert answer.headers["Retry-After"] == "17"
    report = etree.fromstring(answer.get_data())
    assert report.find("ows:Exception", client.NS).get("exceptionCode") == "ServerBusy"
    return client.exception_of(answer.get_data())


def test_each_client_has_a_limit_of_his_own(
    tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = build(tmp_path, monkeypatch, database=database, max_active_per_owner=2)
    for who in ({"REMOTE_USER": "anna"}, {"REMOTE_USER": "ben"}, {}):
        answers = [inside.post(**who, REMOTE_ADDR="192.0.2.1") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 503]
        assert "Maximum number of active jobs of one client reached (2)" in is_busy(answers[2])
    assert inside.post(REMOTE_ADDR="192.0.2.2").status_code == 200
    jobs = inside.store.in_state(ACTIVE)
    assert inside.folders() == {job.id for job in jobs}
    assert {(job.owner, job.client) for job in jobs} == {
        ("anna", "user anna"),
        ("ben", "user ben"),
        ("", "address 192.0.2.1"),
        ("", "address 192.0.2.2"),
    }
    anna = next(job for job in jobs if job.owner == "anna")
    assert inside.store.move(anna, State.FAILED) is not None
    assert inside.post(REMOTE_USER="anna").status_code == 200


def test_an_address_is_what_the_server_says_unless_a_proxy_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = build(tmp_path, monkeypatch)
    said = {"REMOTE_ADDR": "127.0.0.1", "HTTP_X_FORWARDED_FOR": "203.0.113.9, 192.0.2.5"}
    assert inside.post(**said).status_code == 200
    inside.web = Client(ProxyFix(inside.web.application, x_for=1))
    assert inside.post(**said).status_code == 200
    clients = {job.client for job in inside.store.recent()}
    assert clients == {"address 127.0.0.1", "address 192.0.2.5"}


def test_whoever_is_one_too_many_after_all_leaves_nothing(
    tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first look found room, and when the job was to be recorded there was none."""
    inside = build(tmp_path, monkeypatch, database=database, max_active=3)
    monkeypatch.setattr(JobStore, "reached", lambda store, limits: None)
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: inside.post(), range(12)))
    assert sorted(answer.status_code for answer in answers) == [200] * 3 + [503] * 9
    assert inside.folders() == {job.id for job in inside.store.recent()}
    assert len(inside.folders()) == 3


def test_a_dump_that_is_too_large_is_refused_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = build(tmp_path, monkeypatch, max_dump_size="100K")
    assert inside.post().status_code == 200
    before = inside.folders()
    large = client.execute_document("repeat_2", [("text", "a" * 200_000)], asynchronous=True)
    answer = inside.post(large)
    assert answer.status_code == 400
    words = client.exception_of(answer.get_data())
    assert "The process with its inputs takes " in words
    assert "more than the 100 KB allowed" in words
    assert b"FileSizeExceeded" in answer.get_data()
    assert inside.folders() == before
    assert len(inside.store.recent()) == 1


def test_a_table_locked_too_long_is_a_busy_service(
    tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = build(tmp_path, monkeypatch, database=database)
    accepted = inside.post()
    job_id = client.job_id_of(str(etree.fromstring(accepted.get_data()).get("statusLocation")))
    same = {"spool": inside.spool, "database": database}
    hasty = build(tmp_path / "hasty", monkeypatch, **same, database_timeout=0.5)
    with locked(database):
        words = is_busy(hasty.post())
        assert "cannot reach its jobs now" in words
        assert "sql" not in words.lower()
        shown = hasty.web.get(f"/status/{job_id}")
        if database.startswith("sqlite"):
            assert shown.status_code == 200, "readers do not wait for a writer (WAL)"
        else:
            is_busy(shown)
    assert inside.web.get(f"/status/{job_id}").status_code == 200
    [row] = inside.store.recent()
    assert inside.folders() == {row.id}
    assert row.access == job_id


@pytest.mark.cluster
@pytest.mark.batch_system("none")
def test_a_service_without_its_server_says_so_and_needs_no_restart(
    tmp_path: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    postgres.clear()
    with postgres.stopped():
        inside = build(tmp_path, monkeypatch, database=postgres.url)
        is_busy(inside.post())
        is_busy(inside.web.get("/status/12345678-1234-1234-1234-123456789012"))
        capabilities = inside.web.get("/wps?service=WPS&request=GetCapabilities")
        assert capabilities.status_code == 200
        assert inside.folders() == set()
    assert inside.store.lead("nobody", 3600)
    assert inside.post().status_code == 200


def test_a_job_whose_answer_got_lost_with_the_table_never_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its row may have been written when the connection broke; the client was told no."""
    inside = build(tmp_path, monkeypatch)
    add = JobStore.add

    def add_and_break(store: JobStore, *arguments: Any) -> None:
        add(store, *arguments)
        monkeypatch.setattr(JobStore, "get", broken)
        raise TableUnavailable("connection lost")

    def broken(store: JobStore, job_id: str) -> None:
        raise TableUnavailable("connection lost")

    monkeypatch.setattr(JobStore, "add", add_and_break)
    is_busy(inside.post())
    monkeypatch.undo()
    assert inside.folders() == set()
    [row] = inside.store.recent()
    (tmp_path / "harness").mkdir()
    harness = DispatcherHarness(tmp_path / "harness")
    harness.store.add(row)
    (harness.settings.spool / "something").mkdir()  # it is mounted
    harness.cycle()
    assert harness.row(row).state is State.FAILED
    assert harness.row(row).message == "the job's folder was removed"
    assert harness.scheduler.jobs == {}


# Real servers


def test_fifty_clients_at_once_never_exceed_a_limit(tmp_path: Path, database: str) -> None:
    hpc = RETRY | {"database": database, "max_active": 9, "max_active_per_owner": 7}
    with HpcServer(tmp_path, sections={"hpc": hpc}, dispatcher=False) as server:
        store = JobStore(database)
        assert store.lead("nobody", 3600)
        with ThreadPoolExecutor(50) as pool:
            answers = list(pool.map(lambda _: client.send(server.url, DOCUMENT), range(50)))
        kept = {path.name for path in server.settings.spool.iterdir() if path.is_dir()}
        work = list((server.folder / "work").iterdir())
    assert sorted(answer.status for answer in answers) == [200] * 7 + [503] * 43
    assert {answer.headers["Retry-After"] for answer in answers if answer.status == 503} == {"17"}
    assert len(kept) == 7
    assert kept == {job.id for job in store.recent()}
    assert {job.client for job in store.recent()} == {"address 127.0.0.1"}
    assert work == []


@pytest.mark.cluster
@pytest.mark.batch_system("none")
def test_a_whole_service_lives_through_an_outage_of_its_database(
    tmp_path: Path, postgres: Postgres, witness: Witness
) -> None:
    """It is started before the database server, which is started anew while a job runs."""
    postgres.clear()
    server = HpcServer(tmp_path, sections={"hpc": RETRY | {"database": postgres.url}})
    over = threading.Event()

    def run() -> None:  # a server ends with the thread that started it
        server.start()
        over.wait()

    starting = threading.Thread(target=run, daemon=True)
    with postgres.stopped():
        starting.start()
        wait_for(lambda: "cannot be reached yet" in server.read_log(), "it waits")
    try:
        wait_for(server.is_ready, "it works", 120)
        location = client.submit(server.url, "sleeper", [("seconds", "5")])
        job_id = server.id_of(location)  # the job table, which tells it, will be away
        wait_for(lambda: b"tenth" in _content(server.job(job_id).log), "the job runs")
        began = time.monotonic()
        with postgres.stopped():
            for answer in (client.send(server.url, DOCUMENT), client.get(location)):
                assert (answer.status, answer.headers["Retry-After"]) == (503, "17")
                assert b'exceptionCode="ServerBusy"' in answer.content
            wait_for(lambda: server.has_succeeded(job_id), "the job ends meanwhile")
            wait_for(lambda: "job table: " in server.read_log(), "the dispatcher says so")
        words = client.message_of(client.await_end(location))
        seconds = time.monotonic() - began
        wait_for(
            lambda: (row := server.row(job_id)) and row["state"] == "succeeded",
            "the dispatcher goes on",
        )
        again = client.submit(server.url, "repeat_2", [("text", "a")])
        assert client.state_of(client.await_end(again)) == "ProcessSucceeded"
        assert len(server.rows()) == len(list(server.spool.job_ids())) == 2
    finally:
        server.stop()
        over.set()
    assert "Traceback" not in server.read_log()
    witness(
        "the job table's database server is down while a job runs, and comes back",
        "PostgreSQL stopped (fast) until the job had ended, then started",
        f"HTTP 503 with Retry-After meanwhile; then: {words}",
        seconds,
        "local",
    )


def _content(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HpcServer]:
    """A server that takes small requests and keeps small outputs."""
    sections = {"server": {"maxrequestsize": "1mb"}, "hpc": {"max_output_size": "100K"}}
    with HpcServer(tmp_path_factory.mktemp("small"), sections=sections) as server:
        yield server


def test_a_chunked_body_without_an_end_is_cut_off(small: HpcServer) -> None:
    before = set(small.spool.job_ids())
    with socket.create_connection(("127.0.0.1", small.port), 60) as connection:
        connection.sendall(
            b"POST /wps HTTP/1.1\r\nHost: here\r\nContent-Type: text/xml\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        piece, sent = b"10000\r\n" + b" " * 0x10000 + b"\r\n", 0
        # The server stops reading: at some point nothing more can be sent, or nobody listens.
        connection.settimeout(5)
        with contextlib.suppress(OSError):
            while sent < 64 << 20:
                connection.sendall(piece)
                sent += 0x10000
        answer = b""
        with contextlib.suppress(OSError):
            while part := connection.recv(65536):
                answer += part
    assert sent < 64 << 20
    if answer:  # a reset may have swallowed it
        assert answer.startswith(b"HTTP/1.1 400"), answer[:200]
        assert b"FileSizeExceeded" in answer
    assert set(small.spool.job_ids()) == before
    assert small.answers()


def test_a_compressed_body_is_not_expanded(small: HpcServer) -> None:
    bomb = gzip.compress(b"<a>" + b" " * (200 << 20))
    answer = client.send(small.url, bomb, {"Content-Encoding": "gzip"})
    assert answer.status == 400
    assert small.answers()


def test_a_body_longer_than_allowed_is_refused_by_its_length(small: HpcServer) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", small.port, timeout=60)
    connection.putrequest("POST", "/wps")
    connection.putheader("Content-Type", "text/xml")
    connection.putheader("Content-Length", str(5 << 30))
    connection.endheaders()
    reply = connection.getresponse()
    assert reply.status == 400
    assert b"larger than the 1 MB" in reply.read()
    connection.close()


@pytest.mark.parametrize("raw", [False, True])
def test_a_waiting_client_is_told_of_outputs_that_are_too_large(
    small: HpcServer, raw: bool
) -> None:
    given = [("text", "a" * 90_000)]
    if raw:
        answer = client.execute_raw(small.url, "repeat_2", given, Output("result"))
    else:
        answer = client.execute_sync(small.url, "repeat_2", given)
    assert b"more than the 100 KB allowed" in answer.content
    assert b"aaaaaaaa" not in answer.content


def test_outputs_that_are_too_large_fail_the_job_and_go(small: HpcServer) -> None:
    wanted = [Output("document", "text/plain", as_reference=True)]
    locations = [
        client.submit(small.url, "texts", [("text", Complex("a" * size))], wanted)
        for size in (20_000, 120_000)
    ]
    fits, too_large = [client.await_end(location) for location in locations]
    assert client.state_of(fits) == "ProcessSucceeded"
    assert client.state_of(too_large) == "ProcessFailed"
    words = client.message_of(too_large)
    told = re.search(r"its outputs are ([\d.]+) KB, more than the 100 KB allowed", words)
    assert told, words
    assert float(told[1]) > 120_000 / 1024
    assert "check server error log" not in words
    kept, gone = [small.job(client.job_id_of(location)) for location in locations]
    assert sum(path.is_file() for path in kept.outputs.rglob("*")) == 1
    assert not any(path.is_file() for path in gone.storage.rglob("*"))
    row = wait_for(
        lambda: (found := small.row(gone.job_id)) and found["state"] == "failed" and found,
        "the table says so",
    )
    assert "more than the 100 KB allowed" in row["message"]
