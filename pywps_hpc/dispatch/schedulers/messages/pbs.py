"""What the commands of every PBS print when they fail (pbs_error_db.h of TORQUE, pbs_messages.c of
OpenPBS)."""

from __future__ import annotations

from pywps_hpc.dispatch.schedulers.messages import NETWORK_ERROR, SERVER_ERROR

#: The server turned the client away, or nobody listened. One that "could not connect to MOM" has
#: answered: a single node is down.
NO_SERVICE = (
    r"cannot connect to (specified )?server|Could not connect(?! to MOM)|No free connections"
    r"|(Invalid|Expired) credential|Access from host not allowed"
)
CANNOT_ASK = (
    rf"{NETWORK_ERROR}|Server shutting down|Batch protocol error|Bad DIS based|Time out"
    r"|End of File|PBS server internal error|Communication failure"
)
PASSING = (
    r"Maximum number of jobs already in queue|Queue is not enabled|no node list|Checkpoint busy"
    rf"|{SERVER_ERROR}|out of memory"
)
FINAL = (
    r"Unknown (queue|resource|node)|Undefined attribute|Cannot set attribute"
    r"|Illegal (attribute|value)|illegal -|Unauthorized|Access to queue is denied"
    r"|exceeds? (queue resource|allowable)|No default queue|Invalid (Account|Job Dependency)"
    r"|Bad GID|Queue name too|No support for requested|Mutually exclusive|invalid option|usage:"
)
GONE = (
    r"Unknown Job Id|Request invalid for state|already in exit state"
    r"|unknown job id after clean init"
)
FORBIDDEN = r"Unauthorized Request"
