"""A launcher that is asked to stop tells of that at once: it may be killed the moment after."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from joblauncher import lease
from joblauncher.shared import stop_request
from joblauncher.shared.jobdir import JobDir
from pywps_hpc.dispatch import folders
from pywps_hpc.dispatch.decide.evidence import Left
from servers import wait_for

#: The launcher's own supervision of a process that heeds no signal.
SUPERVISED = """
import signal, sys
from pathlib import Path
from joblauncher import child, supervisor
from joblauncher.publisher import Publisher
from joblauncher.shared.jobdir import JobDir

def live(publisher, header, body, writer):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    (publisher.job.path / "ready").touch()
    while True:
        signal.pause()

child.live = live
next(supervisor.run(Publisher(JobDir(Path(sys.argv[1]))), None, b""))
"""


@pytest.fixture
def job(tmp_path: Path) -> JobDir:
    folder = JobDir(tmp_path / "job")
    folder.path.mkdir()
    return folder


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2, signal.SIGXCPU])
def test_launcher_that_is_killed_upon_its_stop_signal_has_told_of_it(
    job: JobDir, number: signal.Signals
) -> None:
    lease.take(job)
    launcher = subprocess.Popen([sys.executable, "-c", SUPERVISED, str(job.path)])
    try:
        wait_for((job.path / "ready").exists, "the process runs", 60)
        assert folders.look(job).stop_signal == ""
        launcher.send_signal(number)
        wait_for(lambda: folders.look(job).stop_signal, "it is told", 60)
    finally:
        launcher.kill()
        launcher.wait()
    left = folders.look(job)
    assert (left.left, left.begun, left.stop_signal) == (Left.OPEN, True, number.name)


def test_only_the_first_signal_of_the_latest_start_counts(job: JobDir) -> None:
    assert not folders.look(job).begun
    again = replace(job, attempt=1)
    lease.take(job)
    for number in (signal.SIGUSR2, signal.SIGTERM):
        stop_request.leave(job, number)
    assert folders.look(job).stop_signal == "SIGUSR2"
    lease.take(again)
    assert folders.look(job).stop_signal == ""
    stop_request.leave(again, signal.SIGTERM)
    assert folders.look(job).stop_signal == "SIGTERM"


@pytest.mark.parametrize(
    "trap",
    [
        Path.mkdir,
        os.mkfifo,
        lambda path: path.symlink_to("/dev/zero"),
        lambda path: path.write_text("<b>killed</b>"),
        lambda path: path.write_text("SIGTERM" * 1000),
    ],
)
def test_what_a_process_puts_in_its_place_tells_nothing_and_holds_nobody_up(
    job: JobDir, trap: Callable[[Path], object]
) -> None:
    lease.take(job)
    trap(job.stop_request(0))
    stop_request.leave(job, signal.SIGTERM)
    assert folders.look(job).stop_signal == ""
