"""JSON (RFC 8259) looked through before it is read: how many values, how deep, how long."""

from __future__ import annotations

import re
import secrets

from pywps.exceptions import FileSizeExceeded

from joblauncher.inputs.large_values import Value
from joblauncher.shared.files import amount
from pywps_hpc.web.requests.large_bodies import LARGE, VALUE, Values, broken, join, too_much

#: Members, elements and brackets; and how deep they may be nested.
ITEMS, DEPTH = 100_000, 100
_STEP = re.compile(rb'["\[\]{},:]')


def reduce(values: Values, single: int) -> bytes:
    """Take large strings out of a document.

    Args:
        values: gets them.
        single: bytes that one may have.

    Returns:
        What remains.

    Raises:
        InvalidParameterValue: it has too much structure.
        FileSizeExceeded: a string is too long.
        NoApplicableCode: a string does not end.
    """
    body = values.body
    large = len(body) > LARGE
    place = items = depth = 0
    mark = secrets.token_hex(16)
    while step := _STEP.search(body, place):
        start, place = step.span()
        if body[start] == 0x22:  # "
            place = _end(body, place)
            if place - start > single:
                raise FileSizeExceeded(f"A value is larger than the {amount(single)} allowed.")
            if large and place - start > VALUE:
                token = f"{mark}-{len(values.spans)}"
                values.spans[token] = (start, place)
                values.found[token] = Value(0, place - start, "json")
            continue
        items += 1
        depth += (body[start] in b"[{") - (body[start] in b"]}")
        if items > ITEMS or depth > DEPTH:
            raise too_much("values; give large data as text or by reference")
    return join(values, quoted=True)


def _end(body: bytearray, place: int) -> int:
    """Where a string ends, after its quote."""
    while (quote := body.find(b'"', place)) >= 0:
        before = quote
        while body[before - 1] == 0x5C:  # backslash
            before -= 1
        if (quote - before) % 2 == 0:
            return quote + 1
        place = quote + 1
    raise broken("JSON: a string has no end")
