"""The launcher: drive the steps of a job, run its process in a child, see how that ends.

Whatever happens to the child, a terminal document is left within seconds, and the exit code tells
the scheduler the truth. Only if the launcher itself is killed outright is nothing left behind; then
the dispatcher hears of it from the scheduler.
"""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import signal
import time
from dataclasses import replace
from types import FrameType

from joblauncher import child, code_archive, warm
from joblauncher.ending import Ending, understand
from joblauncher.publisher import Publisher
from joblauncher.sequence import Steps, launch
from joblauncher.shared import dump, exits, failpoint, prctl, stop_request
from joblauncher.shared.jobdir import JobDir
from joblauncher.shared.processes import children, signal_tree

LOGGER = logging.getLogger(__name__)

STOP_SIGNALS = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGUSR2,
    signal.SIGXCPU,
)
#: Seconds between the polite and the final signal to a child that must stop.
GRACE = 10.0


def main(job: JobDir, digest: str, attempt: int, *, allow_root: bool = False) -> int:
    """Run a job.

    Args:
        job: its folder.
        digest: SHA-256 of the dump, from the batch script.
        attempt: which start of the job this is, from 0; each can be taken once.
        allow_root: whether the administrator wants processes to run as root.

    Returns:
        The exit code for the scheduler: 0 only if the process succeeded.
    """
    steps = launch(replace(job, attempt=attempt), digest, run, allow_root=allow_root)
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            return int(end.value)
        failpoint.reach(step)


def run(publisher: Publisher, header: dump.Header, body: bytes) -> Steps[Ending]:
    """Run a process in a child of this interpreter, to its end."""
    ending = _supervise(publisher, header, body)
    yield "conclude.1"
    return ending


def _supervise(publisher: Publisher, header: dump.Header, body: bytes) -> Ending:
    """Start the child, pass on the batch system's request that it end, wait for it."""
    # Grid Engine announces a suspension by it (queue_conf(5), notify); nothing is to be done then.
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    begun = time.monotonic()
    # Orphans of the process come to us, so that the wait at the end leaves nothing running.
    prctl.adopt_orphans()
    reader, writer = os.pipe()
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        prctl.end_with_parent(signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(exits.FAILED)
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        child.live(publisher, header, body, writer)
    os.close(writer)
    warm.close_reports()
    code_archive.leave()
    stopped: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        stopped.append(number)
        stop_request.leave(publisher.job, number)  # first: there may be no time for more
        LOGGER.warning("asked to stop by %s", signal.Signals(number).name)
        signal_tree(pid, signal.SIGTERM)
        signal.setitimer(signal.ITIMER_REAL, GRACE)

    def kill(_number: int, _frame: FrameType | None) -> None:
        signal_tree(pid, signal.SIGKILL)

    # By their tree, not by a group of their own: Slurm and TORQUE stop and continue a job by its
    # group or session, and a process outside would go on.
    for number in STOP_SIGNALS:
        signal.signal(number, stop)
    signal.signal(signal.SIGALRM, kill)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)

    _, status, usage = os.wait4(pid, 0)
    signal.setitimer(signal.ITIMER_REAL, 0)
    _end_orphans()
    with os.fdopen(reader, "rb") as pipe:
        announced, reason = understand(pipe.read())
    rest, own = (
        resource.getrusage(who) for who in (resource.RUSAGE_CHILDREN, resource.RUSAGE_SELF)
    )
    processor = rest.ru_utime + rest.ru_stime + own.ru_utime + own.ru_stime
    return Ending(
        code=os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
        signal=os.WTERMSIG(status) if os.WIFSIGNALED(status) else None,
        stopped_by=stopped[0] if stopped else None,
        reason=reason,
        announced=announced,
        usage={
            "cpu_seconds": round(processor, 3),
            "peak_memory_mib": round(max(usage.ru_maxrss, rest.ru_maxrss) / 1024, 1),
            "elapsed_seconds": round(time.monotonic() - begun, 3),
        },
    )


def _end_orphans() -> None:
    """Kill and collect whatever the process left behind."""
    deadline = time.monotonic() + GRACE
    while time.monotonic() < deadline:
        for orphan in children(os.getpid()):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(orphan, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.02)
