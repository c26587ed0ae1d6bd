"""Where Prometheus asks: an address of its own, which clients of the service do not reach."""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from pywps_hpc.errors import SettingsError
from pywps_hpc.metrics import meters
from pywps_hpc.timing import TIMING

LOGGER = logging.getLogger(__name__)

#: Whether all is well, and what is told of it in JSON.
Probe = Callable[[], tuple[bool, Mapping[str, Any]]]


def listen(key: str, address: tuple[str, int]) -> socket.socket:
    """A socket on which this address is listened.

    Args:
        key: of ``[hpc.metrics]``, for the administrator.

    Raises:
        SettingsError: it cannot be, or ``prometheus_client`` is not installed.
    """
    try:
        import prometheus_client  # noqa: F401
    except ImportError:
        raise SettingsError(
            f"[hpc.metrics] {key}: prometheus-client is not installed: "
            "pip install 'pywps-hpc[server]'"
        ) from None
    try:
        return socket.create_server(address, family=_family(address[0]), reuse_port=False)
    except OSError as error:
        host, port = address
        raise SettingsError(
            f"[hpc.metrics] {key}: {host}:{port} cannot be listened on: {error.strerror}"
        ) from None


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def answer(listening: socket.socket, collector: Any, probes: Mapping[str, Probe]) -> Server:
    """Answer scrapes from a thread of this process.

    Args:
        listening: of :func:`listen`; several processes may answer at the same one.
        collector: what is told beside the meters.
        probes: what else can be asked for, by its path.
    """
    server = Server(listening, collector, probes)
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server


class Server(ThreadingHTTPServer):
    """Answers ``/metrics`` and the probes."""

    daemon_threads = True

    def __init__(
        self, listening: socket.socket, collector: Any, probes: Mapping[str, Probe]
    ) -> None:
        super().__init__(listening.getsockname()[:2], _Handler, bind_and_activate=False)
        self.socket.close()
        # Another worker may have been quicker: then there is nothing to accept.
        listening.setblocking(False)
        self.socket = listening
        self.collector, self.probes = collector, probes

    def handle_error(self, request: Any, client_address: Any) -> None:
        """One that hung up, or an accident: neither stops anything."""
        LOGGER.debug("a scrape was not answered", exc_info=True)

    def exposition(self) -> tuple[bytes, str]:
        """All metrics, and their media type."""
        from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

        registry = meters.registry()
        registry.register(self.collector)
        return generate_latest(registry), CONTENT_TYPE_LATEST


class _Handler(BaseHTTPRequestHandler):
    server: Server
    timeout = TIMING.scrape_patience
    server_version, sys_version = "pywps-hpc", ""

    def do_GET(self) -> None:
        """Answer one request."""
        path = self.path.partition("?")[0]
        if path == "/metrics":
            self._send(200, *self.server.exposition())
        elif probe := self.server.probes.get(path):
            is_well, told = probe()
            content = json.dumps(told).encode() + b"\n"
            self._send(200 if is_well else 503, content, "application/json")
        else:
            self._send(404, b"not found\n", "text/plain; charset=utf-8")

    def _send(self, code: int, content: bytes, kind: str) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Scrapes are not told in the log."""
