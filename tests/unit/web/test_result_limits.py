"""What a process leaves in its job's folder costs those that read there no more than a few times
its bytes, whatever it is made of; the job ends, and an honest large result is one."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import pytest

import memory
from dispatcher_harness import ACCEPTED, DispatcherHarness
from joblauncher.shared import outcome, status_xml
from joblauncher.shared.jobdir import JobDir
from memory import MIB
from pywps_hpc.jobs import State
from pywps_hpc.jobs.look import look
from pywps_hpc.web.wps1 import status, sync

SIZE = 6 * MIB
#: Bytes beside four times those of a file: what trees take within the bounds, and their remains.
BESIDE = 32 * MIB
STARTED = status_xml.replace(ACCEPTED, status_xml.Status("started", 40, "at work"))
SUCCESS = status_xml.replace(ACCEPTED, status_xml.Status("succeeded", 100, "done"))
#: What the dispatcher, and the launcher, say of a job without a document that can be read.
NONE_LEFT = "the job ended without leaving a result"
NONE_TOLD = "the process ended with exit code 0 without reporting a result"


def many(form: bytes) -> bytes:
    """A part so often that it is large, each with another number where it takes one."""
    if b"%" not in form:
        return form * (SIZE // len(form))
    return b"".join(form % number for number in range(SIZE // (len(form) + 3)))


def early(content: bytes) -> bytes:
    return SUCCESS.replace(b"<wps:Status", content + b"<wps:Status", 1)


def late(content: bytes) -> bytes:
    """As outputs, which may be as large as a document may be."""
    end = b"</wps:ExecuteResponse>"
    return SUCCESS.replace(end, b"<wps:ProcessOutputs>%s</wps:ProcessOutputs>%s" % (content, end))


def facts(outputs: bytes, message: bytes = b"") -> bytes:
    text = b'{"job": "j", "process": "hello", "state": "started", "message": "%s", "outputs": [%s]}'
    return text % (message, outputs)


FINE = facts(b"")
ATTRIBUTES = b"<a%s/>" % many(b' b%x=""')
ROOT = SUCCESS.replace(b" xmlns", many(b' b%x=""') + b" xmlns", 1)
#: Documents and reports, and whether the job has succeeded.
FILLED: dict[str, tuple[bytes, bytes, bool]] = {
    "objects in a report": (STARTED, facts(many(b"{},") + b"{}"), False),
    "lists in a report": (SUCCESS, facts(b'{"a": [%s1]}' % many(b"[[]],")), True),
    "members in a report": (STARTED, facts(b'{%s"":1}' % many(b'"%x":1,')), False),
    "text in a report": (SUCCESS, facts(b"", many(b"a") + "\U0001f600".encode()), True),
    "early attributes": (early(ATTRIBUTES), FINE, False),
    "early elements": (early(many(b"<a/>")), FINE, False),
    "early comments": (many(b"<!---->") + SUCCESS, FINE, False),
    "early depth": (early(many(b"<wps:Status>")), FINE, False),
    "early text": (early(many(b"a")), FINE, False),
    "attributes of the root": (ROOT, FINE, False),
    "late attributes": (late(ATTRIBUTES), FINE, True),
    "late elements": (late(many(b"<a>1</a>")), FINE, True),
    "late text": (late(many(b"a")), FINE, True),
    "as much as is parsed": (early(b"<a b=''/>" * 49_000), facts(b"{}," * 16_000 + b"{}"), True),
}


def test_memory_for_what_a_process_left_is_at_most_four_times_its_bytes(tmp_path: Path) -> None:
    sizes = {}
    for name, (document, content, _) in {"": (SUCCESS, FINE, True), **FILLED}.items():
        filled = tmp_path / f"filled {name}"
        filled.mkdir()
        (filled / "status.xml").write_bytes(document)
        (filled / "outcome.json").write_bytes(content)
        sizes[name] = max(len(document), len(content))
    (tmp_path / "service").mkdir()
    folders = [tmp_path / f"filled {name}" for name in sizes]
    told = memory.measured("result_memory.py", tmp_path / "service", *folders)
    found = dict(zip(FILLED, told, strict=True))
    for reader in ("dispatcher", "web", "launcher"):
        taken = {name: end["most"][reader] for name, end in found.items()}
        assert not memory.excessive(taken, sizes, BESIDE), reader
    for name, (_, _, succeeded) in FILLED.items():
        end = found[name]
        assert end["row"] == (["succeeded", ""] if succeeded else ["failed", NONE_LEFT]), name
        assert end["left"] == (["succeeded", "done"] if succeeded else ["failed", NONE_TOLD]), name


@pytest.mark.parametrize("value", ["é" * MIB, [[]] * 50_000])
@pytest.mark.parametrize("count", [1, 50_000])
def test_a_report_with_large_outputs_can_be_read(tmp_path: Path, value: object, count: int) -> None:
    job = JobDir(tmp_path)
    outputs = [{"identifier": "small", "data": value}, *({"href": "a"} for _ in range(count - 1))]
    message = "[]{},:" * status_xml.LONGEST_MESSAGE
    written = outcome.Report("j", "hello", "succeeded", 100, message, outputs=outputs)
    written.write(job)
    read = outcome.read(job)
    assert read is not None
    assert (read.state, read.percent) == ("succeeded", 100)
    assert read.message == status_xml.bounded(message)
    assert read.outputs == ([{"identifier": "small"}] if count == 1 else [])


@pytest.mark.parametrize("state", [State.RUNNING, State.PAUSED, State.STAGING])
@pytest.mark.parametrize("said", [STARTED, SUCCESS])
def test_a_document_that_grows_as_it_is_written_anew_is_answered_still(
    tmp_path: Path, state: State, said: bytes
) -> None:
    harness = DispatcherHarness(tmp_path)
    job = harness.running()
    folder = harness.folder(job)
    folder.status.write_bytes(said.replace(b"<wps:Status", b">" * 3 * MIB + b"<wps:Status", 1))
    row = dataclasses.replace(job, state=state)
    request = SimpleNamespace(raw=False)
    view = look(row, folder, scheduler="slurm")
    answer = sync.goes_on(view, folder, request, status.About(), "It takes long.")
    assert "It takes long. The job continues." in status_xml.parse(answer.get_data()).message
