"""What proves that a form was sent from a page of this service (a signed double submit).

A browser gets a random value in a cookie, and each form carries that value's HMAC, made with a key
of the installation and bound to the account: a page of another host can neither read nor make it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets

from pywps.exceptions import NoApplicableCode
from werkzeug.wrappers import Request, Response

from pywps_hpc.jobs import JobStore
from pywps_hpc.web import principal
from pywps_hpc.web.context import Context
from pywps_hpc.web.pages import urls

#: Name of the key in the job table, of the cookie, and of the field in a form.
FACT, COOKIE, FIELD = "forms key", "pywps_hpc_form", "token"
_VALUE = re.compile(r"[0-9a-f]{32}")


def given(request: Request) -> str:
    """The value in the browser's cookie, or a new one, the same for all of one request."""
    known = request.environ.get("pywps_hpc.form")
    if known is None:
        told = request.cookies.get(COOKIE, "")
        known = told if _VALUE.fullmatch(told) else secrets.token_hex(16)
        request.environ["pywps_hpc.form"] = known
    return str(known)


def token(service: Context, request: Request) -> str:
    """What a form has to carry."""
    who = principal.of(service.settings, request).name
    return _signed(_key(service.store), given(request), who)


def remember(service: Context, request: Request, response: Response) -> None:
    """Let the browser have the value, if it has none."""
    if request.cookies.get(COOKIE) != given(request):
        urls.set_cookie(service, response, COOKIE, given(request))


def check(service: Context, request: Request) -> None:
    """Make sure that a form was sent from a page of this service, to this account.

    Raises:
        NoApplicableCode: it was not; HTTP 403.
    """
    cookie, told = request.cookies.get(COOKIE, ""), request.form.get(FIELD, "")
    who = principal.of(service.settings, request).name
    expected = _signed(_key(service.store), cookie, who)
    if not _VALUE.fullmatch(cookie) or not hmac.compare_digest(expected.encode(), told.encode()):
        raise NoApplicableCode(
            "This form was not sent from a page of this service, or the page is too old. Go back, "
            "reload the page, and send the form once more; cookies have to be allowed.",
            code=403,
        )


def _signed(key: bytes, value: str, who: str) -> str:
    return hmac.new(key, f"{value}\0{who}".encode(), hashlib.sha256).hexdigest()


def _key(store: JobStore) -> bytes:
    known = store.fact(FACT)
    if not known:
        with store.facts() as facts:
            known = facts.setdefault(FACT, secrets.token_hex(32))
    return bytes.fromhex(known)
