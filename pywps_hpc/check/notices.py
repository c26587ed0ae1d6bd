"""Whether those take messages that tell administrators of events. None is sent."""

from __future__ import annotations

import smtplib
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

from joblauncher.inputs.policy import PORTS
from pywps_hpc.check.findings import Finding, ok, warning
from pywps_hpc.settings import Settings
from pywps_hpc.timing import TIMING


def look(own: Settings) -> Iterator[Finding]:
    """Connect to each."""
    url = urlsplit(own.notices.webhook)
    if url.hostname and not own.inputs.proxy:
        place = url.hostname, url.port or PORTS[url.scheme]
        if why := _silent(*place):
            # The rest of the address may be a token.
            what = f"{place[0]}:{place[1]} cannot be reached: {why}"
            yield warning("[hpc.notices] webhook", what, "correct it, or have its server started")
        else:
            yield ok("[hpc.notices] webhook", f"{place[0]}:{place[1]} can be reached")
    if own.notices.mail:
        host, port = own.notices.smtp
        try:
            with smtplib.SMTP(host, port, timeout=TIMING.check_answer) as server:
                server.noop()
        except (OSError, smtplib.SMTPException) as problem:
            what = f"{host}:{port} takes no mail: {getattr(problem, 'strerror', '') or problem}"
            yield warning("[hpc.notices] smtp", what, "name the host and port of a mail server")
        else:
            yield ok("[hpc.notices] smtp", f"{host}:{port} answers")


def _silent(host: str, port: int) -> str:
    """Why nothing answers there; empty if something does."""
    try:
        with socket.create_connection((host, port), timeout=TIMING.check_answer):
            return ""
    except OSError as problem:
        return problem.strerror or str(problem)
