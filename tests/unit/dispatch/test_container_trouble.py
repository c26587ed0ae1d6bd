"""Why a container did not start is told in words of its own: to the client without paths, to the
administrator with path, node and remedy. The messages are Apptainer's, as it was seen to write
them."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from dispatcher_harness import DispatcherHarness
from joblauncher.shared.exits import REFUSED
from pywps_hpc.dispatch.decide import container
from pywps_hpc.dispatch.decide.messages import EXIT_CODES
from pywps_hpc.dispatch.schedulers.base import JobStatus, Outcome, Phase
from pywps_hpc.jobs import Cause, State

INFO = (
    "INFO:    fuse2fs not found, will not be able to mount EXT3 filesystems\n"
    "INFO:    gocryptfs not found, will not be able to use gocryptfs\n"
)
OPEN = "FATAL:   While checking container encryption: could not open image /i/s.sif: "
CREATION = f"{INFO}FATAL:   container creation failed: "
MOUNT = f"{CREATION}image driver mount failure: image driver squashfuse_ll instance exited with "

#: What is wrong, the log, the exit code, what is told of it, what it is about, and the key.
CASES = {
    "image missing": (
        f"{OPEN}failed to retrieve path for /i/s.sif: lstat /i/s.sif: no such file or directory",
        *(255, "the container image is missing on the compute node", "/i/s.sif", "image"),
    ),
    "image unreadable": (
        f"{OPEN}/i/s.sif is not readable by the current user, check permissions",
        *(255, "the container image cannot be read on the compute node", "/i/s.sif", "image"),
    ),
    "not an image": (
        f"{OPEN}image format not recognized",
        *(255, "the container image is damaged, or is not an image", "/i/s.sif", "image"),
    ),
    "image cut short": (
        f"{MOUNT}error: squashfuse_ll exited: Something went wrong trying to read the squashfs "
        "image.",
        *(255, "the container image is damaged, or is not an image", "", "image"),
    ),
    "an empty folder": (
        f"{CREATION}mount hook function failure: mount /m/dev->/dev error: while mounting /m/dev: "
        "destination /dev doesn't exist in container",
        *(255, "the container image is damaged, or is not an image", "", "image"),
    ),
    "bind missing": (
        "WARNING: skipping mount of /nodata: stat /nodata: no such file or directory\n"
        f"{CREATION}mount hook function failure: mount /nodata->/nodata error: while mounting "
        "/nodata: mount source /nodata doesn't exist",
        *(255, "a folder that jobs are to see is missing on the compute node", "/nodata", "binds"),
    ),
    "bind without rights": (
        f"{CREATION}mount hook function failure: mount /root/x->/nodata error: while mounting "
        "/root/x: while getting stat for /root/x: stat /root/x: permission denied",
        *(255, "a folder that jobs are to see is missing on the compute node", "/root/x", "binds"),
    ),
    "no FUSE": (
        f"{MOUNT}error: squashfuse_ll exited: fuse: failed to open /dev/fuse: Permission denied",
        *(255, "the compute node cannot mount images (FUSE)", "/dev/fuse", "runtime"),
    ),
    "no user namespaces": (
        "ERROR  : Failed to create user namespace: maximum number of user namespaces exceeded, "
        "check /proc/sys/user/max_user_namespaces",
        *(255, "the compute node does not let users start containers", "", "runtime"),
    ),
    "interpreter missing": (
        f"{INFO}FATAL:   stat /opt/nopython: no such file or directory",
        *(255, "the interpreter is missing in the container", "/opt/nopython", "python"),
    ),
    "interpreter missing on the PATH": (
        'FATAL:   "python3": executable file not found in $PATH',
        *(255, "the interpreter is missing in the container", "python3", "python"),
    ),
    "interpreter missing on the node": (
        "env: '/opt/nopython': No such file or directory",
        *(127, "the interpreter is missing", "/opt/nopython", "python"),
    ),
    "module missing": (
        "/opt/pywps-hpc/bin/python3: No module named joblauncher",
        *(1, "the compute environment lacks pywps-hpc", "joblauncher", "image"),
    ),
    "PyWPS missing": (
        "Traceback (most recent call last):\nModuleNotFoundError: No module named 'pywps'",
        *(1, "the compute environment lacks a Python module", "pywps", "image"),
    ),
    "older launcher": (
        "the job's dump has a format that this launcher does not support",
        *(REFUSED, "the compute environment has another version of pywps-hpc", "", "image"),
    ),
    "no space": (
        "FATAL:   while extracting /i/s.sif: root filesystem extraction failed: failed to copy "
        "content in staging file: write /tmp/rootfs-7/archive-3: no space left on device",
        *(255, "the compute node has no space left for temporary files", "", "image"),
    ),
    "runtime missing, dash": (
        "/var/spool/slurmd/job7/slurm_script: 31: exec: apptainer: not found",
        *(127, "the container runtime is missing on the compute node", "apptainer", "runtime"),
    ),
    "runtime missing, bash": (
        "/bin/bash: line 31: exec: singularity: not found",
        *(127, "the container runtime is missing on the compute node", "singularity", "runtime"),
    ),
    "too little memory": (
        "fatal error: failed to reserve page summary memory\nruntime.schedinit()\n"
        "\t/usr/lib/go-1.26/src/runtime/proc.go:877 +0x112",
        *(2, "the job has too little memory for the container runtime", "", "memory"),
    ),
    "another processor": (
        "FATAL:   exec /opt/pywps-hpc/bin/python failed: exec format error",
        *(255, "the container image is for another kind of processor", "", "image"),
    ),
}


@pytest.fixture
def harness(tmp_path: Path) -> DispatcherHarness:
    return DispatcherHarness(tmp_path)


@pytest.mark.parametrize("case", CASES)
def test_each_trouble_is_told_apart(case: str) -> None:
    log, code, told, about, key = CASES[case]
    found = container.explain(log, code)
    assert found is not None
    assert found.message.startswith(f"could not start: {told}")
    assert found.what == about
    assert key in found.keys[0]
    assert "/" not in found.message.replace("[", "").replace("and/or", "")
    assert found.remedy
    assert found.remedy in found.line
    assert about in found.line


@pytest.mark.parametrize(
    ("log", "code"), [("", 255), ("INFO: all is well", 1), (CASES["no space"][0], 7)]
)
def test_nothing_is_made_up(log: str, code: int) -> None:
    assert container.explain(log, code) is None


def _ends(harness: DispatcherHarness, log: str, code: int, *, began: bool = False) -> str:
    job = harness.running() if began else harness.queued()
    folder = harness.folder(job)
    folder.log.write_text(log)
    folder.node.write_text("c7\n")
    status = JobStatus(Phase.FINISHED, Outcome.EXITED, exit_code=code)
    harness.scheduler.say(job.native_id, status)
    harness.cycle()
    harness.cycle(later=6)
    row = harness.row(job)
    assert row.state is State.FAILED
    assert harness.status(job).message == row.message
    return row.message


def test_the_client_is_told_without_paths_and_the_administrator_with_path_and_node(
    harness: DispatcherHarness, caplog: pytest.LogCaptureFixture
) -> None:
    log, code, told, about, _ = CASES["image missing"]
    with caplog.at_level(logging.WARNING):
        assert _ends(harness, log, code) == f"could not start: {told}"
    [line] = [r.getMessage() for r in caplog.records if "container image" in r.getMessage()]
    assert "on c7: " in line
    assert about in line
    assert "[hpc.container] image" in line


def test_a_job_of_unknown_trouble_is_told_by_its_exit_code(harness: DispatcherHarness) -> None:
    assert _ends(harness, "something", 255) == EXIT_CODES[255]


def test_what_a_process_wrote_explains_nothing(harness: DispatcherHarness) -> None:
    message = _ends(harness, CASES["image missing"][0], 1, began=True)
    assert "image" not in message


def test_the_cause_is_the_node(harness: DispatcherHarness) -> None:
    _ends(harness, *CASES["module missing"][:2])
    [job] = harness.store.in_state({State.FAILED})
    assert job.cause is Cause.NODE
