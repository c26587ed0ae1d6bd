"""What the web server tells the nodes of the addresses that are its own."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from in_process_service import open_service
from joblauncher.inputs.hosts import vet
from joblauncher.inputs.policy import (
    Bounds,
    Reference,
    Refused,
)
from pywps_hpc.web import input_references as in_web

UNREACHABLE = "its host is unknown or not allowed"


def test_the_web_server_tells_the_nodes_what_is_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host of its URL, whatever that is, and its public addresses: a node has others."""
    known = [SimpleNamespace(address=text) for text in ("127.0.0.1", "8.8.4.4", "fe80::1%lo", "x")]
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: {"eth0": known})
    in_web._interfaces.cache_clear()
    with open_service(
        tmp_path,
        server={"url": "https://WPS.example.org.:8443/wps"},
        **{"hpc.inputs": {"blocked_networks": "1.1.1.0/24"}},
    ) as app:
        limits = in_web.bounds(app.settings)
    in_web._interfaces.cache_clear()
    assert set(limits.blocked_networks) == {"1.1.1.0/24", "wps.example.org", "8.8.4.4"}
    for host in ("wps.example.org", "8.8.4.4", "1.1.1.1"):
        with pytest.raises(Refused, match=UNREACHABLE):
            vet(Reference(f"http://{host}/"), Bounds.of(json.loads(json.dumps(vars(limits)))))
