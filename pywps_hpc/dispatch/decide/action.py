"""What the dispatcher is to do with a job: pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from pywps_hpc.jobs.job import Cause, State


class Do(Enum):
    """What the dispatcher is to do with a job."""

    KEEP = auto()  # nothing
    NOTE = auto()  # keep the state; it is listed, this is the message
    MOVE = auto()  # change the state
    WAIT = auto()  # remember since when its end cannot be judged
    LOOK_UP = auto()  # look for it under another id; without one: END with this message
    STOP = auto()  # it has told its end and works on: the batch system is to end it
    END = auto()  # it is over
    ADOPT = auto()  # the batch system has it, under this id
    RETRY = auto()  # the batch system does not have it: submit it again


@dataclass(frozen=True)
class Action:
    """A decision.

    Attributes:
        do: what to do.
        state: the new state, for MOVE, END and LOOK_UP.
        message: for the user.
        waits: why it waits in the queue, for the user; for NOTE and MOVE.
        rewrite: whether the job's document has to be replaced, too.
        native_id: for ADOPT.
        cause: of a failure.
    """

    do: Do
    state: State | None = None
    message: str = ""
    waits: str = ""
    rewrite: bool = False
    native_id: str = ""
    cause: Cause = Cause.UNKNOWN


KEEP = Action(Do.KEEP)
WAIT = Action(Do.WAIT)
