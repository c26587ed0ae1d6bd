"""What a launcher leaves the moment that the batch system asks it to stop.

Its report follows once the process has ended, unless the launcher is killed before. Measured:
TORQUE's MOM kills what is left of a job as soon as SIGTERM has ended the job's shell, some 10 ms
after it was sent, whatever ``kill_delay`` says.
"""

from __future__ import annotations

import signal
from contextlib import suppress

from joblauncher.shared.files import read_plain, write_new
from joblauncher.shared.jobdir import JobDir

#: Bytes of the longest signal name, and some.
_MOST = 32


def leave(job: JobDir, number: int) -> None:
    """Note the first signal by which this start of a job is asked to stop. Never waits, for a disk
    or for whatever a process has put in the file's place; without it only the reason is missing."""
    with suppress(OSError):
        name = signal.Signals(number).name
        write_new(job.stop_request(job.attempt), name.encode(), durable=False)


def read(job: JobDir) -> str:
    """The name of the signal by which the latest start of a job was asked to stop; empty if it was
    not, or if no start has begun."""
    try:
        latest = max(job.attempts(), default=0)
        name = read_plain(job.stop_request(latest), _MOST).decode(errors="replace")
    except OSError:
        return ""
    return name if name in signal.Signals.__members__ else ""
