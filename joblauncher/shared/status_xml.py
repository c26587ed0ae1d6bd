"""The WPS status document as XML: read its state, or replace the state and keep the rest.

PyWPS renders the document while a process lives. When there is no process (any more) to do so, its
last document is taken and only ``wps:Status`` is written anew (WPS 1.0.0, OGC 05-007r7, clause
10.3.2).
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

from lxml import etree

WPS = "http://www.opengis.net/wps/1.0.0"
OWS = "http://www.opengis.net/ows/1.1"
_XML = "http://www.w3.org/XML/1998/namespace"
_STATE = re.compile(r"Process(Accepted|Started|Paused|Succeeded|Failed)")
#: Characters that XML 1.0 (section 2.2) cannot hold. Named one by one: the complement of all others
#: takes ten times as long to compile.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


#: What may stand before the root element (section 2.8) beside a document type declaration.
_PROLOG = re.compile(rb"\s+|<\?.*?\?>|<!--.*?-->", re.DOTALL)
_ROOT, _STATUS_END = re.compile(rb"<([^\s<>/]+)"), re.compile(rb"</(?:[^\s<>/:]*:)?Status\s*>")
#: Bytes of a document, and marks of structure in it, for which a tree is made: a process can write
#: one whose tree takes seventy times its bytes.
POLLED, MARKS = 4 << 20, 50_000
_MARKUP = re.compile(rb"<\?(?!xml[\s?])|<!DOCTYPE|<!ENTITY", re.IGNORECASE)
#: Most characters of a message that are kept.
LONGEST_MESSAGE = 20_000


@dataclass(frozen=True)
class Status:
    """What a status document says.

    Attributes:
        state: ``accepted``, ``started``, ``paused``, ``succeeded`` or ``failed``.
        percent: 0 to 100.
        message: of the exception if it failed.
    """

    state: str
    percent: int
    message: str


class DocumentError(ValueError):
    """Not a status document."""


def utc(seconds: float | None = None) -> str:
    """Seconds since the epoch (default: now) as ``xs:dateTime`` in UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def writable(text: str) -> str:
    """The text with a replacement character for each one that no XML document can hold."""
    return _FORBIDDEN.sub("\ufffd", text)


def bounded(text: str) -> str:
    """A message as it is shown and recorded: writable, and of bounded length."""
    return writable(text if len(text) <= LONGEST_MESSAGE else f"{text[:LONGEST_MESSAGE]} …")


def parse(document: bytes) -> Status:
    """Read the state of a status document; of a costly one no more than its beginning is parsed.

    Raises:
        DocumentError: it has none.
    """
    root = _tree(_beginning(document) if is_costly(document) else document)
    for child in _status(root).iterchildren(f"{{{WPS}}}*"):
        found = _STATE.fullmatch(etree.QName(child).localname)
        if found:
            state = found[1].lower()
            text = "".join(str(part) for part in child.itertext()).strip()
            percent = "100" if state in ("succeeded", "failed") else child.get("percentCompleted")
            return Status(state, _percent(percent or "0"), bounded(text))
    raise DocumentError("the status document has no state")


def replace(document: bytes, status: Status) -> bytes:
    """The same document in another state; outputs are dropped unless it succeeded.

    Raises:
        DocumentError: not a status document, or a costly one.
    """
    root = _tree(document)
    element = _status(root)
    for child in list(element):
        element.remove(child)
    element.set("creationTime", utc())
    message = writable(status.message)
    child = etree.SubElement(element, f"{{{WPS}}}Process{status.state.capitalize()}")
    if status.state == "failed":
        report = etree.SubElement(child, f"{{{OWS}}}ExceptionReport", version="1.0.0")
        exception = etree.SubElement(
            report, f"{{{OWS}}}Exception", exceptionCode="NoApplicableCode"
        )
        etree.SubElement(exception, f"{{{OWS}}}ExceptionText").text = message
    else:
        child.text = message
        if status.state in ("started", "paused"):
            child.set("percentCompleted", str(min(status.percent, 99)))
    if status.state != "succeeded":
        for outputs in root.findall(f"{{{WPS}}}ProcessOutputs"):
            root.remove(outputs)
    return bytes(etree.tostring(root, xml_declaration=True, encoding="UTF-8"))


def renewed(document: bytes, process: str, status: Status, **about: str) -> bytes:
    """The same document in another state, or where that cannot be, one that is made anew.

    Args:
        process, about: as for :func:`made`.
    """
    try:
        return replace(document, status)
    except DocumentError:  # whatever the process made of it
        return made(process, status, **about)


def made(
    process: str, status: Status, *, title: str = "", url: str = "", location: str = ""
) -> bytes:
    """A status document of a job whose own is gone: all that WPS 1.0.0 asks for, and no more.

    Args:
        process: the process identifier.
        status: what it shall say.
        title: of the process; by default its identifier.
        url: of the service.
        location: where the document is shown; empty: it does not say so.
    """
    root = etree.Element(f"{{{WPS}}}ExecuteResponse", nsmap={"wps": WPS, "ows": OWS})
    root.set("service", "WPS")
    root.set("version", "1.0.0")
    root.set(f"{{{_XML}}}lang", "en-US")
    root.set("serviceInstance", f"{url}?service=WPS&request=GetCapabilities")
    if location:
        root.set("statusLocation", location)
    described = etree.SubElement(root, f"{{{WPS}}}Process")
    described.set(f"{{{WPS}}}processVersion", "None")
    etree.SubElement(described, f"{{{OWS}}}Identifier").text = writable(process)
    etree.SubElement(described, f"{{{OWS}}}Title").text = writable(title or process)
    etree.SubElement(root, f"{{{WPS}}}Status")
    return replace(bytes(etree.tostring(root)), status)


def harmless(document: bytes) -> bytes:
    """The document without processing instructions: none of ours has any, and one that a process
    wrote into it may tell a browser what to make of it (xml-stylesheet).

    Raises:
        DocumentError: not a status document, or a costly one.
    """
    if b"<?" not in document[5:]:  # the declaration itself aside
        return document
    whole = _tree(document, remove_pis=False).getroottree()
    if not whole.xpath("//processing-instruction()"):  # they stand in an output's text
        return document
    return bytes(etree.tostring(_tree(document), xml_declaration=True, encoding="UTF-8"))


def is_costly(document: bytes) -> bool:
    """Whether a tree of it could take many times its bytes."""
    return len(document) > POLLED or _marks(document) > MARKS


def is_plain(document: bytes) -> bool:
    """Whether it has neither processing instructions nor a document type, by its bytes alone; what
    stands in an output's text counts, unless it is an XML declaration."""
    return _MARKUP.search(document) is None


def _percent(text: str) -> int:
    return min(int(text), 100) if re.fullmatch("[0-9]{1,3}", text) else 0


def _tree(document: bytes, *, remove_pis: bool = True) -> etree._Element:
    if is_costly(document):
        raise DocumentError("the status document is too large to be parsed as a whole")
    _start(document)
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        huge_tree=True,
        strip_cdata=False,
        remove_pis=remove_pis,
        encoding="UTF-8",  # whatever the document says: a declaration could hide in another one
    )
    try:
        return etree.fromstring(document, parser)
    except etree.XMLSyntaxError as error:
        raise DocumentError(f"the status document is not XML: {error}") from None


def _start(document: bytes) -> int:
    """Where the root element starts.

    Raises:
        DocumentError: there is a document type declaration. Entities in attributes are replaced
            whatever the parser is told, and multiply without bounds.
    """
    place = 3 if document.startswith(b"\xef\xbb\xbf") else 0
    while part := _PROLOG.match(document, place):
        place = part.end()
    if document.startswith(b"<!", place):
        raise DocumentError("the status document has a document type declaration")
    return place


def _beginning(document: bytes) -> bytes:
    """A document down to its ``wps:Status``: what an honest one can have much of comes after that
    (WPS 1.0.0, table 54).

    Raises:
        DocumentError: it has none, or not near its beginning.
    """
    root = _ROOT.match(document, _start(document), POLLED)
    end = _STATUS_END.search(document, 0, POLLED)
    if root is None or end is None:
        raise DocumentError("the beginning of the status document has no wps:Status")
    return b"%s</%s>" % (document[: end.end()], root[1])


def _marks(document: bytes) -> int:
    """More than there are elements, comments and the like, and than there are attributes."""
    return max(document.count(b"<"), document.count(b"="))


def _status(root: etree._Element) -> etree._Element:
    element = root.find(f"{{{WPS}}}Status")
    if element is None:
        raise DocumentError("the status document has no wps:Status")
    return element


def with_location(document: bytes, url: str) -> bytes:
    """The same document with a ``statusLocation``.

    Raises:
        DocumentError: not a status document.
    """
    root = _tree(document)
    root.set("statusLocation", url)
    return bytes(etree.tostring(root, xml_declaration=True, encoding="UTF-8"))
