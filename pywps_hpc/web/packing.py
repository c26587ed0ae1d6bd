"""What goes to the compute node with a job, and what stays here.

A process and its request are serialised by dill. The live service, the live HTTP request and the
XML makers of a request cannot be; secrets must not. They are taken out or replaced by plain data.
"""

from __future__ import annotations

import configparser
import copy
import functools
import os
from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import Any
from urllib.parse import urlencode

from werkzeug.wrappers import Request

from joblauncher.inputs.large_values import Value
from joblauncher.inputs.policy import Bounds
from joblauncher.shared import dump
from pywps_hpc import secret_values
from pywps_hpc.settings import Settings
from pywps_hpc.web import packed_service

#: Headers of a request that a job may see (RFC 9110, 7239, and what proxies add): none of them says
#: who somebody is. Whatever is not in a list stays here.
HEADERS = frozenset(
    (
        *("accept", "accept-charset", "accept-encoding", "accept-language", "cache-control"),
        *("connection", "content-encoding", "content-language", "content-type", "date"),
        *("expect", "forwarded", "host", "pragma", "user-agent", "via", "x-forwarded-for"),
        *("x-forwarded-host", "x-forwarded-port", "x-forwarded-prefix", "x-forwarded-proto"),
        *("x-real-ip", "x-request-id"),
    )
)
#: Parameters of a query: those of WPS (OGC 05-007r7; 06-121r3).
PARAMETERS = frozenset(
    (
        *("acceptformats", "acceptversions", "datainputs", "identifier", "language"),
        *("lineage", "rawdataoutput", "request", "responsedocument", "sections", "service"),
        *("status", "storeexecuteresponse", "updatesequence", "version"),
    )
)
#: What was evaluated last, and of what.
_effective: tuple[object, dict[str, dict[str, str]]] | None = None
#: Options that point to a database: useless on a node.
_DATABASE = ("logging", "database")


def pack(
    job_id: str,
    process: Any,
    wps_request: Any,
    settings: Settings,
    *,
    sync: bool,
    status_url: str,
    bounds: Bounds,
    prepared: Mapping[str, str] | None = None,
    values: Mapping[str, Value] | None = None,
) -> bytes:
    """The dump of one job.

    Args:
        job_id: of the job.
        process: the copy of the process made for this job; loses its link to the service.
        wps_request: the parsed request; not changed.
        settings: of the installation.
        sync: whether the client waits on its connection.
        status_url: where the status document will be shown.
        bounds: of inputs by reference.
        prepared: what stands in the folder that the process has here.
        values: large values that do not stand in the request, by what stands in their place.

    Raises:
        PayloadError: something in the process cannot be serialised.
    """
    from pywps import configuration

    service, process.service = process.service, None
    process._status_store = None
    sent = copy.copy(wps_request)
    sent.http_request = None
    sent.WPS = sent.OWS = sent.xpath_ns = None
    header = dump.Header(
        job=job_id,
        process=process.identifier,
        sync=sync,
        status_url=status_url,
        http=plain_request(
            wps_request.http_request,
            HEADERS.union(settings.pass_headers),
            PARAMETERS.union(settings.pass_parameters),
        ),
        config=effective_configuration(configuration.CONFIG, settings.pass_options),
        bounds=_plain(bounds),
        max_output_size=settings.max_output_size,
        prepared=dict(prepared or {}),
        values={token: asdict(value) for token, value in (values or {}).items()},
        **dump.versions(),
    )
    content = {
        "process": process,
        "request": sent,
        "service": packed_service.pack(service, process),
    }
    return dump.pack(header, content, lambda thing: packed_service.is_same(service, thing))


@functools.lru_cache(maxsize=16)
def _plain(bounds: Bounds) -> dict[str, Any]:
    """Bounds as plain data: not to be changed."""
    return asdict(bounds)


def plain_request(
    request: Request, headers: Collection[str], parameters: Collection[str]
) -> dict[str, Any]:
    """An HTTP request as plain data, without its body.

    Args:
        request: as it came in.
        headers: names of those that may be sent, in small letters.
        parameters: the same of the query.
    """
    query = request.args.items(multi=True)
    return {
        "method": request.method,
        "path": request.path,
        "base_url": request.root_url,
        "query": urlencode([(name, text) for name, text in query if name.lower() in parameters]),
        "headers": [
            [name, text] for name, text in request.headers.items() if name.lower() in headers
        ],
        "remote_addr": request.remote_addr or "",
    }


def _value(config: Any, section: str, key: str, *, raw: bool) -> str:
    """A value as PyWPS reads it; one with a ``%`` that refers to nothing as it stands, since who
    wrote it for a section of the service's own may read it so."""
    try:
        return str(config.get(section, key, raw=raw))
    except configparser.InterpolationError:
        return os.path.expandvars(str(config.get(section, key, raw=True)))


def effective_configuration(config: Any, passed: Collection[str] = ()) -> dict[str, dict[str, str]]:
    """PyWPS's configuration as it holds here: all files merged, variables filled in.

    Sections of the service's own are sent too; ours, the database and whatever looks like a secret
    stay. PyWPS offers the whole server environment as defaults of every section, so only the keys
    that a section itself has are taken.

    Args:
        config: PyWPS's.
        passed: ``section.option`` of those that are sent though they look like a secret.

    Returns:
        The same object as before if nothing has changed: not to be changed.
    """
    global _effective
    stands = _as_it_stands(config), frozenset(passed)
    if _effective is None or _effective[0] != stands:
        _effective = stands, _evaluate(config, passed)
    return _effective[1]


def _as_it_stands(config: Any) -> tuple[object, ...]:
    """All that its values are made of."""
    sections = {name: tuple(options.items()) for name, options in config._sections.items()}
    refers = any("$" in (value or "") for options in sections.values() for _, value in options)
    variables = tuple(os.environ.items()) if refers else ()
    return type(config), sections, tuple(config.defaults().items()), variables


def _evaluate(config: Any, passed: Collection[str]) -> dict[str, dict[str, str]]:
    from pywps.configuration import RAW_OPTIONS

    effective: dict[str, dict[str, str]] = {}
    for section in config.sections():
        if section.split(".")[0] == "hpc":
            continue
        effective[section] = {}
        for key in config._sections[section]:
            is_passed = f"{section}.{key}".lower() in passed
            if (section, key) == _DATABASE or (secret_values.is_secret_name(key) and not is_passed):
                continue
            value = _value(config, section, key, raw=(section, key) in RAW_OPTIONS)
            if is_passed or not secret_values.URL_PASSWORD.search(value or ""):
                effective[section][key] = value
    return effective
