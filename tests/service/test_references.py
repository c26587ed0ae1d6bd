"""Inputs by reference in a whole service: what is fetched, what never is, and by whom."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from lxml import etree

import wps_client as client
from servers import HpcServer, wait_for
from web_answers import HERE, OK_HEAD, Web, content, drip, redirect
from wps_client import NS, OWS, WPS, XLINK

UNREACHABLE = "its host is unknown or not allowed"

SECRET = "hunter2"

SECTIONS = {
    "server": {"maxrequestsize": "1mb"},
    "hpc": {"slots": 4},
    "hpc.inputs": {
        "allowed_networks": "127.0.0.0/8",
        "max_bytes": "100K",
        "max_inputs": 4,
        "timeout": 120,
        "total_timeout": 600,
    },
}


@pytest.fixture(scope="module")
def staging_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HpcServer]:
    """A service whose dispatcher fetches, one job's inputs at a time."""
    own = SECTIONS["hpc.inputs"] | {"fetch": "server", "downloads": 1}
    sections = SECTIONS | {"hpc.inputs": own}
    with HpcServer(tmp_path_factory.mktemp("staging"), sections=sections) as server:
        yield server


@pytest.fixture(params=["node", "server"])
def service(
    request: pytest.FixtureRequest, hpc_server: HpcServer, staging_server: HpcServer
) -> HpcServer:
    """Either."""
    return hpc_server if request.param == "node" else staging_server


def referring(*references: dict[str, Any], asynchronous: bool = True) -> bytes:
    """An Execute of ``files`` with inputs by reference.

    Args:
        references: with ``href``, and perhaps ``method``, ``headers``, ``body``, ``body_href``.
    """
    root = etree.fromstring(client.execute_document("files", asynchronous=asynchronous))
    holder = root.find("wps:DataInputs", NS)
    assert holder is not None
    for entry in references:
        item = etree.SubElement(holder, f"{{{WPS}}}Input")
        etree.SubElement(item, f"{{{OWS}}}Identifier").text = "file"
        element = etree.SubElement(item, f"{{{WPS}}}Reference", mimeType="text/plain")
        element.set(f"{{{XLINK}}}href", entry["href"])
        element.set("method", entry.get("method", "GET"))
        for key, value in entry.get("headers", ()):
            etree.SubElement(element, f"{{{WPS}}}Header", key=key, value=value)
        if "body" in entry:
            etree.SubElement(element, f"{{{WPS}}}Body").append(etree.fromstring(entry["body"]))
        if "body_href" in entry:
            body = etree.SubElement(element, f"{{{WPS}}}BodyReference")
            body.set(f"{{{XLINK}}}href", entry["body_href"])
    return bytes(etree.tostring(root))


def failure(document: bytes) -> str:
    """The words of a failed job."""
    assert client.state_of(document) == "ProcessFailed", document
    return " ".join(str(part) for part in etree.fromstring(document).itertext()).strip()


def test_references_are_fetched_with_headers_and_bodies(service: HpcServer, web: Web) -> None:
    web.answers["/body"] = content(b"<fetched/>")
    web.answers["/hello.txt"] = content(b"hello by GET")
    document = referring(
        {"href": f"{web.url}/hello.txt", "headers": [("X-Token", SECRET)]},
        {"href": f"{web.url}/post", "method": "POST", "body": "<inline>1</inline>"},
        {"href": f"{web.url}/post", "method": "POST", "body_href": f"{web.url}/body"},
    )
    ended = client.await_end(client.location_of(client.send(service.url, document)))
    assert client.state_of(ended) == "ProcessSucceeded", ended
    result = client.outputs_of(ended)["result"].content
    assert result == "12 b'hello by GET'|6 b'hello\\n'|6 b'hello\\n'"
    assert web.seen[0][2]["x-token"] == SECRET
    posted = [body for method, _, _, body in web.seen if method == "POST"]
    assert len(posted) == 2
    assert etree.fromstring(posted[0]).text == "1"
    assert posted[1] == b"<fetched/>"


def test_fault_22_accepting_does_not_wait_for_a_download(service: HpcServer, web: Web) -> None:
    release = threading.Event()

    def wait(handler: Any) -> None:
        release.wait(HERE.timeout)
        content(b"late")(handler)

    web.answers["/slow"] = wait
    where = client.location_of(client.send(service.url, referring({"href": f"{web.url}/slow"})))
    # The download is under way, the service answers, and other jobs run meanwhile.
    wait_for(lambda: web.seen, "the download begins")
    other = client.execute_async(service.url, "files", [("file", client.Complex("inline"))])
    assert client.state_of(other) == "ProcessSucceeded"
    assert client.state_of(client.get(where).content) in ("ProcessAccepted", "ProcessStarted")
    release.set()
    ended = client.await_end(where)
    assert client.outputs_of(ended)["result"].content == "4 b'late'"


def test_fault_22_nothing_is_fetched_beyond_its_bounds(service: HpcServer, web: Web) -> None:
    web.answers["/endless"] = drip(b"x" * 5000, 0, head=OK_HEAD)
    web.answers["/gone"] = content(b"sorry", 404)
    web.answers["/in"] = redirect("http://10.255.255.1/")
    for path, words in {
        "/endless": "input file: it is larger than the 100 KB allowed",
        "/gone": "input file: its server answered with HTTP status 404",
        "/in": f"input file: after a redirection, {UNREACHABLE}",
    }.items():
        where = client.location_of(client.send(service.url, referring({"href": web.url + path})))
        assert words in failure(client.await_end(where))


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"href": "ftp://127.0.0.1/x"}, "its URL scheme is not supported"),
        ({"href": "http://169.254.169.254/latest"}, UNREACHABLE),
        ({"href": "http://[fd00:ec2::254]/"}, UNREACHABLE),
        ({"href": "http://["}, "not a valid URL"),
        ({"href": "http://8.8.8.8/", "method": "DELETE"}, "neither GET nor POST"),
        ({"href": "http://8.8.8.8/", "method": "POST"}, "needs a body"),
        ({"href": "http://8.8.8.8/", "headers": [("Host", "x")]}, "header that cannot be sent"),
        (
            {"href": "http://8.8.8.8/", "method": "POST", "body_href": "http://10.0.0.1/"},
            UNREACHABLE,
        ),
    ],
)
def test_fault_22_what_can_never_be_fetched_is_refused_at_once(
    hpc_server: HpcServer, entry: dict[str, Any], words: str
) -> None:
    before = len(hpc_server.rows())
    code, locator, text = client.refusal_of(client.send(hpc_server.url, referring(entry)))
    assert (code, locator) == ("InvalidParameterValue", "file")
    assert words in text
    assert len(hpc_server.rows()) == before


@pytest.mark.parametrize("mimetype", ["application/x-ogc-dods", "application/x-netcdf"])
def test_an_address_that_a_process_opens_itself_is_looked_at(
    staging_server: HpcServer, hpc_server: HpcServer, web: Web, mimetype: str
) -> None:
    """As OPeNDAP's are: by name, which only the node can look up."""

    def run(server: HpcServer, href: str) -> bytes:
        reference = client.Reference(href, mimetype)
        return client.execute_async(server.url, "dataset", [("dataset", reference)])

    fine = run(hpc_server, f"{web.url}/x")
    assert client.outputs_of(fine)["result"].content == "6"
    for server in (hpc_server, staging_server):
        for href in (
            f"http://10.255.255.1:{web.port}/",
            "dods://127.0.0.1/x",
            "file:///etc/passwd",
        ):
            answer = client.send(
                server.url,
                client.execute_document(
                    "dataset", [("dataset", client.Reference(href, mimetype))], asynchronous=True
                ),
            )
            assert client.refusal_of(answer)[0] in ("InvalidParameterValue", "FileURLNotSupported")
        words = failure(run(server, "http://0xa.255.255.1/x"))
        assert f"input dataset: {UNREACHABLE}" in words


def test_fault_22_the_web_server_itself_fetches_nothing(hpc_server: HpcServer, web: Web) -> None:
    href = f"{web.url}/x"
    posted = {"type": "reference", "href": href, "method": "POST", "bodyreference": href}
    # What PyWPS makes of this while it reads: an input with a validator that opens it.
    eager = {"type": "complex", "href": href, "mode": 3, "data_format": {"mime_type": "text/xml"}}
    folder = hpc_server.folder / "made"
    for given_ in (posted, eager, {"type": "literal", "data": "x", "workdir": str(folder)}):
        request = {"identifier": "nobody", "inputs": {"file": given_}}
        assert client.send_json(hpc_server.url, request).status == 400
    assert web.seen == []
    assert not folder.exists()


def test_fault_20_only_allowed_files_reach_a_job(service: HpcServer) -> None:
    inputs = service.folder / "inputs"
    secret = service.folder / "inputs_secret"
    secret.mkdir(exist_ok=True)
    (secret / "file.txt").write_text("secret")
    (inputs / "file with space.txt").write_text("fine")
    (inputs / "link.txt").unlink(missing_ok=True)
    (inputs / "link.txt").symlink_to(secret / "file.txt")
    fine = {"href": (inputs / "file with space.txt").as_uri()}
    ended = client.await_end(client.location_of(client.send(service.url, referring(fine))))
    assert client.outputs_of(ended)["result"].content == "4 b'fine'"
    for path in (secret / "file.txt", inputs / "link.txt", inputs / ".." / "inputs_secret"):
        answer = client.send(service.url, referring({"href": f"file://{path}"}))
        assert client.refusal_of(answer)[0] == "FileURLNotSupported"


def test_fault_20_a_file_that_changes_into_a_link_does_not_reach_a_job(
    hpc_server: HpcServer,
) -> None:
    secret = hpc_server.folder / "later"
    secret.write_text("secret")
    late = hpc_server.folder / "inputs" / "late.txt"  # is not there when the job is accepted
    late.unlink(missing_ok=True)
    where = client.location_of(client.send(hpc_server.url, referring({"href": late.as_uri()})))
    late.symlink_to(secret)
    text = failure(client.await_end(where))
    assert "input file: " in text
    assert str(hpc_server.folder) not in text


def test_dismissing_a_job_ends_its_download(staging_server: HpcServer, web: Web) -> None:
    web.answers["/slow"] = drip(b"x", 0.2, head=OK_HEAD)
    where = client.location_of(
        client.send(staging_server.url, referring({"href": f"{web.url}/slow"}))
    )
    job_id = where.rpartition("/")[2]
    wait_for(lambda: web.seen, "the download begins")
    assert (staging_server.row(job_id) or {})["state"] == "staging"
    assert b"; its inputs are being fetched" in client.get(where).content
    # The only download that may run is this one: the next has to wait for its end.
    following = client.location_of(
        client.send(staging_server.url, referring({"href": f"{web.url}/x"}))
    )
    assert staging_server.cli("cancel", job_id).returncode == 0
    assert client.state_of(client.await_end(following)) == "ProcessSucceeded"
    assert (staging_server.row(job_id) or {})["state"] == "dismissed"
    assert not staging_server.job(job_id).inputs.exists()


def test_a_dispatcher_that_is_killed_while_it_fetches_loses_nothing(
    staging_server: HpcServer, web: Web
) -> None:
    release = threading.Event()

    def wait(handler: Any) -> None:
        release.wait(HERE.timeout)
        content(b"late")(handler)

    web.answers["/second"] = wait
    document = referring({"href": f"{web.url}/first"}, {"href": f"{web.url}/second"})
    where = client.location_of(client.send(staging_server.url, document))
    wait_for(lambda: "/second" in web.paths(), "the second download begins")
    staging_server.kill9("dispatcher")
    release.set()
    ended = client.await_end(where)
    assert client.outputs_of(ended)["result"].content == "6 b'hello\\n'|4 b'late'"
    assert web.paths() == ["/first", "/second", "/second"]
    job = staging_server.job(where.rpartition("/")[2])
    wait_for(lambda: not job.inputs.exists(), "the inputs are removed")
    assert not job.references.exists()


def test_an_output_that_the_node_cannot_reach_fails_no_job(hpc_server: HpcServer, web: Web) -> None:
    """The client may have the login that the node has not, or be where it is allowed."""
    web.answers["/open"] = content(b"four")
    web.answers["/closed"] = content(b"no", 403)
    here, closed = f"{web.url}/open", f"{web.url}/closed"
    for addresses_ in ([here, closed], [closed, here], ["http://10.255.255.1/a"], ["http://[/a"]):
        inputs = [("address", address) for address in addresses_]
        ended = client.execute_async(hpc_server.url, "elsewhere", inputs)
        assert client.state_of(ended) == "ProcessSucceeded", ended
        collection, own = etree.fromstring(ended).iterfind(".//wps:ProcessOutputs/wps:Output", NS)
        link = "".join(map(str, collection.itertext()))
        assert all(f">{address}<" in link for address in addresses_), link
        assert ("<size>4</size>" in link) == (here in addresses_)
        reference = own.find("wps:Reference", NS)
        if addresses_[0] == here:
            assert own.findtext("wps:Data/wps:ComplexData", namespaces=NS) == "four"
        else:
            assert reference is not None
            assert reference.get("href") == addresses_[0]
