"""The pages for people: their URLs, all below ``ui/`` beside the endpoint."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from urllib.parse import unquote, urlsplit

from werkzeug.routing import Rule
from werkzeug.wrappers import Request, Response

from pywps_hpc.spool import JOB_ID
from pywps_hpc.web.addresses import Addresses
from pywps_hpc.web.context import Context
from pywps_hpc.web.errors import NotFound
from pywps_hpc.web.pages import answers, jobs, run, urls
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

#: Resources of the API that have a page: the landing page, lists, processes and jobs.
_RESOURCE = re.compile(
    rf"(?:(?P<kind>processes)(?:/(?P<name>[^/]+))?|jobs(?:/(?P<job>{JOB_ID}))?)?"
)


def rules(addresses: Addresses) -> Iterator[Rule]:
    """The URLs of the pages."""
    for method, known in (("GET", _GET), ("POST", _POST)):
        for path, answer in known.items():
            yield Rule(f"/ui{path}", endpoint=handler(answer), methods=[method])
    yield Rule("/ui/static/<string:name>", endpoint=handler(_static), methods=["GET"])
    yield Rule("/ui", endpoint=_to_root, methods=["GET"])
    yield Rule("/ui/<rest:path>", endpoint=handler(_nowhere))


def instead(service: Context, request: Request) -> Response | None:
    """The page to which a browser is sent that asks for a resource of the API, as people do who
    follow its addresses; ``None`` for programs, which get the resource.

    A reverse proxy may hand on a part of the public path.
    """
    wanted = request.accept_mimetypes.best_match(["application/json", "text/html"])
    if request.method not in ("GET", "HEAD") or request.query_string or wanted != "text/html":
        return None
    root = unquote(urlsplit(service.addresses.root).path)
    for start in (root[at:] for at, sign in enumerate(root) if sign == "/"):
        rest = request.path.removeprefix(start)
        if request.path.startswith(start) and (found := _RESOURCE.fullmatch(rest)):
            response = answers.seen(
                _page_of(service.addresses, found["kind"], found["name"] or found["job"])
            )
            response.vary.add("Accept")
            return response
    return None


def _page_of(addresses: Addresses, kind: str | None, name: str | None) -> str:
    if kind == "processes":
        if name:
            return urls.process(addresses, name)
        return f"{urls.root(addresses)}processes"
    return urls.job(addresses, name) if name else urls.root(addresses)


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
    return answers.seen(urls.root(service.addresses), 308)
