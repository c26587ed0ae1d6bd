"""The pages for people: their URLs, all below ``ui/`` beside the endpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from werkzeug.routing import Rule
from werkzeug.wrappers import Request, Response

from pywps_hpc.web.addresses import Addresses
from pywps_hpc.web.context import Context
from pywps_hpc.web.errors import NotFound
from pywps_hpc.web.pages import answers, jobs, places, run
from pywps_hpc.web.pages.answers import FOLDER, handler

_GET: dict[str, Callable[..., Response]] = {
    "/": jobs.show_list,
    "/processes": run.show_list,
    "/processes/<path:process>": run.show_form,
    "/jobs/<job:access>": jobs.show,
    "/jobs/<job:access>/log": jobs.show_log,
}
_POST: dict[str, Callable[..., Response]] = {
    "/find": jobs.find,
    "/processes/<path:process>": run.send,
    "/jobs/<job:access>/dismiss": jobs.dismiss,
    "/jobs/<job:access>/pause": jobs.pause,
    "/jobs/<job:access>/resume": jobs.resume,
    "/jobs/<job:access>/remove": jobs.remove,
    "/jobs/<job:access>/again": run.again,
    "/jobs/<job:access>/forget": jobs.forget,
}
#: What comes with the pages, by name, and its media type.
_STATIC = {
    "style.css": "text/css",
    "live.js": "text/javascript",
    "map.js": "text/javascript",
    "coast.svg": "image/svg+xml",
    "icon.svg": "image/svg+xml",
}


def rules(addresses: Addresses) -> Iterator[Rule]:
    """The URLs of the pages."""
    for method, known in (("GET", _GET), ("POST", _POST)):
        for path, answer in known.items():
            yield Rule(f"/ui{path}", endpoint=handler(answer), methods=[method])
    yield Rule("/ui/static/<string:name>", endpoint=handler(_static), methods=["GET"])
    yield Rule("/ui", endpoint=_to_root, methods=["GET"])
    yield Rule("/ui/<rest:path>", endpoint=handler(_nowhere))


def _static(service: Context, request: Request, name: str) -> Response:
    if name not in _STATIC:
        raise NotFound("There is no such page.")
    response = Response((FOLDER / "static" / name).read_bytes(), mimetype=_STATIC[name])
    response.cache_control.max_age = 3600
    response.add_etag()
    return response.make_conditional(request.environ)


def _nowhere(service: Context, request: Request, path: str) -> Response:
    raise NotFound("There is no such page.")


def _to_root(service: Context, request: Request) -> Response:
    return answers.seen(places.root(service.addresses), 308)
