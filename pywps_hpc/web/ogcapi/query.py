"""Parameters of queries: what is not understood is refused."""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import datetime, timezone
from urllib.parse import urlencode

from werkzeug.wrappers import Request

from pywps_hpc.web.ogcapi.problems import invalid
from pywps_hpc.web.requests import limits

#: Values of the parameter ``f``, which comes before what a client accepts.
FORMS = ("json", "application/json", "html", "text/html")
#: Entries of a page by default, and at most (limit.yaml).
USUAL, MOST = 100, 1000
#: A day, with the months' lengths and leap years; a time on it, which is optional (RFC 3339).
_DAY = (
    r"(?:[12][0-9]{3}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
    r"|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))"
    r"|(?:[12][0-9](?:0[48]|[2468][048]|[13579][26])|(?:1[26]|2[048])00)-02-29)"
)
_CLOCK = (
    r"[Tt ](?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]+)?"
    r"(?:[Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
)
_TIME = rf"{_DAY}(?:{_CLOCK})?"
#: One of these, or two with a slash between them, of which one may be open.
DATETIME = rf"^(?:{_TIME}|{_TIME}/(?:{_TIME}|(?:\.\.)?)|(?:\.\.)?/{_TIME})$"
#: Digits of a number at most; a larger one than there can be is a whole number, too.
_DIGITS = 300


def check(request: Request, known: Collection[str]) -> None:
    """Make sure that a query has no other parameters than these.

    Raises:
        Problem: it has.
    """
    limits.check_query(str(request.environ.get("QUERY_STRING", "")))
    for name, value in request.args.items(multi=True):
        if name == "f" and value.lower() in FORMS:
            continue
        if name not in known:
            choices = f"known here: {', '.join(sorted(known))}" if known else "there are none here"
            raise invalid(f"The parameter '{name}' is not known; {choices}.")


def number(request: Request, name: str, least: int) -> int:
    """A whole number; the least one by default.

    Raises:
        Problem: it is none, or less.
    """
    text = one(request, name)
    if text is None:
        return least
    if not re.fullmatch(rf"[0-9]{{1,{_DIGITS}}}", text) or int(text) < least:
        raise invalid(f"{name}: a whole number of at least {least} is wanted.")
    return int(text)


def limit(request: Request) -> int:
    """How many entries a page has; never more than :data:`MOST` (clause 7.9.3).

    Raises:
        Problem: it is no number.
    """
    if one(request, "limit") is None:
        return USUAL
    return min(number(request, "limit", 1), MOST)


def one(request: Request, name: str) -> str | None:
    """The one value of a parameter; ``None`` if it is not given.

    Raises:
        Problem: it is given twice.
    """
    given = request.args.getlist(name)
    if len(given) > 1:
        raise invalid(f"{name}: it is given twice.")
    return given[0] if given else None


def many(request: Request, name: str) -> list[str]:
    """The values of a parameter that is a list: with commas, or given several times."""
    return [text for given in request.args.getlist(name) for text in given.split(",") if text]


def chosen(request: Request, name: str, known: Collection[str]) -> list[str]:
    """The values of such a list, of those that there are.

    Raises:
        Problem: there is another one.
    """
    found = many(request, name)
    for text in found:
        if text not in known:
            raise invalid(f"{name}: '{text}' is none of {', '.join(known)}.")
    return found


def interval(text: str) -> tuple[float | None, float | None]:
    """From when to when (clause 7.12.3, datetime): a time, or two with a slash between them, one of
    which may be open. A day without a time is all of that day, UTC.

    Returns:
        Seconds since the epoch; ``None`` where it is open. The first may be after the last: then no
        time is between them.

    Raises:
        Problem: it is none.
    """
    if not re.fullmatch(DATETIME, text):
        raise invalid(
            f"datetime: '{text}' is neither a time (RFC 3339) nor two with a slash between them."
        )
    first, _, last = text.partition("/")
    return _moment(first, 0.0), _moment(last if "/" in text else first, 1.0)


def _moment(text: str, end: float) -> float | None:
    if text in ("", ".."):
        return None
    found = datetime.fromisoformat(_python(text))
    if len(text) == 10:
        return found.replace(tzinfo=timezone.utc).timestamp() + end * 86399.999999
    # A time that is given to the second, or to a part of it, means all of that.
    digits = len(re.sub(r"[^.]*\.?(\d*).*", r"\1", text))
    return found.timestamp() + end * max(10.0**-digits - 1e-6, 0.0)


def _python(text: str) -> str:
    """As Python 3.10 reads it: with six digits of a second's fraction, and an offset for Z."""
    text = text.upper().replace("Z", "+00:00")
    return re.sub(r"\.(\d+)", lambda found: f".{found[1][:6]:0<6}", text)


def url(base: str, request: Request, **changed: object) -> str:
    """The URL of this page, or of another one of the same list."""
    given = [(name, text) for name, text in request.args.items(multi=True) if name not in changed]
    pairs = [*given, *((name, str(value)) for name, value in changed.items())]
    return f"{base}?{urlencode(pairs)}" if pairs else base
