"""A large value within a request, through each face: how long until it is accepted, against a
server that reads the same request and does nothing; and the memory of web worker and job.

    python benchmarks/inline.py [--size 100] [--rounds 7] [--only FACE ...]

The server that only reads is gunicorn; it receives the body and has it parsed: a document in XML by
lxml, one in JSON by Python, a form by werkzeug. Memory is what a web worker, or the job's process
with its value in hand, has at most beyond what it has without, divided by the size of the value. A
query by GET is no face for this: a request line may have 256 KiB.
"""

from __future__ import annotations

import base64
import json
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import requests
from lxml import etree
from werkzeug.wrappers import Request, Response

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests/support")]

import compare  # noqa: E402

import memory  # noqa: E402
import servers  # noqa: E402
from joblauncher.shared import outcome  # noqa: E402

MB, LINE = 1_000_000, "0.1234 -56.78 9.0e-5 value;"
HERE = "@@here@@"


def reading(environ: Any, start_response: Any) -> Any:
    """A WSGI application that reads a request (PEP 3333)."""
    request = Request(environ)
    if "xml" in request.mimetype:
        found = etree.fromstring(request.get_data(cache=False), etree.XMLParser(huge_tree=True))
    elif "json" in request.mimetype:
        found = json.loads(request.get_data(cache=False))
    else:
        found = (request.form, request.files)
    return Response(str(len(found)))(environ, start_response)


class Reader(servers.Server):
    """A server that only reads."""

    def commands(self) -> list[list[str]]:
        bind = ["--bind", f"127.0.0.1:{self.port}", "--workers", "1", "--threads", "4"]
        more = ["--chdir", str(ROOT / "benchmarks"), "--timeout", "120", "inline:reading"]
        return [[self.python, "-m", "gunicorn", *bind, *more]]

    def is_ready(self) -> bool:
        try:
            return bool(servers.HTTP.get(self.base, timeout=10).ok)
        except requests.RequestException:
            return False


@dataclass(frozen=True)
class Face:
    """One way to send a value.

    Attributes:
        path: of the URL.
        kind: content type of the request.
        request: the request, with :data:`HERE` in the place of the value.
        base64: whether the value is sent in base64.
    """

    path: str
    kind: str
    request: str
    base64: bool = False

    def body(self, size: int) -> bytes:
        """The request with a value that takes so many bytes in it."""
        before, _, after = self.request.partition(HERE)
        return b"".join((before.encode(), _value(size, self.base64), after.encode()))


def _value(size: int, in_base64: bool) -> bytes:
    if in_base64:
        return base64.b64encode(bytes(range(256)) * (size // 256 + 1))[: size // 4 * 4]
    return (LINE * (size // len(LINE) + 1)).encode()[:size]


def faces(token: str) -> dict[str, Face]:
    """All of them.

    Args:
        token: of the forms.
    """
    binary = "mimeType='application/octet-stream' encoding='base64'"
    first = (
        "<Execute xmlns='http://www.opengis.net/wps/1.0.0' service='WPS' version='1.0.0'"
        " xmlns:ows='http://www.opengis.net/ows/1.1'><ows:Identifier>length</ows:Identifier>"
        "<DataInputs><Input><ows:Identifier>content</ows:Identifier><Data><ComplexData %s>%s"
        "</ComplexData></Data></Input></DataInputs><ResponseForm><ResponseDocument"
        " storeExecuteResponse='true' status='true'/></ResponseForm></Execute>"
    )
    second = (
        "<Execute xmlns='http://www.opengis.net/wps/2.0' service='WPS' version='2.0.0'"
        " xmlns:ows='http://www.opengis.net/ows/2.0' mode='async' response='document'>"
        "<ows:Identifier>length</ows:Identifier><Input id='content'><Data %s>%s</Data></Input>"
        "<Output id='length'/></Execute>"
    )
    part = (
        '--limit\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
        "--limit\r\nContent-Disposition: form-data; name=%s\r\n\r\nyes\r\n--limit\r\n"
        'Content-Disposition: form-data; name="in.content.0.file"; filename="a.txt"\r\n'
        "Content-Type: text/plain\r\n\r\n%s\r\n--limit--\r\n"
    )
    wps, ogc, plain = ("/wps", "text/xml"), ("/processes/length/execution", "application/json"), ""
    text = "mimeType='text/plain'"
    return {
        "WPS 1.0.0, text": Face(*wps, first % (text, HERE)),
        "WPS 1.0.0, XML": Face(
            *wps, first % ("mimeType='application/xml'", f"<rows xmlns=''>{HERE}</rows>")
        ),
        "WPS 1.0.0, base64": Face(*wps, first % (binary, HERE), True),
        "WPS 2.0, text": Face(*wps, second % (text, HERE)),
        "WPS 2.0, base64": Face(*wps, second % (binary, HERE), True),
        "OGC API, text": Face(*ogc, f'{{"inputs": {{"content": "{HERE}"}}}}'),
        "OGC API, base64": Face(
            *ogc,
            f'{{"inputs": {{"content": {{"value": "{HERE}", "encoding": "base64",'
            ' "mediaType": "application/octet-stream"}}}',
            True,
        ),
        "form, file": Face(
            "/ui/processes/length",
            "multipart/form-data; boundary=limit",
            part % ("token", token, "run", HERE) + plain,
        ),
    }


def sent(base: str, face: Face, body: bytes, cookies: Any) -> tuple[float, requests.Response]:
    """Seconds until a request is answered, and the answer."""
    headers = {"Content-Type": face.kind, "Prefer": "respond-async"}
    begun = time.perf_counter()
    answer = servers.HTTP.post(
        base + face.path, data=body, headers=headers, cookies=cookies, allow_redirects=False
    )
    return time.perf_counter() - begun, answer


@dataclass
class Taken:
    """What one request took.

    Attributes:
        seconds: until it was accepted.
        worker, job: MiB of the web worker, and of the job's largest process.
    """

    seconds: float
    worker: float
    job: float


def accepted(server: servers.HpcServer, face: Face, body: bytes, cookies: Any) -> Taken:
    """Send a request, and let its job end before anything else is measured."""
    [pid] = server.worker_pids()
    before = memory.resident(pid)
    Path(f"/proc/{pid}/clear_refs").write_text("5")  # proc(5): the peak begins anew
    known = {row["id"] for row in server.rows()}
    seconds, answer = sent(server.base, face, body, cookies)
    assert answer.status_code in (200, 201, 303), (answer.status_code, answer.text[:2000])
    worker = (memory.peak(pid) - before) / MB
    [new] = [row["id"] for row in server.rows() if row["id"] not in known]
    servers.wait_for(lambda: _is_over(server, new), "the job ends")
    facts = outcome.read(server.job(new))
    assert facts is not None
    assert facts.state == outcome.SUCCEEDED, facts.message
    return Taken(seconds, worker, facts.usage["peak_memory_mib"] * (1 << 20) / MB)


def _is_over(server: servers.HpcServer, job: str) -> bool:
    row = server.row(job)
    return row is not None and row["state"] in ("succeeded", "failed", "dismissed")


def rows(
    server: servers.HpcServer, reader: Reader, size: int, rounds: int, only: tuple[str, ...]
) -> Iterator[compare.Row | compare.Figure]:
    """A row for the time of each face, and one each for the memory of worker and job."""
    page = servers.HTTP.get(f"{server.base}/ui/processes/length")
    found = re.search(r'name="token" value="(\w+)"', page.text)
    assert found is not None, page.text
    for name, face in faces(found[1]).items():
        if only and name not in only:
            continue
        small, body = face.body(1000), face.body(size * MB)
        usual = [accepted(server, face, small, page.cookies) for _ in range(2)][-1]
        taken: list[Taken] = []

        def ours(face: Face = face, body: bytes = body, taken: list[Taken] = taken) -> float:
            taken.append(accepted(server, face, body, page.cookies))
            return taken[-1].seconds

        def theirs(face: Face = face, body: bytes = body) -> float:
            seconds, answer = sent(reader.base, face, body, None)
            assert answer.ok, answer.text
            return seconds

        what = f"{size} MB inline, {name}"
        row = compare.Row(f"{what}: accepted", "a server that reads it", 3)
        compare.in_turn_together((row,), _once(ours), _once(theirs), rounds)
        yield row
        worker = [(one.worker - usual.worker) / size for one in taken]
        job = [(one.job - usual.job) / size for one in taken]
        yield compare.Figure(f"{what}: memory of the web worker", "times its size", 3, worker)
        yield compare.Figure(f"{what}: memory of the job", "times its size", 3, job)


def _once(measure: Callable[[], float]) -> Callable[[], tuple[float]]:
    return lambda: (measure(),)


@click.command()
@click.option("--size", default=100, show_default=True, help="MB of the value.")
@click.option("--rounds", default=compare.ROUNDS, show_default=True)
@click.option("--only", multiple=True, help="Faces; else all.")
@click.option("--folder", default="/var/tmp", show_default=True, type=click.Path(exists=True))
def main(size: int, rounds: int, only: tuple[str, ...], folder: str) -> None:
    """Print the rows."""
    sections = {
        "server": {"maxsingleinputsize": "200mb", "maxrequestsize": "200mb"},
        "hpc": {"slots": 1, "max_dump_size": "1G"},
        "hpc.resources": {"memory": "2G"},
    }
    with tempfile.TemporaryDirectory(dir=folder) as place:
        for name in ("hpc", "reader"):
            (Path(place) / name).mkdir()
        server = servers.HpcServer(
            Path(place) / "hpc", "length:service", workers=1, sections=sections
        )
        with server, Reader(Path(place) / "reader") as reader:
            compare.printed(rows(server, reader, size, rounds, only))


if __name__ == "__main__":
    main()
