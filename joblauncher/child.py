"""The child of the launcher in which the process runs, and what it tells the launcher."""

from __future__ import annotations

import contextlib
import faulthandler
import io
import os
import sys
import traceback
from typing import NoReturn

from joblauncher import caches, lease, runner, warm
from joblauncher.ending import announcement
from joblauncher.publisher import Publisher
from joblauncher.shared import dump, exits, storage

#: Bytes of a reason that a pipe takes at once.
_MOST_REASON = 60_000


def live(publisher: Publisher, header: dump.Header, body: bytes, writer: int) -> NoReturn:
    """The child's whole life.

    Args:
        publisher, header, body: as for :func:`joblauncher.runner.run`.
        writer: descriptor of the pipe to the launcher.
    """
    code, reason = exits.FAILED, ""
    try:
        os.environ["TMPDIR"] = str(publisher.job.temporary)
        warm.own_home(publisher.job.temporary)
        caches.use(publisher.job.temporary, caches.kept_of_interpreter())
        if "PYWPS_HPC_TASKS" in os.environ:
            from joblauncher import ranks  # no other job needs it

            ranks.prepare(publisher.job.path, publisher.job.temporary)
        faulthandler.enable()  # a crash leaves a traceback in the job's log
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(line_buffering=True)  # nothing printed is lost in a crash

        def announce(document: bytes) -> None:
            os.write(writer, announcement(document))

        code = runner.run(publisher, header, body, announce)
    except lease.Superseded as superseded:
        reason, code = str(superseded), exits.NOT_MINE
    except dump.PayloadError as error:
        _print_trace()
        reason, code = str(error), exits.REFUSED
    except SystemExit as error:
        reason = f"the process called sys.exit({error.code if error.code is not None else ''})"
        code = error.code if isinstance(error.code, int) and error.code else exits.FAILED
    except (MemoryError, runner.NoMemory):
        _print_trace()
        reason = exits.OUT_OF_MEMORY
    except BaseException as error:
        _print_trace()
        # PyWPS's own exceptions have a description, which is written for the client.
        message = getattr(error, "description", "") or type(error).__name__
        trouble = storage.trouble(error)
        reason, code = f"the process failed: {trouble or message}", exits.FAILED
    with contextlib.suppress(OSError):
        os.write(writer, reason.encode()[:_MOST_REASON])
    runner.leave(code)


def _print_trace() -> None:
    """Leave the exception in the job's log, if that can be written."""
    with contextlib.suppress(OSError):
        traceback.print_exc()
