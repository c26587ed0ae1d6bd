"""The addresses at which a service shows its jobs' documents and outputs: pure."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from urllib.parse import unquote, urljoin, urlsplit

from pywps_hpc.settings import SettingsError

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

    @property
    def root(self) -> str:
        """URL of the folder in which the endpoint lies, with a slash at its end."""
        return urljoin(self.status, "../")

    @property
    def outputs_segment(self) -> str:
        """The last segment of the outputs' URL, as a request's path has it."""
        return unquote(_last_segment(self.outputs))


def configured(url: str, outputurl: str, outputpath: str) -> Addresses:
    """The addresses by PyWPS's settings of ``[server]``.

    Outputs stay in their job's folder, and this service gives them out: ``outputurl`` counts where
    it can lead here. With an ``outputpath`` of its own it is the address of a folder that another
    web server shows; nothing is ever put there.

    Args:
        url: the WPS endpoint; its last segment gives way to ours.
        outputurl: by default a ``file:`` URL.
        outputpath: by default the folder for temporary files.

    Raises:
        SettingsError: the URL cannot be one of outputs.
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
    found = Addresses(status, given)
    if set("<>") & set(found.outputs_segment):
        raise SettingsError(
            "[server] outputurl: its last segment must not contain < or >; name another one"
        )
    return found


def _last_segment(url: str) -> str:
    return urlsplit(url).path.strip("/").rpartition("/")[2]
