"""The addresses that clients are given, and whether this service answers there."""

from __future__ import annotations

import http.client
import os
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from urllib.parse import urlsplit

from pywps_hpc.check.configuration import of_message
from pywps_hpc.check.findings import Finding, error, ok, warning
from pywps_hpc.settings import Sections, SettingsError
from pywps_hpc.settings.checks import host, warnings
from pywps_hpc.timing import TIMING
from pywps_hpc.web.addresses import configured


def look(sections: Sections, bind: str) -> Iterator[Finding]:
    """Where links lead.

    Args:
        sections: of the configuration.
        bind: where the service listens, as in ``--bind``; empty if that is not known.
    """
    server = sections.get("server", {})
    url = os.path.expandvars(server.get("url", "")).strip()
    wrong = [line.partition(": ")[2] for line in warnings.of_url(url)]
    for what in wrong:
        yield warning(
            "[server] url", what, "set it to the address of the endpoint as clients see it"
        )
    if not wrong:
        yield from _port(url, bind) if bind else ()
        yield from _of_this_host(url, sections)
        yield ok("[server] url", url)
        yield from _outputs(
            url,
            *(os.path.expandvars(server.get(k, "")).strip() for k in ("outputurl", "outputpath")),
        )


def _port(url: str, bind: str) -> Iterator[Finding]:
    name, _, port = bind.rpartition(":")
    parts = urlsplit(url)
    seen = parts.port or (443 if parts.scheme == "https" else 80)
    is_here = parts.hostname in (name.strip("[]"), "localhost", "127.0.0.1", "::1")
    if is_here and parts.scheme == "https" and seen == int(port or 0):
        yield error(
            "[server] url",
            f"{url} is https, but the service itself speaks http on port {port}",
            "write http, or name the address of the proxy that has the certificate",
        )
    if is_here and port.isdigit() and seen != int(port):
        yield error(
            "[server] url",
            f"{url} leads to port {seen}, the service listens on {port} (--bind {bind}): links to "
            "jobs and results are dead",
            f"write port {port} into url, or --bind {name}:{seen}",
        )


def _of_this_host(url: str, sections: Sections) -> Iterator[Finding]:
    """A name by which every host means itself, where there is a cluster."""
    host_name = urlsplit(url).hostname or ""
    is_local = sections.get("hpc", {}).get("scheduler", "local").strip() == "local"
    if not is_local and (host_name.startswith("127.") or host_name in ("localhost", "::1")):
        yield warning(
            "[server] url",
            f"{url} means this host on every host: clients elsewhere are led to themselves",
            "write the name by which clients reach this host",
        )


def _outputs(url: str, outputurl: str, outputpath: str) -> Iterator[Finding]:
    try:
        told = configured(url, outputurl, outputpath or tempfile.gettempdir()).warning
    except SettingsError as problem:
        yield of_message(str(problem), "[server] outputurl")
        return
    if told:
        what = told.removeprefix("[server] ").partition("; for another")[0]
        remedy = "remove both; or, for another address that leads to this service, outputurl alone"
        yield warning("[server] outputurl", what, remedy)
        return
    given = urlsplit(outputurl)
    if outputurl and not (given.scheme in ("http", "https") and given.netloc):
        yield error(
            "[server] outputurl",
            f"{outputurl} is no address: links to outputs are dead",
            "remove outputurl: outputs are then shown beside the endpoint",
        )
    elif given.scheme in ("http", "https") and given.netloc != urlsplit(url).netloc:
        yield warning(
            "[server] outputurl",
            f"{outputurl} leads to another host or port than url ({urlsplit(url).netloc}): "
            "links to "
            "outputs are dead unless a proxy there passes them on to this service",
            "remove outputurl: outputs are then shown beside the endpoint",
        )


def answers(url: str) -> str:
    """Why the service does not answer at its endpoint; empty if it does."""
    request = urllib.request.Request(f"{url}?service=WPS&request=GetCapabilities")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=TIMING.check_answer) as answer:
            text = answer.read(65536)
        return "" if b"Capabilities" in text else "something else than a WPS answers there"
    except urllib.error.HTTPError as problem:
        return f"it answers with HTTP status {problem.code}"
    except (OSError, http.client.HTTPException, ValueError) as problem:
        reason = getattr(problem, "reason", problem)
        return str(getattr(reason, "strerror", "") or reason or type(problem).__name__)


def ask(url: str, bind: str, *, is_served: bool) -> Iterator[Finding]:
    """Whether the endpoint answers, and whether a server could listen.

    Args:
        url: the endpoint; empty if none is set.
        bind: as in ``--bind``; empty if that is not known.
        is_served: whether a dispatcher of the service runs, and so should its web server.
    """
    why = answers(url) if url else "no url is set"
    if url and not why:
        yield ok("[server] url", "the service answers there")
    elif url and is_served:
        yield warning(
            "[server] url",
            f"{url} cannot be reached from this host: {why}",
            "is the web server running (pywps-hpc web), and does url lead to it, port included?",
        )
    if bind and why:
        try:
            host.check_address(bind)
        except SettingsError as problem:
            yield error(
                f"--bind {bind}",
                str(problem).partition(f"{bind}: ")[2],
                "choose a free HOST:PORT of this host, or end what uses it (ss -ltnp)",
            )
