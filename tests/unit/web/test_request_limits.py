"""A request costs the web server no more than a few times its bytes, whatever it is made of; and
large values reach the process as they were sent."""

from __future__ import annotations

import base64
import dataclasses
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lxml import etree
from pywps import configuration

import memory
import wps_client as client
from in_process_service import InProcessService, open_service
from joblauncher.inputs import large_values
from joblauncher.shared import dump, outcome, status_xml
from memory import MIB
from pywps_hpc.jobs import State
from pywps_hpc.jobs.look import look
from pywps_hpc.web.requests import limits
from pywps_hpc.web.wps1 import status
from servers import HpcServer

SIZE = 2 * MIB
#: Bytes that a request may take beside four times its own: what is read of it in any case.
BESIDE = 8 * MIB
XML, JSON, FORM = "text/xml", "application/json", "application/x-www-form-urlencoded"
HEAD = (
    '<wps:Execute xmlns:wps="http://www.opengis.net/wps/1.0.0" xmlns:o="urn:o"'
    ' xmlns:ows="http://www.opengis.net/ows/1.1" service="WPS" version="1.0.0"'
)


def execute(inputs: str, process: str = "texts", more: str = "") -> str:
    return (
        f"{HEAD}{more}><ows:Identifier>{process}</ows:Identifier><wps:DataInputs>{inputs}"
        '</wps:DataInputs><wps:ResponseForm><wps:ResponseDocument storeExecuteResponse="true"'
        ' status="true"/></wps:ResponseForm></wps:Execute>'
    )


def given(content: str, kind: str = "ComplexData", attributes: str = "") -> str:
    return (
        f"<wps:Input><ows:Identifier>text</ows:Identifier><wps:Data><wps:{kind}{attributes}>"
        f"{content}</wps:{kind}></wps:Data></wps:Input>"
    )


def filled(part: str) -> str:
    """A part so often that it is large."""
    return part * (SIZE // len(part))


def numbered(form: str) -> str:
    """The same, each with another number."""
    return "".join(form % i for i in range(SIZE // (len(form) + 3)))


def in_json(inputs: str, process: str = "texts") -> str:
    return f'{{"identifier": "{process}", "version": "1.0.0", "inputs": {inputs}}}'


def packed() -> str:
    return base64.b64encode(os.urandom(SIZE // 4 * 3)).decode()


DECLARED, NAMESPACE = ' b%x="u"', ' xmlns:b%x="u"'
BASE64 = ' encoding="base64"'
MANY = '{"text": {"type": "complex", "data": "%s"}}'
ACCEPTED, REFUSED = 200, 400
#: What may come, and whether it is taken.
SHAPES: dict[str, tuple[str, int, Callable[[], str | bytes]]] = {
    "text": (XML, ACCEPTED, lambda: execute(given(filled("a\n")))),
    "wide text": (XML, ACCEPTED, lambda: execute(given(filled("a") + "\U0001f600"))),
    "references to characters": (XML, ACCEPTED, lambda: execute(given(filled("&lt;")))),
    "CDATA": (XML, ACCEPTED, lambda: execute(given(filled("<![CDATA[<]]>")))),
    "base64": (XML, ACCEPTED, lambda: execute(given(packed(), attributes=BASE64))),
    "literal": (XML, ACCEPTED, lambda: execute(given(filled("a"), "LiteralData"), "repeat_2")),
    "elements": (XML, ACCEPTED, lambda: execute(given(f"<a>{filled('<b>1</b>')}</a>"))),
    "empty elements": (XML, ACCEPTED, lambda: execute(given(f"<a>{filled('<b/>')}</a>"))),
    "comments": (XML, ACCEPTED, lambda: execute(given(f"<a>{filled('<!---->')}</a>"))),
    "UTF-16": (XML, ACCEPTED, lambda: execute(given(filled("a")[::2])).encode("utf-16")),
    "names": (XML, REFUSED, lambda: execute(given(f"<a>{numbered('<b%x/>')}</a>"))),
    "attributes": (XML, REFUSED, lambda: execute(given(f"<a{numbered(DECLARED)}/>"))),
    "attributes of the root": (XML, REFUSED, lambda: execute("", more=numbered(DECLARED))),
    "namespaces": (XML, REFUSED, lambda: execute(given(f"<a{numbered(NAMESPACE)}/>"))),
    "depth": (XML, REFUSED, lambda: execute(given(filled("<a>")))),
    "elements elsewhere": (XML, REFUSED, lambda: execute(filled("<a/>"))),
    "inputs": (XML, REFUSED, lambda: execute(filled(given("a", "LiteralData")), "repeat_2")),
    "entities": (
        XML,
        REFUSED,
        lambda: f'<!DOCTYPE a [<!ENTITY b "{"b" * 999}">]>' + execute(given(filled("&b;"))),
    ),
    "no end": (XML, REFUSED, lambda: "<" + filled("a")),
    "no tags": (XML, REFUSED, lambda: filled("<")),
    "JSON text": (JSON, ACCEPTED, lambda: in_json(MANY % filled("a"))),
    "JSON wide text": (JSON, ACCEPTED, lambda: in_json(MANY % (filled("a") + "\U0001f600"))),
    "JSON escapes": (JSON, ACCEPTED, lambda: in_json(MANY % filled("\\ud83d\\ude00"))),
    "JSON literal": (JSON, ACCEPTED, lambda: in_json(f'{{"text": "{filled("a")}"}}', "repeat_2")),
    "JSON objects": (JSON, REFUSED, lambda: in_json(f'{{"text": [{filled("{},")}{{}}]}}')),
    "JSON arrays": (JSON, REFUSED, lambda: f"[{filled('[],')}[]]"),
    "JSON members": (JSON, REFUSED, lambda: in_json("{" + numbered('"%x":1,') + '"a":1}')),
    "JSON depth": (JSON, REFUSED, lambda: filled('{"a":')),
    "JSON number": (JSON, REFUSED, lambda: in_json(f'{{"text": {filled("1")}}}')),
    "JSON UTF-16": (JSON, REFUSED, lambda: f"[{filled('{},')[::2]}1]".encode("utf-16")),
    "form": (FORM, REFUSED, lambda: filled("a=b&")),
    "parts": ("multipart/form-data; boundary=b", REFUSED, lambda: filled("--b\r\n\r\nc\r\n")),
}  # fmt: skip


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcessService]:
    with open_service(tmp_path_factory.mktemp("app")) as opened:
        yield opened


def test_memory_for_a_request_is_at_most_four_times_its_bytes(tmp_path: Path) -> None:
    arguments, sizes = [], {}
    for name, (kind, _, make) in SHAPES.items():
        content = make()
        content = content.encode() if isinstance(content, str) else content
        file = tmp_path / name
        file.write_bytes(content)
        sizes[name] = len(content)
        arguments += [kind, str(file)]
    (tmp_path / "app").mkdir()
    answers = memory.measured("request_memory.py", tmp_path / "app", *arguments)
    found = dict(zip(SHAPES, answers, strict=True))
    assert {name: answer["status"] for name, answer in found.items()} == {
        name: status for name, (_, status, _) in SHAPES.items()
    }
    taken = {name: answer["took"] for name, answer in found.items()}
    assert not memory.excessive(taken, sizes, BESIDE)


@pytest.mark.parametrize("query", ["a&" * 2000, "DataInputs=" + "%3B" * 30_000])
def test_a_query_has_a_number_of_parts(app: InProcessService, query: str) -> None:
    answer = app.web.get(f"/wps?service=WPS&request=Execute&{query}")
    assert (answer.status_code, b"too many parameters" in answer.get_data()) == (400, True)


def values_of(app: InProcessService, body: str | bytes, kind: str = XML) -> list[Any]:
    """The values of a request as the job finds them; the request is sent, the job not run."""
    app.heartbeat()
    before = set(app.spool.job_ids())
    answer = app.web.post("/wps", data=body, content_type=kind)
    assert answer.status_code == 200, answer.get_data()[-500:]
    [job_id] = set(app.spool.job_ids()) - before
    job = app.spool.open(job_id)
    row = app.row(job)
    header, content = dump.unpack_header(dump.read(job.dump, row.digest))
    inputs = dump.load(content)["request"].inputs
    assert header.values, "it was taken out"
    assert sum(path.stat().st_size for path in (job.dump, job.status)) < 100_000
    large_values.restore(job, inputs, header.values)
    found = [item.data for items in inputs.values() for item in items]
    app.forget(job)
    return found


def element_in(body: bytes) -> str:
    """The element that is complex data, as a parser of the whole request finds it."""
    root = etree.fromstring(body, etree.XMLParser(huge_tree=True))
    [data] = root.iter("{http://www.opengis.net/wps/1.0.0}ComplexData")
    return str(etree.tostring(data[0], encoding=str, with_tail=False))


INNER = f'<o:a xmlns:p="urn:p" b="&lt;>"><p:c/>&amp;{"é" * 9}<!-- d --><![CDATA[<e>]]></o:a>'


@pytest.mark.parametrize(
    ("content", "attributes", "expected"),
    [
        ("a\r\nb &lt;&#233;<![CDATA[<c>]]>\U0001f600", "", "a\nb <é<c>\U0001f600"),
        ("<!-- d -->plain", "", "plain"),
        (base64.b64encode(bytes(range(256))).decode() + "\n", BASE64, bytes(range(256))),
    ],
)
def test_a_large_value_is_what_was_sent(
    app: InProcessService, content: str, attributes: str, expected: Any
) -> None:
    times = -(-2 * MIB // len(content))
    if attributes:
        content = base64.b64encode(expected * times).decode()
        times, expected = 1, expected * times
    whole = content * times
    result = expected if attributes else expected * times
    assert values_of(app, execute(given(whole, attributes=attributes))) == [result]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "iso-8859-1"])
def test_a_large_element_is_what_was_sent(app: InProcessService, encoding: str) -> None:
    inner = f"<o:w>{INNER * (2 * MIB // len(INNER))}</o:w>"
    declared = f'<?xml version="1.0" encoding="{encoding}"?>'
    body = (declared + execute(f"{given(inner)}")).encode(encoding)
    assert values_of(app, body) == [element_in(body)]


def test_a_value_of_many_elements_is_taken_out_of_a_small_request(app: InProcessService) -> None:
    inner = f"<a>{'<b/>' * 5000}</a>"
    body = execute(given(inner)).encode()
    assert values_of(app, body) == [element_in(body)]


def test_large_values_of_literals_and_in_json(app: InProcessService) -> None:
    app.web.application.waiters._places = None  # answered at once
    text = 'ä"\\\n\U0001f600' * (MIB // 4)
    quoted = json.dumps({"text": text})
    assert values_of(app, in_json(quoted, "repeat_2"), JSON) == [text]
    packed = base64.b64encode(text.encode()).decode()
    inputs = {"text": {"type": "complex", "encoding": "base64", "data": packed}}
    assert values_of(app, in_json(json.dumps(inputs)), JSON) == [text.encode()]
    several = [given(f"{i}" * 2000, "LiteralData") for i in range(3)]
    large = given(text.replace("&", ""), "LiteralData")
    with pytest.raises(AssertionError, match="at most 1 are allowed"):
        values_of(app, execute("".join([*several, large]), "repeat_2"))


@pytest.mark.parametrize("kind", [XML, JSON])
def test_a_value_beyond_10_mb_obeys_the_limit_of_inputs(
    app: InProcessService, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(size: int) -> Any:
        app.heartbeat()
        text = "a" * size
        body = execute(given(text)) if kind == XML else in_json(MANY % text)
        return app.web.post("/wps", data=body, content_type=kind)

    app.web.application.waiters._places = None
    monkeypatch.setitem(configuration.CONFIG._sections["server"], "maxsingleinputsize", "12mb")
    assert ask(11 * MIB).status_code == 200
    refused = ask(13 * MIB)
    assert refused.status_code == 400
    assert b"FileSizeExceeded" in refused.get_data()


@pytest.mark.parametrize(
    "inner",
    ["<a>", "<a></b>", "</a>", "&b;", "<a", "<p:a/>", "<a b='1' b='2'/>", "<a/><b/>", "\x01"],
)
def test_a_large_request_is_well_formed(app: InProcessService, inner: str) -> None:
    app.heartbeat()
    answer = app.web.post(
        "/wps", data=execute(given("a" * 2 * MIB + inner)), content_type="text/xml"
    )
    assert answer.status_code == 400, answer.get_data()


def test_large_requests_take_turns(app: InProcessService) -> None:
    """Beyond a few that wait, one is told to come later; small ones do not wait."""
    places = [limits._queue.acquire(blocking=False) for _ in range(9)]
    try:
        body = execute(given("a" * 2 * MIB))
        busy = app.web.post("/wps", data=body, content_type="text/xml")
        assert (busy.status_code, busy.headers["Retry-After"]) == (503, "30")
        app.forget(app.accept())
    finally:
        for _ in range(sum(places)):
            limits._queue.release()
    assert not limits._turn.locked()


def test_a_process_sees_a_large_text(tmp_path: Path) -> None:
    with HpcServer(tmp_path) as server:
        text = "\U0001f600 <&>\n" * 600_000
        answer = client.execute_raw(
            server.url, "texts", [("text", client.Complex(text))], client.Output("seen")
        )
        assert answer.status == 200, answer.content[:500]
        assert json.loads(answer.content) == text
        bad = f"{'!' * 2 * MIB}"
        document = execute(given(bad, attributes=BASE64)).encode()
        ended = client.await_end(client.location_of(client.send(server.url, document)))
        assert "it is not valid base64" in client.message_of(ended)


BOMBS = {
    "attributes": b"<a" + b"".join(b" b%x=''" % i for i in range(300_000)) + b"/>",
    "elements": b"<a/>" * 900_000,
    "text": b"a" * 30 * MIB,
}


@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.parametrize("state", [State.RUNNING, State.SUCCEEDED])
def test_no_poll_parses_what_a_process_made_large(
    app: InProcessService, bomb: str, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = app.accept()
    document = job.status.read_bytes()
    outcome.Report(job.job_id, "repeat_2", "started").write(job)
    row = dataclasses.replace(app.row(job), state=state)
    parsed: list[int] = []
    tree = status_xml._tree

    def counted(text: bytes, **how: Any) -> Any:
        parsed.append(len(text))
        return tree(text, **how)

    ending = b"</wps:ExecuteResponse>"
    for large in (
        document.replace(ending, BOMBS[bomb] + ending),
        document.replace(b"<wps:Process ", BOMBS[bomb] + b"<wps:Process "),
    ):
        job.status.write_bytes(large)
        monkeypatch.setattr(status_xml, "_tree", counted)
        shown = status.status_document(look(row, job, scheduler="local"), job)
        assert sum(parsed) < 100_000
        assert shown == large if state is State.SUCCEEDED else b"ProcessStarted" in shown
        monkeypatch.undo()
    app.forget(job)


@pytest.mark.parametrize("markup", [b"<?xml-stylesheet href='a'?>", b"<!DOCTYPE a>", b"<?php a?>"])
def test_a_large_result_has_no_markup_that_a_browser_would_follow(
    app: InProcessService, markup: bytes
) -> None:
    job = app.accept()
    row = dataclasses.replace(app.row(job), state=State.SUCCEEDED)
    job.status.write_bytes(markup + job.status.read_bytes()[38:] + b" " * status_xml.POLLED)
    assert markup not in status.status_document(look(row, job, scheduler="local"), job)
    app.forget(job)
