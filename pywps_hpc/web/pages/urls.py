"""The addresses of the pages, and the cookies that belong to them."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

from werkzeug.wrappers import Response

from pywps_hpc.timing import TIMING
from pywps_hpc.web.addresses import Addresses
from pywps_hpc.web.context import Context


def root(addresses: Addresses) -> str:
    """The path below which all pages lie, as browsers see it."""
    return f"{urlsplit(addresses.root).path}ui/"


def process(addresses: Addresses, identifier: str) -> str:
    """The path of a process's form."""
    return f"{root(addresses)}processes/{quote(identifier, safe='')}"


def job(addresses: Addresses, access: str) -> str:
    """The path of a job's page."""
    return f"{root(addresses)}jobs/{access}"


def set_cookie(service: Context, response: Response, name: str, value: str) -> None:
    """Give the browser a cookie that no script reads and no page of another host sends."""
    response.set_cookie(
        name,
        value,
        max_age=int(TIMING.page_cookie),
        path=root(service.addresses),
        secure=service.addresses.root.startswith("https:"),
        httponly=True,
        samesite="Lax",
    )
