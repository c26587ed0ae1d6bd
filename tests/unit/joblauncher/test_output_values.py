"""What a process gives as a value is what a client gets, in a form that its type has; what nobody
can be given is told in words."""

from __future__ import annotations

import array
import base64
import datetime
import json
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pytest
from lxml import etree
from pywps import BoundingBoxOutput, ComplexOutput, Format, LiteralOutput
from pywps.app.exceptions import ProcessError
from pywps.inout.basic import BasicBoundingBox
from pywps.inout.outputs import MetaFile
from pywps.inout.storage.file import FileStorage

from joblauncher import outputs, runner
from joblauncher.shared import execute_document, output_values
from joblauncher.shared.jobdir import JobDir
from joblauncher.shared.literal_text import text
from joblauncher.shared.status_xml import WPS

PLAIN, JSON = Format("text/plain", extension=".txt"), Format("application/json")
XML = Format("application/xml", extension=".xml")


def complex_output(folder: Path, form: Format = PLAIN) -> Any:
    output = ComplexOutput("doc", "Doc", [form])
    output.workdir = str(folder)
    return output


def element(facts: dict[str, Any]) -> Any:
    """The element that holds the value of an output in a document."""
    described = {"identifier": "doc", "title": "Doc", "abstract": "", "version": "1"}
    document = execute_document.written(
        {
            "language": "en-US",
            "service_instance": "http://example.org/wps",
            "process": described,
            "status": {"status": "succeeded", "time": "now", "message": ""},
            "outputs": [described | facts],
        }
    )
    data = etree.fromstring(document.encode()).find(f".//{{{WPS}}}Data")
    return data[0]


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (True, "true"), (False, "false"), (math.nan, "NaN"), (math.inf, "INF"), (-math.inf, "-INF"),
        (0.1 + 0.2, "0.30000000000000004"), (-0.0, "-0.0"), (0, "0"), ("  a\n", "  a\n"),
        (urlparse("http://x/a b?c=1&d=2"), "http://x/a b?c=1&d=2"),
        (datetime.datetime(2020, 1, 2, 3, 4), "2020-01-02T03:04:00"),
        (datetime.time(3, 4, 5, tzinfo=datetime.timezone.utc), "03:04:05+00:00"),
        ("a\r\nb]]>&<c>", "a\r\nb]]>&<c>"),
    ],
)  # fmt: skip
def test_a_literal_value_has_the_form_of_its_type(value: Any, written: str) -> None:
    assert text(value) == written
    facts = {"type": "literal", "data": value}
    kept = output_values.plain(facts)["data"]
    json.dumps(kept, allow_nan=False)
    assert text(kept) == written


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (True, "True"), (datetime.datetime(2020, 1, 2, 3, 4), "2020-01-02 03:04:00"), (0.5, "0.5"),
        (urlparse("http://x/a b?c=1&d=2"), "http://x/a b?c=1&d=2"),
        ("a\r\nb]]>&<c>", "a\r\nb]]>&<c>"),
    ],
)  # fmt: skip
def test_a_literal_value_in_wps_1_0_is_as_pywps_writes_it_but_for_addresses(
    value: Any, written: str
) -> None:
    assert element({"type": "literal", "data": value}).text == written


@pytest.mark.parametrize(
    "content", ["a\r\nb\rc\n", "a ]]> b\r", "<b>&amp;</b>\r\n", "plain", "{'a': \"<\"}", "\ufeffa"]
)
def test_complex_text_comes_out_of_the_document_as_it_was(content: str) -> None:
    for data in (content, f"<![CDATA[{content}]]>"):
        if "]]>" in content and data != content:
            continue
        found = element({"type": "complex", "mimetype": "text/plain", "data": data})
        assert (found.text, found.get("encoding")) == (content, None)


@pytest.mark.parametrize("content", ["a\x00b", "\x1b[1m", "a\x0cb\r\n"])
def test_text_that_xml_cannot_hold_is_told_in_base64(content: str) -> None:
    data = f"<![CDATA[{content}]]>"
    found = element({"type": "complex", "mimetype": "text/plain", "data": data})
    assert found.get("encoding") == "base64"
    assert base64.b64decode(found.text).decode() == content


def test_python_s_own_data_are_written_as_json(tmp_path: Path) -> None:
    value = {"a": [1, None, True], "é": "<]]>"}
    facts = {"type": "complex", "mimetype": "application/json", "data": value}
    assert json.loads(element(facts).text) == value
    assert json.loads(output_values.plain(facts)["data"]) == value
    output = complex_output(tmp_path, JSON)
    output.data = value
    assert output_values.fault(output) == ""


@pytest.mark.parametrize("value", [(n for n in "abc"), object(), {"a": object()}])
def test_a_value_that_is_no_data_is_told(tmp_path: Path, value: Any) -> None:
    output = complex_output(tmp_path)
    output.data = value
    assert "neither text nor bytes" in output_values.fault(output)


def test_a_literal_output_without_a_value_was_not_set() -> None:
    output = LiteralOutput("word", "Word", data_type="string")
    for data in (None, None):
        assert output_values.fault(output) == "output word: it was not set"
        output.data = data
    output.data = ""
    assert output_values.fault(output) == ""


@pytest.mark.parametrize(
    ("numbers", "dimensions", "words"),
    [
        ([1, 2, 3, 4], 2, ""), ([1, 2, 3, 4, 5, 6], 3, ""), (None, 2, "it was not set"),
        ([1, 2, 3], 2, "has 4 coordinates"), ([1, 2, 3, 4, 5, 6], 2, "has 4 coordinates"),
        ([1, 2, 3, math.nan], 2, "is not a number"), ([1, 2, math.inf, 4], 2, "is not a number"),
    ],
)  # fmt: skip
def test_a_box_has_its_coordinates(numbers: Any, dimensions: int, words: str) -> None:
    output = BoundingBoxOutput("box", "Box", ["EPSG:4326"], dimensions=dimensions)
    output.data = numbers
    found = output_values.fault(output)
    assert words in found
    assert bool(words) == bool(found)


@pytest.mark.parametrize("numbers", [(1, 2, 3, 4), array.array("d", [1, 2, 3, 4]), range(1, 5)])
def test_a_box_is_taken_from_any_sequence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, numbers: Any
) -> None:
    for owner, name in (
        (BasicBoundingBox, "data"), (MetaFile, "name"), (FileStorage, "_do_store"),
        (FileStorage, "url"), (FileStorage, "location"), (FileStorage, "write"),
    ):  # fmt: skip
        monkeypatch.setattr(owner, name, vars(owner)[name])
    outputs.install(JobDir(tmp_path))
    output = BoundingBoxOutput("box", "Box", ["EPSG:4326"])
    output.data = numbers
    assert (output.data, output_values.fault(output)) == ([1, 2, 3, 4], "")


def test_the_mask_of_a_process_is_not_that_of_its_documents(tmp_path: Path) -> None:
    mask = os.umask(0o022)
    try:
        runner._alone(lambda: os.umask(0o777))()
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(mask)


def test_a_file_that_is_named_by_a_url_is_that_file(tmp_path: Path) -> None:
    file = tmp_path / "a b.txt"
    file.write_text("here")
    output = complex_output(tmp_path)
    output.url = file.as_uri()
    output_values.settle(output)
    assert (output.prop, output.file, output_values.fault(output)) == ("file", str(file), "")
    file.unlink()
    assert output_values.fault(output) == "output doc: its file does not exist"
    for url in ("http://x.example/a", "http://[/a"):
        elsewhere = complex_output(tmp_path)
        elsewhere.url = url
        output_values.settle(elsewhere)
        assert elsewhere.prop == "url"


@pytest.mark.parametrize(
    "content",
    [
        "<?xml version='1.0' encoding='ISO-8859-1'?><a>é</a>".encode("latin-1"),
        "<?xml version='1.0' encoding='UTF-16'?><a>é</a>".encode("utf-16"),
        "<?xml version='1.0'?><!DOCTYPE a [<!ENTITY e 'é'>]><a>&e;</a>".encode(),
        "<a>é</a>".encode(),
    ],
)
def test_a_document_in_any_encoding_can_stand_in_another_one(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "x.xml").write_bytes(content)
    output = complex_output(tmp_path, XML)
    output.file = str(tmp_path / "x.xml")
    etree.set_default_parser(etree.XMLParser(resolve_entities=False))  # as a process may
    try:
        found = output_values.xml_text(output)
    finally:
        etree.set_default_parser(None)
    assert etree.fromstring(f"<outer>{found}</outer>")[0].text == "é"


def test_a_document_that_is_not_well_formed_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.xml").write_text("<a><b></a>")
    output = complex_output(tmp_path, XML)
    assert output_values.xml_text(output) is None  # not set yet
    output.file = str(tmp_path / "x.xml")
    with pytest.raises(ProcessError, match="output doc: it is not well-formed XML"):
        output_values.xml_text(output)


def _raise() -> None:
    raise ValueError("in the copy")


@pytest.mark.parametrize(
    ("act", "code"),
    [
        (lambda: None, 0), (_raise, 1), (lambda: sys.exit(3), 3), (lambda: sys.exit(), 0),
        (lambda: sys.exit("words"), 1),
    ],
)  # fmt: skip
def test_what_a_handler_forks_ends_where_it_would_come_back(
    act: Callable[[], None], code: int
) -> None:
    here = os.getpid()

    def handler() -> int:
        copy = os.fork()
        if copy == 0:
            act()
            return -1
        return os.waitstatus_to_exitcode(os.waitpid(copy, 0)[1])

    try:
        found = runner._alone(handler)()
    finally:
        if os.getpid() != here:  # the copy came back
            os._exit(99)
    assert found == code
