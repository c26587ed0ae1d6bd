"""What a job is and which states it goes through: plain data, no database."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from pywps_hpc.errors import HpcError


class State(Enum):
    """Where a job stands for us."""

    STAGING = "staging"  # spooled, recorded, answered; the server has to fetch inputs first
    ACCEPTED = "accepted"  # spooled, recorded, answered
    SUBMITTING = "submitting"  # the scheduler is being asked; it may have the job or not
    QUEUED = "queued"  # the scheduler has it
    RUNNING = "running"
    PAUSED = "paused"  # held or suspended
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    DISMISSED = "dismissed"


class Cause(Enum):
    """Why a job failed: what would have to change for it to succeed."""

    UNKNOWN = ""  # nobody noted it: of every job that did not fail, too
    PROCESS = "process"  # it said so itself, or its interpreter ended without a result
    INPUT = "input"  # one could not be had, or is not what the process takes
    MEMORY = "memory"  # it needed more than it may use
    TIME = "time"
    NODE = "node"  # the compute node failed, or cannot run jobs
    SYSTEM = "system"  # anything else beside the process


class ControlRequest(Enum):
    """What a client or an administrator asks for; the dispatcher carries it out."""

    NONE = ""
    DISMISS = "dismiss"
    PAUSE = "pause"
    RESUME = "resume"


TERMINAL = frozenset({State.SUCCEEDED, State.FAILED, State.DISMISSED})
ACTIVE = frozenset(State) - TERMINAL
#: Not begun, or to begin again.
WAITING = frozenset({State.STAGING, State.ACCEPTED, State.SUBMITTING, State.QUEUED})

#: state -> states it may turn into. Terminal is terminal: it has no entry.
TRANSITIONS: dict[State, frozenset[State]] = {
    State.STAGING: frozenset({State.ACCEPTED}) | TERMINAL,
    State.ACCEPTED: frozenset({State.SUBMITTING, State.PAUSED}) | TERMINAL,
    State.SUBMITTING: frozenset({State.ACCEPTED, State.QUEUED}) | TERMINAL,
    State.QUEUED: frozenset({State.RUNNING, State.PAUSED}) | TERMINAL,
    State.RUNNING: frozenset({State.QUEUED, State.PAUSED}) | TERMINAL,
    State.PAUSED: frozenset({State.ACCEPTED, State.QUEUED, State.RUNNING}) | TERMINAL,
}


@dataclass(frozen=True)
class Job:
    """One row of the job table. Times are seconds since the epoch (UTC); 0 means not yet.

    Attributes:
        id: the job's UUID, 128 random bits.
        name: its name in the batch system; elements of one job array share it.
        array_index: its index in that array; 0 means a job of its own.
        process: the process identifier.
        digest: SHA-256 of the dump, hexadecimal.
        owner: who sent it; empty where the service does not know.
        client: whom the limits count it for: the owner, or else the network address it came from.
        sync: whether the client waits on its connection.
        state: where it stands.
        control: what a client or an administrator asks for; ``NONE`` once it is carried out.
        native_id: the scheduler's id; empty before it has one.
        message: the last message for the user from the batch system.
        missing_since: since when the scheduler does not list it; 0 when it does.
        created, submitted, started, finished: when it got there.
        changed: when this row last changed.
        size: bytes of its folder after its end; ``None`` before they have been counted.
        access: another UUID, which stands for the job in the addresses that its client is given.
            The id and the name do not do: who may see the queue can read them. A job of an earlier
            version has its id here.
        attempt: which start of the job counts, from 0; reports of earlier ones are out of date.
        cause: why it failed.
        callbacks: how many addresses are told of it.
        waits: why the batch system lets it wait, as a clause for its client; empty where that is
            not known, and of a job that does not wait there.
        end_seen: when somebody who reads its document first found that it tells an end, which the
            batch system has yet to confirm; 0 if nobody did.
        retry_of: the id of the job that it repeats, as an administrator asked; empty: of none.
        cpus, memory, account: what the batch system was asked for: cores on all nodes together, MiB
            on each, and the account to charge; 0 and empty before it was, and of jobs of an earlier
            version.
        resources: what it asks for otherwise than the settings of its process say, as
            :func:`pywps_hpc.settings.needs.written` writes it; empty: nothing.
        input_size: bytes of all its inputs as far as that is known when it is submitted: a
            reference that the job itself will follow counts nothing.
        cpu_seconds, peak_memory: what its process used, see
            :class:`~pywps_hpc.jobs.view.Usage`; ``None`` where that is not known: of a job of
            several nodes the launcher sees the first one alone.
    """

    id: str
    name: str
    process: str
    digest: str
    owner: str = ""
    client: str = ""
    sync: bool = False
    state: State = State.ACCEPTED
    control: ControlRequest = ControlRequest.NONE
    array_index: int = 0
    native_id: str = ""
    message: str = ""
    missing_since: float = 0.0
    created: float = 0.0
    submitted: float = 0.0
    started: float = 0.0
    finished: float = 0.0
    changed: float = 0.0
    size: int | None = None
    access: str = ""
    end_seen: int = 0
    attempt: int = 0
    cause: Cause = Cause.UNKNOWN
    callbacks: int = 0
    waits: str = ""
    retry_of: str = ""
    cpus: int = 0
    memory: int = 0
    account: str = ""
    resources: str = ""
    input_size: int = 0
    cpu_seconds: float | None = None
    peak_memory: float | None = None

    @property
    def is_dismissed(self) -> bool:
        """Whether it was dismissed, or is going to be: a dismissal that was recorded holds."""
        asked = self.state in ACTIVE and self.control is ControlRequest.DISMISS
        return asked or self.state is State.DISMISSED


class InLine(NamedTuple):
    """A job that waits for the dispatcher, as far as it takes to choose among very many.

    Attributes:
        control: its control request; empty if it has none.
        resources, input_size: as in :class:`Job`.
    """

    id: str
    process: str
    client: str
    control: str
    resources: str = ""
    input_size: int = 0


@dataclass(frozen=True)
class Limit:
    """How many jobs of some kind may be active at once.

    Attributes:
        most: the number.
        whose: of whom, as the client is told.
        process: count the jobs of this process only.
        client: count the jobs of this client only.
    """

    most: int
    whose: str
    process: str | None = None
    client: str | None = None

    def __str__(self) -> str:
        return f"Maximum number of active jobs of {self.whose} reached ({self.most})."


class LimitReached(HpcError):
    """A job would be one too many; nothing of it is in the table."""

    def __init__(self, limit: Limit) -> None:
        super().__init__(str(limit))
        self.limit = limit


def new_id() -> str:
    """A job id nobody can guess: 128 random bits in the form of a UUID (RFC 9562, 5.8)."""
    digits = secrets.token_hex(16)
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def job_name(prefix: str, job_id: str) -> str:
    """The name in the queue: at most 15 of ``[a-z0-9]``, a letter first, as TORQUE takes it."""
    return prefix + job_id.replace("-", "")[: 15 - len(prefix)]
