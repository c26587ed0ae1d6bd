"""How long things take that nobody sets in the configuration: all of them, in one place.

What depends on the site is a setting (``poll_interval``, ``grace``, ``command_timeout`` …). What
stands here follows from a measurement, a manual page or another part of the program. Tests replace
single values of the one object, which they hand in.
"""

from __future__ import annotations

from dataclasses import dataclass, field

SECONDS, FACTOR = "s", "factor"
#: Who may set a value: nobody, since it follows from something outside of this program; or the
#: developers, since it weighs load against delay.
NOBODY, DEVELOPERS = "nobody", "developers"


def _time(value: float, reason: str, *, unit: str = SECONDS, set_by: str = DEVELOPERS) -> float:
    own: float = field(default=value, metadata={"unit": unit, "reason": reason, "set_by": set_by})
    return own


@dataclass(frozen=True)
class Timing:
    """Durations in seconds, unless the field's metadata names another unit.

    Each field's metadata has ``unit``, ``reason`` and ``set_by``.
    """

    # Accounts of owners
    owner_known: float = _time(
        60.0,
        "for which a web server remembers what owner_command told: one who moves to another "
        "project is charged there a minute later",
    )

    # The leader and its loop
    heartbeat: float = _time(
        2.0, "between two heartbeats, and two attempts of a standby: far below the shortest lease"
    )
    table_look: float = _time(
        0.25, "between two looks at the table for new jobs and control requests: two small queries"
    )
    change_delay: float = _time(
        0.25, "at most that changes of jobs wait to be made in one transaction with others"
    )
    wake_pause: float = _time(
        0.01, "at least between two looks at the table for which the dispatcher is woken"
    )
    leader_known: float = _time(
        5.0, "for which whoever wakes the dispatcher need not ask who leads", set_by=DEVELOPERS
    )
    leader_unheard: float = _time(
        1.0, "the same where the leader does not listen: it may run on another host"
    )
    end_look: float = _time(
        0.5, "between two looks at the reports of jobs, whose ends no client asks for"
    )
    end_look_cost: float = _time(
        0.01,
        "that one such look takes at most for the jobs that run, and again for those that wait; "
        "then the next goes on with the others",
    )
    pilot_look: float = _time(
        0.05, "between two looks for the ends of jobs in pilots: a listing of each pilot's folder"
    )
    end_expected: float = _time(
        3.0, "after a report tells an end, for which the batch system is asked often about it"
    )
    hurried_poll: float = _time(
        1.0, "at least between two polls where a client waits for an end that a document tells"
    )
    poll_share: float = _time(
        2.0,
        "of what the latest poll took, for which the batch system is not asked again: one that "
        "answers late is busy, or limits the rate of requests (slurm.conf(5), rl_enable)",
        unit=FACTOR,
    )
    poll_growth: float = _time(
        1.5, "of the pause between two polls while nothing changes", unit=FACTOR
    )
    why_after: float = _time(
        60.0, "that a job waits before it is asked why, where that takes a question of its own"
    )
    why_pause: float = _time(60.0, "at least between two such questions, about many jobs each")
    probe: float = _time(60.0, "after which a batch system that answered is probed again")
    clock_step: float = _time(
        5.0, "by which the clock must have been set for a job's grace to begin anew"
    )

    # Metrics, and commands
    log_look: float = _time(0.5, "between two looks at a log that is followed: one small query")
    scrape_patience: float = _time(10.0, "for a whole request for metrics")
    scrape_kept: float = _time(5.0, "for which what the job table says is told to every scrape")
    scrape_share: float = _time(
        20.0, "of what asking the table took, for which it is not asked again", unit=FACTOR
    )

    # Submission
    array_pace: float = _time(
        1.0, "between two rounds of arrays: jobs that come meanwhile go together"
    )
    first_deferral: float = _time(2.0, "until a job that was not taken is offered again; doubles")
    longest_deferral: float = _time(60.0, "the longest such pause")

    # Control requests
    repeat_dismissal: float = _time(
        15.0,
        "until a cancellation without effect is repeated: some take several seconds",
    )
    refused_dismissal: float = _time(
        2.0, "until a cancellation that was refused is repeated; doubles"
    )
    longest_refused_dismissal: float = _time(
        300.0, "the longest such pause: whoever may cancel the job by hand does so meanwhile"
    )
    repeat_control: float = _time(
        5.0,
        "until a pause or resumption without effect is repeated: Slurm was seen to lose a signal "
        "to a job that had only just started, with exit status 0",
        set_by=NOBODY,
    )

    # The end of a job
    document_lag: float = _time(
        3.0,
        "for a document to become visible when the batch system says that the job is over: listing "
        "a folder makes an NFS client ask its server, so caches need not run out (nfs(5))",
        set_by=NOBODY,
    )
    time_limit_warning: float = _time(
        120.0,
        "before its time limit at which a job may have been asked to stop: Slurm's --signal is "
        "given 60 s early and comes up to as much earlier (sbatch(1))",
        set_by=NOBODY,
    )
    linger: float = _time(
        60.0, "for which a job may work on after its end was seen, before it is cancelled"
    )
    storage_patience: float = _time(
        300.0,
        "for which a job's end waits for a storage that is full, read-only or away; then its row "
        "tells the end, from which its document is made",
    )

    # Callbacks
    callback_look: float = _time(
        1.0, "between two looks for messages that are due: a small query, beside the loop"
    )
    callback_pause: float = _time(
        15.0,
        "until a message is tried again that nobody took; each further pause is six times as long",
    )
    callback_rest: float = _time(
        10.0, "for which a host that did not take a message is sent no other one"
    )
    callback_answer: float = _time(
        10.0, "for a connection to the receiver of a message, and for its answer"
    )
    callback_total: float = _time(30.0, "for one message, with the search for its host's address")

    # Notices
    notice_pause: float = _time(
        60.0, "between two messages to the administrator: what comes meanwhile goes into the next"
    )
    notice_patience: float = _time(
        60.0,
        "for which the batch system cannot be asked before the administrator is told: a restart of "
        "its server takes less",
    )

    # Pages
    page_cookie: float = _time(
        180 * 86400.0,
        "for which a browser keeps the cookie with its jobs: half a year between two visits",
    )

    # Cleaning
    removed_known: float = _time(
        30 * 86400.0,
        "for which a removed job is remembered for its owner, unless [hpc.retention] age is set",
    )
    left_over_age: float = _time(
        3600.0,
        "between two looks for folders that were never accepted, and for what processes left in "
        "those of ended jobs; and for which nothing was made or removed in such a folder: far "
        "longer than accepting a job takes",
    )
    retention_look: float = _time(60.0, "at most between two looks at the ended jobs")

    # Whether the clock can be believed
    clock_leap: float = _time(300.0, "by which a clock may go ahead without being doubted")
    unwatched: float = _time(
        3600.0, "for which nobody may have looked at the clock, where nothing tells how long it was"
    )
    clock_trial: float = _time(86400.0, "of even going after which a doubted clock is believed")

    # Processes that are started again: parts of `serve`, workers of the web server
    restart: float = _time(1.0, "before one that died is started again; it doubles")
    longest_restart: float = _time(
        60.0, "the longest such pause; one that lived longer begins with the shortest again"
    )
    settled: float = _time(10.0, "after which a web worker's death is no reason for a pause")
    stop_grace: float = _time(
        20.0, "between SIGTERM and SIGKILL of a part: a dispatcher ends its turn within it"
    )

    # Warm starts with `scheduler = local`
    nursery_idle: float = _time(
        1800.0, "without a job after which a nursery ends and gives its memory back"
    )
    nursery_orphaned: float = _time(
        60.0, "without a dispatcher after which it ends: longer than a restart of the service"
    )
    nursery_restart: float = _time(
        3.0, "between two starts of a nursery: one that cannot live costs no more than that"
    )
    nursery_patience: float = _time(
        5.0, "for a nursery to start a job, which takes milliseconds; then it starts without"
    )

    pilot_extra: float = _time(
        1800.0, "that a pilot lasts beyond the time of two jobs, where no limit is set"
    )
    pilot_reserve: float = _time(
        130.0,
        "of its time that a pilot keeps for its end: Slurm's warning comes up to 120 s early",
        set_by=NOBODY,
    )
    pilot_patience: float = _time(
        60.0, "that a job waits behind others of a pilot that runs; then it is submitted by itself"
    )
    pilot_refused: float = _time(
        600.0, "for which no pilot is started again where the last one could not be had"
    )
    pilot_retry: float = _time(
        10.0, "until a job is submitted again that its pilot did not run, and nobody else took"
    )
    pilot_shows: float = _time(
        60.0, "for a pilot to show in the queue whose submission had no clear answer"
    )
    pilot_known: float = _time(
        86400.0, "for which an ended pilot is remembered, so that its jobs' ends can be asked for"
    )

    # Connections of clients
    quiet: float = _time(30.0, "in which a client sends or takes nothing until it is given up")
    fresh: float = _time(60.0, "that a new connection may have no request on it")
    kept: float = _time(20.0, "that a connection may have no request on it after the first")
    lingering: float = _time(
        5.0, "that a client may send on after its answer, so that it reads that (RFC 9112, 9.6)"
    )
    last_request: float = _time(
        2.0, "that a stopping worker leaves a client that may have a request on its way"
    )
    slow_client_look: float = _time(
        1.0, "between two looks of a worker for clients that are too slow"
    )
    busy_retry: float = _time(
        30.0, "after which a client that found the web server busy is asked to come again"
    )
    wait_look: float = _time(
        1.0, "between two looks at the table for a client that waits for its job"
    )
    wait_look_soon: float = _time(0.2, "the same once the job's document tells an end")
    output_age: float = _time(3600.0, "that a client may keep an output without asking again")
    connection_left: float = _time(
        0.03,
        "for which a web worker leaves new connections to another one that has fewer: its loop "
        "may have to wait for two threads, 5 ms each (sys.setswitchinterval), on a busy host",
    )
    connection_look: float = _time(
        0.001, "between two looks meanwhile whether that other one has caught up"
    )
    quick_task: float = _time(
        0.005, "after which a task counts as one that waits, for storage, a database or a job"
    )

    # `pywps-hpc check`
    check_answer: float = _time(5.0, "for which an address of the service may take to answer")
    check_import: float = _time(120.0, "within which the application has to be imported")
    check_scripts: float = _time(
        15.0, "that all questions whether a script would be taken may need together"
    )
    check_look: float = _time(0.05, "between two looks at what the probe leaves")
    check_poll: float = _time(0.4, "between the first two polls for the probe's job")
    check_longest_poll: float = _time(3.0, "between two such polls at most")
    check_lag: float = _time(10.0, "for which a job's files may be on their way after its end")
    check_ending: float = _time(8.0, "for which a job that is cancelled may take to end")
    rare_poll: float = _time(
        300.0, "between two polls, above which ends that only the batch system knows are told late"
    )
    clock_tolerance: float = _time(5.0, "by which the clocks of two hosts may differ")
    clock_far: float = _time(300.0, "from which difference on times of jobs make no sense")
    slow_file: float = _time(
        3.0, "until a file of one host is seen on the other, from which on it is told"
    )
    too_slow_file: float = _time(30.0, "the same, from which on jobs will be thought to be lost")
    least_retention: float = _time(
        3600.0, "of a job's results, below which clients hardly come in time for them"
    )
    least_grace: float = _time(15.0, "for which accounting may lag behind the queue")
    most_grace: float = _time(3600.0, "after which nobody waits for a job that is lost")
    least_answer: float = _time(1.0, "in which a command, a server or a login host may answer")
    most_answer: float = _time(600.0, "after which none of these will answer")
    least_submission: float = _time(60.0, "in which trouble of a batch system may pass")
    most_submission: float = _time(7 * 86400.0, "after which it will not")
    most_wait: float = _time(3600.0, "for which a connection may be kept open")
    least_walltime: float = _time(30.0, "below which a launcher hardly comes to its process")


#: The values in use. Whatever does not take a :class:`Timing` reads them here.
TIMING = Timing()
