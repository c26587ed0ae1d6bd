"""DRMAA's job states and exceptions, the same for every library (GFD.133)."""

from __future__ import annotations

from pywps_hpc.dispatch.schedulers.base import JobStatus, Outcome, Phase

#: drmaa_job_ps (GFD.133, section 3.2.5). How a job ended is not taken from here.
STATES = {
    "undetermined": JobStatus(Phase.RUNNING, detail="undetermined"),
    "queued_active": JobStatus(Phase.QUEUED),
    "system_on_hold": JobStatus(Phase.HELD, detail="held by the system"),
    "user_on_hold": JobStatus(Phase.HELD),
    "user_system_on_hold": JobStatus(Phase.HELD),
    "running": JobStatus(Phase.RUNNING),
    "system_suspended": JobStatus(Phase.SUSPENDED, detail="suspended by the system"),
    "user_suspended": JobStatus(Phase.SUSPENDED),
    "user_system_suspended": JobStatus(Phase.SUSPENDED),
    "done": JobStatus(Phase.FINISHED, Outcome.UNKNOWN),
    "failed": JobStatus(Phase.FINISHED, Outcome.UNKNOWN),
}
#: Exceptions of the library after which a job was certainly not taken, but may be later.
NOT_TAKEN = frozenset({"TryLaterException", "NoActiveSessionException"})
#: By these it says that it cannot ask.
CANNOT_ASK = NOT_TAKEN | {"DrmCommunicationException", "InternalException", "OutOfMemoryException"}
#: By these it says no to a job. After any other nobody knows.
REFUSED = frozenset(
    {
        "AuthorizationException",
        "ConflictingAttributeValuesException",
        "DeniedByDrmException",
        "InvalidArgumentException",
        "InvalidAttributeFormatException",
        "InvalidAttributeValueException",
    }
)
#: Of these the one that may be over later: only the message can tell.
DENIED = frozenset({"DeniedByDrmException"})
NOT_PERMITTED = frozenset({"AuthorizationException"})
#: The job is not in the state that this changes, or no more: no error (base.Scheduler).
NO_ERROR = frozenset(
    {
        "HoldInconsistentStateException",
        "ReleaseInconsistentStateException",
        "SuspendInconsistentStateException",
        "ResumeInconsistentStateException",
    }
)
