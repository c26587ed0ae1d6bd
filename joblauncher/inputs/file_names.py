"""Names of the files that PyWPS makes of inputs and outputs."""

from __future__ import annotations

import os
import tempfile
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from pywps.inout.basic import IOHandler

#: Longest name of a file that is made from a URL, in bytes (most file systems take 255).
LONGEST = 200


def install() -> None:
    """Give each file of an input or output a name of its own, in this interpreter."""
    IOHandler._build_file_name = unused_name


def unused_name(item: Any, href: str = "") -> str:
    """A path in the item's folder under which nothing stands yet: named after the last segment of
    the URL unless that is too long, and with something random in it where that name is taken.

    PyWPS's own takes a link that leads nowhere for a free name, and keeps a descriptor open.
    """
    name = _last_segment(href).strip() or "input"
    stem, suffix = os.path.splitext(name)
    if len(name.encode()) > LONGEST:
        stem, suffix = "input", suffix[:20]
    suffix = suffix or item.extension or ""
    path = os.path.join(item.workdir, stem + suffix)
    if os.path.lexists(path):
        descriptor, path = tempfile.mkstemp(suffix, f"{stem}_", item.workdir)
        os.close(descriptor)
    return path


def _last_segment(url: str) -> str:
    try:
        return PurePosixPath(urlsplit(url).path).name
    except ValueError:  # it is no URL
        return ""
