"""The addresses at which a service shows its jobs' documents and outputs: pure."""

from __future__ import annotations

import functools
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

from pywps_hpc.spool import JOB_ID

#: Where PyWPS keeps outputs unless ``[server] outputpath`` says otherwise.
_DEFAULT_OUTPUTPATH = tempfile.gettempdir()


@dataclass(frozen=True)
class Addresses:
    """Where clients find what.

    Attributes:
        status: URL of the folder of status documents, with a slash at its end.
        outputs: URL of the folder of outputs, with a slash at its end.
        warning: what the administrator has to know; empty if nothing.
    """

    status: str
    outputs: str
    warning: str = ""

    def find(self, environ: Mapping[str, Any]) -> tuple[str, str, str] | None:
        """What a request is about (PEP 3333): ``status`` or ``outputs``, what stands for the job
        (:attr:`~pywps_hpc.jobs.Job.access`), and the name of an output, which may be any bytes;
        ``None``: something else."""
        path = os.fsdecode(str(environ.get("PATH_INFO", "")).encode("latin-1"))
        if (match := self._pattern.search(path)) is None:
            return None
        kind, access, name = match.groups()
        return "status" if kind == "status" else "outputs", access, name or ""

    @functools.cached_property
    def _pattern(self) -> re.Pattern[str]:
        segment = re.escape(unquote(_last_segment(self.outputs)))
        return re.compile(rf"(?:^|/)(status|{segment})/({JOB_ID})(?:/(.+))?\Z", re.DOTALL)


def configured(url: str, outputurl: str, outputpath: str) -> Addresses:
    """The addresses by PyWPS's settings of ``[server]``.

    Outputs stay in their job's folder, and this service gives them out: ``outputurl`` counts where
    it can lead here. With an ``outputpath`` of its own it is the address of a folder that another
    web server shows; nothing is ever put there.

    Args:
        url: the WPS endpoint; its last segment gives way to ours.
        outputurl: by default a ``file:`` URL.
        outputpath: by default the folder for temporary files.
    """
    status, own = urljoin(url, "status/"), urljoin(url, "outputs/")
    given = f"{outputurl.rstrip('/')}/"
    if urlsplit(given).scheme not in ("http", "https") or given == own:
        return Addresses(status, own)
    if outputpath.rstrip("/") != _DEFAULT_OUTPUTPATH.rstrip("/"):
        warning = (
            f"[server] outputurl and outputpath are not used: outputs are kept with their jobs and "
            f"served at {own}; for another address that leads to this service set outputurl alone"
        )
        return Addresses(status, own, warning)
    return Addresses(status, given)


def _last_segment(url: str) -> str:
    return urlsplit(url).path.strip("/").rpartition("/")[2]
