"""Inputs by reference in the web server: looked at, but never fetched or opened here."""

from __future__ import annotations

import contextlib
import functools
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
from pywps import configuration
from pywps.exceptions import FileURLNotSupported
from pywps.inout.basic import UrlHandler

from joblauncher.inputs import addresses, literals
from joblauncher.inputs.hosts import vet
from joblauncher.inputs.policy import Bounds, Reference, Refused, local_file
from joblauncher.inputs.references import (
    DODS,
    is_reference,
    reference_of,
)
from pywps_hpc.settings import Settings
from pywps_hpc.settings.sections import Inputs
from pywps_hpc.spool import JobDir, atomic_write
from pywps_hpc.web.errors import Inaccessible
from pywps_hpc.web.requests import limits


def bounds(settings: Settings) -> Bounds:
    """The bounds that the administrator set, PyWPS's own limit included."""
    url = str(configuration.get_config_value("server", "url"))
    return _bounds(settings.inputs, settings.input_paths, int(UrlHandler.max_size()), url)


@functools.lru_cache(maxsize=16)
def _bounds(own: Inputs, folders: tuple[Path, ...], single: int, url: str) -> Bounds:
    return Bounds(
        schemes=own.schemes,
        folders=tuple(map(str, folders)),
        allowed_networks=own.allowed_networks,
        blocked_networks=(*own.blocked_networks, *_own_host(url)),
        max_bytes=min(own.max_bytes, single) if single > 0 else own.max_bytes,
        timeout=own.timeout,
        total_timeout=own.total_timeout,
        max_bytes_per_job=own.max_bytes_per_job,
        total_timeout_per_job=own.total_timeout_per_job,
        min_rate=own.min_rate,
        redirects=own.redirects,
        proxy=own.proxy,
    )


def _own_host(url: str) -> tuple[str, ...]:
    """What leads to this service: the host of its URL, and the public addresses of this one. A
    client that may ask them would reach, through us, what a firewall keeps from it."""
    named = urlsplit(url).hostname or ""
    return tuple(sorted({*filter(None, [named.rstrip(".")]), *_interfaces()}))


@functools.cache
def _interfaces() -> frozenset[str]:
    found = (entry.address for entries in psutil.net_if_addrs().values() for entry in entries)
    known = (addresses.parse(text) for text in found)
    return frozenset(str(one) for one in known if one is not None and addresses.is_public(one))


def process(original: Callable[..., None], settings: Settings) -> Callable[..., None]:
    """How PyWPS takes a complex input, with references by our rules."""

    def process(item: Any, given: dict[str, Any]) -> None:
        href = str(given.get("href") or "").strip()
        if not href:
            original(item, given)
            return
        item.inpt = given
        if href.lower().startswith("file:"):
            item.file = _link(item, href, bounds(settings))
        else:
            _refer(item, given, bounds(settings))

    return process


def check_valid(original: Callable[[Any], None]) -> Callable[[Any], None]:
    """How PyWPS validates an input, but for what is elsewhere: a validator may open it, or needs it
    as it will be, and that is for the job."""

    def check_valid(item: Any) -> None:
        if is_reference(item) or limits.taken_out(getattr(item._iohandler, "_data", None)):
            item.data_set = True
        else:
            original(item)

    return check_valid


def _link(item: Any, href: str, limits: Bounds) -> str:
    """A link in the job's folder to a file in an allowed one."""
    try:
        path = local_file(href, limits)
    except Refused:
        raise FileURLNotSupported(locator=str(item.identifier)) from None
    link = Path(item._build_file_name(href=href))
    link.unlink(missing_ok=True)  # there is an empty file where the first name was taken
    os.symlink(path, link)
    return str(link)


def _refer(item: Any, given: Mapping[str, Any], limits: Bounds) -> None:
    try:
        reference = read(given)
        vet(reference, limits)
    except Refused as error:
        name = item.identifier
        raise Inaccessible(f"input {name}: {error}", locator=name) from None
    item.url = reference.url
    item.post_data = reference.body
    item._iohandler.hpc_reference = reference


def read(given: Mapping[str, Any]) -> Reference:
    """A reference as PyWPS's parsers of XML, JSON and key-value pairs leave it.

    Raises:
        Refused: it is not one of WPS 1.0.0 (table 23).
    """
    method = str(given.get("method") or "GET").upper()
    if method not in ("GET", "POST"):
        raise Refused("its method is neither GET nor POST")
    body, body_url = given.get("body"), given.get("bodyreference") or ""
    if method == "GET":
        body, body_url = None, ""
    elif not body and not body_url:
        raise Refused("a reference by POST needs a body")
    if not (body is None or isinstance(body, str)) or not isinstance(body_url, str):
        raise Refused("its body is not text")
    return Reference(
        str(given["href"]).strip(), _headers(given.get("header") or []), body or None, body_url
    )


def _headers(given: Any) -> tuple[tuple[str, str], ...]:
    found: list[tuple[str, str]] = []
    for header in given if isinstance(given, list) else [given]:
        pair = (header.get("key"), header.get("value")) if isinstance(header, dict) else header
        if not (isinstance(pair, tuple) and all(isinstance(part, str) for part in pair)):
            raise Refused("it has a header that cannot be sent")
        found.append(pair)
    return tuple(found)


def plan(job: JobDir, wps_request: Any, limits: Bounds) -> bool:
    """Leave a note of what the dispatcher is to fetch; whether there is anything."""
    found: list[dict[str, Any]] = []
    for name, items in wps_request.inputs.items():
        for item in items:
            holder = _holder(item)
            if holder is not None:
                holder.hpc_staged = len(found)
                found.append({"input": name, **asdict(reference_of(holder))})
    if found:
        note = {"bounds": asdict(limits), "references": found}
        atomic_write(job.references, json.dumps(note).encode(), mode=0o400)
    return bool(found)


def _holder(item: Any) -> Any:
    """What holds the reference of an input that the dispatcher can fetch; ``None`` if none is."""
    handler = item._iohandler
    if isinstance(handler, UrlHandler):
        return handler if item.data_format.mime_type != DODS else None
    reference = literals.reference_of(item)
    return None if reference is None or literals.is_file(reference) else item


def size_of(inputs: Mapping[str, Any] | None, settings: Settings) -> int:
    """Bytes of the inputs of a request, before PyWPS reads them; what a reference leads to counts
    only if it is a file of this host."""
    held = limits.values()
    large = held.found if held is not None else {}
    total = sum(value.length for value in large.values())
    for value in (one for given in (inputs or {}).values() for one in given):
        data, href = value.get("data"), str(value.get("href") or "").strip()
        if href.lower().startswith("file:"):
            with contextlib.suppress(OSError, Refused):  # told when PyWPS reads it
                path = local_file(href, bounds(settings))
                total += os.stat(path).st_size
        elif data is not None and not (isinstance(data, str) and data in large):
            total += len(data if isinstance(data, bytes) else str(data).encode(errors="replace"))
    return total


def of_literal(given: Mapping[str, Any], settings: Settings) -> Reference:
    """From where a literal input is to have its value.

    Raises:
        Refused: it can never be had from there.
    """
    reference, limits = read(given), bounds(settings)
    if literals.is_file(reference):
        local_file(reference.url, limits)
    else:
        vet(reference, limits)
    return reference
