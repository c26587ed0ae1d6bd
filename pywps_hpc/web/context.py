"""What the parts of the web server work with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from pywps_hpc.jobs import JobStore
from pywps_hpc.settings import Settings
from pywps_hpc.spool import Spool
from pywps_hpc.web.addresses import Addresses
from pywps_hpc.web.waiting import Waiters


class Context:
    """A service as faces and the other parts see it; there is one kind,
    :class:`~pywps_hpc.web.application.HpcService`."""

    settings: Settings
    store: JobStore
    spool: Spool
    addresses: Addresses
    waiters: Waiters

    if TYPE_CHECKING:  # of PyWPS's service; what is annotated above is no attribute of that
        processes: Mapping[str, Any]
        preprocessors: Mapping[str, Any]
        prepare_process_for_execution: Callable[[str], Any]
        _parse_and_execute: Callable[[Any, Any, str], Any]
