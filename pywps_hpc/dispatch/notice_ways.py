"""The ways by which a notice reaches an administrator: a webhook, and mail."""

from __future__ import annotations

import contextlib
import json
import logging
import smtplib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import localtime
from functools import partial
from typing import Any

from joblauncher.inputs.policy import Bounds
from pywps_hpc.dispatch import delivery
from pywps_hpc.settings import Settings
from pywps_hpc.timing import Timing

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Way:
    """One way to tell an administrator.

    Attributes:
        name: as the log has it.
        send: sends a message; raises ``OSError`` or ``Refused`` if nobody takes it.
    """

    name: str
    send: Callable[[Mapping[str, Any]], None]


#: An administrator's own address may be anywhere.
_EVERYWHERE = ("0.0.0.0/0", "::/0")


def of(settings: Settings, timing: Timing) -> Iterator[Way]:
    """Those that are set."""
    if settings.notices.webhook:
        yield Way("webhook", partial(_post, settings, timing))
    if settings.notices.mail:
        yield Way("mail", partial(_mail, settings, timing))


def bounds(settings: Settings, timing: Timing) -> Bounds:
    """The bounds of one message to the webhook."""
    return Bounds(
        schemes=("http", "https"),
        allowed_networks=_EVERYWHERE,
        blocked_networks=(),
        timeout=timing.callback_answer,
        total_timeout=timing.callback_total,
        redirects=0,
        proxy=settings.inputs.proxy,
    )


def _post(settings: Settings, timing: Timing, content: Mapping[str, Any]) -> None:
    body = json.dumps(content, ensure_ascii=False).encode()
    headers = {"Content-Type": "application/json", delivery.EVENT: "notice"}
    if settings.callbacks.secret is not None:
        secret = settings.callbacks.secret.read_bytes().strip()
        headers[delivery.SIGNATURE] = delivery.signature(secret, int(time.time()), body)
    delivery.post(settings.notices.webhook, headers, body, bounds(settings, timing))


def _mail(settings: Settings, timing: Timing, content: Mapping[str, Any]) -> None:
    own = settings.notices
    host, port = own.smtp
    try:
        server = smtplib.SMTP(host, port, timeout=timing.callback_answer)
        try:
            refused = server.send_message(_message(settings, server.local_hostname, content))
        finally:
            # What it says to our farewell does not change what it took.
            with contextlib.suppress(OSError, smtplib.SMTPException):
                server.quit()
            server.close()
    except smtplib.SMTPException as error:
        raise OSError(f"{host}:{port}: {' '.join(str(error).split())}") from None
    except OSError as error:
        raise OSError(f"{host}:{port}: {error.strerror or error}") from None
    for address, (code, reason) in refused.items():  # the others have it, and not twice
        told = reason.decode(errors="replace")
        log.warning("%s:%d does not take mail for %s: %d %s", host, port, address, code, told)


def _message(settings: Settings, host: str, content: Mapping[str, Any]) -> EmailMessage:
    own, notices = settings.notices, content["notices"]
    message = EmailMessage()
    message["From"] = own.sender or f"pywps-hpc@{host}"
    message["To"] = ", ".join(own.mail)
    message["Date"] = localtime()
    first = str(notices[0]["text"]) if notices else ""
    more = len(notices) + content["left_out"] - 1
    subject = first[:120] + (f" (and {more} more)" if more > 0 else "")
    message["Subject"] = "pywps-hpc: " + " ".join(subject.split())
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody answers it by a machine
    message.set_content(f"{content['text']}\n\n{content['service']}\n")
    return message
