"""What a browser makes of documents and outputs with scripts in them: a real one opens them all."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from werkzeug.serving import WSGIRequestHandler, make_server

from in_process_service import InProcessService, open_service
from joblauncher.shared.outcome import Report
from wps_client import Complex

pytestmark = [pytest.mark.cluster, pytest.mark.batch_system("none")]  # which brings the browser

#: A browser on a busy host leaves before it has opened everything, or hangs: after so many seconds
#: another one comes, and so many in all.
VISIT, VISITS = 90, 4
XHTML = "http://www.w3.org/1999/xhtml"
PAGE = '<!DOCTYPE html><body onload="%s"><img src=x onerror="%s"></body><script>%s</script>'
STATUS = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    '<wps:ExecuteResponse xmlns:wps="http://www.opengis.net/wps/1.0.0"><wps:Status>'
    "<wps:ProcessSucceeded>done</wps:ProcessSucceeded></wps:Status><wps:DataInputs>%s"
    "</wps:DataInputs></wps:ExecuteResponse>"
)
XSL = (
    '<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">'
    '<xsl:template match="/"><html><script>%s</script></html></xsl:template></xsl:stylesheet>'
)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcessService]:
    with open_service(tmp_path_factory.mktemp("app")) as opened:
        yield opened


class Stage:
    """The service, and beside it what it serves once more without its headers.

    Attributes:
        ran: of whom a script ran: a path of the service, or ``/bare`` and such a path.
        asked: the paths that the browser asked for.
    """

    def __init__(self, service: Callable[..., Any], paths: list[str]) -> None:
        self.service, self.paths = service, paths
        self.ran: set[str] = set()
        self.asked: set[str] = set()

    def ran_bare(self) -> set[str]:
        """The paths whose scripts ran without the headers."""
        return {path.removeprefix("/bare") for path in self.ran if path.startswith("/bare")}

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Any:
        path = environ["PATH_INFO"]
        self.asked.add(path)
        if path == "/index":
            start("200 OK", [("Content-Type", "text/html")])
            frames = [
                f'<iframe src="{before}{path}"></iframe>'
                for path in self.paths
                for before in ("", "/bare")
            ]
            return ["".join(frames).encode()]
        if path.startswith("/ran"):
            self.ran.add(path.removeprefix("/ran"))
        if not path.startswith("/bare"):
            return self.service(environ, start)

        def bare(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            kept = [pair for pair in headers if pair[0] in ("Content-Type", "Content-Length")]
            return start(status, kept, *rest)

        return self.service(environ | {"PATH_INFO": path.removeprefix("/bare")}, bare)


class Quiet(WSGIRequestHandler):
    def log_request(self, *_: object) -> None:
        pass


def test_a_browser_runs_no_script_of_what_is_shown(app: InProcessService, tmp_path: Path) -> None:
    job = app.accept()
    job.outputs.mkdir()
    shown = f"/outputs/{job.access}/"

    # A script tells that it ran by asking for a picture.
    beacon = "new Image().src = '/ran' + location.pathname"
    outputs = {
        "page.html": PAGE % (beacon, beacon, beacon),
        "picture.svg": f'<svg xmlns="http://www.w3.org/2000/svg"><script>{beacon}</script></svg>',
        "page.xhtml": f'<html xmlns="{XHTML}"><script>{beacon}</script></html>',
        "data.xml": f'<a><script xmlns="{XHTML}">{beacon}</script></a>',
        "style.xsl": XSL % beacon,
        "styled.xml": f'<?xml-stylesheet type="text/xsl" href="{shown}style.xsl"?><a/>',
        "guess.dat": PAGE % (beacon, beacon, beacon),
    }
    for name, content in outputs.items():
        (job.outputs / name).write_text(content)
    inside = f'<script xmlns="{XHTML}">{beacon}</script>'
    # An end that only the process tells is not shown, and a message as text, as it is reported.
    working = STATUS.replace("ProcessSucceeded", "ProcessStarted").replace("done", inside)
    forged = {"script": STATUS % inside, "message": working % ""}
    style = f'<?xml-stylesheet type="text/xsl" href="{shown}style.xsl"?>'
    forged["styled"] = (STATUS % inside).replace(
        "<wps:ExecuteResponse", f"{style}<wps:ExecuteResponse", 1
    )
    paths = [shown + name for name in outputs]
    for name, content in forged.items():
        other = app.accept()
        other.status.write_text(content)
        if name == "message":
            Report(other.job_id, "odd", "started", 10, inside).write(other)
        paths.append(f"/status/{other.access}")
    sent = f'<script xmlns="{XHTML}">{beacon}</script>'
    honest = app.accept("texts", [("text", Complex(f"]]>{sent}<![CDATA["))], lineage=True)
    paths.append(f"/status/{honest.access}")
    assert {path: app.get(path).status_code for path in paths} == dict.fromkeys(paths, 200)

    stage = Stage(app.web.application, paths)
    documents = dict(zip(forged, paths[len(outputs) :], strict=False))
    # Without the headers the same browser runs these: this test can fail.
    running = {shown + name for name in ("page.html", "picture.svg", "page.xhtml", "data.xml")}
    running.add(documents["script"])
    server = make_server("127.0.0.1", 0, stage, threaded=True, request_handler=Quiet)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        for visit in range(VISITS):
            browse(f"http://127.0.0.1:{server.port}/index", tmp_path / str(visit))
            if set(paths) <= stage.asked and running <= stage.ran_bare():
                break
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert set(paths) <= stage.asked
    assert {path for path in stage.ran if not path.startswith("/bare")} == set()
    bare = stage.ran_bare()
    assert running <= bare
    # Text that a client or a process sent is text, headers or not.
    assert not {documents["message"], f"/status/{honest.access}"} & bare
    assert beacon in app.get(documents["message"]).get_data(as_text=True)


def browse(url: str, folder: Path) -> None:
    """Open a page, and let its scripts run. A browser that hangs is ended: what it has asked for
    tells how far it came."""
    line = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
    line += ["--disable-dev-shm-usage", "--no-proxy-server", f"--user-data-dir={folder}"]
    line += ["--disable-background-networking", "--disable-component-update"]
    try:
        done = subprocess.run(
            [*line, "--virtual-time-budget=5000", "--dump-dom", url],
            capture_output=True,
            text=True,
            timeout=VISIT,
        )
    except subprocess.TimeoutExpired:
        return
    assert done.returncode == 0, done.stderr
    assert "<iframe" in done.stdout
