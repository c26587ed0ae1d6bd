"""The steps of a job's way at which a fault test may break a process off.

Nothing happens here unless the process was started with :data:`VARIABLE` in its environment, which
no request and no setting reaches. It names a folder; a file in it, named after a step, is an order
for whoever comes to that step first: ``kill`` (SIGKILL), ``stop`` (SIGSTOP) or ``sleep SECONDS``.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

VARIABLE = "PYWPS_HPC_FAILPOINTS"
#: Relative to where the process starts; for a launcher, that is the job's folder.
FOLDER = os.environ.get(VARIABLE) and os.path.abspath(os.environ[VARIABLE])

#: Step -> what has just happened there. The tests break off at every one of them.
STEPS = {
    # the web server accepts a job
    "accept.1": "its folder is made",
    "accept.2": "its dump is written",
    "accept.3": "its document is written",
    "accept.4": "its report is written, its row is not",
    "accept.5": "its row is written, the client has no answer",
    # the dispatcher fetches its inputs
    "stage.1": "an input has arrived",
    "stage.2": "all inputs have arrived, the row does not say so",
    # the dispatcher submits it
    "submit.1": "its row says submitting",
    "submit.2": "its script is written",
    "submit.3": "the batch system is about to be called",
    "submit.4": "the batch system took it, the row does not know the id",
    "submit.5": "its row knows the id",
    "resolve.1": "it was found in the queue, the row does not know the id",
    # the dispatcher follows it
    "follow.1": "the batch system has answered",
    "follow.2": "its row says where it stands",
    "order.1": "the batch system is about to be told to end it",
    "order.2": "the batch system was told to end it",
    # the dispatcher ends it
    "end.1": "its end is decided",
    "end.2": "its document says so, its report does not",
    "end.3": "document and report say so, its row does not",
    "end.4": "its working folder is gone, its row is open",
    "end.5": "its row is closed",
    # the launcher runs it
    "launch.1": "its lease is taken",
    "launch.2": "its dump is verified",
    "publish.1": "the process's outputs are known, no document has them",
    "publish.2": "the document of success is written, the report is not",
    "conclude.1": "the process has ended",
    "conclude.2": "the document of failure is written, the report is not",
    "conclude.3": "the last report is written",
}


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
