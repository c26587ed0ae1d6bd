"""The service as a WSGI application within this process, behind a client of its own."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import Client

import wps_client as client
from pywps_hpc import settings
from pywps_hpc.jobs import JobStore, TableUnavailable
from servers import SERVICES, write_config

DOCUMENT = client.execute_document("repeat_2", [("text", "a")], asynchronous=True)


RETRY = {"retry_after": 17}


@dataclasses.dataclass
class Inside:
    """The service, with a dispatcher's heartbeat but no dispatcher."""

    web: Client
    store: JobStore
    spool: Path

    def post(self, document: bytes = DOCUMENT, **environ: str) -> Any:
        return self.web.post(
            "/wps", data=document, content_type="text/xml", environ_base={**environ}
        )

    def folders(self) -> set[str]:
        return {path.name for path in self.spool.iterdir() if path.is_dir()}


def build(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    sections: Mapping[str, Mapping[str, object]] | None = None,
    **hpc_section: object,
) -> Inside:
    monkeypatch.setenv("ODD_WORD", "forty")
    monkeypatch.delenv("PYWPS_CFG", raising=False)
    monkeypatch.syspath_prepend(str(SERVICES))
    more = dict(sections or {})
    config = write_config(folder, "http://127.0.0.1:9/wps", hpc=RETRY | hpc_section, **more)
    from pywps import Service, configuration

    from pywps_hpc import hpc

    monkeypatch.setattr(configuration, "CONFIG", configuration.CONFIG)
    configuration.load_configuration([str(config)])
    import odd_shapes

    own = settings.load([config])
    store = JobStore(own.database_url)
    with contextlib.suppress(TableUnavailable):
        store.lead("nobody", 3600)
    return Inside(Client(hpc(Service(odd_shapes.PROCESSES))), store, own.spool)
