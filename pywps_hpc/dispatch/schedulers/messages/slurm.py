"""What Slurm says when it cannot be asked, turns a job down, or had nothing to do."""

from __future__ import annotations

import re

# slurm_errno.c, communication and authentication errors, and those of the C library below them.
CANNOT_ASK = re.compile(
    r"Socket timed out|Unable to contact slurm controller|Zero Bytes were transmitted"
    r"|Unable to establish controller|Communication (connection|shutdown) failure"
    r"|Message (send|receive) failure|Unexpected message received|standby mode"
    r"|Connection (refused|timed out|reset|rejected|aborted|forced closed)|Broken pipe"
    r"|No route to host|(Network|Host) is (unreachable|down)|Rate limit exceeded"
    r"|Can't find an address|Unable to resolve|name resolution|Insane message length"
    r"|Header lengths are longer|shutting down and closing|TLS missing"
    r"|Could not establish a configuration source|Unable to process configuration file"
    r"|\bmunged?\b|authentication (error|credential)|Incompatible versions of client and server"
    r"|slurm_persist_conn|Problem talking to the database|Unable to connect to database",
    re.IGNORECASE,
)
# The same where no request reached a controller that would act on it.
NOT_TAKEN = re.compile(
    r"\(connect failure\)|standby mode|Connection refused|No route to host|Rate limit exceeded"
    r"|(Network|Host) is (unreachable|down)|Could not establish a configuration source"
    r"|Unable to process configuration file|Can't find an address|authentication credential"
    r"|If munged is up",
    re.IGNORECASE,
)
# slurm_errno.c: over once other jobs have ended, a maintenance is over, or slurmctld has room.
PASSING = re.compile(
    r"(QOS|Assoc)(Max|Grp)Submit\w+|MaxSubmitJobsPerAccount|MaxJobCount|job queue full"
    r"|temporarily (unable to accept job|disabled)|Resource temporarily unavailable"
    r"|partition (not available|configuration not available now)|Partition in DOWN state"
    r"|node not available \(down|presently disabled|submissions disabled"
    r"|Licenses currently unavailable|(nodes are busy|are in use)\b|not usable now"
    r"|I/O error writing script|No space left|Disk quota exceeded|Read-only file system"
    r"|Input/output error|Cannot allocate memory|Too many open files|breached requested QOS",
    re.IGNORECASE,
)
# slurm_errno.c, and what sbatch itself finds wrong: the same request would fail again.
FINAL = re.compile(
    r"invalid partition|No partition specified|not permitted to use this partition"
    r"|nodes not in this partition|More processors requested|specification (is )?invalid"
    r"|Invalid (account|qos|wckey|feature|license|generic resource|job array|node name|time"
    r"|nice|time-min|Trackable|GRES|prefer\w*|mcs_label|extra|burst|--?\w|numeric|\w+ spec)"
    r"|time limit is invalid|Time limit specification required|Job size specification"
    r"|specification can not be satisfied|node configuration is not available"
    r"|topology configuration is not available|not supported|unsupported|Duplicate generic"
    r"|Access denied to requested reservation|reservation is invalid|permission denied"
    r"|script not specified|does not look like a batch script|parameter too long"
    r"|unrecogni[sz]ed option|invalid option|is ambiguous|requires an argument"
    r"|doesn't allow an argument|(Circular|Job) (job )?dependency|Burst Buffer request invalid"
    r"|(QOS|Assoc)(Max\w+Per(Job|Node)(Limit)?|Min\w+)",
    re.IGNORECASE,
)
GONE = re.compile(
    r"Invalid job id|Job \d+_\d+ not found|already completing or completed|Job has already finished"
    r"|Job is no longer pending|Job is pending execution|Job is not suspended"
    r"|Job can not be altered now",  # on its way to another state: orders are given again
    re.IGNORECASE,
)
FORBIDDEN = re.compile(r"permission denied|Invalid user id", re.IGNORECASE)
