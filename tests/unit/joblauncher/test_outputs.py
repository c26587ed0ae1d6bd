"""Every address in a document of success leads to the file that the process wrote."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import pytest
from lxml import etree
from werkzeug.test import Client

import wps_client as client
from joblauncher import outputs
from joblauncher.shared.jobdir import JobDir
from pywps_hpc.web import media_types, mounted
from pywps_hpc.web import outputs as served
from pywps_hpc.web.addresses import Addresses, configured
from pywps_hpc.web.application import PAGES, RULES
from pywps_hpc.web.routes import Routes, Rules
from pywps_hpc.web.wps1 import face
from servers import HpcServer

OWN = "http://host:5000/outputs/"
JOB = "0123abcd-0123-0123-0123-0123456789ab"
NAMES = [
    *("with space.txt", "Größe.txt", "a+b.txt", "a;b&c.txt", "100%.txt", "50%25.txt", '"q".txt'),
    *(
        "a#b.txt",
        "a?b.txt",
        "..hidden",
        "back\\slash.txt",
        "two\nlines.txt",
        "~tilde",
        "a:b",
        "<x>",
    ),
    "x" * outputs.LONGEST,
]


@pytest.fixture(scope="module", params=["copy", "move", "link"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[HpcServer]:
    folder = tmp_path_factory.mktemp(request.param)
    sections = {"server": {"storage_copy_function": request.param}}
    with HpcServer(folder, "odd_outputs:service", sections=sections) as running:
        yield running


def files_of(server: HpcServer, process: str, *inputs: tuple[str, client.Value]) -> dict[str, str]:
    """Run a process; the content behind each of its references."""
    document = client.execute_async(server.url, process, inputs)
    assert client.state_of(document) == "ProcessSucceeded", document
    found = client.outputs_of(document)
    return {
        name: one.content.decode() if isinstance(one.content, bytes) else one.content
        for name, one in found.items()
    }


@pytest.mark.parametrize("name", ["plain.txt", "50% of a#b?.txt"])
def test_two_outputs_of_one_name_are_two_files(server: HpcServer, name: str) -> None:
    found = files_of(server, "twice", ("name", name))
    assert found == {"first": "the first", "second": "the second"}


def test_one_file_is_two_outputs(server: HpcServer) -> None:
    found = files_of(server, "shared", ("name", "one.txt"))
    assert found == {"first": "the first", "second": "the first"}


def test_an_input_that_is_given_back_is_copied_and_stays(server: HpcServer) -> None:
    given = server.folder / "inputs/given.txt"
    given.write_text("given")
    reference = client.Reference(given.as_uri(), "text/plain")
    found = files_of(server, "passed", ("file", reference))
    assert found == {"first": "given", "second": "given"}
    assert given.read_text() == "given"


def test_a_file_that_was_locked_is_served(server: HpcServer) -> None:
    assert files_of(server, "locked") == {"first": "the first"}


def test_files_behind_a_metalink_are_all_there(server: HpcServer) -> None:
    names = ["a#b.txt", "50%25.txt", "plain.txt"]
    metalink = files_of(server, "behind", *(("name", name) for name in names))["first"]
    files = etree.fromstring(metalink.encode()).findall("{*}file")
    assert [file.get("name") for file in files] == names
    for name, file in zip(names, files, strict=True):
        answer = client.get(str(file.findtext("{*}metaurl") or file.findtext("{*}url")))
        assert (answer.status, answer.content.decode()) == (200, f"behind {name}")


def test_what_a_process_writes_to_the_storage_itself_is_served(server: HpcServer) -> None:
    address = files_of(server, "by_storage", ("name", "own #1.txt"))["address"]
    assert client.get(address).content == b"written\n"


@pytest.mark.parametrize(
    ("process", "says"),
    [
        ("removed", "output first: its file can no longer be read"),
        ("hidden", "output first: its file can no longer be read"),
        ("never_there", "output first: its file does not exist"),
    ],
)
def test_no_success_is_told_without_the_file(server: HpcServer, process: str, says: str) -> None:
    document = client.execute_async(server.url, process)
    assert client.state_of(document) == "ProcessFailed"
    assert says in client.message_of(document)
    assert "/" not in client.message_of(document)


def test_any_name_that_a_file_can_have_is_served(hpc_server: HpcServer, tmp_path: Path) -> None:
    # By the storage itself, since control characters do not come through a request.
    job = hpc_server.job(
        client.job_id_of(client.submit(hpc_server.url, "repeat_2", [("text", "a")]))
    )
    stored = outputs.Outputs(job)
    for name in [*NAMES, os.fsdecode(b"latin-\xe9.txt")]:
        file = tmp_path / name
        file.write_bytes(os.fsencode(name))
        path = stored.store(str(file), job.outputs, "", "x", "copy")
        place = PurePosixPath(job.access, path.name)
        answer = client.get(outputs.address(f"{hpc_server.base}/outputs", place))
        assert (answer.status, answer.content) == (200, os.fsencode(name)), name


def test_a_name_that_is_taken_gets_a_number(tmp_path: Path) -> None:
    job = JobDir(tmp_path / JOB)
    job.work.mkdir(parents=True)
    stored = outputs.Outputs(job)
    file = job.work / ("x" * (outputs.LONGEST - 3) + ".nc")
    file.touch()
    names = [stored.store(str(file), job.outputs, "", "x", "copy").name for _ in range(3)]
    start = "x" * (outputs.LONGEST - 5)
    assert names == [file.name, f"{start}_1.nc", f"{start}_2.nc"]
    assert stored.lost() == ""
    (job.outputs / names[1]).unlink()
    assert stored.lost() == "x"


@pytest.mark.parametrize("how", ["copy", "move", "link"])
def test_a_stored_file_has_the_rights_that_serving_it_takes(tmp_path: Path, how: str) -> None:
    job = JobDir(tmp_path / JOB)
    job.work.mkdir(parents=True)
    file = job.work / "a.txt"
    file.touch(mode=0)
    stored = outputs.Outputs(job).store(str(file), job.outputs, "", "x", how)
    assert stored.stat().st_mode & 0o400  # which root, who runs some tests, does not need


@pytest.mark.parametrize("name", ["../other", "/etc/x", "a/../../b", ""])
def test_nothing_is_written_outside_the_folder_that_is_served(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="not a path"):
        outputs.Outputs(JobDir(tmp_path / JOB)).inside(name)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.txt", "text/plain"),
        ("a.nc", "application/x-netcdf"),
        ("a.geojson", "application/geo+json"),
        ("a.tif", "image/tiff"),
        ("a.xhtml", "application/xhtml+xml"),
        ("a.csv.gz", "application/gzip"),
        ("a.tar.gz", "application/gzip"),
        ("a.tgz", "application/gzip"),
        ("a.svgz", "application/gzip"),
        ("a.json.bz2", "application/x-bzip2"),
        ("a.tar.xz", "application/x-xz"),
        ("a.csv.br", "application/x-brotli"),
        ("a.nc.zst", "application/zstd"),
        ("a.csv.Z", "application/x-compress"),
        ("a", "application/octet-stream"),
        ("data:text/html,x", "application/octet-stream"),
        ("a?b.csv", "text/csv"),
        ("a#b.csv", "text/csv"),
    ],
)
def test_a_compressed_file_is_not_what_it_holds(name: str, kind: str) -> None:
    assert media_types.of_file(name) == kind


@pytest.mark.parametrize(
    ("outputurl", "outputpath", "address"),
    [
        ("file:///tmp", "/tmp", OWN),
        ("http://host:5000/outputs", "/data/outputs", OWN),
        ("https://public/wpsoutputs/finch", "/data/wpsoutputs/finch", OWN),
        ("http://host:5000/wpsoutputs", "/data/wpsoutputs", OWN),
        ("https://public/wps/files", "/tmp", "https://public/wps/files/"),
    ],
)
def test_a_folder_that_another_server_shows_is_no_address_of_ours(
    outputurl: str, outputpath: str, address: str
) -> None:
    found = configured("http://host:5000/wps", outputurl, outputpath)
    assert (found.status, found.outputs) == ("http://host:5000/status/", address)
    elsewhere = address == OWN and not outputurl.startswith(("file:", OWN.rstrip("/")))
    assert ("outputurl and outputpath" in found.warning) is elsewhere


def routes_at(addresses: Addresses, known: Sequence[Rules] = RULES) -> Routes:
    return Routes(rule for rules in known for rule in rules(addresses))


def test_an_address_is_found_behind_any_prefix() -> None:
    routes = routes_at(Addresses("https://public/a/status/", "https://public/a/my%20files/"))

    def find(path: str) -> tuple[str, str, str] | None:
        found = routes.find({"PATH_INFO": path, "REQUEST_METHOD": "GET"})
        if found is None:
            return None
        assert isinstance(found, functools.partial)
        kind = {face.show_status: "status", served.show: "outputs"}[found.func]
        return kind, found.keywords["access"], found.keywords.get("name", "")

    assert find(f"/a/status/{JOB}") == ("status", JOB, "")
    assert find(f"/my files/{JOB}/b/c") == ("outputs", JOB, "b/c")
    assert find(f"/files/{JOB}/b") is None
    assert find(f"/status/{JOB}x") is None
    assert find("/a/wps") is None
    assert find(f"//a//my files/{JOB}/\n") == ("outputs", JOB, "\n")
    assert find(f"/my files/{JOB}/\xe4//b") == ("outputs", JOB, "\udce4//b")
    assert find(f"/status/{JOB}/") is None
    assert find(f"/status/{JOB}/more") == ("status", JOB, "more")


def test_another_application_around_the_service_hides_no_document(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from werkzeug.wrappers import Request, Response

    class Inner:
        addresses = Addresses("http://host/status/", "http://host/outputs/")
        routes = routes_at(addresses, (*RULES, PAGES))

        def __call__(self, environ, start_response):  # type: ignore[no-untyped-def]
            mounted.notice(environ, self.routes.names)
            return Response("the service")(environ, start_response)

    inner = Inner()
    monkeypatch.setattr(mounted, "SERVICES", {inner})
    monkeypatch.setattr(mounted, "_told", False)

    @Request.application
    def outer(request: Request) -> object:
        return inner if request.path == "/wps" else Response("no such page", 404)

    assert Client(mounted.around(outer)).get(f"/status/{JOB}").text == "the service"
    assert Client(mounted.around(outer)).get("/wps").text == "the service"
    assert Client(mounted.around(outer)).get("/other").status_code == 404
    assert not caplog.records
    for _ in range(2):  # under another server: told, once
        assert Client(outer).get("/wps").text == "the service"
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    for name in ("status/", "outputs/", "processes/", "jobs/", "conformance/", "api/", "ui/"):
        assert name in caplog.text
