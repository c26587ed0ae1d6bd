"""Answers of the server itself, in OWS Common's form: to what is no request, or one too many."""

from __future__ import annotations

from html import escape

from pywps_hpc.timing import TIMING

BUSY = "The service is busy. Please try later."
TOO_SLOW = "The request did not arrive in time."
_REPORT = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<ows:ExceptionReport xmlns:ows="http://www.opengis.net/ows/1.1" version="1.0.0">\n'
    '  <ows:Exception exceptionCode="{code}"><ows:ExceptionText>{text}</ows:ExceptionText>'
    "</ows:Exception>\n</ows:ExceptionReport>\n"
)


def busy() -> bytes:
    """There is no room for the request, or for the connection."""
    return refusal("503 Service Unavailable", "ServerBusy", BUSY)


def too_slow() -> bytes:
    """The request has not come in in time."""
    return refusal("408 Request Timeout", "NoApplicableCode", TOO_SLOW)


def refusal(status: str, code: str, text: str) -> bytes:
    """An exception report (OWS Common 06-121r3, clause 8) as a whole HTTP answer."""
    body = _REPORT.format(code=code, text=escape(text)).encode()
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: text/xml; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n"
    )
    if status.startswith("503"):
        head += f"Retry-After: {TIMING.busy_retry:.0f}\r\n"
    return head.encode() + b"\r\n" + body
