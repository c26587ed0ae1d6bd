"""Named steps of a job's way at which a fault test may break a process off.

Nothing happens here unless the process was started with :data:`VARIABLE` in its environment, which
no request and no setting reaches. It names a folder; a file in it, named after a step, is an order
for whoever comes to that step first: ``kill`` (SIGKILL), ``stop`` (SIGSTOP) or ``sleep SECONDS``.
What each step means is said where the tests give their orders.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

VARIABLE = "PYWPS_HPC_FAILPOINTS"


def folder() -> str | None:
    """Where the orders for this process stand: relative to where it starts; for a launcher, that is
    the job's folder."""
    return os.environ.get(VARIABLE) and os.path.abspath(os.environ[VARIABLE])


FOLDER = folder()


def reach(step: str) -> None:
    """Carry out what was ordered for this step, once."""
    if not FOLDER:
        return
    order = Path(FOLDER, step)
    try:
        what, *how = order.read_text(encoding="ascii").split()
        order.unlink()  # of several that come here at once, one finds it
    except FileNotFoundError:
        return
    if what == "sleep":
        time.sleep(float(how[0]))
    else:
        os.kill(os.getpid(), {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}[what])
