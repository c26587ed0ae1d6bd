"""What the documents of WPS 2.0 are made with."""

from __future__ import annotations

from lxml import etree
from werkzeug.wrappers import Response

from pywps_hpc.web import outputs
from pywps_hpc.web.wps2.exceptions import OWS
from pywps_hpc.web.wps2.execute_document import WPS

XLINK = "http://www.w3.org/1999/xlink"
_XSI = "http://www.w3.org/2001/XMLSchema-instance"


def root(name: str) -> etree._Element:
    """The root element of a document."""
    made = etree.Element(f"{{{WPS}}}{name}", nsmap={"wps": WPS, "ows": OWS, "xlink": XLINK})
    return made


def add(parent: etree._Element, name: str, content: str | None = None) -> etree._Element:
    """A further child; its text may be ``None``."""
    child = etree.SubElement(parent, f"{{{WPS}}}{name}")
    child.text = content
    return child


def response(document: etree._Element, end: float | None = None) -> Response:
    """A document as an HTTP answer.

    Args:
        end: when the job goes, seconds since the epoch; ``None`` if that is not known.
    """
    document.set(f"{{{_XSI}}}schemaLocation", f"{WPS} http://schemas.opengis.net/wps/2.0/wps.xsd")
    headers = {"Cache-Control": "no-store"} | outputs.sunset(end)
    content = etree.tostring(document, xml_declaration=True, encoding="UTF-8")
    return Response(content, mimetype="text/xml", headers=headers)
