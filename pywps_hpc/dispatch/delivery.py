"""One message of a callback: what it says, its signature, and how it is sent.

It is bounded like an input that is fetched: its host has to be allowed, the connection goes to the
address that was vetted, no redirection is followed, and time is limited.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import urljoin

from joblauncher.inputs.deadline import Deadline
from joblauncher.inputs.policy import Bounds, Refused, parse
from joblauncher.inputs.resolve import vetted
from joblauncher.inputs.wire import Wire
from pywps_hpc.dispatch.context import Context
from pywps_hpc.jobs import Job, results
from pywps_hpc.jobs.callbacks import Callback, Event
from pywps_hpc.jobs.look import look
from pywps_hpc.jobs.retention import expires
from pywps_hpc.ogc_json import status
from pywps_hpc.ogc_json.results import Source, chosen_of, document
from pywps_hpc.settings.model import PYWPS_URL

#: Bytes of files that a message takes in; what is larger is given by reference.
INLINE = 1 << 20
#: The headers of a message, beside those of HTTP.
EVENT, JOB, SIGNATURE = "Pywps-Hpc-Event", "Pywps-Hpc-Job", "Pywps-Hpc-Signature"


def content(context: Context, callback: Callback, row: Job) -> bytes:
    """What a message says: the results of a success, of anything else the status.

    Raises:
        OSError: the storage is in trouble.
        ResultsGone: there are no results any more.
    """
    settings = context.settings
    folder = replace(context.spool.open(row.id), access=row.access)
    view = look(row, folder, scheduler=settings.scheduler, expires=expires(row, settings.retention))
    root = urljoin(settings.url or PYWPS_URL, ".")
    told = status.info(root, view)
    if callback.event is Event.SUCCESS:
        form = results.form_of(folder)
        types = {asked.identifier: asked.data_type for asked in form.outputs}
        told = document(Source(root, view, folder, types), chosen_of(view, form), INLINE)
    return json.dumps(told, ensure_ascii=False, allow_nan=False).encode()


def signature(secret: bytes, moment: int, body: bytes) -> str:
    """The value of the header that tells a receiver from whom a message is.

    Args:
        secret: that both know.
        moment: when it is sent, in seconds since the epoch.
        body: of the message.
    """
    code = hmac.new(secret, b"%d." % moment + body, hashlib.sha256)
    return f"t={moment},v1={code.hexdigest()}"


def headers(callback: Callback, row: Job, signed: str) -> Mapping[str, str]:
    """Of a message."""
    return {
        "Content-Type": "application/json",
        EVENT: callback.event.value,
        JOB: row.access or row.id,
        SIGNATURE: signed,
    }


def post(url: str, given: Mapping[str, str], body: bytes, bounds: Bounds) -> None:
    """Send a message.

    Raises:
        Refused: nobody has taken it; the message of this names no address.
    """
    deadline = Deadline(bounds, lambda: False)
    wire = Wire(bounds, deadline)
    try:
        target = parse(url, bounds)
        hosts = [str(address) for address in vetted(target, bounds, deadline)]
        answer = wire.ask(target, hosts, given, body)
    finally:
        wire.end()
    if not 200 <= answer.status < 300:
        raise Refused(f"its server answered with HTTP status {answer.status}")
