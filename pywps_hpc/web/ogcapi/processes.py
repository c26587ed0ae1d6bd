"""The list of processes, and the description of each (OGC 18-062r2, clauses 7.9, 7.10 and 8)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pywps import configuration
from pywps.inout.basic import BasicLiteral
from pywps.translations import get_translation
from werkzeug.wrappers import Request, Response

from pywps_hpc.ogc_json.links import REL, link, place
from pywps_hpc.settings import Settings
from pywps_hpc.web import requested
from pywps_hpc.web.context import Context
from pywps_hpc.web.ogcapi import html, problems, query, schemas
from pywps_hpc.web.ogcapi.answers import answer

#: What an execution may give back.
TRANSMISSION = ("value", "reference")


def modes(settings: Settings, identifier: str) -> frozenset[str]:
    """How a process may be executed: ``sync``, ``async``, or both; without a word of the
    administrator a connection is not held for the time that a job takes."""
    return frozenset(settings.for_process(identifier).modes or ("async",))


def find(service: Context, identifier: str) -> Any:
    """The process of this identifier.

    Raises:
        Problem: there is none.
    """
    if identifier not in service.processes:
        raise problems.no_such_process(identifier)
    return requested.described(service.settings, service.processes[identifier])


def show_list(service: Context, request: Request) -> Response:
    """The list of processes, in pages."""
    limit, start = query.limit(request), query.number(request, "start", 0)
    known = list(service.processes.values())
    language, root = language_of(request), service.addresses.root
    url = f"{root}processes"
    links = html.links(url, request)
    if start + limit < len(known):
        links.append(link(query.url(url, request, start=start + limit), "next", "Next page"))
    if start > 0:
        earlier = max(start - limit, 0)
        links.append(link(query.url(url, request, start=earlier), "prev", "Previous page"))
    page = known[start : start + limit]
    summaries = [summary(service, process, language) for process in page]
    return answer({"processes": summaries, "links": links})


def show(service: Context, request: Request, process: str) -> Response:
    """The description of one process."""
    found = find(service, process)
    language = language_of(request)
    return answer(description(service, found, language), headers={"Content-Language": language})


def summary(service: Context, process: Any, language: str) -> dict[str, Any]:
    """What the list tells of a process (processSummary.yaml)."""
    offered = modes(service.settings, process.identifier)
    options = [f"{mode}-execute" for mode in ("sync", "async") if mode in offered]
    url = f"{service.addresses.root}{place('processes', process.identifier)}"
    version = str(process.version or "")
    return _described(process, language) | {
        "id": process.identifier,
        "version": version if version not in ("", "None") else "0.0.0",
        "jobControlOptions": [*options, "dismiss"],
        "outputTransmission": list(TRANSMISSION),
        "links": [
            link(url, "self", "The description of this process"),
            link(f"{url}/execution", f"{REL}execute", "Execute this process"),
        ],
    }


def description(service: Context, process: Any, language: str) -> dict[str, Any]:
    """All of a process (process.yaml)."""
    return summary(service, process, language) | {
        "inputs": {item.identifier: _input(item, language) for item in process.inputs},
        "outputs": {item.identifier: _output(item, language) for item in process.outputs},
    }


def language_of(request: Request) -> str:
    """The language to answer in, of those that the service has."""
    known = str(configuration.get_config_value("server", "language")).split(",")
    languages = [name.strip() for name in known]
    return request.accept_languages.best_match(languages) or languages[0]


def _input(item: Any, language: str) -> dict[str, Any]:
    schema = schemas.of_item(item, is_input=True)
    most: int | str | None = 1 if "items" in schema else schemas.most_of(item)
    least = min(item.min_occurs, 1) if "items" in schema else item.min_occurs
    facts = {"minOccurs": least, "maxOccurs": "unbounded" if most is None else most}
    return _described(item, language) | facts | {"schema": schema}


def _output(item: Any, language: str) -> dict[str, Any]:
    return _described(item, language) | {"schema": schemas.of_item(item, is_input=False)}


def _described(item: Any, language: str) -> dict[str, Any]:
    """Title, description and the like of a process, an input or an output."""
    found: dict[str, Any] = {
        "title": str(get_translation(item, "title", language) or item.identifier),
        "description": str(get_translation(item, "abstract", language) or ""),
        "keywords": [str(word) for word in getattr(item, "keywords", None) or []],
        "metadata": [_metadata(one) for one in getattr(item, "metadata", None) or []],
    }
    units = [str(unit.uom) for unit in getattr(item, "uoms", None) or []]
    if units and isinstance(item, BasicLiteral):
        found["additionalParameters"] = {"parameters": [{"name": "uom", "value": units}]}
    return {key: value for key, value in found.items() if value}


def _metadata(entry: Any) -> Mapping[str, str]:
    facts = {"title": entry.title, "role": entry.role, "href": entry.href}
    return {key: str(value) for key, value in facts.items() if value}
