"""What a client may have fetched: decided from its request and the configuration alone.

Messages name neither the URL, which may hold a password, nor any address.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

SCHEMES = ("http", "https", "file")
PORTS = {"http": 80, "https": 443}
_CONTROL = r"[\x00-\x1f\x7f]"
_NO_URL = "it is not a valid URL"
UNREACHABLE = "its host is unknown or not allowed"


class Refused(Exception):
    """The input cannot be had. The message is for the client, who reads it after "input x: "."""


class TooLarge(Refused):
    """It has more bytes than allowed."""


class NotStored(Refused):
    """There is no room for it here: neither the client nor its server can help."""


class Stopped(Refused):
    """It is no longer needed."""


@dataclass(frozen=True)
class Bounds:
    """What the administrator allows (``[hpc.inputs]``). Serialised with the job, as plain data.

    Attributes:
        schemes: of :data:`SCHEMES`.
        folders: that ``file://`` inputs may lie in, absolute.
        allowed_networks: networks, addresses and host names allowed besides public addresses.
        blocked_networks: networks, addresses and host names that are not allowed though public,
            unless ``allowed_networks`` has them: the site's, and the service's own.
        max_bytes: of one input, decoded.
        timeout: seconds for a connection, and for the next bytes on it.
        total_timeout: seconds for one input, redirections included.
        max_bytes_per_job: of all inputs of a job together; 0 means no limit.
        total_timeout_per_job: seconds for all of them.
        min_rate: bytes per second, averaged over each ``timeout`` seconds of waiting for them; 0
            means no limit.
        redirects: how many are followed.
        proxy: ``http://host:port``, or empty for none. Names that resolve on this host are vetted
            all the same; where it connects for others is up to it.
    """

    schemes: tuple[str, ...] = SCHEMES
    folders: tuple[str, ...] = ()
    allowed_networks: tuple[str, ...] = ()
    blocked_networks: tuple[str, ...] = ()
    max_bytes: int = 2 << 30
    timeout: float = 30.0
    total_timeout: float = 1800.0
    max_bytes_per_job: int = 50 << 30
    total_timeout_per_job: float = 3600.0
    min_rate: int = 1024
    redirects: int = 5
    proxy: str = ""

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Bounds:
        """Bounds from JSON, which has lists only."""
        found: dict[str, Any] = {f.name: plain[f.name] for f in fields(cls) if f.name in plain}
        for name in ("schemes", "folders", "allowed_networks", "blocked_networks"):
            found[name] = tuple(found.get(name, getattr(cls, name)))
        return cls(**found)


@dataclass(frozen=True)
class Reference:
    """What a client asks to be fetched (``wps:Reference``, WPS 1.0.0, table 23).

    Attributes:
        url: ``http`` or ``https``.
        headers: to send along.
        body: to post; ``None`` means GET.
        body_url: where to fetch that body first; empty: nowhere.
    """

    url: str
    headers: tuple[tuple[str, str], ...] = ()
    body: str | None = None
    body_url: str = ""


@dataclass(frozen=True)
class Target:
    """The parts of a URL that may be fetched, as they are sent."""

    scheme: str
    host: str
    port: int
    path: str
    authorization: str = ""

    @property
    def origin(self) -> tuple[str, str, int]:
        """Headers and passwords go to this one only (RFC 6454)."""
        return self.scheme, self.host, self.port

    @property
    def authority(self) -> str:
        """The value of Host (RFC 9110, section 7.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"


def parse(url: str, bounds: Bounds) -> Target:
    """Take a URL apart.

    Raises:
        Refused: not a URL that may be fetched.
    """
    try:
        if re.search(_CONTROL, url) or len(url) > 8000:
            raise ValueError
        parts = urlsplit(url.strip())
        host, port = parts.hostname or "", parts.port
        host = host if ":" in host else host.rstrip(".").encode("idna").decode("ascii")
        path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~")
        if parts.query:
            path += "?" + quote(parts.query, safe="/%:@!$&'()*+,;=~?[]{}|^`")
        authorization = ""
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            authorization = "Basic " + b64encode(pair.encode()).decode()
    except ValueError:  # of which UnicodeError is one
        raise Refused(_NO_URL) from None
    if parts.scheme not in PORTS or parts.scheme not in bounds.schemes:
        allowed = ", ".join(bounds.schemes)
        raise Refused(f"its URL scheme is not supported; supported are: {allowed}")
    if not host or re.search(r"[\s\"<>\\^`{|}%]", host):
        raise Refused(_NO_URL)
    return Target(parts.scheme, host, port or PORTS[parts.scheme], path, authorization)


def local_file(url: str, bounds: Bounds) -> Path:
    """The file behind a ``file://`` URL, under the path of the allowed folder that holds it.

    All links are followed before it is compared, folder by folder, with the allowed ones. It need
    not exist on this host.

    Raises:
        Refused: it lies elsewhere, or such URLs are not allowed.
    """
    try:
        parts = urlsplit(url)
        path = Path(unquote(parts.path))
        if "file" in bounds.schemes and parts.netloc in ("", "localhost") and path.is_absolute():
            real = path.resolve()
            for folder in map(Path, bounds.folders):
                if real.is_relative_to(folder.resolve()):
                    return folder / real.relative_to(folder.resolve())
    except (OSError, ValueError, RuntimeError):  # a loop of links, a zero byte
        pass
    raise Refused("File URL not supported as input.")
