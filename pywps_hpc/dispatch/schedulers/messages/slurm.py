"""What Slurm's commands print when they fail (slurm_errno.c; sbatch itself)."""

from __future__ import annotations

from pywps_hpc.dispatch.schedulers.messages import (
    NETWORK_DOWN,
    NETWORK_ERROR,
    SERVER_ERROR,
    Messages,
    either,
)

MESSAGES = Messages(
    cannot_ask=either(
        r"Socket timed out|Unable to contact slurm controller|Zero Bytes were transmitted",
        r"Unable to establish controller|Communication (connection|shutdown) failure",
        r"Message (send|receive) failure|Unexpected message received|standby mode",
        NETWORK_ERROR,
        r"Connection (rejected|aborted|forced closed)|Broken pipe|Rate limit exceeded",
        r"Can't find an address|Unable to resolve|name resolution|Insane message length",
        r"Header lengths are longer|shutting down and closing|TLS missing",
        r"Could not establish a configuration source|Unable to process configuration file",
        r"\bmunged?\b|authentication (error|credential)",
        r"Incompatible versions of client and server|slurm_persist_conn",
        r"Problem talking to the database|Unable to connect to database",
    ),
    not_taken=either(
        NETWORK_DOWN,
        r"\(connect failure\)|standby mode|Rate limit exceeded",
        r"Could not establish a configuration source|Unable to process configuration file",
        r"Can't find an address|authentication credential|If munged is up",
    ),
    passing=either(
        r"(QOS|Assoc)(Max|Grp)Submit\w+|MaxSubmitJobsPerAccount|MaxJobCount|job queue full",
        r"temporarily (unable to accept job|disabled)",
        r"partition (not available|configuration not available now)|Partition in DOWN state",
        r"node not available \(down|presently disabled|submissions disabled",
        r"Licenses currently unavailable|(nodes are busy|are in use)\b|not usable now",
        SERVER_ERROR,
        r"I/O error writing script|Cannot allocate memory|Too many open files",
        r"breached requested QOS",
    ),
    final=either(
        r"invalid partition|No partition specified|not permitted to use this partition",
        r"nodes not in this partition|More processors requested|specification (is )?invalid",
        r"Invalid (account|qos|wckey|feature|license|generic resource|job array|node name|time"
        r"|nice|time-min|Trackable|GRES|prefer\w*|mcs_label|extra|burst|--?\w|numeric|\w+ spec)",
        r"time limit is invalid|Time limit specification required|Job size specification",
        r"specification can not be satisfied|node configuration is not available",
        r"topology configuration is not available|not supported|unsupported|Duplicate generic",
        r"Access denied to requested reservation|reservation is invalid|permission denied",
        r"script not specified|does not look like a batch script|parameter too long",
        r"unrecogni[sz]ed option|invalid option|is ambiguous|requires an argument",
        r"doesn't allow an argument|(Circular|Job) (job )?dependency|Burst Buffer request invalid",
        r"(QOS|Assoc)(Max\w+Per(Job|Node)(Limit)?|Min\w+)",
    ),
    gone=either(
        r"Invalid job id|Job \d+_\d+ not found|already completing or completed",
        r"Job has already finished|Job is no longer pending|Job is pending execution",
        r"Job is not suspended",
        r"Job can not be altered now",  # on its way to another state: it is asked for again
    ),
    forbidden=either(r"permission denied|Invalid user id"),
)
