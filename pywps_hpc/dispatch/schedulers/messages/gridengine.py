"""What Grid Engine's commands print when they fail.

Sources: msg_gdilib.h, msg_commlistslib.h, msg_qmaster.h, msg_sgeobjlib.h, parse_qsub.c.
"""

from __future__ import annotations

import re

from pywps_hpc.dispatch.schedulers.messages import (
    NETWORK_DOWN,
    NETWORK_ERROR,
    SERVER_ERROR,
    Messages,
    either,
)

MESSAGES = Messages(
    cannot_ask=either(
        r"commlib error|unable to (send|contact|connect|open a connection)\b.*\bqmaster",
        r"got \w* ?(select|send|read|connect|pipe|receive)\w* (error|timeout)|gdi request",
        r"GDI mismatch|qmaster (name|hostname)|can't (get|read) .*from qmaster|no answer list",
        r"(SGE_ROOT|cell) directory \S+ doesn't exist|can't resolve (host ?name|ip address)",
        r"set the environment variable SGE_ROOT|communication (error|handle)|protocol error",
        NETWORK_ERROR,
        r"authentication failed|credentials for connection|(older|newer|old) GDI version",
    ),
    not_taken=either(
        NETWORK_DOWN,
        r"qmaster (name|hostname)|directory \S+ doesn't exist|SGE_ROOT|can't resolve|GDI version",
        r"authentication failed|credentials for connection",
    ),
    # The messages about a host that is not registered yet differ between releases.
    passing=either(
        r"only \d+ jobs are allowed|(not a|is no|neither) submit (host|nor)|temporarily rejected",
        SERVER_ERROR,
        r"can't be written|couldn't be written|can't allocate memory|out of memory",
        r"Too many open files",
    ),
    final=either(
        r"job rejected|job was rejected because job requests",
        r"unknown (resource|option|queue|project)|no such (queue|resource|project)|JSV.*rejected",
        r"is not an? (\w+ )?(value|valid|time|memory)|cannot start with a digit",
        r"invalid (option|value|name|argument|length|priority)",
        r"is not (valid|allowed|requestable)|does(n't| not) exist|unable to (parse|read script)",
        r"name too long|privileges",
        r"denied: (missing|soft requests|use parallel|job|request format|attribute)",
    ),
    gone=re.compile(
        r"does not exist|invalid queue or job"
        # These tell success, one line a job.
        r"|modified hold of job|has (deleted|registered the) job|is already|suspended job"
        r"|in pending/hold state"
    ),
    forbidden=re.compile(
        r"must be at least owner|not have the necessary privileges|no permission to modify"
        r"|no(t an?)? (admin|administrative|submit) host|neither submit nor admin host"
    ),
)
