"""Clients that are silent, slow, patient or gone take nobody's turn: each is one connection, and
none a thread."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from lxml import etree

import wps_client as client
from joblauncher.shared.jobdir import JobDir
from pywps_hpc.jobs import JobStore
from pywps_hpc.timing import TIMING
from pywps_hpc.web.server.connections import RATE, Connection, Phase
from pywps_hpc.web.server.framing import FIELDS, Incoming, Malformed
from servers import HTTP, HpcServer, wait_for

#: Places to wait in one worker, and what a poll may take (seconds).
PLACES, PROMPT = 40, 0.5
MIB = 1 << 20


@contextlib.contextmanager
def serving(folder: Path, **how: object) -> Iterator[HpcServer]:
    """A web server whose jobs never begin."""
    sections = {"hpc": {"max_waiting": PLACES, "sync_timeout": 300}, **how.pop("sections", {})}  # type: ignore[dict-item]
    with HpcServer(folder, dispatcher=False, sections=sections, **how) as server:  # type: ignore[arg-type]
        store = JobStore(server.settings.database_url)
        assert store.lead("nobody", 3600)
        yield server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HpcServer]:
    with serving(tmp_path_factory.mktemp("slow")) as started:
        yield started


@pytest.fixture
def crowd() -> Iterator[Crowd]:
    with contextlib.ExitStack() as stack:
        yield Crowd(stack)


class Crowd:
    """Connections that last as long as the test."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack

    def join(self, server: HpcServer, data: bytes = b"", number: int = 1) -> list[socket.socket]:
        """More of them, which send this and no more."""
        found = []
        for _ in range(number):
            connection = socket.socket()
            self._stack.callback(connection.close)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.settimeout(20)
            connection.connect(("127.0.0.1", server.port))
            connection.sendall(data)
            found.append(connection)
        return found


def post(body: bytes, length: int | None = None) -> bytes:
    """An HTTP request with a document, or the beginning of one."""
    length = len(body) if length is None else length
    head = "POST /wps HTTP/1.1\r\nHost: h\r\nContent-Type: text/xml\r\n"
    return f"{head}Content-Length: {length}\r\n\r\n".encode() + body


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: h\r\n\r\n".encode()


def waits(raw: bool = False) -> bytes:
    """A synchronous Execute."""
    outputs = [client.Output("result")]
    return post(client.execute_document("repeat_2", [("text", "a")], outputs, raw=raw))


def accepted(server: HpcServer) -> JobDir:
    """An asynchronous job that stays where it is."""
    document = client.execute_document("repeat_2", [("text", "a")], asynchronous=True)
    answer = HTTP.post(server.url, data=document, headers={"Content-Type": "text/xml"}, timeout=60)
    location = etree.fromstring(answer.content).get("statusLocation")
    return server.job(client.job_id_of(str(location)))


def slowest_poll(server: HpcServer, job: JobDir, times: int = 15) -> float:
    """Seconds that the slowest of some status requests took."""
    slowest = 0.0
    for _ in range(times):
        begun = time.monotonic()
        answer = HTTP.get(f"{server.base}/status/{job.access}", timeout=60)
        slowest = max(slowest, time.monotonic() - begun)
        assert answer.status_code == 200
        assert b"ProcessAccepted" in answer.content
    return slowest


def waiting_jobs(server: HpcServer) -> int:
    store = JobStore(server.settings.database_url)
    return sum(row.sync for row in store.recent(10_000))


def is_silent(connection: socket.socket, seconds: float) -> bool:
    """Whether nothing is said on a connection for so long."""
    connection.settimeout(seconds)
    try:
        connection.recv(1, socket.MSG_PEEK)
    except TimeoutError:
        return True
    return False


def test_polls_are_prompt_beside_every_kind_of_slow_client(server: HpcServer, crowd: Crowd) -> None:
    job = accepted(server)
    job.outputs.mkdir(parents=True)
    with (job.outputs / "large.nc").open("wb") as file:
        file.truncate(50 * MIB)
    alone = slowest_poll(server, job)
    crowd.join(server, number=500)
    crowd.join(server, b"POST /wps HTTP/1.1\r\nHost:", number=50)
    crowd.join(server, post(b"<wps:Execute", 10 * MIB), number=50)
    crowd.join(server, get(f"/outputs/{job.access}/large.nc"), number=50)
    patient = crowd.join(server, waits(), number=60)
    wait_for(lambda: waiting_jobs(server) == 60, "all are accepted", 60)
    assert slowest_poll(server, job, 30) < PROMPT + alone  # others may be busy on this machine
    # None of them had to be turned away for that.
    assert sum(is_silent(connection, 0.01) for connection in patient) >= PLACES


def test_whoever_finds_no_place_to_wait_is_told_where_the_status_is(
    tmp_path: Path, crowd: Crowd
) -> None:
    with serving(tmp_path, workers=1, sections={"hpc": {"max_waiting": 2}}) as server:
        first = crowd.join(server, waits(), number=2)
        wait_for(lambda: waiting_jobs(server) == 2, "two wait")
        [third] = crowd.join(server, waits())
        answer = third.recv(65536)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"statusLocation=" in answer
        assert b"ProcessAccepted" in answer
        assert b"Too many clients are waiting" in answer
        [raw] = crowd.join(server, waits(raw=True))
        answer = raw.recv(65536)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"Retry-After" in answer
        assert waiting_jobs(server) == 3, "of the request for raw output nothing is kept"
        # Whoever hangs up makes room.
        first[0].close()
        time.sleep(1.5)
        [fourth] = crowd.join(server, waits())
        assert is_silent(fourth, 1)
        # A stop does not leave them without an answer.
        begun = time.monotonic()
        server._roots()[0].terminate()
        fourth.settimeout(20)
        assert b"statusLocation=" in fourth.recv(65536)
        assert time.monotonic() - begun < 5


def test_more_connections_than_files_may_be_open(tmp_path: Path, crowd: Crowd) -> None:
    with serving(tmp_path, prefix=["prlimit", "--nofile=1024:1024"]) as server:
        before = {process.pid for process in server.processes()}
        job = accepted(server)
        alone = slowest_poll(server, job)
        crowd.join(server, number=2200)
        assert slowest_poll(server, job) < PROMPT + alone
        assert {process.pid for process in server.processes()} == before
        assert "Too many open files" not in server.read_log()


def test_a_download_comes_whole_however_slowly_it_is_taken(server: HpcServer, crowd: Crowd) -> None:
    job = accepted(server)
    job.outputs.mkdir(parents=True)
    content = bytes(range(256)) * 4096 * 3
    (job.outputs / "a.bin").write_bytes(content)
    [slow] = crowd.join(server, get(f"/outputs/{job.access}/a.bin"))
    received = slow.recv(65536)
    while len(received.partition(b"\r\n\r\n")[2]) < len(content):
        part = slow.recv(65536)
        assert part
        received += part
        time.sleep(0.001)
    assert received.partition(b"\r\n\r\n")[2] == content
    # The connection is good for another request, also for two at once.
    slow.sendall(get(f"/status/{job.access}") * 2)
    answers = b""
    while answers.count(b"HTTP/1.1 200 OK") < 2:
        answers += slow.recv(65536)
    partly = HTTP.get(
        f"{server.base}/outputs/{job.access}/a.bin", headers={"Range": "bytes=5-9"}, timeout=20
    )
    assert (partly.status_code, partly.content) == (206, content[5:10])


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_may_come_byte_by_byte(server: HpcServer, crowd: Crowd, chunked: bool) -> None:
    document = client.execute_document("repeat_2", [("text", "ä")], asynchronous=True)
    whole = post(document)
    if chunked:
        head = b"POST /wps HTTP/1.1\r\nHost: h\r\nContent-Type: text/xml\r\n"
        chunks = b"".join(b"%x\r\n%s\r\n" % (1, document[i : i + 1]) for i in range(len(document)))
        whole = head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
    [slow] = crowd.join(server)
    for start in range(0, len(whole), 7):
        slow.sendall(whole[start : start + 7])
    assert b"ProcessAccepted" in slow.recv(65536)


def test_a_body_beyond_the_limit_is_not_read_and_told(server: HpcServer, crowd: Crowd) -> None:
    for request in (
        post(b"<wps", 10**12),
        b"POST /wps HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        + b"1400001\r\n" + b"a" * (20 * MIB + 1),
    ):  # fmt: skip
        [connection] = crowd.join(server, request)
        answer = connection.recv(65536)
        assert answer.startswith(b"HTTP/1.1 400 "), answer
        assert b"FileSizeExceeded" in answer


def test_a_query_may_be_long_and_too_long_a_one_is_told_in_the_standard_s_form(
    server: HpcServer, crowd: Crowd
) -> None:
    text = "a" * 200_000
    query = client.execute_query("repeat_2", [("text", text)], asynchronous=True)
    [connection] = crowd.join(server, get(f"/wps?{query}"))
    assert b"ProcessAccepted" in connection.recv(65536)
    [connection] = crowd.join(server, b"GET /wps?" + b"a" * (2 * MIB))
    answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 414 ")
    report = etree.fromstring(answer.partition(b"\r\n\r\n")[2])
    assert etree.QName(report).localname == "ExceptionReport"
    assert "Send a longer one by POST" in "".join(report.itertext())


def test_who_sends_or_takes_too_slowly_is_given_up() -> None:
    here, there = socket.socketpair()
    with here, there:
        connection = Connection(here, ("192.0.2.1", 1), ("h", 1), MIB, MIB)
        start = connection.begun
        assert not connection.is_late(start + TIMING.fresh - 1)
        assert connection.is_late(start + TIMING.fresh + 1)
        connection.progress(10)
        connection.incoming.feed(b"POST / HTT")
        for phase in (Phase.RECEIVING, Phase.SENDING):
            connection.enter(phase)
            start = connection.begun
            connection.amount, connection.moved = 40 * RATE, start + TIMING.quiet + 39
            assert not connection.is_late(start + TIMING.quiet + 39)
            assert connection.is_late(start + TIMING.quiet + 41), "too few bytes by then"
            connection.amount = 400 * RATE
            assert connection.is_late(connection.moved + TIMING.quiet + 1), "none since then"
        connection.enter(Phase.WORKING)
        assert not connection.is_late(start + 10_000)


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 1\r\nContent-Length: 2",
        b"Content-Length: -1",
        b"Content-Length: 1\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding: chunked\r\n\r\nx",
        b"Transfer-Encoding: chunked\r\n\r\n1\r\nabc",
        b"X: " + b"a" * FIELDS,
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"a: b\r\n" * 9999,
    ],
)
def test_what_cannot_be_framed_is_refused(head: bytes) -> None:
    with pytest.raises(Malformed):
        Incoming(MIB).feed(b"POST / HTTP/1.1\r\n" + head + b"\r\n\r\n")


def test_what_follows_a_request_is_left() -> None:
    for head, body in ((b"Content-Length: 3", b"abc"), (b"Transfer-Encoding: chunked", b"")):
        incoming = Incoming(MIB)
        framed = body or b"2;x=y\r\nab\r\n1\r\nc\r\n0\r\nt: 1\r\n\r\n"
        left = incoming.feed(b"\r\nPOST / HTTP/1.1\r\n" + head + b"\r\n\r\n" + framed + b"GET /")
        assert (incoming.whole, incoming.body.read(), left) == (True, b"abc", b"GET /")
