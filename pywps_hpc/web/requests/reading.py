"""Requests as WPS 1.0.0 (OGC 05-007r7) has them, read into PyWPS's request object.

PyWPS's own parser leaves out what it does not understand. Here whatever is not understood is
refused, and of the three bindings only its dialect of JSON is left to it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lxml import etree
from pywps import xml_util
from pywps.app.basic import parse_http_url
from pywps.app.WPSRequest import WPSRequest
from pywps.exceptions import (
    InvalidParameterValue,
    MissingParameterValue,
    NoApplicableCode,
    OperationNotSupported,
    VersionNegotiationFailed,
)
from werkzeug.exceptions import MethodNotAllowed
from werkzeug.wrappers import Request

from pywps_hpc.web.requests import elements, kvp, languages, xml
from pywps_hpc.web.requests.content import Content, flag

#: The version that is served.
VERSION = "1.0.0"
OPERATIONS = ("getcapabilities", "describeprocess", "execute")
#: Methods of the endpoint; and the operations that change nothing, of any version: a client may ask
#: by HEAD what the answer would be (RFC 9110, section 9.3.2).
METHODS = ("GET", "HEAD", "POST")
READ_ONLY = ("getcapabilities", "describeprocess", "getstatus", "getresult")


def read(http_request: Request, preprocessors: Any) -> WPSRequest:
    """Read a request, whose body is no longer than it may be.

    Raises:
        NoApplicableCode: it is not one of WPS 1.0.0; the message says what is wrong with it.
    """
    if http_request.method == "POST" and "json" in (http_request.content_type or ""):
        found = WPSRequest(http_request, preprocessors)
        if found.version != VERSION:
            raise _other_version(found.version)
        check(found)
        return found
    if http_request.method not in METHODS:
        raise MethodNotAllowed(METHODS)
    found = WPSRequest(None, preprocessors)
    found.http_request = http_request
    if http_request.method == "POST":
        _read_document(found, http_request)
    else:
        _read_query(found, http_request)
    if http_request.method == "HEAD" and found.operation not in READ_ONLY:
        raise MethodNotAllowed(["GET", "POST"])
    return found


def negotiate(accepted: Iterable[str], served: str = VERSION) -> None:
    """Make sure that a version is accepted (OGC 06-121r3, clause 7.3.2).

    Args:
        accepted: versions; none: any.
        served: in which the request would be answered.

    Raises:
        VersionNegotiationFailed: none of those that the client accepts is served.
    """
    versions = [version.strip() for version in accepted]
    if versions and served not in versions:
        raise VersionNegotiationFailed(
            f'The requested version "{",".join(versions)}" is not supported by this server',
            "version",
        )


def check(request: WPSRequest) -> None:
    """Make sure that what is asked for can be given together (tables 49 to 51).

    Raises:
        InvalidParameterValue: it cannot.
    """
    if request.operation != "execute":
        return
    if request.raw and len(request.outputs or {}) != 1:
        raise InvalidParameterValue(
            "Raw data can be requested for exactly one output.", "RawDataOutput"
        )
    if request.status == "true" and request.store_execute != "true":
        raise InvalidParameterValue(
            "status=true needs storeExecuteResponse=true: only a stored document is updated.",
            "status",
        )


def _read_query(found: WPSRequest, http_request: Request) -> None:
    given = kvp.parameters(http_request.environ.get("QUERY_STRING", ""))
    route = parse_http_url(http_request)
    service = given.text("service")
    if not service:
        raise MissingParameterValue("service", "service")
    if service.lower() != "wps":
        raise InvalidParameterValue(f"parameter SERVICE [{service}] not supported", "service")
    operation = given.text("request") or route.get("operation")
    if not operation:
        raise MissingParameterValue("Missing request value", "request")
    found.operation = operation.lower()
    if found.operation not in OPERATIONS:
        raise OperationNotSupported(f"Unknown request {found.operation}", operation)
    found.api = route.get("api")
    found.default_mimetype = given.text("f") or route.get("default_mimetype")
    _set_language(found, given.text("language"))
    version = given.text("version")
    if found.operation == "getcapabilities":
        accepted = given.text("acceptversions")
        negotiate(accepted.split(",") if accepted else [version] if version else [])
        found.set_version(VERSION)
        return
    _set_version(found, version or VERSION)
    identifier = given.text("identifier") or route.get("identifier")
    if found.operation == "describeprocess":
        found.identifiers = [name.strip() for name in identifier.split(",")] if identifier else None
        return
    if not identifier:
        raise MissingParameterValue("Process identifier not set", "Identifier")
    _fill(found, kvp.execute(given, identifier, route.get("output_ids")))


def _read_document(found: WPSRequest, http_request: Request) -> None:
    try:
        root = xml_util.fromstring(body_of(http_request))
    except (etree.XMLSyntaxError, ValueError) as error:
        raise NoApplicableCode(str(error)) from None
    name = etree.QName(root)
    negotiates = name.namespace in xml.LATER and name.localname == "GetCapabilities"
    if name.namespace in xml.LATER and not negotiates:
        raise _other_version(root.get("version") or "2.0.0")
    if not (negotiates or name.namespace == xml.WPS) or name.localname.lower() not in OPERATIONS:
        raise InvalidParameterValue(f"Unknown request {root.tag}", "request")
    found.operation = name.localname.lower()
    given = elements.attributes(root, "service", "version", "language", "updateSequence")
    if "service" not in given:
        raise MissingParameterValue("service", "service")
    if given["service"] != "WPS":
        raise InvalidParameterValue(
            f"parameter SERVICE [{given['service']}] not supported", "service"
        )
    _set_language(found, given.get("language") or "")
    if found.operation == "getcapabilities":
        version = given.get("version")
        negotiate(xml.accepted_versions(root) or ([version] if version else []))
        found.set_version(VERSION)
        return
    if "version" not in given:
        raise MissingParameterValue("Missing version", "version")
    _set_version(found, given["version"])
    if found.operation == "describeprocess":
        found.identifiers = xml.identifiers(root)
    else:
        _fill(found, xml.execute(root))


def body_of(http_request: Request) -> bytes:
    """The body, which the request does not keep: it is as large as all that is made of it."""
    content = http_request.get_data()
    http_request._cached_data = b""
    return content


def _set_language(found: WPSRequest, wanted: str) -> None:
    known = languages.match(wanted, languages.offered()) if wanted else None
    found.check_and_set_language(known or wanted)


def _set_version(found: WPSRequest, version: str) -> None:
    if version != VERSION:
        raise _other_version(version)
    found.set_version(VERSION)


def _other_version(version: Any) -> NoApplicableCode:
    message = f'The requested version "{version}" is not supported by this server'
    return InvalidParameterValue(f"{message}; it takes requests of version {VERSION}.", "version")


def _fill(found: WPSRequest, content: Content) -> None:
    found.identifier = content.identifier
    found.inputs = content.inputs
    found.raw = content.raw
    found.outputs = content.outputs
    found.output_ids = content.outputs
    found.store_execute = flag(content.store, "storeExecuteResponse")
    found.status = flag(content.status, "status")
    found.lineage = flag(content.lineage, "lineage")
    if content.raw:
        for name in ("store_execute", "lineage"):
            if getattr(found, name) == "true":
                raise InvalidParameterValue(
                    "Raw data cannot be stored, and has no lineage: ask for a ResponseDocument.",
                    "RawDataOutput",
                )
    check(found)
