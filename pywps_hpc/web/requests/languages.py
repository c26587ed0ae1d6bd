"""Languages that clients name (RFC 4647): compared without regard to case, and found by their
beginning."""

from __future__ import annotations

from collections.abc import Iterable

from pywps import configuration


def offered() -> list[str]:
    """The languages of the service, the preferred one first."""
    told = str(configuration.get_config_value("server", "language"))
    return [language.strip() for language in told.split(",")]


def match(wanted: str, known: Iterable[str]) -> str | None:
    """The first of these languages that is the one that is wanted, or a variety of it."""
    low = wanted.lower()
    for one in known:
        if low in ("*", one.lower()) or one.lower().startswith(f"{low}-"):
            return one
    return None
