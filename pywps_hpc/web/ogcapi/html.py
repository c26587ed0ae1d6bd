"""The answers of this face for people (OGC 18-062r2, clause 9.2, the class HTML): all that the JSON
says, its links as links. Where there are pages (:mod:`pywps_hpc.web.pages`), a browser is sent to
them from what has one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup, escape
from pywps import configuration
from werkzeug.wrappers import Request, Response

from pywps_hpc.kinds import is_json
from pywps_hpc.ogc_json.links import JSON, link
from pywps_hpc.web.ogcapi import query

HTML = "text/html"
_PAGE = Markup(
    '<!DOCTYPE html>\n<html lang="{language}">\n<head><meta charset="utf-8">'
    "<title>{title}</title></head>\n<body>\n<h1>{title}</h1>\n{content}\n</body>\n</html>\n"
)


def is_wanted(request: Request) -> bool:
    """Whether a client would rather have HTML: by ``f``, or by what it accepts, as browsers do."""
    if "f" in request.args:
        return request.args["f"].lower() in ("html", HTML)
    return request.accept_mimetypes.best_match(["application/json", HTML]) == HTML


def links(url: str, request: Request) -> list[dict[str, str]]:
    """The links of a list to itself and to its other form."""
    form, kind = ("json", JSON) if is_wanted(request) else ("html", HTML)
    other = query.url(url, request, f=form)
    return [
        link(query.url(url, request), "self", "This page", HTML if kind == JSON else JSON),
        link(other, "alternate", "Its other form", kind),
    ]


def of_answer(request: Request, response: Response) -> Response:
    """An answer that is JSON, as HTML if its client wants that; any other as it is."""
    if response.is_streamed or not is_json(response.mimetype or "") or not response.get_data():
        return response
    response.vary.add("Accept")
    if is_wanted(request):
        found = json.loads(response.get_data())
        response.set_data(_page(found, response.headers.get("Content-Language", "en")))
        response.mimetype = HTML
    return response


def _page(content: Any, language: str) -> str:
    named = content.get("title") if isinstance(content, dict) else None
    title = named or configuration.get_config_value("metadata:main", "identification_title")
    return str(_PAGE.format(language=language, title=str(title), content=_shown(content)))


def _shown(value: Any) -> Markup:
    if isinstance(value, Mapping):
        if isinstance(href := value.get("href"), str) and href.startswith(("http:", "https:")):
            return _link(href, value)
        rows = (Markup("<dt>{}</dt>\n<dd>{}</dd>\n").format(k, _shown(v)) for k, v in value.items())
        return Markup("<dl>\n{}</dl>").format(Markup("").join(rows))
    if isinstance(value, list):
        rows = (Markup("<li>{}</li>\n").format(_shown(one)) for one in value)
        return Markup("<ul>\n{}</ul>").format(Markup("").join(rows))
    return escape(value if isinstance(value, str) else json.dumps(value))


def _link(href: str, value: Mapping[str, Any]) -> Markup:
    rest = {key: one for key, one in value.items() if key not in ("href", "title")}
    facts = ", ".join(f"{key}: {one}" for key, one in rest.items())
    name = value.get("title") or href
    return Markup('<a href="{}">{}</a> ({})').format(href, str(name), facts)
