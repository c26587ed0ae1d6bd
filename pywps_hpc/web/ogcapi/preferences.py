"""What a client prefers, by the header ``Prefer`` (RFC 7240)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from werkzeug.wrappers import Request

_TOKEN = re.compile(
    r"""\s*([!#$%&'*+.^_`|~\w-]+)\s*(?:=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",;]*)))?[^,]*""", re.ASCII
)


@dataclass(frozen=True)
class Preferences:
    """What is understood of it; anything else is ignored (section 2).

    Attributes:
        is_async: ``respond-async`` (section 4.1).
        wait: seconds (section 4.3); ``None`` if it is not said.
    """

    is_async: bool = False
    wait: int | None = None


def of(request: Request) -> Preferences:
    """The preferences of a request; of one that is given twice the first counts."""
    found: dict[str, str] = {}
    for entry in ",".join(request.headers.getlist("Prefer")).split(","):
        token = _TOKEN.fullmatch(entry)
        if token is not None:
            found.setdefault(token[1].lower(), token[2] if token[2] is not None else token[3] or "")
    wait = found.get("wait", "")
    return Preferences(
        "respond-async" in found, int(wait) if re.fullmatch(r"\d{1,9}", wait, re.ASCII) else None
    )
