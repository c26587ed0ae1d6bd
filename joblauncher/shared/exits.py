"""Exit codes and signals: what launcher and dispatcher tell and understand of a job's end."""

from __future__ import annotations

import signal

#: Exit codes of the launcher (sysexits.h where one fits): the process succeeded; it failed; the job
#: is another launcher's; the job was refused before its process started; its end is not recorded,
#: since nothing could be written.
OK, FAILED, NOT_MINE, REFUSED, NOT_TOLD = 0, 1, 75, 65, 74
#: Exit codes that make Grid Engine start a job again, or keep it as faulty (sge_conf(5)).
RESCHEDULING = (99, 100)
#: The message of a process that could get no more memory; how much it had asked for, only the
#: dispatcher knows.
OUT_OF_MEMORY = "the process ran out of memory"


def describe_signal(number: int) -> str:
    """A signal's number, name and meaning (signal(7)): ``signal 9 (SIGKILL: killed)``."""
    try:
        name = signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
    meaning = (signal.strsignal(number) or "").lower()
    return f"signal {number} ({name}: {meaning})" if meaning else f"signal {number} ({name})"


def stopped_by(name: str) -> str:
    """The message of a job that the batch system asked to stop, by the signal of this name."""
    return f"stopped by the batch system ({name})"


def by_signal(number: int) -> int:
    """The exit code of what a signal ended, as a shell gives it (POSIX.1, Shell Command Language,
    2.8.2)."""
    return 128 + number


def of_process(code: int | None) -> int:
    """The launcher's exit code for a process that failed with this one: never that of a success, of
    a launcher whose job is another's, or one by which the batch system starts the job again."""
    return FAILED if code in (OK, None, NOT_MINE, *RESCHEDULING) else code
