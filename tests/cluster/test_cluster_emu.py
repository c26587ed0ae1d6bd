"""birdhouse-emu, unmodified: all 23 processes through Slurm and Apptainer as in default mode."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import netCDF4
import pytest

import cluster_site as site
import corrected_pywps
import servers
import wps_client as client
from wps_client import Box, Complex, Reference

pytestmark = [pytest.mark.cluster, pytest.mark.batch_system("slurm")]
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
        inputs: what is sent; references are to files in the folder of inputs.
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


DATASET = Reference("a1b.nc", NETCDF)
WORDS = Reference("words.txt")
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
    Case("ncmeta", [("dataset", DATASET)]),
    Case("ncml", random=True),
    Case("non.py-id", [("input 1", "41"), ("input-2", Complex("{}", "application/json"))]),
    Case("output_formats"),
    Case("pandas", [("csv", Complex(CSV, "text/csv"))]),
    Case("poly_centroid", [("wkt", POINTS)]),
    Case("show_defaults"),
    Case("show_error", [("message", "A bad day.")], fails=True),
    Case("simple_dry_run", [("dry_run", "true"), ("count", "3")], fails=True),
    Case("sleep", [("delay", "0.2")]),
    Case("translation", [("input1", "99")]),
    Case("ultimate_question"),
    Case("wordcounter", [("text", WORDS)]),
)
#: PyWPS's lineage has no references, and boxes with their axes swapped.
OTHER_LINEAGE = ("bbox", "esgf_demo", "ncmeta", "wordcounter")
_SECTIONS = {
    "server": {"language": "en-US,fr-CA,de-DE"},
}


@pytest.fixture(scope="module")
def root() -> Path:
    made = site.folder("emu")
    site.code(made)
    inputs = made / "inputs"
    inputs.mkdir()
    shutil.copy(site.sample_data() / "A1B_north_america.nc", inputs / "a1b.nc")
    (inputs / "words.txt").write_text(TEXT, encoding="utf-8")
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
        (name, _located(root, value) if isinstance(value, Reference) else value)
        for name, value in case.inputs
    ]
    if case.sync:
        return client.execute_sync(server.url, case.process, inputs, lineage=True).content
    tolerant = isinstance(server, servers.DefaultServer)
    return client.execute_async(
        server.url, case.process, inputs, lineage=True, tolerant=tolerant, limit=180
    )


def _located(root: Path, value: Reference) -> Reference:
    return Reference((root / "inputs" / value.href).as_uri(), value.mimetype)


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
    inputs = case.process not in OTHER_LINEAGE
    assert corrected_pywps.canonical(ours, inputs=inputs) == corrected_pywps.corrected(
        theirs, inputs=inputs
    )
    mine, others = client.outputs_of(ours), client.outputs_of(theirs)
    assert mine.keys() == others.keys()
    for name, found in mine.items():
        if case.random:
            # The same number of sentences from the same stock of phrases.
            assert _form(found.content) == _form(others[name].content)
        else:
            assert _plain(found) == _plain(others[name]), name


def _plain(found: client.Found) -> tuple[str, object, object]:
    """An output without what is no part of the result: ids, times, names of temporary files."""
    content: object = found.content
    if isinstance(content, bytes) and content.startswith((b"\x89HDF", b"CDF")):
        content = _arrays(content, values=True)
    elif isinstance(content, bytes) and content.isascii():
        text = client.normalise(content)
        text = re.sub(r"_[a-z0-9_]{8}(?=\.txt)", "_RANDOM", text)  # mkstemp(3)
        content = re.sub(r"file://\S+/work/(?:\S*/)?", "WORK/", text)
    return found.kind, found.attributes, content


def _arrays(content: bytes, *, values: bool) -> dict[str, object]:
    """What a NetCDF file holds; the bytes of an HDF5 file depend on addresses in memory."""
    with netCDF4.Dataset("memory", memory=content) as dataset:
        return {
            name: (
                variable.dimensions,
                str(variable.dtype),
                {key: str(variable.getncattr(key)) for key in variable.ncattrs()},
                variable[:].tolist() if values else variable.shape,
            )
            for name, variable in dataset.variables.items()
        }


def _form(content: str | bytes) -> object:
    """What is not random in a random output: a file's variables, a text's number of sentences."""
    if isinstance(content, bytes) and content.startswith(b"\x89HDF"):
        return _arrays(content, values=False)
    text = content.decode() if isinstance(content, bytes) else content
    return len(re.findall(r"[.](?=\s+[A-Z]|\s*\Z)", text))  # some phrases have "e.g."
