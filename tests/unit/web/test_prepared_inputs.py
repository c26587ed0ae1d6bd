"""What the web server prepares of a job's inputs: each input has a file of its own, and each start
of the job finds all of them as they were."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pywps import ComplexInput

from in_process_service import InProcessService, open_service
from joblauncher.inputs import prepared
from joblauncher.inputs import references as on_the_node
from joblauncher.inputs.policy import Bounds
from joblauncher.shared import outcome
from joblauncher.shared.dump import PayloadError
from joblauncher.shared.jobdir import JobDir
from places import ROOT
from pywps_hpc.spool import Spool
from servers import SERVICES, wait_for
from wps_client import Complex, Reference


@pytest.fixture
def app(tmp_path: Path) -> Iterator[InProcessService]:
    with open_service(tmp_path) as opened:
        yield opened


def an_input(folder: Path) -> ComplexInput:
    from odd_kit import text

    item = text()
    item.workdir = str(folder)
    return item


def open_descriptors() -> int:
    gc.collect()  # what an earlier test forgot may go now
    return len(os.listdir("/proc/self/fd"))


# Names


def test_files_of_one_name_that_this_host_does_not_see_are_two_inputs(
    app: InProcessService,
) -> None:
    """The web host need not have the data: its links lead nowhere."""
    data = app.settings.input_paths[0]
    hrefs = [(data / year / "tas.txt").as_uri() for year in ("1990", "2000", "2010")]
    job = app.accept("files", [("file", Reference(href)) for href in hrefs])
    links = [path for path in job.prepared.iterdir() if path.is_symlink()]
    assert {Path(os.readlink(link)).as_uri() for link in links} == set(hrefs)


@pytest.mark.parametrize("side", ["web", "node"])
def test_a_name_that_is_taken_leaves_no_descriptor_open(app: InProcessService, side: str) -> None:
    folder = app.spool.root / "names"
    if side == "node":
        on_the_node.install(Bounds(), JobDir(folder))
    items = [an_input(folder) for _ in range(200)]
    before = open_descriptors()
    for number, item in enumerate(items):
        item.data = str(number)
        assert Path(item.file).read_text() == str(number)
    assert open_descriptors() <= before
    assert len({item.file for item in items}) == 200


def test_a_request_with_many_files_of_one_name_leaves_no_descriptor_open(
    app: InProcessService,
) -> None:
    data = app.settings.input_paths[0]
    (data / "tas.txt").write_text("same")
    files = [("file", Reference((data / "tas.txt").as_uri()))] * 200
    app.accept("editor", [*files[:2], ("checked", Complex("x"))])
    before = open_descriptors()
    job = app.accept("editor", [*files, ("checked", Complex("x"))])
    assert open_descriptors() <= before
    assert len(list(job.prepared.iterdir())) == 201


def test_names_keep_their_ends(app: InProcessService, tmp_path: Path) -> None:
    item = an_input(tmp_path / "names")
    for href, name in {
        "http://h/a/tas.nc?x=y": "tas.nc",
        "http://h/tas": "tas.txt",
        "http://h/": "input.txt",
        "": "input.txt",
    }.items():
        assert Path(item._build_file_name(href=href)).name == name
    (tmp_path / "names" / "tas.nc").symlink_to("nowhere")
    found = Path(item._build_file_name(href="file:///tas.nc"))
    assert (found.parent, found.suffix) == (tmp_path / "names", ".nc")
    assert found.name.startswith("tas_")
    assert found.stat().st_size == 0


# Starts


def launch(app: InProcessService, job: JobDir, attempt: int) -> subprocess.Popen[bytes]:
    line = ["-m", "joblauncher", "--digest", app.row(job).digest, "--attempt", str(attempt)]
    more = ["--path", str(SERVICES), "--allow-root", str(job.path)]
    return subprocess.Popen(
        [sys.executable, *line, *more],
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )


def seen(job: JobDir) -> str:
    latest = outcome.read(job)
    return latest.message if latest else ""


def test_each_start_finds_the_inputs_as_they_were(app: InProcessService) -> None:
    """The process changes them in place and is stopped; then the job is started again."""
    data = app.settings.input_paths[0]
    (data / "linked.txt").write_text("linked")
    inputs = [
        ("file", Complex("inline")),
        ("file", Reference((data / "linked.txt").as_uri())),
        ("checked", Complex("checked")),
        ("wait", "1"),
    ]
    job = app.accept("editor", inputs)
    assert (job.prepared / "input.dat").read_text() == "checked"
    expected = "input.txt inline|linked.txt linked|input.dat checked"
    first = launch(app, job, 0)
    wait_for(lambda: seen(job) == expected, "the first start has read and changed its inputs")
    assert (job.work / "input.dat").read_text() == "edited"
    first.terminate()
    first.wait()
    (job.path / "go").touch()
    assert launch(app, job, 1).wait() == 0
    latest = outcome.read(job)
    assert latest is not None
    assert (latest.attempt, latest.state) == (1, outcome.SUCCEEDED)
    assert [output["data"] for output in latest.outputs] == [expected]
    assert (data / "linked.txt").read_text() == "linked"


def test_a_start_does_not_take_changed_inputs_for_those_that_were_sent(
    app: InProcessService,
) -> None:
    """Without a container a process may change whatever is its account's."""
    job = app.accept("editor", [("file", Complex("a")), ("checked", Complex("b"))])
    (job.prepared / "input.dat").write_text("changed")
    assert launch(app, job, 0).wait() != 0
    assert seen(job) == "the job's inputs have changed since the service prepared them"


@pytest.fixture
def job(tmp_path: Path) -> JobDir:
    return Spool(tmp_path).create("11111111-2222-4333-8444-555555555555")


def test_links_stay_links_and_folders_stay_folders(job: JobDir) -> None:
    (job.prepared / "a" / "b").mkdir(parents=True)
    (job.prepared / "a" / "b" / "file").write_text("x")
    (job.prepared / "a" / "link").symlink_to("/nowhere/at all")
    (job.prepared / "to folder").symlink_to("a")
    found = prepared.record(job)
    second = replace(job, attempt=1)
    second.work.mkdir()
    prepared.lay_out(second, found)
    assert os.readlink(second.work / "a" / "link") == "/nowhere/at all"
    assert os.readlink(second.work / "to folder") == "a"
    assert (second.work / "a" / "b" / "file").read_text() == "x"
    assert prepared.record(replace(job, attempt=0)) == found


def test_what_an_attempt_puts_in_their_place_is_no_input(job: JobDir, tmp_path: Path) -> None:
    """A link to another file, or a pipe on which a reader would wait for ever."""
    (tmp_path / "secret").write_text("x")
    file = job.prepared / "file"
    file.write_text("x")
    found = prepared.record(job)
    file.unlink()
    file.symlink_to(tmp_path / "secret")
    with pytest.raises(OSError, match="symbolic links"):
        prepared.lay_out(job, found)
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(OSError, match="not a regular file"):
        prepared.lay_out(job, found)
    file.unlink()
    file.write_text("y")
    with pytest.raises(PayloadError, match="have changed since"):
        prepared.lay_out(job, found)


def test_what_was_prepared_goes_with_the_job_s_end(app: InProcessService) -> None:
    job = app.accept("editor", [("file", Complex("a")), ("checked", Complex("b"))])
    assert job.inputs.is_dir()
    assert app.spool.delete_work(job.job_id) == []
    assert not job.inputs.exists()
    assert job.status.is_file()
