"""What goes to the compute node with a job, and what stays here.

A process and its request travel through dill. The live service, the live HTTP request and the XML
makers of a request cannot; secrets must not. They are taken out or replaced by plain data.
"""

from __future__ import annotations

import copy
import re
from dataclasses import asdict
from typing import Any
from urllib.parse import urlencode

from werkzeug.wrappers import Request

from joblauncher import payload
from joblauncher.bounds import Bounds
from pywps_hpc.web import siblings

#: Names of configuration options, headers and query parameters that may hold a secret.
_SECRET = re.compile(
    r"authori[sz]ation|cookie|passw(or)?d|secret|token|credential|session|(api|access|private).?key",
    re.IGNORECASE,
)
#: Options that point to a database: useless on a node, and often with a password in the URL.
_DATABASE = ("logging", "database")


def pack(
    process: Any,
    wps_request: Any,
    *,
    sync: bool,
    status_url: str,
    bounds: Bounds,
    max_output_size: int = 0,
) -> bytes:
    """The dump of one job.

    Args:
        process: the copy of the process made for this job; loses its link to the service.
        wps_request: the parsed request; not changed.
        sync: whether the client waits on its connection.
        status_url: where the status document will be shown.
        bounds: of inputs by reference.
        max_output_size: bytes of the job's outputs; 0 means no limit.

    Raises:
        PayloadError: something in the process cannot travel.
    """
    from pywps import configuration

    service, process.service = process.service, None
    process._status_store = None
    travelling = copy.copy(wps_request)
    travelling.http_request = None
    travelling.WPS = travelling.OWS = travelling.xpath_ns = None
    header = payload.Header(
        job=str(process.uuid),
        process=process.identifier,
        sync=sync,
        status_url=status_url,
        http=plain_request(wps_request.http_request),
        config=effective_configuration(configuration.CONFIG),
        bounds=asdict(bounds),
        max_output_size=max_output_size,
        **payload.versions(),
    )
    content = {"process": process, "request": travelling, "service": siblings.pack(service)}
    return payload.pack(header, content, lambda thing: siblings.is_same(service, thing))


def plain_request(request: Request) -> dict[str, Any]:
    """An HTTP request as plain data, without its body and without credentials."""
    return {
        "method": request.method,
        "path": request.path,
        "base_url": request.root_url,
        "query": urlencode(
            [(k, v) for k, v in request.args.items(multi=True) if not _SECRET.search(k)]
        ),
        "headers": [
            [name, value]
            for name, value in request.headers.items()
            if not _SECRET.search(name) and name.lower() != "content-length"
        ],
        "remote_addr": request.remote_addr or "",
    }


def effective_configuration(config: Any) -> dict[str, dict[str, str]]:
    """PyWPS's configuration as it holds here: all files merged, variables filled in.

    Sections of the service's own travel too; ours, the database and whatever is named like a secret
    stay. PyWPS offers the whole server environment as defaults of every section, so only the keys
    that a section itself has are taken.
    """
    from pywps.configuration import RAW_OPTIONS

    effective: dict[str, dict[str, str]] = {}
    for section in config.sections():
        if section.split(".")[0] == "hpc":
            continue
        effective[section] = {
            key: config.get(section, key, raw=(section, key) in RAW_OPTIONS)
            for key in config._sections[section]
            if (section, key) != _DATABASE and not _SECRET.search(key)
        }
    return effective
