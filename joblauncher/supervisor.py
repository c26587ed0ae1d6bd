"""The launcher: take the lease, verify the dump, run the process in a child, tell how it ended.

Whatever happens to the child, a terminal document is left within seconds, and the exit code tells
the scheduler the truth. Only if the launcher itself is killed outright is nothing left behind; then
the dispatcher hears of it from the scheduler.
"""

from __future__ import annotations

import contextlib
import faulthandler
import glob
import hashlib
import io
import logging
import os
import resource
import signal
import socket
import sys
import time
import traceback
from dataclasses import dataclass, replace
from types import FrameType

from joblauncher import lease as fence
from joblauncher import runner
from joblauncher.inputs import prepared
from joblauncher.shared import account, dump, exits, failpoint, outcome, prctl, status_xml, storage
from joblauncher.shared.files import read_plain, remove_tree
from joblauncher.shared.jobdir import JobDir

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
#: Before the digest of a document in the pipe from child to launcher.
_ANNOUNCED = b"\0success\0"
#: Bytes of a reason that a pipe takes at once.
_MOST_REASON = 60_000


@dataclass(frozen=True)
class Ending:
    """How the child ended.

    Attributes:
        code: its exit code; ``None`` if a signal ended it.
        signal: that ended it; ``None`` if it exited.
        stopped_by: signal with which the batch system asked for the end; ``None`` if it did not.
        reason: words for the user where the child left some.
        announced: SHA-256 of the document of success that it was about to leave; empty: of none.
    """

    code: int | None
    signal: int | None
    stopped_by: int | None = None
    reason: str = ""
    announced: bytes = b""

    def words(self) -> str:
        """Why a job without a result failed, for the user."""
        if self.stopped_by is not None:
            return f"stopped by the batch system ({signal.Signals(self.stopped_by).name})"
        if self.reason:
            return self.reason
        if self.signal is not None:
            return f"the process was killed by {exits.describe_signal(self.signal)}"
        return f"the process ended with exit code {self.code} without reporting a result"

    def cause(self) -> str:
        """Who ended it, as in :attr:`~joblauncher.shared.outcome.Report.cause`."""
        if self.stopped_by is not None:
            return "stopped"
        if self.reason == exits.OUT_OF_MEMORY:
            return "memory"
        return "killed" if self.signal in (signal.SIGKILL, signal.SIGTERM) else "launcher"


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
    job = replace(job, attempt=attempt)
    try:
        return _run(job, digest, allow_root)
    except fence.Superseded as reason:
        LOGGER.error("%s; nothing more is done", reason)
        _leave_nothing(job)
        return exits.NOT_MINE


def _run(job: JobDir, digest: str, allow_root: bool) -> int:
    facts = outcome.Report(job=job.job_id, process="", attempt=job.attempt)
    facts.host, facts.started = socket.gethostname(), time.time()
    if account.is_root() and not allow_root:
        _fail(job, facts, account.WORDS)
        return exits.REFUSED
    try:
        _take_lease(job)
        failpoint.reach("launch.1")
        data = dump.read(job.dump, digest)
        header, body = dump.unpack_header(data)
        facts.process = header.process
        dump.check(header, job.job_id)
        _make_folders(job)
        prepared.lay_out(job, header.prepared)
        if job.attempt:
            facts.write(job)  # what an earlier start had to say no longer holds
    except dump.PayloadError as error:
        _fail(job, facts, str(error))
        return exits.REFUSED
    except OSError as error:
        words = storage.trouble(error) or f"the job's folder cannot be used: {error.strerror}"
        return exits.REFUSED if _fail(job, facts, words) else exits.NOT_TOLD
    failpoint.reach("launch.2")
    ending = _supervise(job, header, body, facts)
    return _conclude(job, facts, ending)


def _take_lease(job: JobDir) -> None:
    """Begin this attempt.

    Raises:
        fence.Superseded: the job is over, or somebody else has this attempt or a later one.
    """
    fence.check(job)
    try:
        descriptor = os.open(job.lease(job.attempt), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        raise fence.Superseded(f"attempt {job.attempt} was taken by another launcher") from None
    with os.fdopen(descriptor, "w") as lease:
        lease.write(_own_name())


def _leave_nothing(job: JobDir) -> None:
    """Remove the folders of an attempt that was begun and counts no longer."""
    with contextlib.suppress(OSError):
        if read_plain(job.lease(job.attempt)) == _own_name().encode():
            for folder in (job.work, job.temporary):
                remove_tree(folder)


def _own_name() -> str:
    return f"{socket.gethostname()} {os.getpid()}\n"


def _make_folders(job: JobDir) -> None:
    """Working folders of this attempt's own, and an empty one for outputs."""
    for folder in (job.work, job.temporary):
        folder.mkdir(mode=0o700, exist_ok=True)
    if job.attempt:
        # Moved before it is deleted: an earlier start may still be at work in it.
        earlier = job.temporary / "earlier"
        with contextlib.suppress(FileNotFoundError):
            job.storage.rename(earlier)
        with contextlib.suppress(OSError):
            remove_tree(earlier)
        for attempt in range(job.attempt):
            with contextlib.suppress(OSError):
                remove_tree(replace(job, attempt=attempt).work)
    job.storage.mkdir(mode=0o700, exist_ok=True)


def _supervise(job: JobDir, header: dump.Header, body: bytes, facts: outcome.Report) -> Ending:
    """Start the child, pass on the batch system's wish that it end, wait for it."""
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
        _run_child(job, header, body, facts, writer)
    os.close(writer)
    stopped: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        stopped.append(number)
        LOGGER.warning("asked to stop by %s", signal.Signals(number).name)
        _signal_tree(pid, signal.SIGTERM)
        signal.setitimer(signal.ITIMER_REAL, GRACE)

    def kill(_number: int, _frame: FrameType | None) -> None:
        _signal_tree(pid, signal.SIGKILL)

    for number in STOP_SIGNALS:
        signal.signal(number, stop)
    signal.signal(signal.SIGALRM, kill)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)

    _, status, usage = os.wait4(pid, 0)
    signal.setitimer(signal.ITIMER_REAL, 0)
    _end_orphans()
    with os.fdopen(reader, "rb") as pipe:
        told = pipe.read()
    announced, reason = _understand(told)
    rest = resource.getrusage(resource.RUSAGE_CHILDREN)
    facts.usage = {
        "cpu_seconds": round(rest.ru_utime + rest.ru_stime, 3),
        "peak_memory_mib": round(max(usage.ru_maxrss, rest.ru_maxrss) / 1024, 1),
        "elapsed_seconds": round(time.monotonic() - begun, 3),
    }
    code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else None
    killer = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
    return Ending(code, killer, stopped[0] if stopped else None, reason, announced)


def _run_child(
    job: JobDir, header: dump.Header, body: bytes, facts: outcome.Report, writer: int
) -> None:
    """The child's whole life; never returns."""
    code, reason = exits.FAILED, ""
    try:
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        os.environ["TMPDIR"] = str(job.temporary)
        faulthandler.enable()  # a crash leaves a traceback in the job's log
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(line_buffering=True)  # nothing printed is lost in a crash
        code = runner.run(job, header, body, facts, lambda document: _announce(document, writer))
    except fence.Superseded as superseded:
        reason, code = str(superseded), exits.NOT_MINE
    except dump.PayloadError as error:
        _print_trace()
        reason = str(error)
    except SystemExit as error:
        reason = f"the process called sys.exit({error.code if error.code is not None else ''})"
        code = error.code if isinstance(error.code, int) and error.code else exits.FAILED
    except (MemoryError, runner.NoMemory):
        _print_trace()
        reason = exits.OUT_OF_MEMORY
    except BaseException as error:
        _print_trace()
        # PyWPS's own exceptions have a description, which is written for the client.
        words = getattr(error, "description", "") or type(error).__name__
        reason = f"the process failed: {storage.trouble(error) or words}"
    with contextlib.suppress(OSError):
        os.write(writer, reason.encode()[:_MOST_REASON])
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(code & 0xFF)


def _announce(document: bytes, writer: int) -> None:
    """Tell the launcher which document of success is the process's own: a process that only writes
    one into its folder, and is killed or ends itself, has not come to its end."""
    os.write(writer, _ANNOUNCED + hashlib.sha256(document).digest())


def _understand(told: bytes) -> tuple[bytes, str]:
    """What came through the pipe: the last digest that was announced, and the reason."""
    announced = b""
    while told.startswith(_ANNOUNCED):
        end = len(_ANNOUNCED) + hashlib.sha256().digest_size
        announced, told = told[len(_ANNOUNCED) : end], told[end:]
    return announced, told.decode(errors="replace")


def _print_trace() -> None:
    """Leave the exception in the job's log, if that can be written."""
    with contextlib.suppress(OSError):
        traceback.print_exc()


def _signal_tree(pid: int, number: int) -> None:
    """Signal a process and all that it started.

    They have no process group of their own: Slurm and TORQUE stop and continue a job by its group
    or session, and a process outside would go on.
    """
    found = [pid]
    for process in found:
        found += _children(process)
    for process in found:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(process, number)


def _end_orphans() -> None:
    """Kill and collect whatever the process left behind."""
    deadline = time.monotonic() + GRACE
    while time.monotonic() < deadline:
        for orphan in _children(os.getpid()):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(orphan, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.02)


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for listing in glob.glob(f"/proc/{pid}/task/*/children"):
        with contextlib.suppress(OSError), open(listing, encoding="ascii") as children:
            found += map(int, children.read().split())
    return found


def _conclude(job: JobDir, facts: outcome.Report, ending: Ending) -> int:
    """Make sure that the report is complete, and the document terminal unless the batch system has
    the last word; the exit code.

    Raises:
        fence.Superseded: it is not for this launcher to do so.
    """
    failpoint.reach("conclude.1")
    fence.check(job)
    usage, latest, success = facts.usage, outcome.read(job), _success(job, ending)
    told = (outcome.STARTED, outcome.FAILED, *([outcome.SUCCEEDED] if success else []))
    if latest is not None and latest.attempt == facts.attempt and latest.state in told:
        facts = latest
    if success is not None and facts.state not in outcome.TERMINAL:
        facts.state, facts.percent, facts.message = outcome.SUCCEEDED, 100, success.message
    facts.usage, facts.exit_code, facts.signal = usage, ending.code, ending.signal
    facts.finished = time.time()
    if facts.state not in outcome.TERMINAL:
        if not _fail(job, facts, ending.words(), ending.cause()):
            return exits.NOT_TOLD
    else:
        try:
            storage.insist(job, lambda: facts.write(job))
        except OSError:
            LOGGER.exception("the last report cannot be left; the document says all")
    failpoint.reach("conclude.3")
    LOGGER.info("%s: %s", facts.state, facts.message)
    if facts.state == outcome.SUCCEEDED:
        return exits.OK
    # By this, accounting tells an end that the batch system asked for (Grid Engine: SIGUSR2).
    last = ending.stopped_by or ending.signal
    if last is not None:
        return exits.by_signal(last)
    return exits.of_process(ending.code)


def _success(job: JobDir, ending: Ending) -> status_xml.Status | None:
    """What the document of success says, if it is the one that was announced; it may have been
    killed right after it had left that."""
    try:
        document = read_plain(job.status)
        if hashlib.sha256(document).digest() != ending.announced:
            return None
        return status_xml.parse(document)
    except (OSError, status_xml.DocumentError):
        return None


def _fail(job: JobDir, facts: outcome.Report, words: str, cause: str = "launcher") -> bool:
    """Leave a report of failure, and a document that says so; whether that could be done.

    Where the batch system ended the job, the document stays open: it knows why, and it may start
    the job again. The dispatcher closes it.

    Raises:
        fence.Superseded: it is not for this launcher to say anything.
    """
    LOGGER.error("%s", words)
    facts.state, facts.percent, facts.message, facts.cause = outcome.FAILED, 100, words, cause
    facts.finished = facts.finished or time.time()

    def write() -> None:
        document, percent = b"", 0
        with contextlib.suppress(OSError, status_xml.DocumentError):
            document = read_plain(job.status)
            percent = status_xml.parse(document).percent
        status = status_xml.Status(outcome.FAILED, 100, words)
        if cause in outcome.PROVISIONAL:
            status = status_xml.Status(
                outcome.STARTED, percent, f"{words}; the reason is looked up"
            )
        new = status_xml.renewed(document, facts.process, status)
        fence.write(job, new, facts, lambda: failpoint.reach("conclude.2"))

    try:
        storage.insist(job, write)
    except OSError:
        LOGGER.exception("no document could be left; the exit code tells the scheduler")
        return False
    return True
