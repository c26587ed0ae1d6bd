"""The status document of WPS 1.0.0 (``wps:ExecuteResponse``, OGC 05-007r7, clause 10.3) as text.

Made of the facts that PyWPS tells of a response, and valid against ``wpsExecute_response.xsd``,
which PyWPS's own documents are not. It is written without a template: each job writes some, and a
library for templates takes as long to import as half of PyWPS.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pywps.translations import get_translation

from joblauncher.shared import output_values
from joblauncher.shared.xml_text import attributes, escaped

Facts = Mapping[str, Any]
#: How an item of a list is written: its facts, and the language.
Write = Callable[[Facts, str], list[str]]

_ROOT = {
    "xmlns:wps": "http://www.opengis.net/wps/1.0.0",
    "xmlns:ows": "http://www.opengis.net/ows/1.1",
    "xmlns:xlink": "http://www.w3.org/1999/xlink",
    "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance",
    "xsi:schemaLocation": (
        "http://www.opengis.net/wps/1.0.0 "
        "http://schemas.opengis.net/wps/1.0.0/wpsExecute_response.xsd"
    ),
    "service": "WPS",
    "version": "1.0.0",
}
#: State -> element, but for a failure.
_STATES = {
    "accepted": "wps:ProcessAccepted",
    "started": "wps:ProcessStarted",
    "paused": "wps:ProcessPaused",
    "succeeded": "wps:ProcessSucceeded",
}
_WITH_PERCENT = ("started", "paused")


def written(facts: Facts) -> str:
    """The document.

    Args:
        facts: ``language``, ``service_instance``, ``process`` and ``status``, and where they are to
            be told ``status_location``, ``outputs``, and with ``lineage`` ``input_definitions`` and
            ``output_definitions``: :attr:`joblauncher.shared.response.JobResponse.json`.
    """
    language, process = str(facts["language"]), facts["process"]
    root = {
        **_ROOT,
        "xml:lang": language,
        "serviceInstance": facts["service_instance"],
        "statusLocation": facts.get("status_location"),
    }
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f"<wps:ExecuteResponse{attributes(root)}>",
        f'<wps:Process wps:processVersion="{escaped(process["version"])}">',
        *_described(process, language),
        "</wps:Process>",
        *_status(facts["status"]),
    ]
    if facts.get("lineage"):
        lines += _list("wps:DataInputs", facts.get("input_definitions"), _input, language)
        lines += _list("wps:OutputDefinitions", facts.get("output_definitions"), _wanted, language)
    lines += _list("wps:ProcessOutputs", facts.get("outputs"), _output, language)
    return "\n".join((*lines, "</wps:ExecuteResponse>"))


def _list(name: str, items: Iterable[Facts] | None, write: Write, language: str) -> list[str]:
    """An element of items; none for no items."""
    lines = [line for item in items or () for line in write(item, language)]
    return [f"<{name}>", *lines, f"</{name}>"] if lines else []


def _status(status: Facts) -> list[str]:
    state, message = status["status"], escaped(status["message"])
    lines = [f'<wps:Status creationTime="{escaped(status["time"])}">']
    if name := _STATES.get(state):
        percent = status["percent_done"] if state in _WITH_PERCENT else None
        lines.append(f"  <{name}{attributes({'percentCompleted': percent})}>{message}</{name}>")
    else:
        lines += (
            "  <wps:ProcessFailed>",
            '    <ows:ExceptionReport version="1.0.0">',
            '      <ows:Exception exceptionCode="NoApplicableCode">',
            f"        <ows:ExceptionText>{message}</ows:ExceptionText>",
            "      </ows:Exception>",
            "    </ows:ExceptionReport>",
            "  </wps:ProcessFailed>",
        )
    return [*lines, "</wps:Status>"]


def _described(thing: Facts, language: str) -> list[str]:
    title, abstract = (
        escaped(get_translation(thing, name, language) or "") for name in ("title", "abstract")
    )
    return [
        f"<ows:Identifier>{escaped(thing['identifier'])}</ows:Identifier>",
        f"<ows:Title>{title}</ows:Title>",
        f"<ows:Abstract>{abstract}</ows:Abstract>",
    ]


def _input(item: Facts, language: str) -> list[str]:
    if item["type"] == "reference":
        to = {"xlink:href": item["href"], "method": item.get("method")}
        value = [f"<wps:Reference{attributes(to)}{_format(item)}/>"]
    else:
        value = _data(item)
    return ["<wps:Input>", *_described(item, language), *value, "</wps:Input>"]


def _wanted(item: Facts, language: str) -> list[str]:
    """A definition of an output."""
    by_reference = "true" if item.get("asreference") else "false"
    start = f'<wps:Output{_format(item)} asReference="{by_reference}">'
    return [start, *_described(item, language), "</wps:Output>"]


def _output(item: Facts, language: str) -> list[str]:
    if item["type"] == "reference":
        value = [f"<wps:Reference{attributes({'href': item['href']})}{_format(item)}/>"]
    else:
        value = _data(output_values.in_xml(item))
    return ["<wps:Output>", *_described(item, language), *value, "</wps:Output>"]


def _data(item: Facts) -> list[str]:
    """A value; complex data as the content of an element that it is."""
    if item["type"] == "bbox":
        box = {"crs": item.get("crs"), "dimensions": item.get("dimensions") or None}
        lower, upper = (escaped(" ".join(map(str, item[corner]))) for corner in ("ll", "ur"))
        value = [
            f"  <wps:BoundingBoxData{attributes(box)}>",
            f"    <ows:LowerCorner>{lower}</ows:LowerCorner>",
            f"    <ows:UpperCorner>{upper}</ows:UpperCorner>",
            "  </wps:BoundingBoxData>",
        ]
    elif item["type"] == "literal":
        unit = item.get("uom") or {}
        kind = {
            "uom": unit.get("reference") or unit.get("uom"),
            "dataType": item.get("data_type"),
        }
        text = output_values.literal(item.get("data"))
        value = [f"  <wps:LiteralData{attributes(kind)}>{text}</wps:LiteralData>"]
    else:
        value = [f"  <wps:ComplexData{_format(item)}>{item.get('data', '')}</wps:ComplexData>"]
    return ["<wps:Data>", *value, "</wps:Data>"]


def _format(thing: Facts) -> str:
    return attributes(
        {
            "mimeType": thing.get("mimetype"),
            "encoding": thing.get("encoding"),
            "schema": thing.get("schema"),
        }
    )
