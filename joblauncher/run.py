"""The launcher: take the lease, verify the dump, run the process in a child, tell how it ended.

Whatever happens to the child, a terminal document is left within seconds, and the exit code tells
the scheduler the truth. Only if the launcher itself is killed outright is nothing left behind; then
the dispatcher hears of it from the scheduler.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import io
import logging
import os
import resource
import signal
import socket
import sys
import time
import traceback
from dataclasses import dataclass
from types import FrameType

from joblauncher import child, documents, payload, report
from joblauncher.jobdir import JobDir, atomic_write

LOGGER = logging.getLogger(__name__)

#: Exit codes of the launcher (sysexits.h where one fits).
OK, FAILED, NOT_MINE, REFUSED = 0, 1, 75, 65
STOP_SIGNALS = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGUSR2,
    signal.SIGXCPU,
)
#: Exit codes that make Grid Engine start a job again, or keep it as faulty (sge_conf(5)).
RESCHEDULING = (99, 100)
#: Seconds between the polite and the final signal to a child that must stop.
GRACE = 10.0
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36  # prctl(2)


@dataclass(frozen=True)
class Ending:
    """How the child ended.

    Attributes:
        code: its exit code; ``None`` if a signal ended it.
        signal: that ended it; ``None`` if it exited.
        stopped_by: signal with which the batch system asked for the end; ``None`` if it did not.
        reason: words for the user where the child left some.
    """

    code: int | None
    signal: int | None
    stopped_by: int | None = None
    reason: str = ""

    def words(self) -> str:
        """Why a job without a result failed, for the user."""
        if self.stopped_by is not None:
            return f"stopped by the batch system ({signal.Signals(self.stopped_by).name})"
        if self.reason:
            return self.reason
        if self.signal is not None:
            return f"the process was killed by {describe_signal(self.signal)}"
        return f"the process ended with exit code {self.code} without reporting a result"


def describe_signal(number: int) -> str:
    """A signal's number, name and meaning (signal(7)): ``signal 9 (SIGKILL: killed)``."""
    try:
        name = signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
    meaning = (signal.strsignal(number) or "").lower()
    return f"signal {number} ({name}: {meaning})" if meaning else f"signal {number} ({name})"


def main(job: JobDir, digest: str, attempt: int) -> int:
    """Run a job.

    Args:
        job: its folder.
        digest: SHA-256 of the dump, from the batch script.
        attempt: which start of the job this is, from 0; each can be taken once.

    Returns:
        The exit code for the scheduler: 0 only if the process succeeded.
    """
    facts = report.Report(job=job.job_id, process="", attempt=attempt, host=socket.gethostname())
    facts.started = time.time()
    try:
        if not _take_lease(job, attempt):
            return NOT_MINE
        data = payload.read(job.dump, digest)
        header, body = payload.unpack_header(data)
        facts.process = header.process
        payload.check(header, job.job_id)
        for folder in (job.work, job.temporary, job.storage):
            folder.mkdir(mode=0o700, exist_ok=True)
    except payload.PayloadError as error:
        _fail(job, facts, str(error))
        return REFUSED
    except OSError as error:
        _fail(job, facts, f"the job's folder cannot be used: {error.strerror}")
        return REFUSED
    ending = _supervise(job, header, body, facts)
    return _conclude(job, facts, ending)


def _take_lease(job: JobDir, attempt: int) -> bool:
    """Whether this launcher may run the job: it is not over, and nobody else has this attempt."""
    try:
        if documents.parse(job.status.read_bytes()).state in report.TERMINAL:
            LOGGER.error("the job is over already; nothing is done")
            return False
    except documents.DocumentError:
        pass  # it will be written anew
    try:
        descriptor = os.open(job.lease(attempt), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        LOGGER.error("attempt %s was taken by another launcher; nothing is done", attempt)
        return False
    with os.fdopen(descriptor, "w") as lease:
        lease.write(f"{socket.gethostname()} {os.getpid()}\n")
    return True


def _supervise(job: JobDir, header: payload.Header, body: bytes, facts: report.Report) -> Ending:
    """Start the child, pass on the batch system's wish that it end, wait for it."""
    # Grid Engine announces a suspension by it (queue_conf(5), notify); nothing is to be done then.
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    libc = ctypes.CDLL(None, use_errno=True)
    # Orphans of the process come to us, so that the wait at the end leaves nothing running.
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    reader, writer = os.pipe()
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(FAILED)
        _run_child(job, header, body, facts, writer)
    os.close(writer)
    stopped: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        stopped.append(number)
        LOGGER.warning("asked to stop by %s", signal.Signals(number).name)
        _signal_group(pid, signal.SIGTERM)
        signal.setitimer(signal.ITIMER_REAL, GRACE)

    def kill(_number: int, _frame: FrameType | None) -> None:
        _signal_group(pid, signal.SIGKILL)

    for number in STOP_SIGNALS:
        signal.signal(number, stop)
    signal.signal(signal.SIGALRM, kill)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)

    _, status, usage = os.wait4(pid, 0)
    signal.setitimer(signal.ITIMER_REAL, 0)
    _signal_group(pid, signal.SIGKILL)
    _end_orphans()
    with os.fdopen(reader, "rb") as pipe:
        reason = pipe.read().decode(errors="replace")
    rest = resource.getrusage(resource.RUSAGE_CHILDREN)
    facts.usage = {
        "cpu_seconds": round(rest.ru_utime + rest.ru_stime, 3),
        "peak_memory_mib": round(max(usage.ru_maxrss, rest.ru_maxrss) / 1024, 1),
        "elapsed_seconds": round(time.time() - facts.started, 3),
    }
    code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else None
    killer = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
    return Ending(code, killer, stopped[0] if stopped else None, reason)


def _run_child(
    job: JobDir, header: payload.Header, body: bytes, facts: report.Report, writer: int
) -> None:
    """The child's whole life; never returns."""
    code, reason = FAILED, ""
    try:
        os.setsid()
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        os.environ["TMPDIR"] = str(job.temporary)
        faulthandler.enable()  # a crash leaves a traceback in the job's log
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(line_buffering=True)  # nothing printed is lost in a crash
        code = child.run(job, header, body, facts)
    except payload.PayloadError as error:
        traceback.print_exc()
        reason = str(error)
    except SystemExit as error:
        reason = f"the process called sys.exit({error.code if error.code is not None else ''})"
        code = error.code if isinstance(error.code, int) and error.code else FAILED
    except MemoryError:
        traceback.print_exc()
        reason = "the process ran out of memory"
    except BaseException as error:
        traceback.print_exc()
        # PyWPS's own exceptions have a description, which is written for the client.
        reason = f"the process failed: {getattr(error, 'description', '') or type(error).__name__}"
    with contextlib.suppress(OSError):
        os.write(writer, reason.encode()[:60_000])
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(code & 0xFF)


def _signal_group(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _end_orphans() -> None:
    """Kill and collect whatever the process left behind."""
    deadline = time.monotonic() + GRACE
    while time.monotonic() < deadline:
        for orphan in _children():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(orphan, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.02)


def _children() -> list[int]:
    try:
        with open("/proc/thread-self/children", encoding="ascii") as listing:
            return [int(pid) for pid in listing.read().split()]
    except OSError:
        return []


def _conclude(job: JobDir, facts: report.Report, ending: Ending) -> int:
    """Make sure that the document is terminal and the report complete; the exit code."""
    usage = facts.usage
    latest = report.read(job)
    if latest is not None and latest.attempt == facts.attempt and latest.state != report.ACCEPTED:
        facts = latest
    facts.usage, facts.exit_code, facts.signal = usage, ending.code, ending.signal
    facts.finished = time.time()
    if facts.state not in report.TERMINAL:
        cause = "stopped" if ending.stopped_by is not None else "launcher"
        _fail(job, facts, ending.words(), cause)
    else:
        facts.write(job)
    LOGGER.info("%s: %s", facts.state, facts.message)
    if facts.state == report.SUCCEEDED:
        return OK
    if ending.signal is not None:
        return 128 + ending.signal
    return FAILED if ending.code in (0, None, *RESCHEDULING) else ending.code


def _fail(job: JobDir, facts: report.Report, words: str, cause: str = "launcher") -> None:
    """Leave a Failed document and report."""
    LOGGER.error("%s", words)
    facts.state, facts.percent, facts.message, facts.cause = report.FAILED, 100, words, cause
    facts.finished = facts.finished or time.time()
    try:
        status = documents.Status(report.FAILED, 100, words)
        atomic_write(job.status, documents.replace(job.status.read_bytes(), status))
        facts.write(job)
    except (OSError, documents.DocumentError):
        LOGGER.exception("no document could be left; the exit code tells the scheduler")
