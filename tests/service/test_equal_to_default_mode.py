"""Whatever a client asks for, it gets what the same service in PyWPS's default mode would answer.

Both servers run the same processes with the same configuration. Documents are compared in canonical
form, outputs as bytes; only what must differ (ids, times, addresses) is taken out, see
:func:`wps_client.normalise`, and where PyWPS's documents are not those of the standard, the
standard wins, see :mod:`corrected_pywps`. All requests of this module are sent side by side
beforehand, a few at a time; a test waits for its own.
"""

from __future__ import annotations

import base64
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

import corrected_pywps
import wps_client as client
from servers import DefaultServer, HpcServer, Server
from wps_client import Answer, Box, Complex, Inputs, Literal, Output, Reference

HEADERS = {"X-Team": "glaciers"}
#: For the servers of this module: inputs by reference come from this host.
SECTIONS = {"hpc": {"pass_headers": "X-Team"}, "hpc.inputs": {"allowed_networks": "127.0.0.0/8"}}
PEAK_FORMATS = ("text/csv", "application/json", "application/xml")


@dataclass(frozen=True)
class Case:
    """A process, what goes in, and what is asked for; ``{file}`` and ``{web}`` are filled in."""

    name: str
    process: str
    inputs: Inputs = ()
    outputs: Sequence[Output] = ()
    raw: str = "result"

    def __str__(self) -> str:
        return self.name


LITERALS: Inputs = (
    ("length", Literal("2.5", "feet")),
    ("day", "2011-02-03"),
    ("link", "http://example.org/a?b=c&d=e"),
    ("clock", "12:30:00"),
    ("moment", "2012-12-31T06:30:00Z"),
    ("flag", "true"),
    ("count", "2"),
    ("ratio", "0.25"),
)
TEXTS = {
    "lines": "first\n\n  third, indented\tand tabbed\nlast\n",
    "cdata-end": "if (a[b[0]]>1) { }\nsecond ]]> third\n",
    "markup": "<script>&amp; 'quoted' \"twice\"</script>",
    "signs": "Sněžka, Ærø, 北京, 🏔 \u2028 end",
    "spaces": "   around   ",
    "long": "0123456789abcdef\n" * 20_000,
}
CASES = [
    Case("constructor-arguments", "scaled_kilo", [("value", "2500")]),
    Case("same-class-other-arguments", "scaled_percent", [("value", "0.5")]),
    Case("factory", "repeat_2", [("text", "ab ")]),
    Case("dynamic-class", "dynamic", [("text", "abc")]),
    Case("lambda-and-closures", "closure", [("text", "abc")]),
    Case("several-values", "joined", [("text", "a"), ("text", "b b"), ("text", "c")]),
    Case("partial", "partial", [("text", "x")]),
    Case("through-self", "through_self", [("text", "t")], raw="second"),
    Case(
        "box-in-metres",
        "box",
        [("area", Box((2.5e6, 1.4e6, 7.4e6, 5.5e6), "urn:ogc:def:crs:EPSG::3035"))],
        raw="crs",
    ),
    Case("box-in-degrees", "box", [("area", Box((-10.5, 30, 20, 60)))], raw="crs"),
    Case("literals", "literals", LITERALS, raw="kinds"),
    Case("optional-literal", "literals", [*LITERALS, ("colour", "red")], raw="colour"),
    *(
        Case(f"text-{name}", "texts", [("text", Complex(text))], raw="document")
        for name, text in TEXTS.items()
    ),
    *(
        Case(f"table-{kind}", "table", [], [Output("table", kind), Output("kind")], raw="table")
        for kind in PEAK_FORMATS
    ),
    Case("table-default-format", "table", [("kind", "hills")], raw="table"),
    Case("picture", "picture", raw="picture"),
    Case(
        "files",
        "files",
        [
            ("file", Complex("inline")),
            ("file", Complex(b"\x89PNG\x00\xff", "image/png")),
            ("file", Reference("{file}")),
            ("file", Reference("{web}")),
        ],
    ),
    Case("http-request", "request"),
    Case("own-configuration", "configuration"),
    Case("status-updates", "chatter", [("times", "40")]),
    Case("metalink", "collection", [("files", "3")], raw="collection"),
    Case("sleeper", "sleeper", [("seconds", "0.5")]),
]
BY_NAME = {case.name: case for case in CASES}
#: PyWPS shows the input's text inside CDATA without escaping its end: no document at all. It
#: shows the first of several values only, no unit, no reference, and a box with its axes swapped.
NO_LINEAGE = {
    *("text-cdata-end", "several-values", "literals", "optional-literal", "files"),
    *("box-in-metres", "box-in-degrees"),
}
#: PyWPS answers in the default format, whichever is asked for.
OTHER_FORMATS = {f"table-{kind}" for kind in PEAK_FORMATS[1:]}
COMPLEX = {"texts": ["document"], "table": ["table"], "picture": ["picture", "note"]}
REFERENCES = [
    replace(
        case,
        outputs=[
            Output(name, case.outputs[0].mimetype if case.outputs else "", as_reference=True)
            for name in COMPLEX[case.process]
        ],
    )
    for case in CASES
    if case.process in COMPLEX
] + [replace(BY_NAME["metalink"], outputs=[Output("collection", as_reference=True)])]

#: Asks one server and gives what is to be compared.
Question = Callable[[Server, Case], Any]


@dataclass(frozen=True)
class Trial:
    """One question about one case, for both servers."""

    ask: Question = field(repr=False)
    case: Case

    def __call__(self, server: Server) -> Any:
        return self.ask(server, self.case)


def trials(ask: Question, cases: Sequence[Case]) -> Any:
    """Parametrises a test; the fixture ``answers`` finds the trials there."""
    return pytest.mark.parametrize(
        "trial", [Trial(ask, case) for case in cases], ids=lambda t: t.case.name
    )


Pair = tuple[Any, Any]


@pytest.fixture(scope="module")
def answers(
    request: pytest.FixtureRequest, hpc_server: HpcServer, default_server: DefaultServer
) -> Iterator[Callable[[Trial], Pair]]:
    """Both servers' answers to a trial: ours, and default mode's."""
    wanted = [
        item.callspec.params["trial"]
        for item in request.session.items
        if isinstance(item, pytest.Function)
        and item.module is request.module
        and "trial" in getattr(getattr(item, "callspec", None), "params", {})
    ]
    for server in (hpc_server, default_server):
        (server.folder / "inputs" / "input.txt").write_text("from a file\n", encoding="utf-8")
    folder = str(hpc_server.folder / "inputs")
    web = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    threading.Thread(target=web.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{web.server_address[1]}/input.txt"
    # The last to be sent wait for the others: the order of the tests is that of the answers.
    with ThreadPoolExecutor(4) as ours, ThreadPoolExecutor(2) as defaults:
        futures: dict[int, tuple[Future[Any], Future[Any]]] = {}
        for trial in wanted:
            futures[id(trial)] = (
                ours.submit(trial.ask, hpc_server, fill(trial.case, hpc_server, address)),
                defaults.submit(
                    trial.ask, default_server, fill(trial.case, default_server, address)
                ),
            )

        def get(trial: Trial) -> Pair:
            first, second = futures[id(trial)]
            return first.result(timeout=240), second.result(timeout=240)

        yield get
        for pair in futures.values():
            for future in pair:
                future.cancel()
    web.shutdown()
    web.server_close()


class Quiet(SimpleHTTPRequestHandler):
    """A web server for an input by reference."""

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def fill(case: Case, server: Server, web: str) -> Case:
    """The case with the addresses of files."""
    known = {"{file}": (server.folder / "inputs" / "input.txt").as_uri(), "{web}": web}
    inputs = [
        (name, Reference(known[value.href]) if isinstance(value, Reference) else value)
        for name, value in case.inputs
    ]
    return replace(case, inputs=inputs)


def text_of(server: Server, document: bytes) -> str:
    """A document, to be compared."""
    default = isinstance(server, DefaultServer)
    return corrected_pywps.corrected(document) if default else corrected_pywps.canonical(document)


def compare_document(server: Server, document: bytes) -> Mapping[str, Any]:
    """What is compared of a response document: its text, its outputs, and what these refer to."""
    assert client.state_of(document) == "ProcessSucceeded", document
    default = isinstance(server, DefaultServer)
    outputs = client.outputs_of(corrected_pywps.values(document) if default else document)
    linked = [
        client.get(url).content
        for found in outputs.values()
        for url in _links(found.content if isinstance(found.content, str) else _text(found.content))
    ]
    return {
        "document": text_of(server, document),
        "outputs": {
            name: replace(found, content=_plain(found.content)) for name, found in outputs.items()
        },
        "linked": linked,
    }


def _links(content: str) -> list[str]:
    return re.findall(r"<metaurl[^>]*>([^<]+)</metaurl>", content)


def _text(content: bytes) -> str:
    return content.decode("utf-8", "replace")


def _plain(content: str | bytes) -> str | bytes:
    if isinstance(content, str):
        return client.normalise(content.encode())
    return client.normalise(content) if b"<metalink" in content else content


def compare_answer(server: Server, answer: Answer) -> Mapping[str, Any]:
    """What is compared of an answer, whatever it is."""
    if b"<wps:" in answer.content and answer.content_type.startswith("text/xml"):
        return {
            "status": answer.status,
            "type": answer.content_type,
            "content": text_of(server, answer.content),
        }
    return {
        "status": answer.status,
        "type": answer.content_type,
        "name": answer.headers.get("Content-Disposition"),
        "content": _plain(answer.content)
        if b"\0" in answer.content
        else client.normalise(answer.content),
    }


def asynchronous(server: Server, case: Case, **options: Any) -> Any:
    tolerant = isinstance(server, DefaultServer)  # its documents are cut now and then
    document = client.execute_async(
        server.url,
        case.process,
        case.inputs,
        case.outputs,
        headers=HEADERS,
        tolerant=tolerant,
        **options,
    )
    return compare_document(server, document)


def synchronous(server: Server, case: Case, **options: Any) -> Any:
    answer = client.execute_sync(
        server.url, case.process, case.inputs, case.outputs, headers=HEADERS, **options
    )
    return compare_document(server, answer.content) | {
        "status": answer.status,
        "type": answer.content_type,
    }


def raw(server: Server, case: Case, **options: Any) -> Any:
    mimetype = case.outputs[0].mimetype if case.outputs else ""
    answer = client.execute_raw(
        server.url,
        case.process,
        case.inputs,
        Output(case.raw, mimetype),
        headers=HEADERS,
        **options,
    )
    assert answer.status == 200, answer.content
    return compare_answer(server, answer)


def synchronous_json(server: Server, case: Case) -> Any:
    answer = client.execute_sync(
        server.url,
        case.process,
        case.inputs,
        case.outputs,
        headers=HEADERS | {"Accept": "application/json"},
    )
    assert b'"succeeded"' in answer.content, answer.content
    return compare_answer(server, answer)


def accepted(server: Server, case: Case, **headers: str) -> Any:
    document = client.execute_document(case.process, case.inputs, case.outputs, asynchronous=True)
    answer = client.send(server.url, document, headers)
    assert b"accepted" in answer.content, answer.content
    return compare_answer(server, answer)


def posted_json(server: Server, case: Case, path: str = "", **more: Any) -> Any:
    inputs: dict[str, list[Any]] = {}
    for name, value in case.inputs:
        inputs.setdefault(name, []).append(_json_input(value))
    content: Any = {"identifier": case.process, "inputs": inputs, **more}
    if path:
        content = inputs
    answer = client.send_json(f"{server.base}/{path or 'wps'}", content, HEADERS)
    assert answer.status == 200, answer.content
    return compare_answer(server, answer)


def _json_input(value: client.Value) -> Any:
    match value:
        case Literal(text, unit):
            return {"type": "literal", "data": text, "uom": unit}
        case Complex(bytes(content), mimetype):
            text = base64.b64encode(content).decode()
            return {"type": "complex", "data": text, "encoding": "base64", "mimeType": mimetype}
        case Complex(text, mimetype):
            return {"type": "complex", "data": text, "mimeType": mimetype}
        case Box(corners, crs):
            return {"type": "bbox", "bbox": list(corners), "crs": crs}
        case Reference(href, mimetype):
            return {"type": "reference", "href": href, "mimeType": mimetype}
    return value


Answers = Callable[[Trial], Pair]


@trials(asynchronous, CASES)
def test_final_status_document_is_equal(answers: Answers, trial: Trial) -> None:
    ours, default = answers(trial)
    assert ours == default


@trials(synchronous, CASES)
def test_synchronous_document_is_equal(answers: Answers, trial: Trial) -> None:
    ours, default = answers(trial)
    assert ours == default


@trials(raw, [case for case in CASES if case.name not in OTHER_FORMATS])
def test_raw_output_is_equal(answers: Answers, trial: Trial) -> None:
    ours, default = answers(trial)
    assert ours == default


@trials(partial(synchronous, lineage=True), [c for c in CASES if c.name not in NO_LINEAGE])
def test_synchronous_document_with_lineage_is_equal(answers: Answers, trial: Trial) -> None:
    ours, default = answers(trial)
    if trial.case.inputs:
        assert "<wps:DataInputs>" in ours["document"]
    assert ours == default


@trials(partial(asynchronous, lineage=True), [BY_NAME["sleeper"], BY_NAME["text-lines"]])
def test_final_status_document_with_lineage_is_equal(answers: Answers, trial: Trial) -> None:
    ours, default = answers(trial)
    assert ours == default


@trials(asynchronous, REFERENCES)
def test_outputs_by_reference_are_equal(answers: Answers, trial: Trial) -> None:
    ours, default = answers(trial)
    kinds = {found.kind for name, found in ours["outputs"].items() if name in _asked(trial.case)}
    assert kinds == {"Reference"}
    assert ours == default


@trials(synchronous, REFERENCES[-4:])
def test_outputs_by_reference_in_a_synchronous_document_are_equal(
    answers: Answers, trial: Trial
) -> None:
    ours, default = answers(trial)
    assert ours == default


@trials(partial(asynchronous, language="fr-CA"), [BY_NAME["constructor-arguments"]])
def test_document_in_another_language_is_equal(answers: Answers, trial: Trial) -> None:
    ours, default = answers(trial)
    assert ">En kilo</ows:Title>" in ours["document"]
    assert ours == default


@trials(
    synchronous_json,
    # A date among the literals is more than PyWPS's JSON can hold.
    [c for c in CASES if c.process in ("scaled_kilo", "box", "table", "texts", "joined")],
)
def test_document_as_json_is_equal(answers: Answers, trial: Trial) -> None:
    ours, default = answers(trial)
    assert ours == default


@trials(accepted, [BY_NAME["box-in-metres"], BY_NAME["text-lines"]])
def test_answer_accepted_is_equal(answers: Answers, trial: Trial) -> None:
    ours, default = answers(trial)
    assert 'statusLocation="STATUS"' in ours["content"]
    assert ours == default


@trials(partial(accepted, Accept="application/json"), [BY_NAME["factory"]])
def test_answer_accepted_as_json_is_equal(answers: Answers, trial: Trial) -> None:
    ours, default = answers(trial)
    assert ours == default


@trials(posted_json, [BY_NAME[n] for n in ("literals", "box-in-metres", "text-lines", "files")])
def test_request_in_json_is_answered_equally(answers: Answers, trial: Trial) -> None:
    ours, default = answers(trial)
    assert ours == default


@trials(
    partial(posted_json, outputs={"table": {"mimeType": "text/csv", "asReference": "true"}}),
    [BY_NAME["table-default-format"]],
)
def test_request_in_json_for_a_reference_is_answered_equally(
    answers: Answers, trial: Trial
) -> None:
    ours, default = answers(trial)
    assert ours == default


@trials(partial(posted_json, path="jobs/repeat_2"), [BY_NAME["factory"]])
def test_request_to_the_jobs_path_is_answered_equally(answers: Answers, trial: Trial) -> None:
    ours, default = answers(trial)
    assert ours == default


@trials(partial(posted_json, path="jobs/repeat_2/result"), [BY_NAME["factory"]])
def test_request_for_one_output_by_path_is_answered_equally(answers: Answers, trial: Trial) -> None:
    ours, default = answers(trial)
    assert ours["content"] == "ab ab "
    assert ours == default


QUERIED = [BY_NAME[n] for n in ("literals", "several-values", "http-request", "table-text/csv")]


@trials(partial(asynchronous, by_query=True), QUERIED)
def test_status_document_of_a_query_is_equal(answers: Answers, trial: Trial) -> None:
    ours, default = answers(trial)
    assert ours == default


@trials(partial(synchronous, by_query=True), QUERIED)
def test_synchronous_document_of_a_query_is_equal(answers: Answers, trial: Trial) -> None:
    ours, default = answers(trial)
    assert ours == default


@trials(partial(raw, by_query=True), QUERIED)
def test_raw_output_of_a_query_is_equal(answers: Answers, trial: Trial) -> None:
    ours, default = answers(trial)
    assert ours == default


def _asked(case: Case) -> set[str]:
    return {output.identifier for output in case.outputs}


REFUSED: Mapping[str, bytes] = {
    "unknown-process": client.execute_document("nobody"),
    "missing-input": client.execute_document("repeat_2"),
    "unknown-language": client.execute_document("request", language="tlh"),
    "stored-without-support": client.execute_document("closed", [("text", "x")], asynchronous=True),
    "not-xml": b"Execute",
}


@pytest.mark.parametrize("request_", REFUSED.values(), ids=REFUSED)
def test_refusal_is_equal(
    hpc_server: HpcServer, default_server: DefaultServer, request_: bytes
) -> None:
    ours, default = (
        compare_answer(server, client.send(server.url, request_))
        for server in (hpc_server, default_server)
    )
    assert ours["status"] >= 400
    assert ours == default


def test_a_refused_file_names_its_input(
    hpc_server: HpcServer, default_server: DefaultServer
) -> None:
    document = client.execute_document("files", [("file", Reference("file:///etc/passwd"))])
    ours, default = (
        compare_answer(server, client.send(server.url, document))
        for server in (hpc_server, default_server)
    )
    default["content"] = default["content"].replace('locator=""', 'locator="file"')
    assert ours == default


#: What names the parameter that is wrong, where PyWPS names another one or none.
WORDED: Mapping[str, tuple[bytes, str, str]] = {
    "not-a-number": (
        client.execute_document("scaled_kilo", [("value", "many")]),
        "value",
        "Could not convert value 'many' to format 'float'",
    ),
    "date-out-of-range": (
        client.execute_document("literals", [*LITERALS[:1], ("day", "2005-01-01"), *LITERALS[2:]]),
        "day",
        "input day: its value is none of those that are allowed.",
    ),
    "unknown-format": (
        client.execute_document("table", (), [Output("table", "image/tiff")]),
        "mimeType",
        "table: the format is not supported (mimeType 'image/tiff', encoding '', schema '').",
    ),
    "unknown-input-format": (
        client.execute_document("texts", [("text", Complex("x", "text/rtf"))]),
        "mimeType",
        "text: the format is not supported (mimeType 'text/rtf', encoding '', schema '').",
    ),
}


@pytest.mark.parametrize("name", WORDED)
def test_refusal_is_one_of_default_mode_too(
    hpc_server: HpcServer, default_server: DefaultServer, name: str
) -> None:
    request, locator, words = WORDED[name]
    ours, default = (client.send(server.url, request) for server in (hpc_server, default_server))
    assert ours.status == default.status == 400
    [exception] = client.etree.fromstring(ours.content)
    assert dict(exception.attrib) == {"exceptionCode": "InvalidParameterValue", "locator": locator}
    assert client.exception_of(ours.content) == words


@trials(raw, [BY_NAME[name] for name in sorted(OTHER_FORMATS)])
def test_raw_output_is_in_the_format_that_is_asked_for(answers: Answers, trial: Trial) -> None:
    ours, _ = answers(trial)
    [kind] = [output.mimetype for output in trial.case.outputs if output.mimetype]
    assert ours["type"].split(";")[0] == kind
    start = {"application/json": '{\n  "rows"', "application/xml": "<table><row><name>"}[kind]
    assert ours["content"].startswith(start)


@pytest.mark.parametrize(
    "query",
    [
        "service=WPS&request=DescribeProcess&version=1.0.0&identifier=all",
        "service=WPS&request=DescribeProcess&version=1.0.0&identifier=literals&language=fr-CA",
        "service=WPS&request=DescribeProcess&version=1.0.0&identifier=nobody",
        "service=WPS&request=GetCapabilities&acceptversions=9.9.9",
        "service=WPS&request=Dance",
    ],
)
def test_description_is_equal(
    hpc_server: HpcServer, default_server: DefaultServer, query: str
) -> None:
    ours, default = (
        compare_answer(server, client.get(server.url, query))
        for server in (hpc_server, default_server)
    )
    assert ours == default


def test_the_same_processes_are_offered(
    hpc_server: HpcServer, default_server: DefaultServer
) -> None:
    found = []
    for server in (hpc_server, default_server):
        whole = client.get(server.url, "service=WPS&request=GetCapabilities").content
        part = client.etree.fromstring(whole).find("wps:ProcessOfferings", client.NS)
        assert part is not None
        found.append(text_of(server, client.etree.tostring(part)))
    assert found[0].count("<ows:Identifier") > 20
    assert found[0] == found[1]
