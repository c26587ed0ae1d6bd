"""What Grid Engine says when it cannot be asked, turns a job down, or had nothing to do."""

from __future__ import annotations

import re

# msg_gdilib.h, msg_commlistslib.h, and the C library's words below them.
CANNOT_ASK = re.compile(
    r"commlib error|unable to (send|contact|connect|open a connection)\b.*\bqmaster"
    r"|got \w* ?(select|send|read|connect|pipe|receive)\w* (error|timeout)|gdi request|GDI mismatch"
    r"|qmaster (name|hostname)|can't (get|read) .*from qmaster|no answer list"
    r"|(SGE_ROOT|cell) directory \S+ doesn't exist|can't resolve (host ?name|ip address)"
    r"|set the environment variable SGE_ROOT|communication (error|handle)|protocol error"
    r"|Connection (refused|timed out|reset)|No route to host|(Network|Host) is (unreachable|down)"
    r"|authentication failed|credentials for connection|(older|newer|old) GDI version",
    re.IGNORECASE,
)
# The same where no request reached qmaster, or it turned the client away.
NOT_TAKEN = re.compile(
    r"Connection refused|No route to host|(Network|Host) is (unreachable|down)"
    r"|qmaster (name|hostname)|directory \S+ doesn't exist|SGE_ROOT|can't resolve|GDI version"
    r"|authentication failed|credentials for connection",
    re.IGNORECASE,
)
# Over once other jobs have ended, once the administrator has registered this host (the words differ
# between releases), or once qmaster has room for its spool.
PASSING = re.compile(
    r"only \d+ jobs are allowed|(not a|is no|neither) submit (host|nor)|temporarily rejected"
    r"|can't be written|couldn't be written|No space left|Disk quota exceeded"
    r"|Read-only file system|Input/output error|can't allocate memory|out of memory"
    r"|Resource temporarily unavailable|Too many open files",
    re.IGNORECASE,
)
# msg_qmaster.h, msg_sgeobjlib.h, parse_qsub.c: the same request would fail again.
FINAL = re.compile(
    r"job rejected|job was rejected because job requests|unknown (resource|option|queue|project)"
    r"|no such (queue|resource|project)|JSV.*rejected|is not an? (\w+ )?(value|valid|time|memory)"
    r"|cannot start with a digit|invalid (option|value|name|argument|length|priority)"
    r"|is not (valid|allowed|requestable)"
    r"|does(n't| not) exist|unable to (parse|read script)|name too long|privileges"
    r"|denied: (missing|soft requests|use parallel|job|request format|attribute)",
    re.IGNORECASE,
)
GONE = re.compile(r"does not exist|invalid queue or job")
DONE = re.compile(
    r"modified hold of job|has (deleted|registered the) job|is already|suspended job"
    r"|in pending/hold state"
)
FORBIDDEN = re.compile(
    r"must be at least owner|not have the necessary privileges|no permission to modify"
    r"|no(t an?)? (admin|administrative|submit) host"
)
