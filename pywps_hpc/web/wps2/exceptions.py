"""Exception reports of WPS 2.0 (OGC 14-065; OWS Common 2.0, 06-121r9, clause 8)."""

from __future__ import annotations

from lxml import etree
from pywps.exceptions import NoApplicableCode
from werkzeug.wrappers import Response

from joblauncher.shared.status_xml import writable
from pywps_hpc.web.errors import Inaccessible, NotAllowed

OWS = "http://www.opengis.net/ows/2.0"
_XSI = "http://www.w3.org/2001/XMLSchema-instance"
_SCHEMA = f"{OWS} http://schemas.opengis.net/ows/2.0/owsExceptionReport.xsd"
#: What this version calls what the parts of the service call otherwise.
_CODES = {
    "FileSizeExceeded": "SizeExceeded",
    "FileURLNotSupported": "DataNotAccessible",
    "StorageNotSupported": "OptionNotSupported",
}


class Refused(NoApplicableCode):  # type: ignore[misc]
    """A request that is refused by one of the codes that only this version has.

    Args:
        name: ``exceptionCode``.
        description: message for the client.
        locator: name of the input, output or parameter.
        code: of HTTP.
    """

    def __init__(self, name: str, description: str, locator: str = "", code: int = 400) -> None:
        self._name = name
        super().__init__(description, locator=locator, code=code)

    @property
    def name(self) -> str:
        """``exceptionCode`` of the report."""
        return self._name


def report(error: NoApplicableCode) -> Response:
    """The answer to a request that failed."""
    root = etree.Element(f"{{{OWS}}}ExceptionReport", nsmap={"ows": OWS, "xsi": _XSI})
    root.set(f"{{{_XSI}}}schemaLocation", _SCHEMA)
    root.set("version", "2.0.0")
    exception = etree.SubElement(root, f"{{{OWS}}}Exception")
    code = _CODES.get(error.name, error.name)
    exception.set("exceptionCode", "DataNotAccessible" if isinstance(error, Inaccessible) else code)
    if error.locator:
        exception.set("locator", writable(str(error.locator)))
    if error.description:
        text = etree.SubElement(exception, f"{{{OWS}}}ExceptionText")
        text.text = writable(str(error.description))
    content = etree.tostring(root, xml_declaration=True, encoding="UTF-8")
    response = Response(content, error.code, mimetype="text/xml")
    response.headers["Cache-Control"] = "no-store"
    if hasattr(error, "retry_after"):
        response.headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, NotAllowed):
        response.headers["Allow"] = error.allow
    return response
