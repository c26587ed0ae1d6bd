"""Requests are read as WPS 1.0.0 has them: what is not understood is refused, never left out."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from lxml import etree
from pywps.exceptions import NoApplicableCode

from in_process_service import InProcessService, open_service
from pywps_hpc.web import accept as processing
from wps_client import OWS, WPS, XLINK

POINT = "<gml:Point xmlns:gml='http://www.opengis.net/gml'><gml:pos>1 2</gml:pos></gml:Point>"
GML = 'mimeType="text/xml; subtype=gml/3.1.1"'
STORED = 'storeExecuteResponse="true" status="true"'


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcessService]:
    with open_service(tmp_path_factory.mktemp("app")) as opened:
        import typed

        opened.web.application.processes.update(typed.service.processes)  # type: ignore[attr-defined]
        yield opened


Ask = Callable[..., Any]


@pytest.fixture
def ask(app: InProcessService, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """What reaches the process ``tell`` by a request; or the exception report's words."""
    seen: list[Any] = []

    def record(_service: Any, _job: Any, process: Any, request: Any, *_: Any) -> Any:
        processing.is_asynchronous(process, request)
        seen.append((process, request))
        raise NoApplicableCode("seen", code=418)

    monkeypatch.setattr(processing, "record", record)

    def run(content: Any = None, query: str = "") -> Any:
        seen.clear()
        app.heartbeat()
        if content is None:
            answer = app.web.get(f"/wps?{query}")
        elif isinstance(content, dict):
            answer = app.web.post("/wps", json=content)
        else:
            answer = app.web.post("/wps", data=content, content_type="text/xml")
        if answer.status_code == 418:
            return seen[0]
        assert answer.status_code in (400, 501), answer.get_data()
        [exception] = etree.fromstring(answer.get_data()).iter(f"{{{OWS}}}Exception")
        assert exception.get("exceptionCode") in (
            "InvalidParameterValue", "MissingParameterValue", "NoApplicableCode",
            "VersionNegotiationFailed", "OperationNotSupported", "StorageNotSupported",
        )  # fmt: skip
        return " ".join("".join(str(part) for part in exception.itertext()).split())

    return run


def execute(inputs: str = "", form: str = "", outer: str = "", process: str = "tell") -> str:
    return (
        f'<wps:Execute xmlns:wps="{WPS}" xmlns:ows="{OWS}" xmlns:xlink="{XLINK}" service="WPS" '
        f'version="1.0.0" {outer}><ows:Identifier>{process}</ows:Identifier>'
        f"<wps:DataInputs>{inputs}</wps:DataInputs>{form}</wps:Execute>"
    )


def given(name: str, form: str) -> str:
    return f"<wps:Input><ows:Identifier>{name}</ows:Identifier>{form}</wps:Input>"


def literal(name: str, value: str, attributes: str = "") -> str:
    data = f"<wps:LiteralData {attributes}>{value}</wps:LiteralData>"
    return given(name, f"<wps:Data>{data}</wps:Data>")


def complex_(value: str, attributes: str = 'mimeType="text/plain"') -> str:
    data = f"<wps:ComplexData {attributes}>{value}</wps:ComplexData>"
    return given("doc", f"<wps:Data>{data}</wps:Data>")


def box(lower: str, upper: str, attributes: str = "", name: str = "box") -> str:
    corners = (
        f"<ows:LowerCorner>{lower}</ows:LowerCorner><ows:UpperCorner>{upper}</ows:UpperCorner>"
    )
    data = f"<wps:BoundingBoxData {attributes}>{corners}</wps:BoundingBoxData>"
    return given(name, f"<wps:Data>{data}</wps:Data>")


def document(attributes: str = "", outputs: str = "") -> str:
    inside = f"<wps:ResponseDocument {attributes}>{outputs}</wps:ResponseDocument>"
    return f"<wps:ResponseForm>{inside}</wps:ResponseForm>"


def output(name: str, attributes: str = "", tag: str = "Output") -> str:
    return f"<wps:{tag} {attributes}><ows:Identifier>{name}</ows:Identifier></wps:{tag}>"


def raw(name: str, attributes: str = "") -> str:
    return f"<wps:ResponseForm>{output(name, attributes, 'RawDataOutput')}</wps:ResponseForm>"


def kvp(inputs: str = "", **more: str) -> str:
    query = "service=WPS&version=1.0.0&request=Execute&identifier=tell"
    return f"{query}&DataInputs={inputs}" + "".join(f"&{k}={v}" for k, v in more.items())


def value(found: Any, name: str) -> Any:
    assert not isinstance(found, str), found
    values = [item.data for item in found[1].inputs[name]]
    return values[0] if len(values) == 1 else values


# XML


@pytest.mark.parametrize(
    ("inputs", "name", "right"),
    [
        (literal("strings", "abc<!-- note -->def<?pi x?>g"), "strings", "abcdefg"),
        (literal("strings", ""), "strings", ""),
        (given("strings", "<wps:Data><wps:LiteralData/></wps:Data>"), "strings", ""),
        (literal("strings", "  a  b "), "strings", "  a  b "),
        (literal("strings", "<![CDATA[a<b]]>&amp;"), "strings", "a<b&"),
        (literal("strings", "None"), "strings", "None"),
        (literal("\n strings\t", "x"), "strings", "x"),
        (literal("<!-- the text -->strings", "x"), "strings", "x"),
        (literal("floats", "\n 2.5 "), "floats", 2.5),
        (literal("floats", "2", 'dataType="xs:Double" uom=""'), "floats", 2.0),
        (literal("floats", "2", 'dataType="urn:ogc:def:dataType:OGC:1.1:string"'), "floats", 2.0),
        (literal("booleans", " 1 "), "booleans", True),
        (literal("booleans", "0"), "booleans", False),
        (literal("booleans", "True"), "booleans", True),
        (literal("integers", "1e3"), "integers", 1000),
        (literal("integers", "-7.0"), "integers", -7),
        (literal("integers", "9007199254740992"), "integers", 9007199254740992),
        (complex_(f"<!-- by hand -->{POINT}<!-- end -->", GML), "doc", POINT),
        (complex_(f"\n  {POINT}\n  ", GML), "doc", POINT),
        (complex_("a,b\n<!-- row -->1,2\n"), "doc", "a,b\n1,2\n"),
        (complex_(""), "doc", ""),
        (complex_("x", 'mimeType="" encoding="" schema=""'), "doc", "x"),
        (complex_("x", 'mimeType="text/plain; Charset=UTF-8"'), "doc", "x"),
        (complex_("AP8=", 'mimeType="image/tiff" encoding="base64"'), "doc", b"\x00\xff"),
        (complex_("\n AP\n 8= ", 'mimeType="image/tiff" encoding="BASE64"'), "doc", b"\x00\xff"),
        (complex_("AP8=", 'mimeType="image/tiff"'), "doc", b"\x00\xff"),
        (complex_("x", 'mimeType="text/plain" encoding="UTF-8"'), "doc", "x"),
        (box("1 2", "3 4", 'crs="EPSG:3035" dimensions="2"'), "box", [2, 1, 4, 3]),
        (box("1 2", "3 4", 'crs="urn:ogc:def:crs:EPSG:6.6:4326"'), "box", [2, 1, 4, 3]),
        (box("1\n2", " 3 4e0 "), "box", [1, 2, 3, 4]),
    ],
)  # fmt: skip
def test_what_xml_says_reaches_the_process(ask: Ask, inputs: str, name: str, right: Any) -> None:
    found = value(ask(execute(inputs)), name)
    if isinstance(found, str) and found.startswith("<gml:Point"):
        found = etree.canonicalize(found)
        right = etree.canonicalize(right)
    assert found == right


def test_an_any_uri_has_no_white_space_around_it(ask: Ask) -> None:
    found = value(ask(execute(literal("anyURIs", "\n  http://x.example/a\n  "))), "anyURIs")
    assert found.geturl() == "http://x.example/a"


def test_identifiers_of_process_and_output_have_no_white_space_around_them(ask: Ask) -> None:
    form = document(outputs=output("\n  seen\t"))
    found = ask(execute(literal("strings", "a"), form, process=" tell\n"))
    assert value(found, "strings") == "a"
    assert list(found[1].outputs) == ["seen"]


def test_each_value_of_an_input_reaches_the_process(ask: Ask) -> None:
    inputs = literal("strings", "a") + literal("booleans", "1") + literal("strings", "b")
    found = ask(execute(inputs))
    assert value(found, "strings") == ["a", "b"]
    assert value(found, "booleans") is True


def test_a_unit_is_the_one_that_is_given_or_the_default(ask: Ask) -> None:
    for attributes, right in (
        ('uom="feet"', "feet"), ('uom="urn:ogc:def:uom:EPSG::9002"', "feet"), ("", "metre"),
    ):  # fmt: skip
        [found] = ask(execute(literal("length", "1", attributes)))[1].inputs["length"]
        assert found.uom == right
        assert found.uom.json["uom"] == right


def test_a_crs_is_the_one_that_is_given_or_the_default(ask: Ask) -> None:
    urn = "urn:ogc:def:crs:EPSG::3035"
    for attributes, right in (
        ('crs="EPSG:3035"', urn), ('crs="http://www.opengis.net/def/crs/EPSG/0/3035"', urn),
        ("", "EPSG:4326"),
    ):  # fmt: skip
        [found] = ask(execute(box("1 2", "3 4", attributes)))[1].inputs["box"]
        assert (found.crs, found.dimensions) == (right, 2)
    [found] = ask(execute(box("1 2 3", "4 5 6", 'dimensions="3"', "cube")))[1].inputs["cube"]
    assert found.data == [1, 2, 3, 4, 5, 6]


def test_a_format_is_chosen_by_all_that_names_it(ask: Ask) -> None:
    for attributes, right in (
        (GML, ".gml"), (f'{GML} schema="http://schemas.example/kml"', ".kml"),
        ('mimeType="Text/XML;subtype=gml/3.1.1"', ".gml"), ("", ".txt"),
    ):  # fmt: skip
        [found] = ask(execute(complex_(POINT, attributes)))[1].inputs["doc"]
        assert found.data_format.extension == right


@pytest.mark.parametrize(
    ("document_", "words"),
    [
        (execute(literal("nothing", "x")), "has no input 'nothing'"),
        (execute("".join(literal("strings", "x") for _ in range(4))), "at most 3 are allowed"),
        (execute(literal("length", "1", 'uom="mile"')), "the unit mile is not supported"),
        (execute(literal("strings", "1", 'uom="metre"')), "the unit metre is not supported"),
        (execute(literal("strings", "1", 'datatype="string"')), "datatype is not allowed"),
        (execute(literal("floats", "1", 'dataType="xs:date"')), "is of type float, not xs:date"),
        (execute(literal("strings", "", 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
                         'xsi:nil="true"')), "nil is not allowed in LiteralData"),
        (execute().replace("<ows:Identifier>", '<ows:Identifier x="y">'), "not allowed in Ident"),
        (execute(literal("strings", "a<b/>")), "LiteralData holds text, not b"),
        (execute(literal("booleans", "maybe")), "Could not convert value 'maybe'"),
        (execute(literal("booleans", "")), "Could not convert value ''"),
        (execute(literal("integers", "1.7")), "Could not convert value '1.7'"),
        (execute(literal("integers", "9007199254740993")), "Could not convert value '9007"),
        (execute(literal("integers", "1_000")), "Could not convert value '1_000'"),
        (execute(literal("integers", "1e400")), "Could not convert value '1e400'"),
        (execute(literal("positiveIntegers", "0")), "Could not convert value '0'"),
        (execute(literal("dates", "10")), "Could not convert value '10'"),
        (execute(literal("dates", "2011-02-03T12:00:00")), "Could not convert value"),
        (execute(literal("times", "noon")), "Could not convert value 'noon'"),
        (execute(literal("doc", "x")), "takes complex data, not a literal value"),
        (execute(literal("box", "1,2,3,4")), "takes a bounding box, not a literal value"),
        (execute(given("strings", "<wps:Data><wps:ComplexData>x</wps:ComplexData></wps:Data>")),
         "takes a literal value, not complex data"),
        (execute(given("strings", '<wps:Reference xlink:href="http://x.example/"/>')),
         "cannot be a reference"),
        (execute(given("doc", '<wps:Reference href="http://x.example/"/>')), "it is xlink:href"),
        (execute(given("doc", "<wps:Reference/>")), "has no xlink:href"),
        (execute(given("doc", '<wps:Reference xlink:href="http://x.example/"><wps:Body>x'
                              "</wps:Body></wps:Reference>")), "with a body has method POST"),
        (execute(given("doc", "")), "has no Data or Reference"),
        (execute(given("doc", "<wps:Data/>")), "Data has no LiteralData, ComplexData or Bound"),
        (execute(given("doc", "<wps:Data><wps:LiteralData/><wps:ComplexData/></wps:Data>")),
         "Data has more than"),
        (execute(complex_(POINT + POINT, GML)), "more than one element"),
        (execute(complex_("text" + POINT, GML)), "an element and text"),
        (execute(complex_("x", 'mimeType="text/rtf"')), "the format is not supported"),
        (execute(complex_("x", 'mimeType="text/plain" schema="x"')), "the format is not supported"),
        (execute(complex_("x", 'mimeType="text/plain" encoding="gzip"')), "format is not support"),
        (execute(complex_("A?8=", 'mimeType="image/tiff" encoding="base64"')), "not valid base64"),
        (execute(complex_("=", 'mimeType="image/tiff" encoding="base64"')), "not valid base64"),
        (execute(complex_("QQ==Q", 'mimeType="image/tiff" encoding="base64"')), "not valid base64"),
        (execute(complex_("x", 'mimetype="text/plain"')), "mimetype is not allowed"),
        (execute(box("1 2", "3 4", 'crs="EPSG:3857"')), "EPSG::3857 is not supported"),
        (execute(box("1 2", "3 4", 'crs="nonsense"')), "CRS nonsense is not supported"),
        (execute(box("1 2", "3")), "corners do not match"),
        (execute(box("1 x", "3 4")), "is not a number"),
        (execute(box("1 2", "3 4", 'dimensions="3"')), "not have the 3 dimensions given"),
        (execute(box("1 2 3", "3 4 5")), "a box of 2 dimensions is required"),
        (execute("stray"), "DataInputs has text where none is allowed"),
        (execute("<wps:Inputs/>"), "Inputs is not allowed in DataInputs"),
        (execute(literal("", "x")), "An Identifier is empty"),
        (execute(outer='store="true"'), "The attribute store is not allowed in Execute"),
        (execute(form="<wps:ResponseForm/>"), "has no ResponseDocument or RawDataOutput"),
        (execute(form=document(outputs=output("nothing"))), "has no output 'nothing'"),
        (execute(form=document(outputs=output("seen") * 2)), "is asked for twice"),
        (execute(form=document('store="true"')), "store is not allowed in ResponseDocument"),
        (execute(form=document('lineage="yes"')), "lineage is either true or false"),
        (execute(form=document('status="true"')), "needs storeExecuteResponse=true"),
        (execute(form=document(outputs=output("seen", 'asReference="on"'))), "asReference is eith"),
        (execute(form=document(outputs=output("doc", 'mimeType="text/rtf"'))), "not supported"),
        (execute(form=document(outputs=output("doc", 'mimeType="image/tiff" encoding="gzip"'))),
         "not supported"),
        (execute(form=document(outputs=output("seen", 'mimeType="image/png"'))), "as text only"),
        (execute(form=document(outputs=output("length", 'uom="mile"'))), "unit mile is not"),
        (execute(form=raw("seen", 'asReference="true"')), "asReference is not allowed"),
        (execute(form=raw("nothing")), "has no output 'nothing'"),
        (execute(form=document(STORED), process="shut"), "does not support the storing"),
        (execute(form=document(outputs=output("seen", 'asReference="1"')), process="shut"),
         "storage of data is not supported"),
    ],
)  # fmt: skip
def test_what_xml_says_wrongly_is_refused(ask: Ask, document_: str, words: str) -> None:
    assert words in ask(document_)


@pytest.mark.parametrize("text", ["true", "1", "True", " true "])
def test_flags_are_booleans_of_xml_schema(ask: Ask, text: str) -> None:
    flags = f'storeExecuteResponse="{text}" status="{text}" lineage="{text}"'
    outputs = output("seen", f'asReference="{text}"') + output("doc", 'asReference="0"')
    process, request = ask(execute(form=document(flags, outputs)))
    assert (request.store_execute, request.status, request.lineage) == ("true",) * 3
    by_reference = {item.identifier for item in process.outputs if item.as_reference}
    assert by_reference == {"seen"}


def test_an_output_has_the_format_that_is_asked_for(ask: Ask) -> None:
    tiff = 'mimeType="image/tiff"'
    for form in (document(outputs=output("doc", tiff)), raw("doc", tiff)):
        process, _ = ask(execute(form=form))
        [found] = [item for item in process.outputs if item.identifier == "doc"]
        assert found.data_format.mime_type == "image/tiff"


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("wps:", "x:").replace(":wps=", ":x="),
        lambda text: (
            text.replace("wps:", "").replace("xmlns:wps=", "xmlns=").replace("xmlns=", "xmlns=", 1)
        ),
        lambda text: text.replace(
            'service="WPS"',
            'service="WPS" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
            f'xsi:schemaLocation="{WPS} http://schemas.opengis.net/x.xsd" xml:lang="en"',
        ),
        lambda text: text.replace(
            'service="WPS"',
            'service="WPS" xmlns:xsi="http://www.w3.org/2001/XMLSchema-INSTANCE" xsi:type="x"',
        ),
        lambda text: "<?xml version='1.0'?><!-- by a client --><?x y?>" + text + "<!-- end -->",
        lambda text: text.replace(
            "<ows:Identifier>strings</ows:Identifier>",
            "<ows:Identifier>strings</ows:Identifier><ows:Title>T</ows:Title><ows:Abstract/>",
        ),
        lambda text: text.replace("><", ">\n  <!-- a --><"),
    ],
)
def test_documents_of_other_writers_mean_the_same(ask: Ask, change: Callable[[str], str]) -> None:
    plain = execute(literal("strings", "x"), document("", output("seen")))
    found = ask(change(plain))
    assert value(found, "strings") == "x"
    assert list(found[1].outputs) == ["seen"]


# Key-value pairs


@pytest.mark.parametrize(
    ("inputs", "right"),
    [
        ("strings=a%3Db", "a=b"),
        ("strings=a%3Bb", "a;b"),
        ("strings=me%40x.org", "me@x.org"),
        ("strings=a%2Bb", "a+b"),
        ("strings=a+b", "a b"),
        ("strings=a%2525", "a%25"),
        ("strings=a=b==", "a=b=="),
        ("strings=", ""),
        ("strings=%C3%A9", "é"),
        ("strings=a;strings=b;", ["a", "b"]),
        # The whole value encoded, as URL libraries do, and what is within it once more.
        (quote("strings=a", safe=""), "a"),
        (quote("strings=a%3Db%3Bc%40d;strings=e f", safe=""), ["a=b;c@d", "e f"]),
    ],
)
def test_what_a_query_says_reaches_the_process(ask: Ask, inputs: str, right: Any) -> None:
    assert value(ask(query=kvp(inputs)), "strings") == right


def test_attributes_of_a_query_s_inputs_reach_the_process(ask: Ask) -> None:
    def one(inputs: str, name: str) -> Any:
        [found] = ask(query=kvp(inputs))[1].inputs[name]
        return found

    found = one("box=46,102,47,103,EPSG:4326,2", "box")
    assert (found.data, found.crs, found.dimensions) == ([46, 102, 47, 103], "EPSG:4326", 2)
    found = one("box=46,102,47,103,urn%3Aogc%3Adef%3Acrs%3AEPSG%3A%3A3035", "box")
    assert (found.crs, found.dimensions) == ("urn:ogc:def:crs:EPSG::3035", 2)
    found = one("box=1,2,3,4", "box")
    assert (found.crs, found.dimensions) == ("EPSG:4326", 2)
    assert one("length=1@UOM=feet@dataType=float", "length").uom == "feet"
    found = one("doc=AP8%3D@mimeType=image/tiff@encoding=base64", "doc")
    assert (found.data, found.data_format.extension) == (b"\x00\xff", ".tif")
    found = one("doc=@xlink:href=http%3A%2F%2F8.8.8.8%2Fa%3Fb%3Dc%40d@mimetype=text/plain", "doc")
    assert found.url == "http://8.8.8.8/a?b=c@d"


@pytest.mark.parametrize(
    ("query", "words"),
    [
        (kvp("strings=me@x.org"), "'@' within a value is written %40"),
        (kvp("strings=a;b"), "';' within a value is written %3B"),
        (kvp("strings"), "has no value"),
        (kvp("=a"), "an entry without a name"),
        (kvp("strings=a@colour=red"), "is not an attribute"),
        (kvp("length=1@uom=feet@uom=metre"), "uom is given twice"),
        (kvp("strings=a@mimeType=text/plain"), "a literal value has no mimeType"),
        (kvp("strings=%FF"), "is not in UTF-8"),
        (kvp("nothing=1"), "has no input 'nothing'"),
        (kvp("doc=x@xlink:href=http://8.8.8.8/"), "a value and a reference"),
        (kvp("doc=@href=http://8.8.8.8/@body=x"), "a reference with a body has method POST"),
        (kvp("doc=x@body=y"), "a reference has an href"),
        (
            kvp("doc=@href=http://8.8.8.8/@encoding=base64@mimetype=text/plain"),
            "the format is not supported",
        ),
        (kvp("box=1,2,3"), "needs two complete corners"),
        (kvp("box=1,2,3,4,EPSG:4326,3"), "not have the 3 dimensions given"),
        (kvp("box=1,2,3,4,EPSG:4326,2,5"), "coordinates, then its CRS"),
        (kvp("box=1,2,3,4,EPSG:3857"), "is not supported"),
        (kvp("doc=A@mimeType=image/tiff@encoding=base64"), "not valid base64"),
        (kvp("doc=%3D@mimeType=image/tiff@encoding=base64"), "not valid base64"),
        (kvp(ResponseDocument="nothing"), "has no output 'nothing'"),
        (kvp(ResponseDocument="seen;seen"), "names each output once"),
        (kvp(ResponseDocument="seen=x"), "names each output once"),
        (kvp(ResponseDocument="seen@asReference=maybe"), "asReference is either"),
        (kvp(ResponseDocument="seen@lineage=true"), "is not an attribute"),
        (kvp(RawDataOutput="seen;doc"), "exactly one output"),
        (kvp(RawDataOutput="seen", ResponseDocument="seen"), "exclude each other"),
        (kvp(RawDataOutput="seen", storeExecuteResponse="true"), "Raw data cannot be stored"),
        (kvp(RawDataOutput="seen", lineage="true"), "Raw data cannot be stored"),
        (kvp(status="true"), "needs storeExecuteResponse=true"),
        (kvp(storeExecuteResponse="yes"), "storeExecuteResponse is either true or false"),
        (kvp(storeExecuteResponse=""), "storeExecuteResponse is either true or false"),
        (kvp("strings=a", DATAINPUTS="strings=b"), "given more than once"),
        (kvp(DataInput="strings=a"), "did you mean datainputs?"),
        (kvp(storeExecuteRespone="true"), "did you mean storeexecuteresponse?"),
        (kvp().replace("&identifier=tell", ""), "Process identifier not set"),
        (kvp("strings=a", store="true"), "store is not one of WPS 1.0.0"),
        (kvp("strings=a") + "&a=b" * 100, "at most 100 parameters"),
        (kvp("a=b;" * 10_001), "more than 10000 entries"),
        (kvp("floats=" + "1" * 65_537), "more than 65536 characters"),
    ],
)
def test_what_a_query_says_wrongly_is_refused(ask: Ask, query: str, words: str) -> None:
    assert words in ask(query=query)


@pytest.mark.parametrize("text", ["true", "True", "TRUE", "1"])
@pytest.mark.parametrize(
    "outputs",
    ["seen@asReference={};doc", "seen=@asreference={};doc=", "seen%40asReference%3D{}%3Bdoc"],
)
def test_flags_of_a_query_are_understood(ask: Ask, text: str, outputs: str) -> None:
    more = {"storeExecuteResponse": text, "STATUS": text, "Lineage": text}
    process, request = ask(query=kvp(ResponseDocument=outputs.format(text), **more))
    assert (request.store_execute, request.status, request.lineage) == ("true",) * 3
    assert {item.identifier for item in process.outputs if item.as_reference} == {"seen"}
    assert list(request.outputs) == ["seen", "doc"]


def test_parameters_for_others_are_left_to_them(ask: Ask) -> None:
    found = ask(query=kvp("strings=a", map="x", access_token="y", _="1"))
    assert value(found, "strings") == "a"


# JSON


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"inputs": {"nothing": 1}}, "has no input 'nothing'"),
        ({"inputs": {"strings": ["a", "b", "c", "d"]}}, "at most 3 are allowed"),
        ({"inputs": {"strings": {"type": "text", "data": "x"}}}, "its type is one of"),
        ({"inputs": {"strings": {"value": "x"}}}, "'value' is not supported"),
        ({"inputs": {"strings": None}}, "its value is not a literal"),
        ({"inputs": {"strings": {"data": ["a"]}}}, "its value is not a literal"),
        ({"inputs": {"integers": 1.5}}, "Could not convert value '1.5'"),
        (
            {"inputs": {"doc": {"type": "complex", "data": "?", "encoding": "base64"}}},
            "valid base64",
        ),
        (
            {"inputs": {"doc": {"type": "complex", "data": "=", "encoding": "base64"}}},
            "valid base64",
        ),
        ({"outputs": {"nothing": {}}}, "has no output 'nothing'"),
        ({"outputs": {"seen": {"transmission": "value"}}}, "'transmission' is not supported"),
        ({"outputs": {"seen": {"asReference": "maybe"}}}, "asReference is either"),
        ({"outputs": {"seen": {}, "doc": {}}, "raw": True}, "exactly one output"),
        ({"mode": "async"}, "'mode' is not supported"),
        ({"status": "true"}, "'status' is not supported"),
        ({"version": "2.0.0"}, 'version "2.0.0" is not supported'),
    ],
)
def test_what_json_says_wrongly_is_refused(ask: Ask, change: dict[str, Any], words: str) -> None:
    assert words in ask({"identifier": "tell", "inputs": {}} | change)


def test_what_json_says_reaches_the_process(ask: Ask) -> None:
    inputs = {
        "strings": ["a", ""], "integers": 3, "booleans": False, "floats": 1.5,
        "doc": {"type": "complex", "data": base64.b64encode(b"\x00").decode(),
                "encoding": "base64", "mimeType": "image/tiff"},
        "box": {"type": "bbox", "bbox": [1, 2, 3, 4], "crs": "EPSG:3035"},
    }  # fmt: skip
    outputs = {"seen": {"asReference": True}}
    process, request = found = ask({"identifier": "tell", "inputs": inputs, "outputs": outputs})
    reached = {name: value(found, name) for name in inputs}
    assert reached == {
        "strings": ["a", ""], "integers": 3, "booleans": False, "floats": 1.5, "doc": b"\x00",
        "box": [1, 2, 3, 4],
    }  # fmt: skip
    assert request.inputs["box"][0].crs == "EPSG:3035"
    assert {item.identifier for item in process.outputs if item.as_reference} == {"seen"}


# Versions


@pytest.mark.parametrize(
    ("more", "inside", "code"),
    [
        ('updateSequence="1"', "<ows:Sections><ows:Section>All</ows:Section></ows:Sections>", 200),
        ('version="1.0.0"', "<ows:AcceptFormats/>", 200),
        ('version="2.0.0"', "", 400),
        ('version="2.0.0"', "<wps:AcceptVersions><ows:Version>1.0.0</ows:Version>"
                            "</wps:AcceptVersions>", 200),
        ("", "<wps:Versions/>", 400),
    ],
)  # fmt: skip
def test_capabilities_are_given_to_clients_of_any_ows(
    app: InProcessService, more: str, inside: str, code: int
) -> None:
    whole = (
        f'<wps:GetCapabilities xmlns:wps="{WPS}" xmlns:ows="{OWS}" service="WPS" {more}>'
        f"{inside}</wps:GetCapabilities>"
    )
    answer = app.web.post("/wps", data=whole, content_type="text/xml")
    assert answer.status_code == code, answer.get_data()


LATER = (
    '<wps:Execute xmlns:wps="http://www.opengis.net/wps/2.0" service="WPS" version="2.0.0" '
    'xmlns:ows="http://www.opengis.net/ows/2.0" response="document" mode="async">'
    '<ows:Identifier>tell</ows:Identifier><wps:Input id="strings"><wps:Data>'
    "<wps:LiteralValue>x</wps:LiteralValue></wps:Data></wps:Input>"
    '<wps:Output id="seen" transmission="value"/></wps:Execute>'
)


def test_a_request_of_another_version_is_refused_in_every_binding(ask: Ask) -> None:
    words = 'The requested version "3.0.0" is not supported by this server'
    assert words in ask(execute().replace('"1.0.0"', '"3.0.0"'))
    assert words in ask(query=kvp("strings=a").replace("1.0.0", "3.0.0"))
    assert words in ask({"identifier": "tell", "version": "3.0.0", "inputs": {}})
    assert words in ask(query="service=WPS&request=DescribeProcess&version=3.0.0&identifier=tell")
    # The namespace of one version, the number of another one.
    mixed = ask(execute().replace('"1.0.0"', '"2.0.0"'))
    assert 'The requested version "2.0.0" is not supported by this server' in mixed


def test_a_request_of_the_second_version_reaches_the_process_by_the_same_code(ask: Ask) -> None:
    process, request = ask(LATER)
    assert process.identifier == "tell"
    assert [item.data for item in request.inputs["strings"]] == ["x"]


@pytest.mark.parametrize(
    ("accepted", "answered"),
    [
        ([], "1.0.0"), (["1.0.0"], "1.0.0"), (["2.0.0", "1.0.0"], "2.0.0"), (["2.0.0"], "2.0.0"),
        (["1.0.0", "2.0.0"], "1.0.0"), (["3.0.0", "2.0.0"], "2.0.0"), (["0.4.0", "3.0.0"], ""),
        ([""], ""),
    ],
)  # fmt: skip
def test_versions_are_negotiated(app: InProcessService, accepted: list[str], answered: str) -> None:
    query = {"service": "WPS", "request": "GetCapabilities"}
    if accepted and accepted != [""]:
        query["AcceptVersions"] = ",".join(accepted)
    inside = "".join(f"<ows:Version>{version}</ows:Version>" for version in accepted)
    answers = [] if accepted == [""] else [app.web.get(f"/wps?{urlencode(query)}")]
    for prefix in ("wps", "ows"):
        tag = f"{prefix}:AcceptVersions"
        whole = (
            f'<wps:GetCapabilities xmlns:wps="{WPS}" xmlns:ows="{OWS}" service="WPS">'
            + (f"<{tag}>{inside}</{tag}>" if accepted else "")
            + "</wps:GetCapabilities>"
        )
        answers.append(app.web.post("/wps", data=whole, content_type="text/xml"))
    for answer in answers:
        root = etree.fromstring(answer.get_data())
        if answered:
            assert (answer.status_code, root.get("version")) == (200, answered)
        else:
            assert answer.status_code == 400
            assert root[0].get("exceptionCode") == "VersionNegotiationFailed"


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("service=WPS&request=GetCapabilities&version=1.0.0", 200),
        ("service=WPS&request=GetCapabilities&version=2.0.0", 200),
        ("service=WPS&request=GetCapabilities&version=3.0.0", 400),
        ("SERVICE=wps&REQUEST=getcapabilities", 200),
        ("service=WFS&request=GetCapabilities", 400),
        ("request=GetCapabilities", 400),
        ("service=WPS", 400),
    ],
)
def test_a_query_names_service_and_request(app: InProcessService, query: str, code: int) -> None:
    assert app.web.get(f"/wps?{query}").status_code == code


def test_a_document_names_service_and_version(ask: Ask) -> None:
    assert "service" in ask(execute().replace('service="WPS"', ""))
    assert "WFS" in ask(execute().replace('service="WPS"', 'service="WFS"'))
    assert "Missing version" in ask(execute().replace('version="1.0.0"', ""))
