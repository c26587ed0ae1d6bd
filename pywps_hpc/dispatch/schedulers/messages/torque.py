"""What TORQUE's commands print when they fail (pbs_error_db.h; qsub itself)."""

from __future__ import annotations

from pywps_hpc.dispatch.schedulers.messages import (
    NETWORK_DOWN,
    NETWORK_ERROR,
    SERVER_ERROR,
    Messages,
    either,
)

#: The server turned the client away, or nobody listened.
_NO_SERVICE = (
    r"cannot connect to (specified )?server|Could not connect|Can(not| not| ?n't) resolve"
    r"|No free connections|(Invalid|Expired) credential|Access from host not allowed"
    r"|client is not allowed|too busy to service|Client connection not found|trqauthd|pbs_iff"
    r"|munge executable"
)

MESSAGES = Messages(
    cannot_ask=either(
        _NO_SERVICE,
        NETWORK_ERROR,
        r"Can not establish connection|Connection to server (refused|timed out|reset)",
        r"Could not resolve host|Server shutting down|Batch protocol error|Bad DIS based|Time out",
        r"End of File|PBS server internal error|Communication failure",
        r"(reading|writing) data (from|to) socket|Socket close|connection to socket",
        r"in socket select|Unable to communicate",
    ),
    not_taken=either(_NO_SERVICE, NETWORK_DOWN),
    passing=either(
        r"Maximum number of jobs already in queue|Queue is (not enabled|currently not available)",
        r"errors during its recovery|no node list|Checkpoint busy|too busy|temporarily delayed",
        SERVER_ERROR,
        r"out of memory|Error (allocating|creating)",
        r"Error (saving|opening|writing|reading|moving) file|copy of script",
    ),
    final=either(
        r"Unknown (queue|resource|node)|Undefined attribute|Cannot set attribute",
        r"Illegal (attribute|value)|illegal -|Unauthorized|Access to queue is denied",
        r"exceeds? (queue resource|allowable)|No default queue",
        r"Invalid (Account|Job Dependency)|Bad GID|Bad Job Array|does not allow|Wrong job type",
        r"Command syntax|conflicts with the queue|meet minimum limit|Queue name too",
        r"No support for requested|Mutually exclusive|administratively rejected|invalid option",
        r"usage:",
    ),
    gone=either(
        r"nonexistent job id|Unknown Job Id|Unknown Array ID|invalid state for job",
        r"Request invalid for state|already in exit state|Job not found",
        r"unknown job id after clean init",
    ),
    forbidden=either(r"Unauthorized Request|additional permissions required"),
)
