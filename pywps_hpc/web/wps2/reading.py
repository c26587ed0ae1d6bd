"""Requests of WPS 2.0 (OGC 14-065, clauses 9 and 10), as documents and as key-value pairs.

An element, attribute or text that has no place in the schema is refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lxml import etree
from pywps import xml_util
from pywps.exceptions import (
    InvalidParameterValue,
    MissingParameterValue,
    NoApplicableCode,
)
from werkzeug.exceptions import MethodNotAllowed
from werkzeug.wrappers import Request

from pywps_hpc.web.negotiation import CONTROL, SECOND
from pywps_hpc.web.requests import kvp, reading
from pywps_hpc.web.requests.content import collapse
from pywps_hpc.web.requests.elements import attributes, children, text
from pywps_hpc.web.requests.languages import match
from pywps_hpc.web.requests.xml import accepted_versions
from pywps_hpc.web.wps2 import execute_document
from pywps_hpc.web.wps2.exceptions import OWS, Refused
from pywps_hpc.web.wps2.execute_document import WPS, Execute

#: How often a child may be there.
_ONE, _SOME = (1, 1), (1, None)
OPERATIONS = ("GetCapabilities", "DescribeProcess", "Execute", "GetStatus", "GetResult", "Dismiss")
#: An extension of ours, described in ``docs/wps2.md``.
EXTENSION = ("Pause", "Resume")
#: Stands for all processes in a DescribeProcess (clause 9.4.1).
ALL = "ALL"


@dataclass(frozen=True)
class Asked:
    """What a client asks for.

    Attributes:
        operation: in lower case.
        languages: in order of preference; none: any.
        identifiers: of processes, for DescribeProcess.
        job: what stands for a job, for the operations on one.
        execute: the request of that operation.
    """

    operation: str
    languages: tuple[str, ...] = ()
    identifiers: tuple[str, ...] = ()
    job: str = ""
    execute: Execute | None = None


def read(request: Request) -> Asked:
    """Read a request that has been taken in.

    Raises:
        NoApplicableCode: it is not one of WPS 2.0; the message says what is wrong with it.
    """
    if request.method == "POST":
        return _document(request)
    if request.method not in ("GET", "HEAD"):
        raise MethodNotAllowed(reading.METHODS)
    asked = _query(request)
    if request.method == "HEAD" and asked.operation not in reading.READ_ONLY:
        raise MethodNotAllowed(["GET", "POST"])
    return asked


def _query(request: Request) -> Asked:
    given = kvp.parameters(str(request.environ.get("QUERY_STRING", "")))
    _check_service(given.text("service"), exact=False)
    operation = given.text("request")
    known = operation.lower()
    if known not in map(str.lower, (*OPERATIONS, *EXTENSION)):
        raise _unknown(operation)
    wanted = given.text("acceptlanguages") or given.text("language") or given.text("lang")
    languages = tuple(filter(None, map(str.strip, wanted.split(","))))
    if known == "getcapabilities":
        return Asked(known, languages)
    _check_version(given.text("version"))
    if known == "execute":
        raise Refused("OperationNotSupported", "Execute is sent by POST.", "Execute", 501)
    if known == "describeprocess":
        names = tuple(filter(None, map(str.strip, given.text("identifier").split(","))))
        if not names:
            raise MissingParameterValue("No process is named.", "Identifier")
        return Asked(known, languages, identifiers=names)
    return Asked(known, languages, job=_job(given.text("jobid")))


def _document(request: Request) -> Asked:
    try:
        root = xml_util.fromstring(reading.body_of(request))
    except (etree.XMLSyntaxError, ValueError) as error:
        raise NoApplicableCode(str(error)) from None
    name = etree.QName(root)
    operation = str(name.localname).lower()
    namespace = CONTROL if name.localname in EXTENSION else WPS
    if name.localname not in (*OPERATIONS, *EXTENSION) or (
        name.namespace != namespace and operation != "getcapabilities"
    ):
        raise _unknown(str(name.localname))
    own = {"execute": ("mode", "response"), "getcapabilities": ("updateSequence", "language")}
    given = attributes(root, "service", "version", *own.get(operation, ()))
    _check_service(given.get("service", ""))
    language = root.get("{http://www.w3.org/XML/1998/namespace}lang") or given.get("language")
    languages = (collapse(language),) if language else ()
    if operation == "getcapabilities":
        version = given.get("version")
        reading.negotiate(accepted_versions(root) or ([version] if version else []), SECOND)
        return Asked(operation, _accepted_languages(root) or languages)
    _check_version(given.get("version", ""))
    if operation == "describeprocess":
        found = children(root, {f"{{{OWS}}}Identifier": _SOME})["Identifier"]
        return Asked(operation, languages, tuple(collapse(text(element)) for element in found))
    if operation == "execute":
        return Asked(operation, languages, execute=execute_document.read(root, given))
    [element] = children(root, {f"{{{WPS}}}JobID": _ONE})["JobID"]
    return Asked(operation, languages, job=_job(collapse(text(element))))


def _accepted_languages(root: etree._Element) -> tuple[str, ...]:
    """The languages that a GetCapabilities accepts."""
    found = root.iterfind(f"{{{OWS}}}AcceptLanguages/{{{OWS}}}Language")
    return tuple(collapse(text(language)) for language in found)


def _check_service(service: str, *, exact: bool = True) -> None:
    if not service:
        raise MissingParameterValue("The parameter service is missing.", "service")
    if (service if exact else service.upper()) != "WPS":
        raise InvalidParameterValue(f"The service {service} is not offered here.", "service")


def _check_version(version: str) -> None:
    if not version:
        raise MissingParameterValue("The parameter version is missing.", "version")
    if version != SECOND:
        raise InvalidParameterValue(
            f"Version {version} is not served; write {SECOND} or 1.0.0.", "version"
        )


def _job(told: str) -> str:
    if not told:
        raise MissingParameterValue("No job is named.", "JobID")
    return told


def _unknown(operation: str) -> NoApplicableCode:
    if not operation:
        return MissingParameterValue("The parameter request is missing.", "request")
    words = f"The operation {operation} is not known."
    return Refused("OperationNotSupported", words, operation, 501)


def supported(languages: Iterable[str], offered: Iterable[str]) -> str:
    """The first of these languages that is offered, else the first that is.

    Raises:
        InvalidParameterValue: exactly one is asked for, and it is not offered.
    """
    known, wanted = list(offered), list(languages)
    for language in wanted:
        if (found := match(language, known)) is not None:
            return found
    if len(wanted) == 1:
        raise InvalidParameterValue(f"The language {wanted[0]} is not offered.", "language")
    return known[0]
