"""birdhouse-emu, unmodified: all 23 processes through Slurm and Apptainer as in default mode."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import wpsclient as client
import clustersite as site
import pytest
import servers
from wpsclient import Box, Complex, Reference

pytestmark = pytest.mark.cluster
NETCDF = "application/x-netcdf"
EMU = "emu.wsgi:application"
POINTS = "POLYGON ((0 0, 4 0, 4 2, 0 2, 0 0))"
TEXT = "Ärger & Freude\nzwei Zeilen, <b>zwei</b> Wörter"
CSV = "station,height\nDavos,1560\nSion,482\n"


@dataclass(frozen=True)
class Case:
    """One request.

    Attributes:
        process: identifier.
        inputs: what is sent; a reference to ``dataset`` stands for the sample file.
        sync: the process offers no asynchronous execution.
        fails: it is made to fail.
        random: its output differs each time.
    """

    process: str
    inputs: Sequence[tuple[str, client.Value]] = ()
    sync: bool = False
    fails: bool = False
    random: bool = False

    def __str__(self) -> str:
        return self.process


DATASET = Reference("dataset", NETCDF)
CASES = (
    Case("bbox", [("bbox", Box((2.5, 45.0, 8.0, 50.5)))]),
    Case("binaryoperatorfornumbers", [("inputa", "7"), ("inputb", "6"), ("operator", "multiply")]),
    Case("chomsky", [("times", "3")], random=True),
    Case("dummyprocess", [("input1", "10"), ("input2", "2")]),
    Case("esgf_demo", [("dataset", DATASET), ("dataset", DATASET)]),
    Case("geodata"),
    Case("hello", [("name", "Grüezi & <Welt>")]),
    Case("inout", [("string", "a & b"), ("int", "5"), ("text", Complex(TEXT))]),
    Case("multiple_outputs", [("count", "3")]),
    Case("nap", [("delay", "0.1")], sync=True),
    Case("nc_to_dap", [("resource", DATASET)]),
    Case("ncmeta", [("dataset", DATASET)]),
    Case("ncml"),
    Case("non.py-id", [("input 1", "41")]),
    Case("output_formats"),
    Case("pandas", [("csv", Complex(CSV, "text/csv"))]),
    Case("poly_centroid", [("wkt", POINTS)]),
    Case("show_defaults"),
    Case("show_error", [("message", "A bad day.")], fails=True),
    Case("simple_dry_run", [("dry_run", "true"), ("count", "3")], fails=True),
    Case("sleep", [("delay", "0.2")]),
    Case("translation", [("input1", "99")]),
    Case("ultimate_question"),
    Case("wordcounter", [("text", Complex(TEXT))]),
)
_SECTIONS = {
    "server": {"language": "en-US,fr-CA,de-DE"},
    "dap": {"outputurl": "http://dap.example/opendap"},
}


@pytest.fixture(scope="module")
def root() -> Path:
    made = site.folder("emu")
    site.code(made)
    inputs = made / "inputs"
    inputs.mkdir()
    shutil.copy(site.sample_data() / "A1B_north_america.nc", inputs / "a1b.nc")
    inputs.chmod(0o755)
    return made


@pytest.fixture(scope="module")
def hpc(root: Path) -> Iterator[servers.HpcServer]:
    server = site.slurm_server(root, EMU, inputs=root / "inputs", sections=_SECTIONS)
    server.code = server.folder  # emu writes its log where it is started
    with server:
        yield server


@pytest.fixture(scope="module")
def default(root: Path) -> Iterator[servers.DefaultServer]:
    server = site.default_server(root, EMU, inputs=root / "inputs", sections=_SECTIONS)
    server.code = server.folder
    with server:
        yield server


@pytest.fixture(scope="module")
def documents(hpc: servers.HpcServer, root: Path) -> dict[str, bytes]:
    """Ours, all at once: that is what a batch system is for."""
    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(lambda case: _run(hpc, case, root), CASES)
        return dict(zip((case.process for case in CASES), answers, strict=True))


def _run(server: servers.Server, case: Case, root: Path) -> bytes:
    inputs = [
        (name, Reference((root / "inputs/a1b.nc").as_uri(), NETCDF) if value is DATASET else value)
        for name, value in case.inputs
    ]
    if case.sync:
        return client.execute_sync(server.url, case.process, inputs, lineage=True).content
    tolerant = isinstance(server, servers.DefaultServer)
    return client.execute_async(
        server.url, case.process, inputs, lineage=True, tolerant=tolerant, limit=180
    )


def test_all_processes_of_emu_are_here(hpc: servers.HpcServer) -> None:
    answer = client.get(hpc.url, "service=WPS&request=GetCapabilities&version=1.0.0")
    found = client.etree.fromstring(answer.content).iterfind(
        ".//wps:Process/ows:Identifier", client.NS
    )
    assert sorted(str(each.text) for each in found) == sorted(case.process for case in CASES)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_process_of_emu_answers_as_in_default_mode(
    case: Case, documents: dict[str, bytes], default: servers.DefaultServer, root: Path
) -> None:
    ours, theirs = documents[case.process], _run(default, case, root)
    state = "ProcessFailed" if case.fails else "ProcessSucceeded"
    assert client.state_of(ours) == state, client.message_of(ours)
    assert client.normalise(ours) == client.normalise(theirs)
    mine, others = client.outputs_of(ours), client.outputs_of(theirs)
    assert mine.keys() == others.keys()
    for name, found in mine.items():
        if case.random:
            # The same number of sentences from the same stock of phrases.
            assert _form(found.content) == _form(others[name].content)
        else:
            assert _plain(found) == _plain(others[name]), name


def _plain(found: client.Found) -> tuple[str, object, str | bytes]:
    """An output without ids and times, where it is a document with such things in it."""
    content = found.content
    if isinstance(content, bytes) and b"metalink" in content[:200]:
        content = client.normalise(content)
    return found.kind, found.attributes, content


def _form(content: str | bytes) -> int:
    text = content.decode() if isinstance(content, bytes) else content
    return len(re.findall(r"[.]", text))
