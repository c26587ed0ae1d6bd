"""One request in an interpreter of its own: how much memory the web server takes for it.

Run as ``python one_request.py FOLDER KIND FILE``: the folder gets a service, the kind is the
content type of the body in the file, or ``query``. Prints a JSON object.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from werkzeug.test import EnvironBuilder, run_wsgi_app

from house import open_house
from pywps_hpc.web.waiting import Waiters

#: Small requests before it, so that what is loaded once is not counted.
FIRST = {
    "text/xml": b'<GetCapabilities xmlns="http://www.opengis.net/wps/1.0.0" service="WPS"/>',
    "application/json": b'{"operation": "getcapabilities", "version": "1.0.0"}',
}


def memory(key: str) -> int:
    """A size of this process in bytes (proc_pid_status(5))."""
    found = re.search(rf"^{key}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) << 10


def ask(application: Any, kind: str, **how: Any) -> tuple[int, str]:
    """The status of an answer, and the beginning of its text."""
    builder = EnvironBuilder(path="/wps", **how)
    environ = builder.get_environ()
    if kind != "query":
        environ["CONTENT_TYPE"] = kind
    body, status, _ = run_wsgi_app(application, environ)
    return int(status.split()[0]), b"".join(body)[:2000].decode(errors="replace")


def main(folder: str, kind: str, file: str) -> None:
    with open_house(Path(folder)) as house:
        house.beat()
        house.web.application.waiters = Waiters(0)  # no job will end here
        for first, text in FIRST.items():
            ask(house.web.application, first, method="POST", data=text)
        import wpsclient as client

        small = client.execute_document("texts", [("text", client.Complex("a"))], asynchronous=True)
        ask(house.web.application, "text/xml", method="POST", data=small)
        path = Path(file)
        if kind == "query":
            how: dict[str, Any] = {"method": "GET", "query_string": path.read_text()}
        else:
            stream = path.open("rb")
            how = {"method": "POST", "input_stream": stream, "content_length": path.stat().st_size}
        Path("/proc/self/clear_refs").write_text("5")
        before = memory("VmRSS")
        status, text = ask(house.web.application, kind, **how)
        took = memory("VmHWM") - before
        print(json.dumps({"status": status, "took": took, "text": text}))


if __name__ == "__main__":
    main(*sys.argv[1:])
