"""What TORQUE's commands print when they fail (pbs_error_db.h; qsub itself)."""

from __future__ import annotations

from pywps_hpc.dispatch.schedulers.messages import NETWORK_DOWN, Messages, either
from pywps_hpc.dispatch.schedulers.messages.pbs import (
    CANNOT_ASK,
    FINAL,
    FORBIDDEN,
    GONE,
    NO_SERVICE,
    PASSING,
)

_NO_SERVICE = (
    rf"{NO_SERVICE}|Can(not| not| ?n't) resolve|client is not allowed|too busy to service"
    r"|Client connection not found|trqauthd|pbs_iff|munge executable"
)

MESSAGES = Messages(
    cannot_ask=either(
        _NO_SERVICE,
        CANNOT_ASK,
        r"Can not establish connection|Connection to server (refused|timed out|reset)",
        r"Could not resolve host|(reading|writing) data (from|to) socket|Socket close",
        r"connection to socket|in socket select|Unable to communicate",
    ),
    not_taken=either(_NO_SERVICE, NETWORK_DOWN),
    passing=either(
        PASSING,
        r"Queue is currently not available|errors during its recovery|too busy",
        r"temporarily delayed|Error (allocating|creating)",
        r"Error (saving|opening|writing|reading|moving) file|copy of script",
    ),
    final=either(
        FINAL,
        r"Bad Job Array|does not allow|Wrong job type|Command syntax|conflicts with the queue",
        r"meet minimum limit|administratively rejected",
    ),
    gone=either(GONE, r"nonexistent job id|Unknown Array ID|invalid state for job|Job not found"),
    forbidden=either(FORBIDDEN, r"additional permissions required"),
)
