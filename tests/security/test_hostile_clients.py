"""What a hostile client may send: none of it reaches a shell, a stranger's eyes, a script engine or
an error text that tells of the server."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

import wps_client as client
from in_process_service import InProcessService, open_service
from joblauncher.shared import dump
from pywps_hpc import jobs, settings
from pywps_hpc.dispatch.schedulers.base import BatchJob
from pywps_hpc.dispatch.schedulers.registry import DIALECTS
from pywps_hpc.dispatch.scripts.script import Scripts
from pywps_hpc.jobs import Job, JobStore, new_id
from pywps_hpc.spool import Spool
from pywps_hpc.web.application import UNEXPECTED
from wps_client import Complex, Literal, Output

ID, NEXT = "11111111-2222-4333-8444-555555555555", "66666666-7777-4888-8999-000000000000"
DIGEST = "ab" * 32
#: What stands for the job in its addresses.
ACCESS = "acce5500-0000-4000-8000-000000000000"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcessService]:
    with open_service(tmp_path_factory.mktemp("app")) as opened:
        yield opened


# What a batch system gets to see


@dataclasses.dataclass(frozen=True)
class Handed:
    """All that a batch system is given for a job, by every way."""

    batch: BatchJob
    command: tuple[str, ...] = ()
    header: tuple[str, ...] = ()
    native: str = ""


def handed_over(own: settings.Settings, job: Job) -> list[Handed]:
    """For each batch system, with and without a container, alone and in an array."""
    found = []
    shut = dataclasses.replace(
        own.defaults.container, runtime="apptainer", image=Path("/images/service.sif")
    )
    bare = own.defaults
    elements = [
        dataclasses.replace(job, array_index=1),
        dataclasses.replace(job, id=NEXT, array_index=2),
    ]
    for process, system in itertools.product(
        (bare, dataclasses.replace(bare, container=shut)), ("local", *DIALECTS)
    ):
        whole = dataclasses.replace(own, defaults=process)
        if system == "local":
            found.append(Handed(Scripts(whole, system).batch_job([job])))
            continue
        dialect = DIALECTS[system]()
        for many in ([job], elements):
            batch = Scripts(whole, system, dialect.header).batch_job(many)
            question = dialect.submit(batch)
            assert question.stdin in (None, batch.script)
            command, header = tuple(question.argv), tuple(dialect.header(batch))
            found.append(Handed(batch, command, header, dialect.native_specification(batch)))
    return found


def accepted(app: InProcessService, patch: pytest.MonkeyPatch, **request: Any) -> Job | None:
    """The row of a job that came in by the real way, with this id and digest; ``None`` if it was
    refused."""
    ids = iter([ID, ACCESS])
    patch.setattr(jobs, "new_id", lambda: next(ids))
    patch.setattr(dump, "digest", lambda data: DIGEST)
    app.heartbeat()
    answer = app.web.open(**request)
    row = app.store.get(ID)
    if row is None:
        assert answer.status_code >= 400, answer.get_data()
        return None
    app.forget(app.spool.open(ID))
    # A client that waits hears that its job goes on.
    assert answer.status_code in ((200, 504) if row.sync else (200,)), answer.get_data()
    return dataclasses.replace(row, created=0, changed=0)


# Line breaks, quotes and what a shell, a scheduler or a template would read.
NASTY = st.sampled_from(
    [
        *("\n#SBATCH --uid=0\n", "$(id)", "`id`", "';id;'", '"', "\\", "{{ id }}", "%(x)s"),
        *("${HOME}", "../../x", "-o/etc/x", "\r\n", "\u2028", "#$ -S /bin/x", "--wrap=id"),
        *("]]>", "&;=@"),
    ]
)
XML_TEXT = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Cn"], exclude_characters="\ufffe\uffff"),
    max_size=20,
)
TEXT = st.lists(NASTY | XML_TEXT, max_size=4).map("".join)
TOKEN = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20)


@st.composite
def requests(draw: st.DrawFn) -> dict[str, Any]:
    """A request for the same process, all else the client's."""
    text, other = draw(TEXT), draw(TEXT)
    how = {
        "lineage": draw(st.booleans()),
        "raw": draw(st.booleans()),
        "language": draw(st.sampled_from(["", "en-US", "fr-CA"]) | TOKEN),
    }
    how["asynchronous"] = not how["raw"]
    inputs = [("text", draw(st.sampled_from([text, Literal(text, other), Complex(text)])))]
    outputs = [Output("result", draw(st.sampled_from(["", "text/plain"]) | TOKEN))]
    environ = {"REMOTE_USER": draw(TOKEN)}
    headers = {"X-Text": draw(TOKEN), "User-Agent": draw(TOKEN), "X-Forwarded-For": draw(TOKEN)}
    query = {"a": other, draw(TOKEN): text}
    common = {"headers": headers, "environ_overrides": environ}
    kind = draw(st.sampled_from(["xml", "query", "json"]))
    if kind == "query":
        line = client.execute_query("repeat_2", inputs, outputs, **how)
        return {"path": f"/wps?{line}&{urlencode(query)}", "method": "GET", **common}
    if kind == "json":
        document: Any = {"identifier": "repeat_2", "inputs": {"text": text}}
        more: Any = {"outputs": {"result": {}}, "language": how["language"]}
        if draw(st.booleans()):  # members that are refused
            document["inputs"][other] = text
            more |= {"mode": "async", "response": "document", other: text}
        content = json.dumps({**more, **document, "operation": "execute", "version": "1.0.0"})
        mimetype = "application/json"
    else:
        content = client.execute_document("repeat_2", inputs, outputs, **how).decode()
        mimetype = "text/xml"
    path = f"/wps?{urlencode(query)}"
    return {"path": path, "method": "POST", "data": content, "content_type": mimetype, **common}


PLAIN = {
    "path": "/wps",
    "method": "POST",
    "data": client.execute_document("repeat_2", [("text", "a")], asynchronous=True),
    "content_type": "text/xml",
}


@pytest.mark.timeout(1200)  # it computes all the while, and others beside it
def test_no_byte_of_a_client_reaches_a_batch_system(app: InProcessService) -> None:
    own = dataclasses.replace(app.settings, sync_timeout=0.0)
    went = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(app.web.application, "settings", own)
        plain = accepted(app, patch, **PLAIN)
        assert plain is not None
        expected = handed_over(own, plain)
        # What gives access to a result is not what every user of the cluster can read.
        assert plain.access == ACCESS
        assert ACCESS not in repr(expected)

        @examples(
            max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), database=None
        )
        @given(requests())
        def run(request: dict[str, Any]) -> None:
            nonlocal went
            row = accepted(app, patch, **request)
            if row is not None:
                went += 1
                assert handed_over(own, row) == expected

        for _ in range(5):  # chance may have it that most are refused
            if went < 20:
                run()
    assert went >= 20


# Strangers


def seen(app: InProcessService, path: str, user: str) -> tuple[int, bytes, list[tuple[str, str]]]:
    answer = app.get(path, user)
    return answer.status_code, answer.get_data(), sorted(answer.headers)


def test_a_stranger_gets_the_answer_of_an_unknown_id(app: InProcessService) -> None:
    job = app.accept(user="ann")
    job.outputs.mkdir()
    (job.outputs / "a.txt").write_bytes(b"a")
    for kind, name in (("status", ""), ("outputs", "/a.txt"), ("outputs", "/missing.txt")):
        unknown = seen(app, f"/{kind}/{new_id()}{name}", "bob")
        assert unknown[0] == 404
        for stranger in ("bob", "", "ANN", "ann "):
            assert seen(app, f"/{kind}/{job.job_id}{name}", stranger) == unknown
    assert seen(app, f"/status/{job.job_id}", "ann")[0] == 200
    assert seen(app, f"/outputs/{job.job_id}/a.txt", "ann")[:2] == (200, b"a")
    app.forget(job)


def test_a_header_does_not_make_an_owner(app: InProcessService) -> None:
    job = app.accept(user="ann", headers={"Remote-User": "bob", "X-Remote-User": "bob"})
    assert app.row(job).owner == "ann"
    for header in ("Remote-User", "REMOTE_USER", "X-Remote-User", "X-Forwarded-User"):
        assert app.get(f"/status/{job.job_id}", **{header: "ann"}).status_code == 404
    app.forget(job)


def test_a_job_without_an_owner_is_shown_to_whoever_knows_its_id(app: InProcessService) -> None:
    job = app.accept()
    for user in ("", "ann"):
        assert seen(app, f"/status/{job.job_id}", user)[0] == 200
    app.forget(job)


def test_a_stranger_s_question_ends_at_the_job_table(
    app: InProcessService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the time of the answer does not tell either: the table is asked the same as for an
    unknown id, and nothing of the job's folder."""
    job = app.accept(user="ann")
    looked: list[str] = []
    folder = Spool.open
    monkeypatch.setattr(Spool, "open", lambda self, id_: looked.append(id_) or folder(self, id_))
    for kind in ("status", "outputs"):
        for job_id in (job.job_id, new_id()):
            assert app.get(f"/{kind}/{job_id}/a.txt", "bob").status_code == 404
    assert looked == []
    assert app.get(f"/status/{job.job_id}", "ann").status_code == 200
    assert looked == [job.job_id]
    monkeypatch.undo()
    app.forget(job)


# Error texts


def test_an_error_of_the_service_is_told_in_a_sentence_that_needs_no_log(
    app: InProcessService, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("/var/spool/secret")

    monkeypatch.setattr(JobStore, "at", fail)
    answer = app.get(f"/status/{new_id()}")
    assert answer.status_code == 500
    assert UNEXPECTED in answer.get_data(as_text=True)
    assert b"secret" not in answer.get_data()
    assert not re.search(r"\blogs?\b", UNEXPECTED)


LEAKS = re.compile(
    r"/var/|/tmp|/work/|/usr/|/home/|/root|Traceback|object at 0x|&lt;class|<class|site-packages"
    r"|\.py\b|sqlite|&lt;function|NoneType|has no attribute|unexpected keyword|KeyError",
    re.IGNORECASE,
)
WPS = 'xmlns:wps="http://www.opengis.net/wps/1.0.0" xmlns:ows="http://www.opengis.net/ows/1.1"'
#: What stands in the place of a value.
ODD = [
    "", " ", "nothing", "\u0000", "a\nb", "-1", "1e999", "'", '"', "<x/>", "%s %d {0} {x}", "[]",
    "{}", "../../etc/passwd", "file:///etc/passwd", "/etc/passwd", "true", "null",
    "é\u2028", "a" * 3000,
]  # fmt: skip
QUERY = {
    "service": "WPS",
    "version": "1.0.0",
    "request": "Execute",
    "identifier": "texts",
    "DataInputs": "text=a",
    "ResponseDocument": "document=@asReference=true",
    "storeExecuteResponse": "true",
    "status": "true",
    "language": "en-US",
}
JSON: dict[str, Any] = {
    "identifier": "literals",
    "operation": "execute",
    "version": "1.0.0",
    "mode": "async",
    "response": "document",
    "inputs": {"length": {"value": 1, "uom": "feet"}, "day": "2011-02-03", "count": 2},
    "outputs": {"unit": {"transmission": "value"}},
}
ODD_JSON: list[Any] = [
    None, True, -1, 1e999, "", "nothing", "\u0000", [], {}, [[]], [None], {"a": None},
    {"value": None}, {"href": 1}, {"href": "file:///etc/passwd"}, {"type": "complex", "data": {}},
    {"file": "/etc/passwd"}, {"_iohandler": 1, "__class__": "x", "workdir": "/etc"},
    [{"type": "bbox"}], {"bbox": [1, 2]},
]  # fmt: skip
XML = [
    b"", b"<", b"text", b"\xff\xfe\x00", b"<a/>", b"<a:b/>", b"<wps:Execute/>", b"<!-- -->",
    b"<?xml version='1.0' encoding='nonsense'?><a/>",
    b"<?xml version='1.0' encoding='utf-16'?><a/>",
    *(
        f"<wps:{name} {WPS} {more}/>".encode()
        for name in ("Execute", "DescribeProcess", "GetCapabilities", "Dismiss", "Other")
        for more in ("", "version='1.0.0'", "version='9'", "service='WFS'", "language='xx'")
    ),
]  # fmt: skip
INSIDE = [
    "", "<ows:Identifier/>", "<ows:Identifier>nothing</ows:Identifier>", "<wps:DataInputs/>",
    "<wps:DataInputs><wps:Input/></wps:DataInputs>",
    "<wps:DataInputs><wps:Input><ows:Identifier>text</ows:Identifier></wps:Input></wps:DataInputs>",
    *(
        "<wps:DataInputs><wps:Input><ows:Identifier>text</ows:Identifier>"
        f"{data}</wps:Input></wps:DataInputs>"
        for data in (
            "<wps:Data/>", "<wps:Data><wps:LiteralData/></wps:Data>", "<wps:Data><x/></wps:Data>",
            "<wps:Data><wps:ComplexData encoding='base64'>?</wps:ComplexData></wps:Data>",
            "<wps:Data><wps:ComplexData mimeType='x/y'>?</wps:ComplexData></wps:Data>",
            "<wps:Data><ows:BoundingBox/></wps:Data>",
            "<wps:Data><wps:BoundingBoxData dimensions='x'/></wps:Data>",
            "<wps:Reference/>", "<wps:Reference xmlns:x='http://www.w3.org/1999/xlink' x:href=''/>",
            "<wps:Reference xmlns:x='http://www.w3.org/1999/xlink' x:href='file:///etc/passwd'/>",
            "<wps:Reference xmlns:x='http://www.w3.org/1999/xlink' x:href='http://[::1/'/>",
            "<wps:Reference xmlns:x='http://www.w3.org/1999/xlink' x:href='x:y' method='PUT'/>",
        )
    ),
    "<wps:ResponseForm/>", "<wps:ResponseForm><wps:RawDataOutput/></wps:ResponseForm>",
    "<wps:ResponseForm><wps:ResponseDocument><wps:Output/></wps:ResponseDocument></wps:ResponseForm>",
    "<wps:ResponseForm><wps:ResponseDocument><wps:Output asReference='x'>"
    "<ows:Identifier>nothing</ows:Identifier></wps:Output></wps:ResponseDocument></wps:ResponseForm>",
]  # fmt: skip


def bad_requests() -> Iterator[dict[str, Any]]:
    for key in QUERY:
        for value in (*ODD, None):
            changed = {k: v for k, v in (QUERY | {key: value}).items() if v is not None}
            yield {"method": "GET", "path": f"/wps?{urlencode(changed)}"}
    for operation in ("GetCapabilities", "DescribeProcess", "Dismiss", "GetStatus", "é", ""):
        for key in ("service", "version", "acceptversions", "identifier", "language", "f"):
            for value in ODD:
                query = {"service": "WPS", "version": "1.0.0", "request": operation, key: value}
                yield {"method": "GET", "path": f"/wps?{urlencode(query)}"}
    for data in (
        "text",
        "text=",
        "=",
        ";;",
        "text=a@x=y",
        "text=@href=file:///etc/passwd",
        "@",
        "a=b",
    ):
        query_ = QUERY | {"DataInputs": data}
        yield {"method": "GET", "path": f"/wps?{urlencode(query_)}"}
    bodies = [("text/xml", content) for content in XML]
    for identifier, inner in itertools.product(("texts", "literals", "box", "files"), INSIDE):
        whole = (
            f"<wps:Execute {WPS} service='WPS' version='1.0.0'>"
            f"<ows:Identifier>{identifier}</ows:Identifier>{inner}</wps:Execute>"
        )
        bodies.append(("text/xml", whole.encode()))
    for key in JSON:
        bodies += [("application/json", json.dumps(JSON | {key: odd})) for odd in ODD_JSON]
    for key in JSON["inputs"]:
        for odd in ODD_JSON:
            inputs = {"inputs": JSON["inputs"] | {key: odd}}
            bodies.append(("application/json", json.dumps(JSON | inputs)))
    bodies += [
        ("application/json", text) for text in ("", "{", "[]", "1", "null", '"a"', "[" * 9999)
    ]
    bodies += [("multipart/form-data", b"x"), ("", b"x"), ("application/json;charset=x", b"{}")]
    for kind, content in bodies:
        yield {"method": "POST", "path": "/wps", "data": content, "content_type": kind}
        if "json" in kind:
            url = "/processes/texts/execution"
            yield {"method": "POST", "path": url, "data": content, "content_type": kind}
    for path in ("/", "/wps/x", "/status/", "/status/x", "/outputs/", "/jobs/x", "/processes/x"):
        for method in ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"):
            yield {"method": method, "path": path}
    job = new_id()
    for name in ODD:
        yield {"method": "GET", "path": f"/outputs/{job}/{quote(name)}"}
        yield {"method": "POST", "path": f"/status/{job}{quote(name)}"}


def test_a_bad_request_is_told_so_and_nothing_of_the_server_s_insides(
    app: InProcessService,
) -> None:
    asked, leaks, failed = 0, [], []
    own = dataclasses.replace(app.settings, sync_timeout=0.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(app.web.application, "settings", own)
        for request in bad_requests():
            if asked % 100 == 0:
                app.heartbeat()
            asked += 1
            answer = app.web.open(**request)
            text = answer.get_data(as_text=True)
            # What the request itself said may come back.
            for echoed in ("file:///etc/passwd", "/etc/passwd"):
                text = text.replace(echoed, "")
            if str(own.spool) in text or LEAKS.search(text):
                leaks.append((request, text[-600:]))
            if answer.status_code >= 500 and answer.status_code != 503:
                failed.append((request, text[-600:]))
            assert "sandbox" in answer.headers["Content-Security-Policy"]
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert asked > 1000
    assert leaks == []
    assert failed == [], "what is wrong with a request is no error of the server"
    # What was refused has left nothing.
    rows = {row.id for row in app.store.recent(10_000)}
    assert set(app.spool.job_ids()) == rows
