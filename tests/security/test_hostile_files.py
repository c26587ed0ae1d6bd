"""What a hostile process, or a neighbour on the file system, may put into a job's folder: nobody
who reads there runs it, follows it, waits for it or hands it on."""

from __future__ import annotations

import configparser
import dataclasses
import json
import os
import pickle
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner, Result
from pywps.exceptions import NoApplicableCode
from werkzeug.test import create_environ
from werkzeug.wrappers import Request, Response

import wps_client as client
from in_process_service import InProcessService, open_service
from joblauncher.shared import dump, outcome, status_xml
from joblauncher.shared.files import MOST, atomic_write, open_beneath, read_plain, remove_tree
from joblauncher.shared.jobdir import JobDir
from pywps_hpc import cli
from pywps_hpc.dispatch import finish, folders
from pywps_hpc.dispatch.decide.evidence import Left
from pywps_hpc.jobs import State
from pywps_hpc.jobs.look import look
from pywps_hpc.web import packing
from pywps_hpc.web.wps1 import status, sync
from servers import SERVICES

SECRET = b"root:x:0:0: the secret of somebody else"
NOBODY = 65534
OUTPUT = "report.html"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcessService]:
    passed = {"pass_headers": "X-Seen", "pass_parameters": "seen"}
    with open_service(tmp_path_factory.mktemp("app"), hpc=passed) as opened:
        yield opened


@pytest.fixture
def job(app: InProcessService) -> Iterator[JobDir]:
    accepted = app.accept()
    yield accepted
    app.forget(accepted)


@pytest.fixture
def neighbour(app: InProcessService) -> Iterator[JobDir]:
    accepted = app.accept()
    yield accepted
    app.forget(accepted)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_bytes(SECRET)
    return path


# The dump


def launch(job: JobDir, digest: str, *more: str) -> subprocess.CompletedProcess[str]:
    """The real launcher, as a batch script starts it."""
    root = ["--allow-root"] if os.geteuid() == 0 else []
    line = [sys.executable, "-I", "-m", "joblauncher", "--digest", digest, *root, *more]
    return subprocess.run([*line, str(job.path)], capture_output=True, text=True, timeout=120)


def poisoned(job: JobDir, canary: Path, **changes: str) -> bytes:
    """A dump that is well formed and this job's, and leaves a trace when it is loaded."""
    header, _ = dump.unpack_header(job.dump.read_bytes())
    header = dump.Header(**{**header.__dict__, **changes})
    # As a program of its own writes it: by the name of something that the launcher has.
    body = pickle.dumps(Canary(str(canary)))
    return dump.MAGIC + json.dumps(header.__dict__).encode() + b"\n" + body


class Canary:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, int]]:
        return os.mkdir, (self.path, 0o700)


def test_the_canary_would_sing(tmp_path: Path, job: JobDir) -> None:
    """What the next test shows not to happen does happen to whoever loads these bytes."""
    canary = tmp_path / "canary"
    data = poisoned(job, canary)
    job.dump.unlink()
    atomic_write(job.dump, data, mode=0o400)
    launch(job, dump.digest(data))
    assert canary.exists()


def tampered(job: JobDir, data: bytes, _: JobDir) -> None:
    atomic_write(job.dump, data, mode=0o400)


def truncated(job: JobDir, data: bytes, _: JobDir) -> None:
    atomic_write(job.dump, job.dump.read_bytes()[:-100], mode=0o400)


def swapped(job: JobDir, data: bytes, neighbour: JobDir) -> None:
    os.replace(neighbour.dump, job.dump)


def symbolic(job: JobDir, data: bytes, _: JobDir) -> None:
    os.rename(job.dump, job.path / "elsewhere")
    job.dump.symlink_to(job.path / "elsewhere")


def hard_link(job: JobDir, data: bytes, neighbour: JobDir) -> None:
    job.dump.unlink()
    os.link(neighbour.dump, job.dump)


def pipe(job: JobDir, data: bytes, _: JobDir) -> None:
    job.dump.unlink()
    os.mkfifo(job.dump)


def group_writable(job: JobDir, data: bytes, _: JobDir) -> None:
    job.dump.chmod(0o620)


def missing(job: JobDir, data: bytes, _: JobDir) -> None:
    job.dump.unlink()


def another_account(job: JobDir, data: bytes, _: JobDir) -> None:
    os.chown(job.dump, NOBODY, NOBODY)
    job.dump.chmod(0o404)


NOT_OURS = "the job's dump is not the one that the service wrote"
DUMPS: dict[Callable[[JobDir, bytes, JobDir], None], str] = {
    tampered: NOT_OURS,
    truncated: NOT_OURS,
    swapped: NOT_OURS,
    hard_link: NOT_OURS,
    symbolic: "the job's dump cannot be read: Too many levels of symbolic links",
    pipe: "the job's dump cannot be read: not a regular file",
    missing: "the job's dump cannot be read: No such file or directory",
    group_writable: "the job's dump can be changed by others",
}
if os.geteuid() == 0:  # only root can give files away
    DUMPS[another_account] = "the job's dump belongs to another account"


@pytest.mark.parametrize("act", DUMPS, ids=lambda act: act.__name__)
def test_a_dump_that_the_service_did_not_write_is_refused_in_words(
    app: InProcessService,
    job: JobDir,
    neighbour: JobDir,
    tmp_path: Path,
    act: Callable[[JobDir, bytes, JobDir], None],
) -> None:
    canary = tmp_path / "canary"
    act(job, poisoned(job, canary), neighbour)
    answer = launch(job, app.row(job).digest)
    assert answer.returncode == 65, answer.stderr
    assert not canary.exists()
    app.end(job, answer.returncode)
    shown = app.get(f"/status/{job.job_id}").get_data()
    assert client.state_of(shown) == "ProcessFailed"
    assert client.message_of(shown) == DUMPS[act]


def test_another_job_s_dump_is_refused_even_with_its_digest(
    app: InProcessService, job: JobDir, neighbour: JobDir
) -> None:
    digest = app.row(neighbour).digest
    os.link(neighbour.dump, job.path / "theirs")
    os.replace(job.path / "theirs", job.dump)
    answer = launch(job, digest)
    assert answer.returncode == 65
    app.end(job, answer.returncode)
    shown = app.get(f"/status/{job.job_id}").get_data()
    assert client.message_of(shown) == "the job's dump was written for another job"


# What the process leaves under the names of our own files


def fifo(path: Path, _: Path) -> None:
    os.mkfifo(path)


def link(path: Path, secret: Path) -> None:
    path.symlink_to(secret)


def dangling(path: Path, _: Path) -> None:
    path.symlink_to(path.with_name("nowhere"))


def circle(path: Path, _: Path) -> None:
    path.symlink_to(path)


def endless(path: Path, _: Path) -> None:
    path.symlink_to("/dev/zero")


def folder(path: Path, _: Path) -> None:
    path.mkdir()


def huge(path: Path, _: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


def listening(path: Path, _: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        here = os.getcwd()
        os.chdir(path.parent)  # a socket's path is short
        try:
            made.bind(path.name)
        finally:
            os.chdir(here)


THINGS = [fifo, link, dangling, circle, endless, folder, huge, listening]


@pytest.mark.timeout(150)
@pytest.mark.parametrize("thing", THINGS, ids=lambda thing: thing.__name__)
def test_nobody_reads_anything_but_plain_files(
    app: InProcessService, job: JobDir, secret: Path, thing: Callable[[Path, Path], None]
) -> None:
    for path in (job.status, job.report, job.response, job.log):
        path.unlink(missing_ok=True)
        thing(path, secret)
    answer = app.get(f"/status/{job.job_id}")
    assert (answer.status_code, SECRET in answer.get_data()) == (200, False)
    assert client.state_of(answer.get_data()) == "ProcessAccepted"
    assert outcome.read(job) is None
    assert folders.look(job).left is Left.OPEN
    if thing is not huge:  # its end is read, whatever its size
        assert folders.log_tail(job) == ""
        shown = _command(app, "log", job.job_id)
        assert shown.exit_code == 1
        assert "Traceback" not in shown.output
    assert finish.write_failure(job, "repeat_2", "killed", time.time())
    assert folders.look(job).message == "killed"
    assert _command(app, "show", job.job_id).exit_code == 0


def _command(app: InProcessService, *arguments: str) -> Result:
    command, *rest = arguments
    config = app.settings.spool.parent / "pywps.cfg"
    return CliRunner().invoke(cli.commands, [command, "--config", str(config), *rest])


def test_a_file_that_grows_while_it_is_read_has_an_end(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 10)
    assert read_plain(path, 10) == b"x" * 10
    with pytest.raises(OSError, match="larger"):
        read_plain(path, 9)
    with path.open("wb") as file:
        file.truncate(MOST + 1)
    with pytest.raises(OSError, match="larger"):
        read_plain(path)


FORGED = [
    b"[]",
    b"[" * 100_000,
    b'{"job": 1, "process": "p"}',
    b'{"job": "j", "process": "p", "cause": ["killed"]}',
    b'{"job": "j", "process": "p", "state": {}}',
    b'{"job": "j", "process": "p", "finished": NaN}',
    b'{"job": "j", "process": "p", "started": 1e300}',
    b'{"job": "j", "process": "p", "percent": 1' + b"0" * 400 + b"}",
    b'{"job": "j", "process": "p", "usage": {"elapsed_seconds": "long"}}',
    b'{"job": "j", "process": "p", "outputs": {"a": 1}}',
    b'{"job": "j", "process": "p", "response": "200 OK"}',
    b'{"job": "j", "process": "p", "exit_code": "0"}',
    b"\xff\xfe",
]


@pytest.mark.parametrize("content", FORGED, ids=range(len(FORGED)))
def test_a_report_that_is_not_of_its_kind_does_not_count(job: JobDir, content: bytes) -> None:
    job.report.write_bytes(content)
    assert outcome.read(job) is None
    assert folders.look(job).left is Left.OPEN


def test_words_of_a_process_can_be_recorded_and_shown(app: InProcessService, job: JobDir) -> None:
    words = "[/red] \x00 \x1b]0;title\x07 \\ud800" + "x" * 1_000_000
    forged = {"job": job.job_id, "process": "p", "state": "failed", "message": words}
    job.report.write_text(json.dumps(forged | {"cause": "killed", "host": "[bold]"}))
    seen = folders.look(job)
    assert len(seen.message) < 30_000
    assert "\x00" not in seen.message
    assert "\x1b" not in seen.message
    assert app.store.note(app.row(job), message=seen.message) is not None
    shown = _command(app, "show", job.job_id)
    assert (shown.exit_code, "[/red]" in shown.output) == (0, True)


BOMB = b"""<?xml version="1.0"?><!DOCTYPE r [<!ENTITY a "%s">%s]>""" % (
    b"x" * 50,
    b"".join(b'<!ENTITY %c "%s">' % (98 + n, b"&%c;" % (97 + n) * 50) for n in range(8)),
)
WPS = b'<wps:ExecuteResponse xmlns:wps="http://www.opengis.net/wps/1.0.0"'
BODY = WPS + b"><wps:Status>%s</wps:Status></wps:ExecuteResponse>"
GOOD = BODY % b"<wps:ProcessSucceeded>done</wps:ProcessSucceeded>"
UTF16 = '<?xml version="1.0" encoding="UTF-16"?><!DOCTYPE r [<!ENTITY a "b">]>' + GOOD.decode()
NO_DOCUMENTS = [
    BOMB + WPS + b' a="&i;"/>',
    b"\xef\xbb\xbf <!-- a --> <?b c?> <!DOCTYPE r SYSTEM 'file:///etc/passwd'>" + GOOD,
    UTF16.encode("utf-16"),
    UTF16.encode("utf-16-le"),
    b'<?xml version="1.0" encoding="UTF-7"?>+ADwAIQBEAE8AQwBUAFkAUABF r []>' + GOOD,
    b"<!" * 10_000,
    b"<a>" * 1_000_000,
    b"",
]


@pytest.mark.timeout(150)
@pytest.mark.parametrize("content", NO_DOCUMENTS, ids=range(len(NO_DOCUMENTS)))
def test_what_is_no_status_document_is_none(
    app: InProcessService, job: JobDir, content: bytes
) -> None:
    job.status.write_bytes(content)
    with pytest.raises(status_xml.DocumentError):
        status_xml.parse(content)
    assert folders.look(job).left is Left.OPEN
    shown = app.get(f"/status/{job.job_id}")
    assert (shown.status_code, client.state_of(shown.get_data())) == (200, "ProcessAccepted")


def test_odd_status_documents_are_read_without_harm() -> None:
    odd = (
        BODY % b"<!-- c --><?a b?><wps:ProcessStarted percentCompleted='%s'>x</wps:ProcessStarted>"
    )
    for percent, expected in (("7", 7), ("900", 100), ("-1", 0), ("9" * 5000, 0), ("x", 0)):
        assert status_xml.parse(odd % percent.encode()).percent == expected
    long = status_xml.parse(BODY % (b"<wps:ProcessFailed>%s</wps:ProcessFailed>" % (b"y" * 10**6)))
    assert len(long.message) < 30_000


@pytest.mark.parametrize("where", ["before", "inside"])
def test_a_stylesheet_in_a_status_document_is_not_served(
    app: InProcessService, job: JobDir, where: str
) -> None:
    style = b'<?xml-stylesheet type="text/xsl" href="/outputs/evil.xsl"?>'
    before, inside = (style, b"") if where == "before" else (b"", style)
    state = b"<wps:ProcessSucceeded>done</wps:ProcessSucceeded>" + inside
    job.status.write_bytes(b"<?xml version='1.0'?>\n" + before + BODY % state)
    app.end(job, 0)
    answer = app.get(f"/status/{job.job_id}")
    assert answer.status_code == 200
    assert client.state_of(answer.get_data()) == "ProcessSucceeded"
    assert b"stylesheet" not in answer.get_data()
    assert "sandbox" in answer.headers["Content-Security-Policy"]


# What has to be cleared away


def dig(folder: Path, depth: int) -> None:
    """Folders in folders, deeper than a path or a call stack can go."""
    here = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=here)
        inner = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, 0o400, dir_fd=here))
    os.close(here)


def test_whatever_a_process_leaves_can_be_cleared_away(app: InProcessService, secret: Path) -> None:
    job = app.accept()
    dig(job.work, 2000)
    dig(job.temporary, 10)
    (job.temporary / "link").symlink_to(secret.parent)
    (job.temporary / "dangling").symlink_to("nowhere")
    os.mkfifo(job.temporary / "pipe")
    job.inputs.rename(job.temporary / "inputs")
    job.inputs.symlink_to(secret.parent)
    app.spool.delete_work(job.job_id)
    assert {path.name for path in job.path.iterdir()} == {
        *("job.dump", "request.json", "status.xml", "outcome.json", "outputs")
    }
    dig(job.outputs.parent, 2000)
    app.forget(job)
    assert not job.path.exists()
    assert secret.read_bytes() == SECRET


def test_folders_without_any_rights_are_cleared_away() -> None:
    user = os.geteuid()
    with tempfile.TemporaryDirectory() as made:
        top = Path(made) / "top"
        (top / "a/b/c").mkdir(parents=True)
        (top / "a/b/file").touch()
        if user == 0:  # whom rights do not bind
            for path in (Path(made), top, *top.rglob("*")):
                os.chown(path, NOBODY, NOBODY)
            os.seteuid(NOBODY)
        try:
            for path in ("a/b/c", "a/b", "a"):
                (top / path).chmod(0)
            with pytest.raises(PermissionError):
                os.listdir(top / "a")
            remove_tree(top)
        finally:
            os.seteuid(user)
        assert not top.exists()


# What a client that waits is given

FORGED_ANSWERS: dict[str, tuple[object, object]] = {
    "status": (301, [["Location", "http://evil.example"]]),
    "text": ("200 OK", []),
    "type": (200, [["Content-Type", "text/html\r\nSet-Cookie: a=b"]]),
}


def waiting_client(app: InProcessService, job: JobDir, response: dict[str, object]) -> Response:
    """What comes of a job that left this answer."""
    outcome.Report(job.job_id, "p", "succeeded", finished=1.0, response=response).write(job)
    row = dataclasses.replace(app.row(job), state=State.SUCCEEDED)
    request = SimpleNamespace(raw=True, http_request=Request(create_environ()))
    view = look(row, job, scheduler="local")
    return sync.sync_response(view, job, request, status.About(), timeout=1)


@pytest.mark.parametrize("name", FORGED_ANSWERS)
def test_a_forged_answer_is_not_given(app: InProcessService, job: JobDir, name: str) -> None:
    job.response.write_bytes(b"body")
    status, headers = FORGED_ANSWERS[name]
    with pytest.raises(NoApplicableCode, match="cannot be sent"):
        waiting_client(app, job, {"status": status, "headers": headers})


def test_an_answer_brings_no_headers_but_its_type_and_name(
    app: InProcessService, job: JobDir
) -> None:
    job.response.write_bytes(b"body")
    headers = [["Content-Type", "a/b"], ["Content-Disposition", "c"], ["Set-Cookie", "d"], "e", 5]
    answer = waiting_client(app, job, {"status": 200, "headers": headers})
    assert (answer.status_code, b"".join(answer.iter_encoded())) == (200, b"body")
    assert {name.lower() for name, _ in answer.headers} == {
        "content-type",
        "content-disposition",
        "content-length",
    }


def test_an_answer_that_is_a_link_is_not_given(
    app: InProcessService, job: JobDir, secret: Path
) -> None:
    job.response.symlink_to(secret)
    with pytest.raises(NoApplicableCode, match="left no response"):
        waiting_client(app, job, {"status": 200, "headers": []})


def test_outputs_too_large_for_one_document_are_told_in_words(app: InProcessService) -> None:
    job = app.accept("texts", [("text", client.Complex("é" * 7_000_000))])
    answer = launch(job, app.row(job).digest, "--path", str(SERVICES))
    assert answer.returncode == 1, answer.stderr[-2000:]
    app.end(job, answer.returncode)
    shown = app.get(f"/status/{job.job_id}").get_data()
    assert client.state_of(shown) == "ProcessFailed"
    assert "too large for one document: request them as references" in client.message_of(shown)
    assert folders.look(job).left is Left.FAILURE
    app.forget(job)


def test_outputs_that_one_document_can_hold_are_given(app: InProcessService) -> None:
    """Though nobody parses that document, or a report with them."""
    job = app.accept("texts", [("text", client.Complex("é" * 1_000_000))])
    answer = launch(job, app.row(job).digest, "--path", str(SERVICES))
    assert answer.returncode == 0, answer.stderr[-2000:]
    app.end(job, answer.returncode)
    shown = app.get(f"/status/{job.job_id}").get_data()
    assert client.state_of(shown) == "ProcessSucceeded"
    assert shown.count("é".encode()) == 2_000_000
    told = outcome.read(job)
    assert told is not None
    assert {output["identifier"] for output in told.outputs} == {"document", "literal", "seen"}
    app.forget(job)


# Outputs


def serve(app: InProcessService, job: JobDir, name: str = OUTPUT) -> tuple[int, bytes]:
    answer = app.get(f"/outputs/{job.job_id}/{name}")
    return answer.status_code, answer.get_data()


@pytest.mark.timeout(150)
@pytest.mark.parametrize("thing", [t for t in THINGS if t is not huge], ids=lambda t: t.__name__)
def test_an_output_that_is_no_plain_file_is_not_served(
    app: InProcessService, job: JobDir, secret: Path, thing: Callable[[Path, Path], None]
) -> None:
    job.outputs.mkdir()
    thing(job.outputs / OUTPUT, secret)
    status, content = serve(app, job)
    assert status == 404
    assert SECRET not in content


TARGETS = {
    "absolute": lambda job, other: "/etc/passwd",
    "relative": lambda job, other: "../../job.dump",
    "another job": lambda job, other: str(other.dump),
    "beside": lambda job, other: "good.txt",
}


@pytest.mark.parametrize("target", TARGETS)
def test_no_link_among_the_outputs_is_followed(
    app: InProcessService, job: JobDir, neighbour: JobDir, target: str
) -> None:
    job.outputs.mkdir()
    (job.outputs / "good.txt").write_bytes(b"good")
    (job.outputs / OUTPUT).symlink_to(TARGETS[target](job, neighbour))
    assert serve(app, job)[0] == 404
    assert serve(app, job, "good.txt") == (200, b"good")


def test_no_folder_on_the_way_to_an_output_may_be_a_link(
    app: InProcessService, job: JobDir, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere" / job.job_id
    elsewhere.mkdir(parents=True)
    (elsewhere / OUTPUT).write_bytes(SECRET)
    job.outputs.mkdir()
    (job.outputs / "deep").symlink_to(elsewhere)
    assert serve(app, job, f"deep/{OUTPUT}")[0] == 404
    job.outputs.joinpath("deep").unlink()
    job.outputs.rmdir()
    job.outputs.symlink_to(elsewhere)
    assert serve(app, job)[0] == 404
    job.outputs.unlink()
    job.storage.rmdir()
    job.storage.symlink_to(elsewhere.parent)
    assert serve(app, job)[0] == 404


@pytest.mark.parametrize(
    "name",
    [
        *("../../job.dump", "%2e%2e/%2e%2e/job.dump", "..%2f..%2fjob.dump", "/etc/passwd", "a//b"),
        *("deep/../../../status.xml", "report.html/", "%00", "report.html%00.txt", "x" * 5000),
        *("deep", "."),
    ],
)
def test_no_name_leads_out_of_the_outputs(app: InProcessService, job: JobDir, name: str) -> None:
    (job.outputs / "deep").mkdir(parents=True)
    (job.outputs / OUTPUT).write_bytes(b"good")
    status, content = serve(app, job, name)
    assert status == 404, content


def test_an_output_that_turns_into_a_link_meanwhile_leads_nowhere(
    app: InProcessService, job: JobDir, secret: Path
) -> None:
    """Files and folders are swapped as fast as possible while they are asked for."""
    deep, real, fake = job.outputs / "deep", job.outputs / "real", job.outputs / "fake"
    real.mkdir(parents=True)
    (real / OUTPUT).write_bytes(b"good")
    fake.symlink_to(secret.parent)
    secret.rename(secret.with_name(OUTPUT))
    os.rename(real, deep)
    over = threading.Event()

    def swap() -> None:
        while not over.is_set():
            os.rename(deep, real)
            os.rename(fake, deep)
            os.rename(deep, fake)
            os.rename(real, deep)

    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        seen = {serve(app, job, f"deep/{OUTPUT}") for _ in range(300)}
    finally:
        over.set()
        swapper.join()
    assert {content for status, content in seen if status == 200} <= {b"good"}
    assert {status for status, _ in seen} <= {200, 404}
    assert serve(app, job, f"deep/{OUTPUT}") == (200, b"good")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_another_account_s_file_is_not_served_through_a_hard_link(
    app: InProcessService, job: JobDir
) -> None:
    job.outputs.mkdir()
    theirs = job.path / "theirs"
    theirs.write_bytes(SECRET)
    os.link(theirs, job.outputs / OUTPUT)
    assert serve(app, job) == (200, SECRET)
    os.chown(theirs, NOBODY, NOBODY)
    assert serve(app, job)[0] == 404
    with pytest.raises(PermissionError, match="another account"):
        open_beneath(job.path, "outputs", job.access, OUTPUT)


def test_outputs_are_served_whole_in_part_and_by_their_state(
    app: InProcessService, job: JobDir
) -> None:
    job.outputs.mkdir()
    (job.outputs / "a.txt").write_bytes(b"0123456789")
    path = f"/outputs/{job.job_id}/a.txt"
    whole = app.get(path)
    assert (whole.status_code, whole.get_data()) == (200, b"0123456789")
    assert whole.headers["Content-Length"] == "10"
    assert whole.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert whole.headers["Cache-Control"] == "max-age=3600, private"
    part = app.get(path, Range="bytes=2-4")
    assert (part.status_code, part.get_data()) == (206, b"234")
    again = app.get(path, **{"If-None-Match": whole.headers["ETag"]})
    assert (again.status_code, again.get_data()) == (304, b"")
    head = app.web.head(f"/outputs/{job.access}/a.txt")
    assert (head.status_code, head.get_data(), head.headers["Content-Length"]) == (200, b"", "10")


# Who may read it


def test_folders_and_files_of_a_job_are_the_account_s_own(app: InProcessService) -> None:
    before = os.umask(0o022)  # as most services are started with
    try:
        job = app.accept("texts", [("text", client.Complex("a"))], lineage=True)
    finally:
        os.umask(before)
    for path in (job.path, *job.path.rglob("*")):
        wanted = 0o700 if path.is_dir() else 0o600
        assert path.lstat().st_mode & 0o7777 & ~wanted == 0, path
    app.forget(job)


def test_no_secret_is_in_a_job_s_folder(app: InProcessService) -> None:
    secret = "open-sesame"
    headers = {
        "Authorization": f"Bearer {secret}",
        "Proxy-Authorization": secret,
        "Cookie": f"a={secret}",
        "X-Api-Key": secret,
        "X-Auth-Token": secret,
        "X-Goog-Iap-Jwt-Assertion": secret,
        "X-Amzn-Oidc-Data": secret,
        "Ticket": secret,
        "X-SSL-Client-Cert": secret,
        "Referer": f"https://portal.example.org/?ticket={secret}",
        "X-Seen": "seen",
    }
    query = "&".join(
        f"{name}={secret}" for name in ("api_key", "access_token", "apikey", "sig", "pw")
    )
    job = app.accept(headers=headers, query=f"{query}&seen=1")
    kept = b"".join(path.read_bytes() for path in job.path.rglob("*") if path.is_file())
    assert secret.encode() not in kept
    assert b"X-Seen" in kept
    assert str(app.settings.database_url).encode() not in kept
    assert b"requests.sqlite" not in kept  # PyWPS's own database
    header, _ = dump.unpack_header(job.dump.read_bytes())
    assert header.http["query"] == "seen=1"
    app.forget(job)


def test_of_a_service_s_own_options_secrets_stay_unless_they_are_passed() -> None:
    config = configparser.ConfigParser()
    config.read_dict(
        {
            "sea": {
                **dict.fromkeys(("pwd", "db_pass", "dsn", "AUTH", "s3.key", "apiKey"), "hidden"),
                **dict.fromkeys(("password", "jwt", "access-key", "my_passphrase"), "%(nobody)s"),
                "archive": "https://reader:hidden@data.example.org/x",
                "catalogue": "https://data.example.org/x?a=b:c@d",
                "author": "shown",
                "bypass": "shown",
                "keyboard": "shown",
                "token_url": "https://reader:passed@data.example.org/",
            }
        }
    )
    found = packing.effective_configuration(config, ("sea.token_url", "sea.dsn"))
    assert found == {
        "sea": {
            "catalogue": "https://data.example.org/x?a=b:c@d",
            "author": "shown",
            "bypass": "shown",
            "keyboard": "shown",
            "token_url": "https://reader:passed@data.example.org/",
            "dsn": "hidden",
        }
    }
