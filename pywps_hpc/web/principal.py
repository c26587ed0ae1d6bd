"""Who sends a request: the account that the web server in front of the service has authenticated.

It is told by WSGI's ``REMOTE_USER``, or by a header that counts only on connections from a proxy
that the administrator trusts. Anything else that a client says about itself counts for nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pywps.exceptions import NoApplicableCode
from werkzeug.wrappers import Request

from joblauncher.inputs import addresses
from pywps_hpc.settings import Settings
from pywps_hpc.settings.readers import UNIX_SOCKET

LOGGER = logging.getLogger(__name__)

#: Characters of a name at most: it is a column of the job table.
LONGEST = 255
#: How Apache's mod_headers writes a variable that is not set.
_UNSET = "(null)"


@dataclass(frozen=True)
class Principal:
    """Who sends a request.

    Attributes:
        name: of the account; empty if nobody logged in.
        is_administrator: whether all jobs are shown to this account, and obey it.
    """

    name: str = ""
    is_administrator: bool = False


def of(settings: Settings, request: Request) -> Principal:
    """The principal of a request.

    Raises:
        NoApplicableCode: the web server names one in a form that cannot be one account's name.
    """
    told = _account_name(settings, request.environ)
    name = _decoded(told)
    if name.strip() in ("", _UNSET):
        return Principal()
    if len(name) > LONGEST or not name.isprintable():
        LOGGER.warning("a user's name is refused: %s", name)
        raise NoApplicableCode("The name of the account cannot be used here.", code=400)
    return Principal(name, name in settings.administrators)


def _account_name(settings: Settings, environ: Mapping[str, Any]) -> str:
    if environ.get("REMOTE_USER"):
        return str(environ["REMOTE_USER"])
    header = f"HTTP_{settings.user_header.upper().replace('-', '_')}"
    if not settings.user_header or header not in environ or not is_from_proxy(settings, environ):
        return ""
    told = str(environ[header])
    if "," in told:  # so WSGI servers join the values of a header that was sent twice
        LOGGER.warning("[hpc] user_header: the proxy lets a client send this header, too: %s", told)
        raise NoApplicableCode("The name of the account cannot be used here.", code=400)
    return told


def is_from_proxy(settings: Settings, environ: Mapping[str, Any]) -> bool:
    """Whether the connection itself comes from a trusted proxy, whatever a header says."""
    # A middleware that puts the client's address there keeps the connection's (werkzeug, ProxyFix).
    before = environ.get("werkzeug.proxy_fix.orig") or environ
    peer = str(before.get("REMOTE_ADDR") or "")
    if not peer:  # a Unix socket has no address
        return UNIX_SOCKET in settings.trusted_proxies
    address = addresses.parse(peer)
    networks, _ = addresses.split(settings.trusted_proxies)
    return address is not None and addresses.is_inside(address, networks)


def _decoded(told: str) -> str:
    """What a server's bytes say: WSGI shows each byte as a character (PEP 3333)."""
    try:
        return told.encode("latin-1").decode()
    except UnicodeError:
        return told
