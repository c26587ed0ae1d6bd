"""Raw output of any size up to the one that is configured: sent from its file, held nowhere."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import psutil
import pytest

import memory
import wps_client as client
from memory import MIB
from servers import HTTP, HpcServer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HpcServer]:
    folder = tmp_path_factory.mktemp("large")
    sections = {
        "hpc": {"max_output_size": "100M"},
        "hpc.resources": {"memory": "2G"},
    }
    with HpcServer(folder, "large:service", workers=1, sections=sections) as running:
        yield running


def ask(server: HpcServer, size: int, kind: str, raw: bool = True) -> tuple[int, str, int, str]:
    """Status, content type, size and digest of an answer, which is read piece by piece."""
    document = client.execute_document(
        "large", [("size", str(size)), ("kind", kind)], [client.Output("output")], raw=raw
    )
    with HTTP.post(
        server.url, data=document, headers={"Content-Type": "text/xml"}, stream=True, timeout=240
    ) as answer:
        digest, length = hashlib.sha256(), 0
        for part in answer.iter_content(MIB):
            digest.update(part)
            length += len(part)
        return answer.status_code, answer.headers["Content-Type"], length, digest.hexdigest()


def peak(server: HpcServer) -> int:
    """Bytes of memory that a web process has had at most."""
    pids = [process.pid for process in server.processes()]
    web = [pid for pid in pids if "web" in " ".join(psutil.Process(pid).cmdline())]
    return max(memory.peak(pid) for pid in web)


@pytest.mark.parametrize("kind", ["file", "memory"])
def test_raw_output_beyond_what_a_document_holds(server: HpcServer, kind: str) -> None:
    assert ask(server, 1, kind)[0] == 200
    before = peak(server)
    whole = hashlib.sha256(bytes(range(256)) * 4096 * 70).hexdigest()
    assert ask(server, 70, kind) == (200, "application/x-netcdf", 70 * MIB, whole)
    assert peak(server) - before < 10 * MIB


@pytest.mark.parametrize("kind", ["file", "memory"])
def test_raw_output_counts_against_the_limit_of_outputs(server: HpcServer, kind: str) -> None:
    status, content_type, length, _ = ask(server, 101, kind)
    assert (status, content_type.partition(";")[0]) == (400, "text/xml")
    assert length < 2000


def test_a_document_has_its_limit_still(server: HpcServer) -> None:
    status, _, length, _ = ask(server, 60, "file", raw=False)
    assert status == 200
    assert length < 5000, "told as a failure: request them as references"
