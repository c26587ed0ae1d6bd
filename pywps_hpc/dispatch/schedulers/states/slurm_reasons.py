"""Why Slurm lets a job wait, in words for its client (squeue(1), JOB REASON CODES; resource_limits
and job_reason_codes of its documentation)."""

from __future__ import annotations

import re

_REASONS = {
    "Resources": "not enough nodes, processors or memory are free",
    "Priority": "other jobs come first",
    "BeginTime": "its earliest start has not come",
    "Dependency": "another job has to end first",
    "JobArrayTaskLimit": "as many jobs of its array run as may run at once",
    "Licenses": "no licence is free that it needs",
    "NodeDown": "a node that it needs is down",
    "ReqNodeNotAvail": "the nodes that it may use are not available now",
    "Reservation": "its reservation has not begun",
    "ReservationDeleted": "its reservation is gone",
    "PartitionNodeLimit": "fewer nodes of its partition can be used now than it asks for",
    "PartitionConfig": "it asks for more than its partition gives at the moment",
    "Prolog": "its node is being prepared",
    "Cleaning": "what is left of an earlier start is being removed",
    "NodeNotReady": "its node is being prepared",
    "BurstBufferResources": "not enough burst buffer is free",
    "BurstBufferStageIn": "its burst buffer is being filled",
    "SystemFailure": "the batch system has a failure",
    "FrontEndDown": "a node that it needs is down",
    "QOSUsageThreshold": "its quality of service has used its share",
    # Of versions before 14.11
    "AssociationJobLimit": "as many jobs run as its account may run at once",
    "AssociationResourceLimit": "its account has as much in use as it may have at once",
    "AssociationTimeLimit": "the computing time of its account is used up, or set aside",
    "QOSJobLimit": "as many jobs run as its quality of service allows at once",
    "QOSResourceLimit": "its quality of service has as much in use as it may have at once",
}
#: Measured as a sentence of its own, with a comma in it.
_NODES = "Nodes required for job are DOWN, DRAINED or reserved"

# QOSGrpCpuLimit, AssocGrpCPUMinutesLimit, QOSMaxJobsPerUserLimit, AssocMaxJobsLimit, …
_LIMIT = re.compile(r"(?P<whose>QOS|Assoc)(?:Grp|Max)(?P<what>\w+?)(?:Limit)?")
_WHOSE = {"QOS": "its quality of service", "Assoc": "its account"}
#: What a limit's name has in it -> what is limited. The first one that occurs counts.
_WHAT = (
    ("job", "as many jobs"),
    ("submit", "as many jobs"),
    ("cpu", "as many processors in use"),
    ("mem", "as much memory in use"),
    ("node", "as many nodes in use"),
    ("gres", "as many devices (such as GPUs) in use"),
    ("gpu", "as many GPUs in use"),
    ("license", "as many licences in use"),
    ("", "as much in use"),
)
#: In the name of a limit on computing time.
_TIME = re.compile("minutes|wall")
_CODE = re.compile(r"[A-Za-z_]{1,60}")


def waits(reason: str) -> str:
    """A pending job's reason in words; empty if Slurm gives none."""
    if reason.startswith(_NODES):
        return "the nodes that it may use are down, reserved, or kept for jobs that come first"
    code = reason.partition(",")[0].strip()  # "ReqNodeNotAvail, UnavailableNodes:node[1-3]"
    if code in ("", "None"):
        return ""
    if known := _REASONS.get(code):
        return known
    if limit := _LIMIT.fullmatch(code):
        whose, what = _WHOSE[limit["whose"]], limit["what"].lower()
        if _TIME.search(what):
            return f"the computing time of {whose} is used up, or set aside for other jobs"
        amount = next(amount for sign, amount in _WHAT if sign in what)
        return f"{whose} has {amount} as it may have at once"
    return f"for a reason that Slurm calls {code}" if _CODE.fullmatch(code) else ""
