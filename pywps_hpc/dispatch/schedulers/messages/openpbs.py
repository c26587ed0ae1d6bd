"""What OpenPBS's commands print when they fail (pbs_messages.c, cnt2server.c; qsub itself)."""

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
    rf"{NO_SERVICE}|Couldn't connect to cluster|Too many open connections|No default server name"
    r"|Server connection table full|Unknown Host\.|\bmunged?\b|auth(entication)? (failed|error)"
)

MESSAGES = Messages(
    cannot_ask=either(_NO_SERVICE, CANNOT_ASK, r"System call failure"),
    not_taken=either(_NO_SERVICE, NETWORK_DOWN),
    # Limits on jobs or resources of a user, a group, a project (max_queued, max_queued_res).
    passing=either(
        PASSING, r"would exceed .*limit|Floating License unavailable|Failed to save job"
    ),
    # Not among them: the limit on the size of an array, of which there may be smaller ones.
    final=either(
        FINAL,
        r"Job violates queue and/or server resource limits|specification error|directive error",
        r"Job name is too long|cannot submit non-rerunable|jobscript size exceed|Error \(15002\)",
        r"Host(,| machine).*not authorized|Invalid provisioning|cannot have .*place without",
    ),
    gone=either(GONE, r"Job has finished|History job"),
    forbidden=either(FORBIDDEN),
)
