"""What the messages of :mod:`~pywps_hpc.dispatch.decide.messages` mean to an administrator, and
what to do. ``docs/messages.md`` is made from it::

python -m pywps_hpc.dispatch.explanations > docs/messages.md
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass

from joblauncher.shared.exits import NOT_TOLD, OUT_OF_MEMORY
from joblauncher.shared.response import UNEXPLAINED
from pywps_hpc.dispatch import notices
from pywps_hpc.dispatch.decide import causes, container, messages
from pywps_hpc.dispatch.schedulers.base import JobStatus, Outcome, Phase, Resources
from pywps_hpc.jobs.job import Cause
from pywps_hpc.jobs.standing import AGAIN, CANNOT_ASK, DISMISSING, ENDING, FETCHING, LOOKED_UP

_ASKED = Resources(memory=2048, walltime=3600)


@dataclass(frozen=True)
class Explanation:
    """One message.

    Attributes:
        message: as a client reads it; what differs from job to job stands for an example, or is
            left out behind an ellipsis.
        meaning: what happened.
        keys: of the configuration that have to do with it.
        remedy: what to do.
        cause: of the failure; ``UNKNOWN`` if the job has not failed.
    """

    message: str
    meaning: str
    keys: tuple[str, ...]
    remedy: str
    cause: Cause = Cause.UNKNOWN


@dataclass(frozen=True)
class Group:
    """Messages that are read at the same time."""

    title: str
    about: str
    messages: tuple[Explanation, ...]


def _ended(
    outcome: Outcome, meaning: str, keys: tuple[str, ...], remedy: str, code: int | None = None
) -> Explanation:
    """For a job of which the batch system says how it ended."""
    number = signal.SIGKILL if outcome is Outcome.SIGNALLED else None
    status = JobStatus(Phase.FINISHED, outcome, exit_code=code, signal=number)
    said = messages.why(status, _ASKED)
    return Explanation(said, meaning, keys, remedy, causes.of_end(status))


def _exit(code: int, meaning: str, keys: tuple[str, ...], remedy: str) -> Explanation:
    return _ended(Outcome.EXITED, meaning, keys, remedy, code)


_MEMORY = ("[hpc.resources] memory", "[hpc.process.ID] memory")
_TIME = ("[hpc.resources] walltime", "[hpc.process.ID] walltime")
_IMAGE = ("[hpc.container] image",)
_PYTHON = ("[hpc.container] python_path", *_IMAGE)
_QUEUE = ("[hpc.resources] queue", "[hpc.resources] account", "[hpc.resources] extra")
_NODE = Cause.NODE
_TOLD_ON_THE_NODE = (
    "The runtime or the launcher said so on the node, in the job's log. The dispatcher's log names "
    "node and path."
)
_MATCH = "Build the image anew with the service's own environment: `pywps-hpc image build`."
_RAISE = "Raise `memory` in the section of that process. `pywps-hpc show JOB` has the peak."
_REMEMBER = (
    "Look whether the batch system lost its state, or forgets jobs that ended too soon: the page "
    "of your batch system says how long it has to remember them."
)

WAITING = Group(
    "While a job waits or runs",
    "None of these is an end. The job goes on when its cause has passed.",
    (
        Explanation(
            FETCHING,
            "The dispatcher downloads the inputs that were given by reference.",
            ("[hpc.inputs] fetch", "[hpc.inputs] downloads"),
            "Wait. The bounds are `timeout`, `total_timeout` and `min_rate`.",
        ),
        Explanation(
            CANNOT_ASK,
            "The batch system's commands fail, or take longer than `command_timeout`. No job "
            "changes meanwhile.",
            ("[hpc] command_path", "[hpc] command_environment", "[hpc] command_timeout"),
            "`pywps-hpc status` shows since when, the dispatcher's log the command and what it "
            "printed. Run that command as the service's account.",
        ),
        Explanation(
            messages.postponed("…"),
            "The batch system does not take the job for now: its queue is full, or it is closed.",
            ("[hpc] submit_timeout", *_QUEUE),
            "Nothing, unless the rest of the sentence names a mistake of the settings. The job is "
            "submitted again after 2 to 60 seconds.",
        ),
        Explanation(
            messages.MAINTENANCE,
            "The partition or queue is down, drained, or reserved for a maintenance.",
            ("[hpc.resources] queue",),
            "Nothing: the job starts when the queue is opened.",
        ),
        Explanation(
            messages.cannot_start("…"),
            "The job asks for what its partition, account or node can never give; the batch "
            "system's own reason follows.",
            (*_TIME[:1], *_MEMORY[:1], *_QUEUE),
            "Correct what the reason names, dismiss the job, send it again.",
        ),
        Explanation(
            messages.SIGNAL_SENT,
            "Somebody stopped the job through the batch system, and not by this service.",
            (),
            "`pywps-hpc resume JOB` continues it, `pywps-hpc pause JOB` stops all of it.",
        ),
        Explanation(
            AGAIN,
            "Its node failed, it was preempted, or an operator requeued it.",
            ("[hpc.resources] requeue",),
            "Wait: the job starts from the beginning. `requeue = no` makes it fail instead.",
        ),
        Explanation(
            ENDING,
            "The process has written its end. The result is shown when the batch system says "
            "that the job is over.",
            ("[hpc] poll_interval", "[hpc] grace"),
            "Wait some seconds. If it always takes long, see the page of your batch system.",
        ),
        Explanation(
            LOOKED_UP,
            "The batch system stopped the job; its record of the reason is still missing.",
            ("[hpc] grace",),
            "Wait; the reason comes within `grace`.",
        ),
        Explanation(
            DISMISSING,
            "The dismissal is recorded; the dispatcher has yet to carry it out.",
            (),
            "Wait. If it stays, `pywps-hpc status` says whether a dispatcher runs.",
        ),
    ),
)

LIMITS = Group(
    "Limits and decisions of the batch system",
    "The process was fine as far as anybody knows; something ended it.",
    (
        _ended(
            Outcome.MEMORY_LIMIT,
            "All processes of the job together used more memory than it had asked for.",
            _MEMORY,
            _RAISE,
        ),
        Explanation(
            messages.out_of_memory(_ASKED),
            "The process was refused more memory, and said so itself.",
            _MEMORY,
            _RAISE,
            Cause.MEMORY,
        ),
        _ended(
            Outcome.TIME_LIMIT,
            "The job ran as long as it had asked for.",
            _TIME,
            "Raise `walltime` in the section of that process.",
        ),
        _ended(
            Outcome.NODE_FAILURE,
            "The node went down, or lost its connection.",
            ("[hpc.resources] requeue",),
            "Send the job again. With `requeue = yes` the batch system does so itself.",
        ),
        _ended(
            Outcome.PREEMPTED,
            "A job of higher priority took the resources.",
            ("[hpc.resources] requeue", *_QUEUE),
            "Another partition or account, or `requeue = yes`.",
        ),
        _ended(
            Outcome.CANCELLED,
            "Somebody cancelled it in the batch system: not a client, and not `pywps-hpc cancel`.",
            (),
            "Ask the cluster's administrators; their accounting names who did it.",
        ),
        Explanation(
            messages.DISMISSED,
            "A client or an administrator dismissed it.",
            ("[hpc] keep_abandoned",),
            "Nothing. A synchronous client that closes its connection dismisses its job, too.",
        ),
        Explanation(
            messages.LOST,
            "The queue does not have it, accounting has no record, and it wrote no end.",
            ("[hpc] grace",),
            _REMEMBER,
            causes.of_end(None),
        ),
        Explanation(
            messages.CANCELLED_OR_LOST,
            "It left the queue before it began, and no record says why.",
            ("[hpc] grace",),
            _REMEMBER,
            causes.of_end(None),
        ),
        Explanation(
            messages.LINGERED,
            "The process had reported its end, and the batch job did not stop.",
            (),
            "Look for what hangs on that node: a file system, a container that cannot be "
            "unmounted.",
            Cause.SYSTEM,
        ),
    ),
)

NODE = Group(
    "Jobs that could not start",
    "The process never ran. Most of these are settings or the image.",
    (
        Explanation(
            messages.refused("…"),
            "The batch system refused the job for good; its own words follow.",
            _QUEUE,
            "Correct the partition, account, limit or option that it names.",
            Cause.SYSTEM,
        ),
        Explanation(
            messages.SETTINGS,
            "The batch script for this process cannot be written.",
            ("[hpc.process.ID]", "[hpc] templates", "[hpc.container] binds"),
            "The dispatcher's log names the key.",
            Cause.SYSTEM,
        ),
        Explanation(
            messages.UNCLEAR,
            "Each submission ended without an answer, and no job of that name was found.",
            ("[hpc] submit_timeout", "[hpc] command_timeout"),
            "Look at the batch system's own log; raise `command_timeout` if it is slow.",
            Cause.SYSTEM,
        ),
        _ended(
            Outcome.COULD_NOT_START,
            "The batch system took the job and could not start it: often its log could not be "
            "opened because the spool is not on the node, or the account is not known there.",
            ("[hpc] spool",),
            "Mount the spool on every node at the same path; make the account known there.",
        ),
        _exit(
            72,
            "The job's folder is not on the node.",
            ("[hpc] spool", "[hpc.ssh] path_map"),
            "Mount the spool there.",
        ),
        _exit(
            126,
            "The runtime is there, but may not be executed by this account.",
            ("[hpc.container] runtime",),
            "Correct its mode on the node.",
        ),
        _exit(
            127,
            "The node has no `apptainer` (or `singularity`) in its `PATH`, or no interpreter at "
            "the path of `python`.",
            ("[hpc.container] runtime", "[hpc.container] python", "[hpc] templates"),
            "Install it, or load its module in a batch script of your own.",
        ),
        _exit(
            255,
            "The image is missing or damaged, a bind's source does not exist on the node, or "
            "the job has too little memory for the runtime itself.",
            (*_IMAGE, "[hpc.container] binds", "[server] allowedinputpaths"),
            "`pywps-hpc log JOB` has the runtime's own message.",
        ),
        *(
            Explanation(
                message, _TOLD_ON_THE_NODE, keys, f"{remedy[0].upper()}{remedy[1:]}.", _NODE
            )
            for _, message, keys, remedy in container.TROUBLES
        ),
        Explanation(
            "environment mismatch: the service runs python 3.11.2, the compute environment has …",
            "Python's minor version, PyWPS or dill differ between service and image.",
            (*_IMAGE, "[hpc.container] python"),
            _MATCH,
            Cause.SYSTEM,
        ),
        Explanation(
            "the compute environment lacks the Python module 'my_service' of this process",
            "The service's own modules are not in the image.",
            _PYTHON,
            f"{_MATCH} Or name their folder on the shared file system in `python_path`.",
            Cause.SYSTEM,
        ),
        Explanation(
            "the module 'my_service' in the compute environment has no 'Mean': the job was "
            "accepted with another version of it",
            "Service and image have different versions of the service's code.",
            _PYTHON,
            _MATCH,
            Cause.SYSTEM,
        ),
        Explanation(
            "the job's dump has a format that this launcher does not support",
            "The image has another version of pywps-hpc than the service.",
            _IMAGE,
            _MATCH,
            Cause.SYSTEM,
        ),
        Explanation(
            "the job's dump is not the one that the service wrote",
            "The file was changed after the job was accepted. Nothing of it was run.",
            ("[hpc] spool",),
            "Find out who can write to the spool.",
            Cause.SYSTEM,
        ),
    ),
)

PROCESS = Group(
    "Processes and inputs",
    "What the process itself, or one of its inputs, brought about.",
    (
        Explanation(
            "Process error: …",
            "The process raised `ProcessError`; its message follows.",
            (),
            "It is for the client, or for the process's author.",
            Cause.PROCESS,
        ),
        Explanation(
            UNEXPLAINED,
            "The process raised another exception.",
            (),
            "`pywps-hpc log JOB` has the traceback; the job's owner can read the log, too.",
            Cause.PROCESS,
        ),
        Explanation(
            "the process ended with exit code 7 without reporting a result",
            "It, or a library, called `os._exit`, or aborted.",
            (),
            "`pywps-hpc log JOB`.",
            Cause.PROCESS,
        ),
        Explanation(
            "the process was killed by signal 11 (SIGSEGV: segmentation fault)",
            "A crash of compiled code; with SIGKILL the kernel or somebody else ended it.",
            _MEMORY,
            "`pywps-hpc log JOB`. With SIGKILL, look at memory first.",
            Cause.PROCESS,
        ),
        _ended(
            Outcome.SIGNALLED,
            "The batch job as a whole was killed, and nobody says why.",
            _MEMORY,
            "Look at memory first, then at the node's kernel log.",
        ),
        _exit(
            1,
            "The launcher could not begin: the image lacks `pywps`, `dill` or `joblauncher`.",
            _IMAGE,
            f"`pywps-hpc log JOB`. {_MATCH}",
        ),
        _exit(
            0,
            "The batch job ended well and wrote nothing.",
            ("[hpc] templates",),
            "With a template of your own: does it still `exec` the launcher?",
        ),
        _exit(
            NOT_TOLD,
            "Its last message found no room for 10 seconds.",
            ("[hpc] spool", "[hpc.retention] age", "[hpc.retention] size"),
            "Make room, or raise the quota.",
        ),
        Explanation(
            "input dataset: its server cannot be reached, or closed the connection",
            "A container has no network by default.",
            ("[hpc.container] network", "[hpc.inputs] fetch", "[hpc.inputs] proxy"),
            "`network = yes` where nodes have a network, else `fetch = server`.",
            Cause.INPUT,
        ),
        Explanation(
            "input dataset: it did not arrive within 1800 seconds",
            "The server is slow, or the file large.",
            ("[hpc.inputs] total_timeout", "[hpc.inputs] min_rate"),
            "Raise the bounds, or let clients use `file://` inputs.",
            Cause.INPUT,
        ),
        Explanation(
            messages.FOLDER_GONE,
            "Somebody removed it, or two spools share one job table.",
            ("[hpc] spool", "[hpc] database"),
            "Let nothing but the service clean up the spool.",
            Cause.SYSTEM,
        ),
        Explanation(
            messages.TWICE,
            "The batch system ran two starts of one job at once; only the later one counts.",
            ("[hpc.resources] requeue",),
            "Nothing, unless it is frequent.",
            Cause.SYSTEM,
        ),
    ),
)

BUSY = Group(
    "Requests that are turned away (HTTP 503)",
    "Nothing of such a request is kept; the client should ask again after `Retry-After`.",
    (
        Explanation(
            "Jobs cannot be run now: the dispatcher is not running.",
            "No dispatcher has sent a heartbeat for four times `command_timeout`.",
            ("[hpc] command_timeout", "[hpc] spool", "[hpc] database"),
            "Start `pywps-hpc dispatcher`, or see why it ended. If it runs, it uses another "
            "`database`, or the `spool` of another service.",
        ),
        Explanation(
            "The service cannot reach its jobs now: their storage is missing.",
            "The spool is not mounted, or is not the one that belongs to the job table.",
            ("[hpc] spool",),
            "Mount it. If it was moved, see Backup, upgrade, move.",
        ),
        Explanation(
            "Jobs cannot be accepted now: the storage is full.",
            "The spool's file system has no room, or the account's quota is used up.",
            ("[hpc.retention] age", "[hpc.retention] size"),
            "Make room, for instance with `pywps-hpc purge`; set a retention.",
        ),
        Explanation(
            "This service does not accept new jobs at the moment: …",
            "An administrator drains it; their message follows.",
            (),
            "Wait. The administrator ends it by `pywps-hpc undrain`.",
        ),
        Explanation(
            "Maximum number of active jobs of one client reached (20). Please try later.",
            "A limit on jobs that are not yet over has been reached.",
            ("[hpc] max_active", "[hpc] max_active_per_owner", "[hpc.process.ID] max_active"),
            "Nothing, or raise the limit.",
        ),
    ),
)

NOTICES = Group(
    "What the administrator is told",
    "By webhook or mail, see `[hpc.notices]`. Clients do not see these.",
    (
        Explanation(
            notices.unreachable("…", "…"),
            "The batch system's commands have failed, or taken longer than `command_timeout`, for "
            "a minute; why follows.",
            ("[hpc] command_timeout", "[hpc.notices] events"),
            "`pywps-hpc status` shows since when. What was submitted goes on, and is followed when "
            "the batch system answers.",
        ),
        Explanation(
            notices.reachable("…"),
            "It answers.",
            ("[hpc.notices] events",),
            "Nothing.",
        ),
        Explanation(
            "job … (…) has failed: …",
            "A job ended; the sentence that its client reads follows. Events beyond the first 100 "
            "of a message are counted.",
            ("[hpc.notices] events",),
            "Look the sentence up on this page; `pywps-hpc show JOB`.",
        ),
    ),
)

GROUPS = (WAITING, LIMITS, NODE, PROCESS, BUSY, NOTICES)

_HEAD = f"""\
# Messages

<!-- Made by `make docs` from pywps_hpc/dispatch/explanations.py; change the texts there. -->

Each sentence that you may read, with its cause, what to do, and the keys of the configuration that
have to do with it. Numbers and names are examples. `ID` stands for a process's identifier, `JOB`
for a job as `pywps-hpc jobs` names it. The *kind* is the type of the problem that OGC API -
Processes reports, see [Problems](ogcapi.md#problems).

`pywps-hpc show JOB` shows the same message, and `pywps-hpc log JOB` what the job printed. A message
that begins with *{OUT_OF_MEMORY}* or *killed* comes with the amount that had been asked for.

Lines beginning with `Error:` at the start of `serve`, `web` or `dispatcher` are not listed: they
name the section, the key and the remedy themselves.
"""


def markdown() -> str:
    """The page for administrators."""
    return "\n".join([_HEAD, *_sections()])


def _sections() -> Iterator[str]:
    """A heading for each message: a search finds it by the sentence that somebody reads."""
    for group in GROUPS:
        yield f"## {group.title}\n\n{group.about}\n"
        for one in group.messages:
            yield f"### {one.message}\n\n{one.meaning}\n\n**What to do**: {one.remedy}\n"
            facts = [f"`{key}`" for key in one.keys]
            facts = [f"**Keys**: {', '.join(facts)}"] if facts else []
            if one.cause is not Cause.UNKNOWN:
                facts.append(f"**Kind**: {one.cause.value}")
            if facts:
                yield "; ".join(facts) + "\n"


if __name__ == "__main__":
    print(markdown(), end="")
