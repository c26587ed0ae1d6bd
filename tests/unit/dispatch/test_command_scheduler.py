"""The engine keeps apart "no", "cannot ask" and "cannot know", whatever the batch system."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from dialects import captured
from pywps_hpc.dispatch.channels.local import (
    Channel,
    ChannelError,
    ChannelTimeout,
    ChannelUnavailable,
    CommandMissing,
    Completed,
)
from pywps_hpc.dispatch.schedulers.base import (
    BatchJob,
    NotPermitted,
    Outcome,
    Phase,
    SchedulerError,
    SchedulerUnavailable,
    SubmissionPostponed,
    SubmissionRefused,
    SubmissionUncertain,
)
from pywps_hpc.dispatch.schedulers.command import CommandScheduler
from pywps_hpc.dispatch.schedulers.dialects import DIALECTS
from pywps_hpc.dispatch.schedulers.dialects.gridengine import GridEngineDialect
from pywps_hpc.dispatch.schedulers.dialects.slurm import SlurmDialect
from pywps_hpc.dispatch.schedulers.dialects.torque import TorqueDialect
from pywps_hpc.systems import SYSTEMS

JOB = BatchJob("t1", "#!/bin/sh\ntrue\n", "/logs/t1.log")
DOWN = Completed(
    1, "", "slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n"
)
NO_ACCOUNTING = Completed(1, "", "Slurm accounting storage is disabled\n")
UNKNOWN = Completed(1, "", "slurm_load_jobs error: Invalid job id specified\n")
DENIED = Completed(1, "", "Access/permission denied for job 7\n")
OK = Completed(0, "", "")

Reply = Completed | Exception
Rule = Reply | Callable[[Sequence[str]], Reply]


class FakeChannel(Channel):
    """Answers by the command's first words; records what was asked."""

    def __init__(self, **rules: Rule) -> None:
        self.rules = {name.replace("_", " "): rule for name, rule in rules.items()}
        self.asked: list[list[str]] = []
        self.stdin: list[str] = []
        self.timeouts: set[float] = set()

    def run(self, argv: Sequence[str], *, stdin: str = "", timeout: float) -> Completed:
        self.asked.append(list(argv))
        self.stdin.append(stdin)
        self.timeouts.add(timeout)
        words = " ".join(word for word in argv if not word.startswith("--"))
        rule = next(rule for start, rule in self.rules.items() if words.startswith(start))
        reply = rule(argv) if callable(rule) else rule
        if isinstance(reply, Exception):
            raise reply
        return reply


def queue(**jobs: str) -> Completed:
    """squeue's answer: ``j7="RUNNING|None"``."""
    rows = ["JOBID|STATE|REASON|NAME", *(f"{name[1:]}|{text}|t1" for name, text in jobs.items())]
    return Completed(0, "".join(f"pywps-hpc|{row}|end\n" for row in rows), "")


def accounting(*rows: str) -> Completed:
    heading = "JobID|State|ExitCode|ElapsedRaw|TimelimitRaw|Submit|JobName"
    lines = [heading, *(f"{row}|5|60|2026-11-29T01:00:00|t1" for row in rows)]
    return Completed(0, "".join(f"{line}\n" for line in lines), "")


def shown(job: str, state: str, code: str, reason: str = "None") -> Completed:
    return Completed(
        0,
        f"JobId={job} JobName=x JobState={state} Reason={reason} Restarts=2 ExitCode={code} "
        "RunTime=00:00:05 TimeLimit=01:00:00\n",
        "",
    )


def slurm(**rules: Rule) -> tuple[CommandScheduler, FakeChannel]:
    channel = FakeChannel(**rules)
    return CommandScheduler(SlurmDialect(), channel, timeout=7), channel


# --- submit


def test_script_travels_on_standard_input_under_a_time_limit() -> None:
    scheduler, channel = slurm(sbatch=Completed(0, "7\n", ""))
    assert scheduler.submit(JOB) == ["7"]
    assert channel.asked == [["sbatch", "--parsable"]]
    assert channel.stdin == [JOB.script]
    assert channel.timeouts == {7}


@pytest.mark.parametrize(
    "reply",
    [
        ChannelTimeout("no answer within 7 s"),
        ChannelError("connection lost"),
        Completed(1, "", "sbatch: error: Batch job submission failed: Socket timed out on …\n"),
        Completed(-11, "", ""),
        Completed(0, "", ""),
        Completed(0, "Submitted\n", ""),
        Completed(1, "", ""),
    ],
)
def test_doubtful_answer_to_a_submission_is_neither_yes_nor_no(reply: Reply) -> None:
    scheduler, channel = slurm(sbatch=reply)
    with pytest.raises(SubmissionUncertain) as doubt:
        scheduler.submit(JOB)
    assert len(channel.asked) == 1  # never tried again blindly
    assert doubt.value.transient
    assert doubt.value.command == "sbatch --parsable"


def test_command_that_never_started_leaves_no_doubt() -> None:
    scheduler, _ = slurm(sbatch=ChannelUnavailable("command not found: sbatch"))
    with pytest.raises(SubmissionPostponed, match="command not found: sbatch"):
        scheduler.submit(JOB)


#: What submissions print when no server was there to take the job: captured, except for the last of
#: each system (slurm_errno.c, msg_commlistslib.h, cnt2server.c).
NOBODY_THERE = {
    "slurm": [
        "sbatch: error: Batch job submission failed: Unable to contact slurm controller "
        "(connect failure)",
        "sbatch: error: slurm_receive_msg: Connection refused",
    ],
    "gridengine": [
        "error: commlib error: got select error (Connection refused)\n"
        'Unable to run job: unable to send message to qmaster using port 6444 on host "head"',
        "error: commlib error: can't connect to service (Connection refused)",
    ],
    "torque": [
        captured("torque", "qsub_server_down")[2],
        "Cannot connect to specified server host 'trq1'.\n",
        "qsub: submit error (Cannot connect to specified server)",
    ],
    "openpbs": [
        captured("openpbs", "down_qsub")[2],
        "Too many open connections.\nqsub: cannot connect to server pbs1 (errno=15033)",
    ],
}


@pytest.mark.parametrize(
    ("system", "words"), [(system, words) for system in SYSTEMS for words in NOBODY_THERE[system]]
)
@pytest.mark.parametrize("code", [1, 111, 162])
def test_submission_that_no_server_heard_of_leaves_no_doubt(
    system: str, words: str, code: int
) -> None:
    command = DIALECTS[system]().submit(JOB).argv[0]
    scheduler = CommandScheduler(
        DIALECTS[system](), FakeChannel(**{command: Completed(code, "", words)}), timeout=7
    )
    with pytest.raises(SubmissionPostponed) as trouble:
        scheduler.submit(JOB)
    assert not trouble.value.answered


@pytest.mark.parametrize("system", SYSTEMS)
def test_submission_that_hangs_is_uncertain(system: str) -> None:
    command = DIALECTS[system]().submit(JOB).argv[0]
    channel = FakeChannel(**{command: ChannelTimeout("no answer within 7 s")})
    with pytest.raises(SubmissionUncertain):
        CommandScheduler(DIALECTS[system](), channel, timeout=7).submit(JOB)


def test_full_queue_postpones_a_submission() -> None:
    words = "sbatch: error: AssocMaxSubmitJobLimit\nsbatch: error: Batch job submission failed: Job"
    scheduler, _ = slurm(sbatch=Completed(1, "", words))
    with pytest.raises(SubmissionPostponed, match="AssocMaxSubmitJobLimit"):
        scheduler.submit(JOB)


def test_refusal_carries_a_sentence_and_the_evidence() -> None:
    words = "sbatch: error: Batch job submission failed: Invalid partition name specified\n"
    scheduler, _ = slurm(sbatch=Completed(1, "", words))
    with pytest.raises(SubmissionRefused) as refusal:
        scheduler.submit(JOB)
    error = refusal.value
    assert str(error) == "Slurm refused the job: Invalid partition name specified"
    assert (error.command, error.returncode, error.output) == (
        "sbatch --parsable",
        1,
        words.strip(),
    )
    assert not error.transient


def test_array_is_one_command_and_its_elements_are_known_by_their_indices() -> None:
    scheduler, channel = slurm(sbatch=Completed(0, "7\n", ""))
    assert scheduler.submit(replace(JOB, array_indices=(2, 3, 5))) == ["7_2", "7_3", "7_5"]
    assert len(channel.asked) == 1


# --- poll


def test_poll_is_one_question_and_answers_only_for_the_jobs_asked_about() -> None:
    scheduler, channel = slurm(squeue=queue(j7="RUNNING|None", j8="PENDING|Priority"))
    assert set(scheduler.poll(["7", "9"])) == {"7"}
    assert len(channel.asked) == 1


def test_poll_of_nothing_asks_nothing() -> None:
    scheduler, channel = slurm()
    assert scheduler.poll([]) == {}
    assert channel.asked == []


@pytest.mark.parametrize(
    "reply",
    [
        DOWN,
        ChannelTimeout("slow"),
        ChannelUnavailable("no connection"),
        Completed(-9, queue(j7="RUNNING|None").stdout, ""),
        Completed(0, "", ""),
        Completed(0, "Welcome to the cluster\n", ""),
        Completed(0, queue(j7="RUNNING|None").stdout[:-5], ""),
        Completed(2, "", "squeue: unrecognized option '--me'\n"),
    ],
)
def test_query_that_failed_is_not_an_empty_queue(reply: Reply) -> None:
    scheduler, _ = slurm(squeue=reply)
    with pytest.raises(SchedulerUnavailable) as trouble:
        scheduler.poll(["7"])
    assert trouble.value.command.startswith("squeue --all --array --me")


def test_unknown_state_is_alive_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    scheduler, _ = slurm(squeue=queue(j7="LEVITATING|None"))
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert scheduler.poll(["7"])["7"].phase is Phase.RUNNING
    assert caplog.text.count("LEVITATING") == 1


def test_end_without_exit_code_is_looked_up_where_there_is_no_delay() -> None:
    scheduler, channel = slurm(
        squeue=queue(j7="FAILED|NonZeroExitCode", j8="COMPLETED|None", j9="TIMEOUT|TimeLimit"),
        scontrol=shown("7", "FAILED", "3:0", "NonZeroExitCode"),
    )
    answer = scheduler.poll(["7", "8", "9"])
    assert (answer["7"].exit_code, answer["7"].restarts) == (3, 2)
    assert answer["8"].exit_code == 0
    assert answer["9"].outcome is Outcome.TIME_LIMIT
    assert len(channel.asked) == 2  # nothing more to learn about 8 and 9


def test_end_without_exit_code_is_looked_up_in_accounting_next() -> None:
    scheduler, _ = slurm(
        squeue=queue(j7="FAILED|NonZeroExitCode"),
        scontrol=UNKNOWN,
        sacct=accounting("7|FAILED|4:0"),
    )
    assert scheduler.poll(["7"])["7"].exit_code == 4


def test_end_whose_details_cannot_be_asked_is_not_told_yet() -> None:
    scheduler, _ = slurm(
        squeue=queue(j7="FAILED|NonZeroExitCode", j8="RUNNING|None"),
        scontrol=DOWN,
        sacct=ChannelTimeout("slow"),
    )
    assert scheduler.poll(["7", "8"]).keys() == {"8"}
    with pytest.raises(SchedulerUnavailable):
        scheduler.history(["7"])


def test_poll_stands_when_nobody_knows_details() -> None:
    scheduler, _ = slurm(
        squeue=queue(j7="FAILED|NonZeroExitCode"), scontrol=UNKNOWN, sacct=accounting()
    )
    status = scheduler.poll(["7"])["7"]
    assert (status.phase, status.outcome, status.exit_code) == (
        Phase.FINISHED,
        Outcome.EXITED,
        None,
    )


def test_lagging_accounting_does_not_revive_a_job_that_ended() -> None:
    scheduler, _ = slurm(
        squeue=queue(j7="FAILED|NonZeroExitCode"),
        scontrol=UNKNOWN,
        sacct=accounting("7|RUNNING|0:0"),
    )
    assert scheduler.poll(["7"])["7"].phase is Phase.FINISHED


# --- history


def test_history_asks_in_chunks_and_only_once_for_each_job() -> None:
    def answer(argv: Sequence[str]) -> Completed:
        ids = argv[-1].removeprefix("--jobs=").split(",")
        return accounting(*(f"{job}|COMPLETED|0:0" for job in ids))

    scheduler, channel = slurm(sacct=answer)
    ids = [str(number) for number in range(250)]
    assert scheduler.history(ids).keys() == set(ids)
    assert [argv[-1].count(",") + 1 for argv in channel.asked] == [100, 100, 50]


def test_server_is_asked_where_a_site_keeps_no_accounting() -> None:
    scheduler, _ = slurm(sacct=NO_ACCOUNTING, scontrol=shown("7", "FAILED", "3:0"))
    assert scheduler.history(["7"])["7"].exit_code == 3


def test_accounting_that_is_not_installed_is_no_accounting(
    caplog: pytest.LogCaptureFixture,
) -> None:
    scheduler, _ = slurm(sacct=CommandMissing("command not found: sacct"), scontrol=UNKNOWN)
    assert scheduler.history(["7"]) == {}
    assert scheduler.history(["7"]) == {}
    assert caplog.text.count("command not found: sacct") == 1


def test_only_who_is_said_to_be_unknown_where_nobody_keeps_records_is_forgotten() -> None:
    """Accounting may lag, and a list of all jobs may lack one."""
    missing = CommandMissing("command not found")
    for sacct in (NO_ACCOUNTING, missing):
        scheduler, _ = slurm(sacct=sacct, scontrol=UNKNOWN)
        assert (scheduler.history(["7"]), scheduler.forgotten) == ({}, {"7"})
    for sacct, scontrol in (
        (accounting(), UNKNOWN),
        (missing, missing),
        (NO_ACCOUNTING, shown("7", "FAILED", "3:0")),
    ):
        scheduler, _ = slurm(sacct=sacct, scontrol=scontrol)
        scheduler.history(["7"])
        assert scheduler.forgotten == set()
    scheduler, channel = slurm(sacct=NO_ACCOUNTING, scontrol=UNKNOWN)
    scheduler.history(["7"])
    channel.rules["scontrol"] = DOWN
    with pytest.raises(SchedulerUnavailable):
        scheduler.history(["7"])
    assert scheduler.forgotten == set()


def test_accounting_that_cannot_be_asked_does_not_mean_that_a_job_is_unknown() -> None:
    scheduler, _ = slurm(sacct=ChannelTimeout("slow"), scontrol=UNKNOWN)
    with pytest.raises(SchedulerUnavailable):
        scheduler.history(["7"])


def test_server_may_answer_for_a_database_that_is_down() -> None:
    scheduler, _ = slurm(sacct=ChannelTimeout("slow"), scontrol=shown("7", "FAILED", "3:0"))
    assert scheduler.history(["7"])["7"].exit_code == 3


def test_job_that_accounting_shows_as_running_has_no_history_yet() -> None:
    scheduler, _ = slurm(sacct=accounting("7|RUNNING|0:0"), scontrol=UNKNOWN)
    assert scheduler.history(["7"]) == {}


# --- find


def test_find_looks_in_the_queue_first() -> None:
    scheduler, channel = slurm(squeue=queue(j7="RUNNING|None"))
    assert scheduler.find("t1") == ["7"]
    assert len(channel.asked) == 1


def test_find_looks_in_accounting_next() -> None:
    scheduler, _ = slurm(squeue=queue(), sacct=accounting("7|COMPLETED|0:0"))
    assert scheduler.find("t1") == ["7"]


@pytest.mark.parametrize(
    "rules",
    [
        {"squeue": DOWN, "sacct": accounting()},
        {"squeue": queue(), "sacct": ChannelTimeout("slow")},
    ],
)
def test_not_found_is_only_said_when_every_place_was_asked(rules: dict[str, Any]) -> None:
    scheduler, _ = slurm(**rules)
    with pytest.raises(SchedulerUnavailable):
        scheduler.find("t1")


def test_array_is_looked_up_by_one_question_to_each_place() -> None:
    scheduler, channel = slurm(squeue=queue(j7_2="RUNNING|None"), sacct=accounting())
    wanted = [("t1", place) for place in range(1, 61)]
    found, unasked = scheduler.find_all(wanted)
    assert unasked is None
    assert found.keys() == set(wanted)
    assert {pair: ids for pair, ids in found.items() if ids} == {("t1", 2): ["7_2"]}
    assert [argv[0] for argv in channel.asked] == ["squeue", "sacct"]


def test_many_names_are_looked_up_together() -> None:
    scheduler, channel = slurm(squeue=queue(j7="RUNNING|None"), sacct=accounting())
    found, _ = scheduler.find_all([(f"t{number}", 0) for number in range(1, 41)])
    assert {pair: ids for pair, ids in found.items() if ids} == {("t1", 0): ["7"]}
    asked = {argv[0]: argv[-1].count(",") + 1 for argv in channel.asked}
    assert asked == {"squeue": 40, "sacct": 39}  # what the queue has is not asked for again


def test_what_is_found_is_told_although_others_could_not_be_asked_about() -> None:
    scheduler, _ = slurm(squeue=queue(j7="RUNNING|None"), sacct=ChannelTimeout("slow"))
    found, unasked = scheduler.find_all([("t1", 0), ("t2", 0)])
    assert found == {("t1", 0): ["7"]}
    assert unasked is not None


def test_job_of_another_name_is_not_taken_for_the_one_looked_for() -> None:
    scheduler, _ = slurm(squeue=queue(), sacct=accounting("7|COMPLETED|0:0"))
    assert scheduler.find("t2") == []


def test_site_without_accounting_can_say_not_found() -> None:
    scheduler, _ = slurm(squeue=queue(), sacct=NO_ACCOUNTING)
    assert scheduler.find("t1") == []


def test_name_that_no_job_of_ours_carries_is_not_asked_for() -> None:
    scheduler, channel = slurm()
    with pytest.raises(ValueError, match="not a job name"):
        scheduler.find("t1 --user=root")
    assert channel.asked == []


# --- cancel, pause, resume


def test_cancel_goes_out_in_chunks() -> None:
    scheduler, channel = slurm(scancel=OK)
    scheduler.cancel([str(number) for number in range(150)])
    assert [len(argv) - 1 for argv in channel.asked] == [100, 50]


def grid_engine_queue(**jobs: str) -> Completed:
    """qstat's answer: ``j7="ds"``."""
    rows = (
        f'<job_list state="running"><JB_job_number>{name[1:]}</JB_job_number><JB_name>t1</JB_name>'
        f"<state>{state}</state></job_list>"
        for name, state in jobs.items()
    )
    document = f"<job_info><queue_info>{''.join(rows)}</queue_info></job_info>"
    return Completed(0, f"<?xml version='1.0'?>{document}", "")


def test_suspended_job_is_resumed_before_it_is_cancelled_where_only_that_is_certain(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Not where it is being killed already, or with its queue, which only an operator resumes."""
    listed = grid_engine_queue(j1="r", j2="s", j3="ds", j4="S", j5="hqw", j6="s")
    channel = FakeChannel(qstat=listed, qmod=OK, qdel=OK)
    with caplog.at_level(logging.INFO):
        CommandScheduler(GridEngineDialect(), channel).cancel([*"12345"])
    assert channel.asked[1:] == [["qmod", "-usj", "2"], ["qdel", *"12345"]]
    assert "suspended with its queue" in caplog.text


def test_job_that_cannot_be_resumed_is_cancelled_nevertheless() -> None:
    refused = Completed(1, "denied: job 2 is locked", "")
    channel = FakeChannel(qstat=grid_engine_queue(j2="s"), qmod=refused, qdel=OK)
    CommandScheduler(GridEngineDialect(), channel).cancel(["2"])
    assert channel.asked[1:] == [["qmod", "-usj", "2"], ["qdel", "2"]]


def test_pause_holds_what_waits_and_suspends_what_runs_and_leaves_the_rest() -> None:
    scheduler, channel = slurm(
        squeue=queue(
            j1="PENDING|Priority",
            j2="RUNNING|None",
            j3="PENDING|JobHeldUser",
            j4="COMPLETED|None",
            j5="RUNNING|None",
        ),
        scontrol=OK,
    )
    scheduler.pause(["1", "2", "3", "4", "5", "6"])
    assert channel.asked[1:] == [["scontrol", "hold", "1"], ["scontrol", "suspend", "2,5"]]


def test_owner_who_may_not_suspend_stops_by_signal(caplog: pytest.LogCaptureFixture) -> None:
    scheduler, channel = slurm(squeue=queue(j7="RUNNING|None"), scontrol=DENIED, scancel=OK)
    scheduler.pause(["7"])
    assert channel.asked[2] == ["scancel", "--signal=STOP", "--full", "7"]
    assert "an operator of the cluster may do this" in caplog.text


def test_pause_reaches_all_of_a_job_that_was_sent_a_stop_signal() -> None:
    """STOPPED may stand for the batch step alone."""
    scheduler, channel = slurm(squeue=queue(j7="STOPPED|None"), scontrol=DENIED, scancel=OK)
    assert scheduler.poll(["7"])["7"].by_signal
    scheduler.pause(["7"])
    assert channel.asked[-1] == ["scancel", "--signal=STOP", "--full", "7"]


def test_resume_goes_the_way_the_job_was_stopped() -> None:
    scheduler, channel = slurm(
        squeue=queue(j1="PENDING|JobHeldAdmin", j2="STOPPED|None", j3="SUSPENDED|None"),
        scontrol=OK,
        scancel=OK,
    )
    scheduler.resume(["1", "2", "3"])
    assert channel.asked[1:] == [
        ["scontrol", "release", "1"],
        ["scancel", "--signal=CONT", "--full", "2"],
        ["scontrol", "resume", "3"],
    ]


def test_last_way_not_permitted_is_an_error_that_says_who_may() -> None:
    scheduler, _ = slurm(squeue=queue(j7="SUSPENDED|None"), scontrol=DENIED)
    with pytest.raises(NotPermitted, match="an operator of the cluster may do this"):
        scheduler.resume(["7"])


def test_nothing_is_steered_when_the_queue_cannot_be_read() -> None:
    scheduler, channel = slurm(squeue=DOWN)
    with pytest.raises(SchedulerUnavailable):
        scheduler.pause(["7"])
    assert len(channel.asked) == 1


def test_failure_without_a_known_reason_carries_the_output() -> None:
    scheduler, _ = slurm(scancel=Completed(1, "", "scancel: error: the moon is full\n"))
    with pytest.raises(SchedulerError, match="the moon is full") as trouble:
        scheduler.cancel(["7"])
    assert trouble.value.command == "scancel 7"


# --- questions that one id breaks


class Brittle:
    """qstat or sacct, of which some ids break every question in which they occur."""

    def __init__(self, *broken: str, down: bool = False) -> None:
        self.broken, self.down, self.calls = set(broken), down, 0

    def qstat(self, argv: Sequence[str]) -> Reply:
        self.calls += 1
        ids = argv[3:]
        if self.down or self.broken.intersection(ids):
            return Completed(0, "Job Id: cut off", "")
        text = "".join(f"Job Id: {job}\n    Job_Name = t1\n    job_state = R\n\n" for job in ids)
        return Completed(0, text, "")

    def sacct(self, argv: Sequence[str]) -> Reply:
        self.calls += 1
        ids = argv[-1].removeprefix("--jobs=").split(",")
        if self.down or self.broken.intersection(ids):
            return Completed(0, accounting().stdout + "7|cut", "")
        return accounting(*(f"{job}|COMPLETED|0:0" for job in ids))


IDS = [f"{number}.vm" for number in range(100, 140)]


def torque(brittle: Brittle) -> CommandScheduler:
    return CommandScheduler(TorqueDialect(), FakeChannel(qstat=brittle.qstat), timeout=7)


def test_id_that_breaks_the_question_is_found_and_the_others_are_answered() -> None:
    brittle = Brittle("117.vm")
    scheduler = torque(brittle)
    for _ in range(2):
        assert len(scheduler.poll(IDS)) == 32
        assert "117.vm" in scheduler.unasked  # not said to be unknown
        assert "117.vm" in scheduler.unpolled
    for _ in range(3):
        assert scheduler.poll(IDS).keys() == set(IDS) - {"117.vm"}
        assert scheduler.unasked == {"117.vm"}
    brittle.broken.clear()
    assert scheduler.poll(IDS).keys() == set(IDS)
    assert not scheduler.unasked


def test_ids_that_break_the_only_question_are_found() -> None:
    scheduler = torque(Brittle("100.vm", "104.vm"))
    for _ in range(2):
        with pytest.raises(SchedulerUnavailable):
            scheduler.poll(IDS[:8])
    answers = []
    for _ in range(8):
        try:
            answers.append(scheduler.poll(IDS[:8]).keys())
        except SchedulerUnavailable:
            continue
    assert answers[-1] == set(IDS[:8]) - {"100.vm", "104.vm"}


def test_outage_costs_few_commands_however_long_it_lasts() -> None:
    brittle = Brittle(down=True)
    scheduler = torque(brittle)
    for _ in range(30):
        with pytest.raises(SchedulerUnavailable):
            scheduler.poll(IDS)
    assert brittle.calls <= 30 * 3
    brittle.down = False
    assert scheduler.poll(IDS).keys() == set(IDS)


def test_record_that_accounting_stumbles_over_keeps_no_other_job_open() -> None:
    brittle = Brittle("7")
    scheduler, _ = slurm(sacct=brittle.sacct, scontrol=UNKNOWN)
    ids = [str(number) for number in range(250)]
    for _ in range(6):
        answer = scheduler.history(ids)
    assert answer.keys() == set(ids) - {"7"}
    assert scheduler.unasked == {"7"}
    assert not scheduler.unpolled  # the queue answered


def test_order_that_one_job_breaks_reaches_the_others() -> None:
    told: list[str] = []

    def scancel(argv: Sequence[str]) -> Reply:
        if "7" in argv:
            return ChannelTimeout("no answer within 7 s")
        told.extend(argv[1:])
        return OK

    scheduler, _ = slurm(scancel=scancel)
    ids = [str(number) for number in range(150)]
    for _ in range(3):
        with pytest.raises(SchedulerError):
            scheduler.cancel(ids)
    assert set(told) == set(ids) - {"7"}


def test_exit_code_that_is_an_answer_is_read_before_any_words() -> None:
    """As captured/torque/qstat_nine_unknown has them."""
    noise = "Can not resolve name for server l`H. (rc = -1 - )\n"
    unknown = "qstat: Unknown Job Id Error 7.vm\n"
    channel = FakeChannel(
        qstat=Completed(153, "", noise + unknown),
        qdel=Completed(153, "", noise + unknown.replace("qstat", "qdel")),
    )
    scheduler = CommandScheduler(TorqueDialect(), channel)
    assert scheduler.poll(["7.vm"]) == {}
    assert not scheduler.unasked
    scheduler.cancel(["7.vm"])


def test_words_of_an_outage_count_on_standard_error_only() -> None:
    """A job's name, for one, stands on standard output."""
    text = "Job Id: 7.vm\n    Job_Name = Connection refused\n    job_state = R\n\n"
    unknown = "qstat: Unknown Job Id Error 8.vm\n"
    channel = FakeChannel(qstat=Completed(153, text, unknown))
    scheduler = CommandScheduler(TorqueDialect(), channel)
    assert scheduler.poll(["7.vm", "8.vm"]).keys() == {"7.vm"}
    words = Completed(1, "Connection refused\n", "scancel: error: the moon is full\n")
    other, _ = slurm(scancel=words)
    with pytest.raises(SchedulerError, match="the moon is full") as trouble:
        other.cancel(["7"])
    assert not trouble.value.transient
