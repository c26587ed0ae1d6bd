"""What TORQUE says when it cannot be asked, turns a job down, or had nothing to do."""

from __future__ import annotations

import re

# pbs_error_db.h, and the C library's words below it.
CANNOT_ASK = re.compile(
    r"cannot connect to (specified )?server|Could not connect|Can not establish connection"
    r"|Connection (to server )?(refused|timed out|reset)|Can(not| not| ?n't) resolve"
    r"|Could not resolve host|No free connections|Server shutting down|Batch protocol error"
    r"|Bad DIS based|Time out|End of File|PBS server internal error|Communication failure"
    r"|(reading|writing) data (from|to) socket|Socket close|connection to socket|in socket select"
    r"|Unable to communicate|No route to host|(Network|Host) is (unreachable|down)"
    r"|(Invalid|Expired) credential|Access from host not allowed|client is not allowed"
    r"|too busy to service|Client connection not found|trqauthd|pbs_iff|munge executable",
    re.IGNORECASE,
)
# The same where no request reached the server, or it turned the client away.
NOT_TAKEN = re.compile(
    r"cannot connect to (specified )?server|Could not connect|Connection refused|No route to host"
    r"|(Network|Host) is (unreachable|down)|Can(not| not| ?n't) resolve|No free connections"
    r"|(Invalid|Expired) credential|Access from host not allowed|client is not allowed"
    r"|too busy to service|Client connection not found|trqauthd|pbs_iff|munge executable",
    re.IGNORECASE,
)
# pbs_error_db.h: over once other jobs have ended, once the administrator has opened the queue
# again, or once the server has room.
PASSING = re.compile(
    r"Maximum number of jobs already in queue|Queue is (not enabled|currently not available)"
    r"|errors during its recovery|Resource temporarily unavailable|no node list"
    r"|Checkpoint busy|too busy|temporarily delayed|out of memory|Error (allocating|creating)"
    r"|Error (saving|opening|writing|reading|moving) file|No space left|Disk quota exceeded"
    r"|Read-only file system|Input/output error|copy of script",
    re.IGNORECASE,
)
# pbs_error_db.h, and what qsub itself finds wrong: the same request would fail again.
FINAL = re.compile(
    r"Unknown (queue|resource|node)|Undefined attribute|Cannot set attribute|Illegal (attribute|"
    r"value)|illegal -|Unauthorized|Access to queue is denied|exceeds? (queue resource|allowable)"
    r"|No default queue|Invalid (Account|Job Dependency)|Bad GID|Bad Job Array|does not allow"
    r"|Wrong job type|Command syntax|conflicts with the queue|meet minimum limit|Queue name too"
    r"|No support for requested|Mutually exclusive|administratively rejected|invalid option|usage:",
    re.IGNORECASE,
)
GONE = re.compile(
    r"nonexistent job id|Unknown Job Id|Unknown Array ID|invalid state for job|Request invalid for "
    r"state|already in exit state|Job not found|unknown job id after clean init",
    re.IGNORECASE,
)
FORBIDDEN = re.compile(r"Unauthorized Request|additional permissions required", re.IGNORECASE)
