"""The landing page and what the service conforms to (OGC 18-062r2, clauses 7.2 and 7.4)."""

from __future__ import annotations

from pywps import configuration
from werkzeug.wrappers import Request, Response

from pywps_hpc.ogc_json.links import REL, link
from pywps_hpc.web.context import Context
from pywps_hpc.web.ogcapi.answers import answer
from pywps_hpc.web.ogcapi.html import HTML

_CONFORMANCE = "http://www.opengis.net/spec/ogcapi-processes-1/1.0/conf/"
OPENAPI = "application/vnd.oai.openapi+json;version=3.0"
_CLASSES = ("core", "ogc-process-description", "json", "html", "oas30", "job-list", "dismiss")
#: What the standard defines, and our own extension: pausing and resuming jobs.
CONFORMS = (*(f"{_CONFORMANCE}{name}" for name in _CLASSES), "urn:pywps-hpc:conf:pause")
#: Where an administrator has allowed it.
_CALLBACK = f"{_CONFORMANCE}callback"


def show(service: Context, request: Request) -> Response:
    """The landing page."""
    root = service.addresses.root
    title = str(configuration.get_config_value("metadata:main", "identification_title"))
    about = str(configuration.get_config_value("metadata:main", "identification_abstract"))
    endpoint = str(configuration.get_config_value("server", "url"))
    links = [
        link(root, "self", "This page"),
        link(f"{root}api", "service-desc", "The definition of this API", OPENAPI),
        link(f"{root}api?f=html", "service-doc", "The definition of this API, to be read", HTML),
        link(f"{root}?f=html", "alternate", "This page, to be read", HTML),
        link(f"{root}conformance", f"{REL}conformance", "What this service conforms to"),
        link(f"{root}conformance", "conformance", "What this service conforms to"),
        link(f"{root}processes", f"{REL}processes", "The processes"),
        link(f"{root}processes", "processes", "The processes"),
        link(f"{root}jobs", f"{REL}job-list", "Your jobs"),
        link(
            f"{endpoint}?service=WPS&request=GetCapabilities",
            "alternate",
            "The same processes by WPS",
            "text/xml",
        ),
    ]
    found = {"title": title, "description": about}
    return answer({key: text for key, text in found.items() if text} | {"links": links})


def show_conformance(service: Context, request: Request) -> Response:
    """The classes of requirements that are met."""
    calls_back = [_CALLBACK] if service.settings.callbacks.hosts else []
    return answer({"conformsTo": [*CONFORMS, *calls_back]})
