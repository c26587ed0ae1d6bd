"""Which version of WPS a request is of (OGC 06-121r3, clause 7.3.2), since one URL serves both.

Without a word about versions it is 1.0.0, as it always was.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from lxml import etree
from pywps.exceptions import NoApplicableCode
from werkzeug.wrappers import Request

from pywps_hpc.web.requests import kvp

FIRST, SECOND = "1.0.0", "2.0.0"
#: Namespace of documents of each version.
NAMESPACES = {"http://www.opengis.net/wps/2.0": SECOND, "http://www.opengis.net/wps/1.0.0": FIRST}
#: Operations that only the second version has; the last two are an extension of ours.
ONLY_SECOND = ("getstatus", "getresult", "dismiss", "pause", "resume")
#: Namespace of that extension's documents.
CONTROL = "urn:x-pywps-hpc:wps:2.0:job-control"
#: Bytes of a document within which its root element begins; elements of a GetCapabilities.
_BEGINNING, _MOST = 65_536, 1000


def version_of(request: Request) -> str:
    """The version that a request is of, or would be answered in.

    Args:
        request: that has been taken in (:func:`~pywps_hpc.web.requests.guard.take_in`).
    """
    if request.method == "POST":
        is_json = "json" in (request.content_type or "")
        return FIRST if is_json else _of_document(request.environ["wsgi.input"].getvalue())
    try:
        given = kvp.parameters(str(request.environ.get("QUERY_STRING", "")))
        operation, version = given.text("request").lower(), given.text("version")
        accepted = given.text("acceptversions")
    except NoApplicableCode:  # told to the client by the one that reads it for good
        return FIRST
    if operation == "getcapabilities":
        return _preferred(accepted.split(",") if accepted else [version]) or FIRST
    return SECOND if operation in ONLY_SECOND or version.startswith("2.") else FIRST


def _preferred(accepted: Iterable[str]) -> str:
    """The first of these versions that is served; empty if none is."""
    names = (name.strip() for name in accepted)
    return next((name for name in names if name in (FIRST, SECOND)), "")


def _of_document(body: bytes) -> str:
    versions: list[str] = []
    version, capabilities = FIRST, False
    parser = etree.XMLPullParser(events=("start", "end"), resolve_entities=False, no_network=True)
    with contextlib.suppress(etree.XMLSyntaxError):  # told by the one that reads it for good
        parser.feed(body[:_BEGINNING])
        for number, (event, element) in enumerate(parser.read_events()):
            if not isinstance(element, etree._Element):  # for the type checker: no other event
                continue
            # No QName, which refuses a prefix that is not bound.
            namespace, _, name = str(element.tag).removeprefix("{").rpartition("}")
            if number == 0:
                version = SECOND if namespace == CONTROL else FIRST
                version = NAMESPACES.get(namespace, version)
                capabilities = name == "GetCapabilities"
            elif not capabilities or number > _MOST:
                break
            elif event == "end" and name == "Version":
                versions.append(element.text or "")
    return _preferred(versions) or version
