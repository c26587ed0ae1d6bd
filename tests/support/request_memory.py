"""Requests in an interpreter of their own: how much memory the web server takes for each.

Run as ``python request_memory.py FOLDER KIND FILE [KIND FILE]...``: the folder gets a service, a
kind is the content type of the body in the file, or ``query``. Prints a JSON object for each.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from werkzeug.test import EnvironBuilder, run_wsgi_app

import memory
import wps_client as client
from in_process_service import open_service
from pywps_hpc.web.waiting import Waiters

#: Small requests before it, so that what is loaded once is not counted.
FIRST = {
    "text/xml": b'<GetCapabilities xmlns="http://www.opengis.net/wps/1.0.0" service="WPS"/>',
    "application/json": b'{"operation": "getcapabilities", "version": "1.0.0"}',
}


def ask(application: Any, kind: str, **how: Any) -> tuple[int, str]:
    """The status of an answer, and the beginning of its text."""
    builder = EnvironBuilder(path="/wps", **how)
    environ = builder.get_environ()
    if kind != "query":
        environ["CONTENT_TYPE"] = kind
    body, status, _ = run_wsgi_app(application, environ)
    return int(status.split()[0]), b"".join(body)[:2000].decode(errors="replace")


def main(folder: str, *pairs: str) -> None:
    with open_service(Path(folder)) as app:
        app.web.application.waiters = Waiters(0)  # no job will end here
        for first, text in FIRST.items():
            ask(app.web.application, first, method="POST", data=text)
        app.accept("texts", [("text", client.Complex("a"))])
        before = memory.resident()
        for kind, file in zip(pairs[::2], pairs[1::2], strict=True):
            app.heartbeat()
            path = Path(file)
            with path.open("rb") as stream:
                how: dict[str, Any] = {"method": "GET", "query_string": ""}
                if kind == "query":
                    how["query_string"] = stream.read().decode()
                else:
                    size = path.stat().st_size
                    how = {"method": "POST", "input_stream": stream, "content_length": size}
                most, (status, text) = memory.peak_of(
                    lambda: ask(app.web.application, kind, **how)  # noqa: B023
                )
            answer = {"status": status, "took": most - before, "text": text}
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
